"""What earlier runs took, and what is timed on this machine."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from planned_jobs import (
    CLEAN,
    CPU,
    PGD,
    RUN,
    SMALL,
    STAGES,
    TINY,
    TINY_FLOPS,
    evaluation,
    features,
    job,
    known,
    of_seeds,
    training,
)

from robustlens.planning import probe
from robustlens.planning.dry_run import Job
from robustlens.planning.measured import Measurement, by_measurements, measurements
from robustlens.planning.networks import Network
from robustlens.planning.stages import train


def flops(chosen: Job) -> float:
    return known().work(chosen).flops


def measured(*jobs: Job, on_gpu: bool = False) -> list[Measurement]:
    return measurements(list(jobs), known(*jobs).work, on_gpu)


# What earlier runs took


def ran(
    folder: Path, chosen: Job, seconds: float, accelerator: str | None = None, parameters: dict | None = None
) -> Job:
    """The job with the files that it leaves behind."""
    name = "-".join(chosen.wildcards.values())
    benchmark, certificate = folder / f"{name}.tsv", folder / f"{name}.json"
    benchmark.write_text(f"s\th:m:s\tcpu_time\n{seconds}\t0:00:01\t1.0\n")
    record = {"parameters": parameters or chosen.spec, "device": {"accelerator": accelerator}}
    certificate.write_text(json.dumps(record))
    return replace(chosen, benchmark=str(benchmark), certificate=str(certificate))


def certified(
    folder: Path, chosen: Job, wall: float, epochs: list[float] | None = None, benchmark: float = 99.0
) -> Job:
    """The job with a certificate that has its time, a benchmark file of another one and, of a training, its epochs."""
    found = ran(folder, chosen, benchmark)
    record = json.loads(Path(found.certificate).read_text())
    Path(found.certificate).write_text(json.dumps(record | {"wall_seconds": wall}))
    timing = folder / "timing.parquet"
    if epochs:
        pd.DataFrame({"epoch": range(1, len(epochs) + 1), "seconds": epochs}).to_parquet(timing)
    return replace(found, outputs=(*found.outputs, str(timing))) if epochs else found


def table(name: str) -> Job:
    return job("make_table", {"builder": name}, wildcards={"study": "energy", "table": name})


def test_a_job_that_ran_before_takes_what_it_took(tmp_path):
    found = measured(ran(tmp_path, training(), 12.0), ran(tmp_path, training(seed=1), 90.0))
    assert by_measurements(training(), flops(training()), found, start_up=2.0) == (pytest.approx(12.0), True)


def test_a_job_took_what_its_certificate_says_and_its_start_and_not_the_wait_for_a_gpu(tmp_path):
    chosen = evaluation(PGD)
    found = measured(certified(tmp_path, chosen, wall=10.0))
    assert by_measurements(chosen, flops(chosen), found, start_up=2.0) == (pytest.approx(2 + 10), True)
    assert by_measurements(chosen, 3 * flops(chosen), found, start_up=2.0) == (pytest.approx(2 + 3 * 10), False)
    found = measured(certified(tmp_path, table("phases"), wall=0.5))
    assert by_measurements(table("phases"), 0.0, found, start_up=1.0) == (pytest.approx(1.5), True)


def test_of_an_evaluation_that_is_half_there_the_other_half_takes_half_of_the_time(tmp_path, monkeypatch):
    """All of it was measured; what is left is counted by its FLOPs."""
    monkeypatch.chdir(tmp_path)
    chosen = certified(tmp_path, evaluation(CLEAN), wall=10.0)
    file = Path(chosen.outputs[0]).parent / "best/clean.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    plan = known(chosen)
    found = measurements([chosen], plan.work, on_gpu=False)
    assert by_measurements(chosen, plan.left(chosen).flops, found, 2.0) == (pytest.approx(2 + 10 / 2), False)


def test_a_job_for_several_seeds_took_what_they_took_together_and_started_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = of_seeds(evaluation(PGD), 0, 1)
    for part, wall in zip(both.parts(), (4.0, 6.0), strict=True):
        certificate = Path(part.certificate)
        certificate.parent.mkdir(parents=True)
        record = {"parameters": part.spec, "device": {"accelerator": None}, "wall_seconds": wall}
        certificate.write_text(json.dumps(record))
    found = measured(both)
    assert by_measurements(both, flops(both), found, start_up=2.0) == (pytest.approx(2 + 4 + 6), True)
    assert by_measurements(evaluation(PGD), flops(evaluation(PGD)), found, 2.0) == (pytest.approx(2 + 5), False)


def test_another_table_is_like_it_but_not_the_very_same(tmp_path):
    found = measured(certified(tmp_path, table("phases"), wall=0.5))
    assert by_measurements(table("robustness"), 0.0, found, start_up=1.0) == (pytest.approx(1.5), False)


@pytest.mark.parametrize(("wall", "seconds"), [(12.0, 12.0), (3.0, 10.0)])
def test_a_training_that_was_resumed_took_all_its_epochs_and_not_the_last_session(wall, seconds, tmp_path):
    """10 s of training in five epochs: once in a session of 12 s, which tracked, too, and once with one of 3 s."""
    found = measured(certified(tmp_path, training(), wall, epochs=[4.0, 1.5, 1.5, 1.5, 1.5]))
    assert by_measurements(training(), flops(training()), found, 2.0) == (pytest.approx(2 + seconds), True)


def test_a_certificate_does_for_a_job_without_a_benchmark_file(tmp_path):
    found = replace(certified(tmp_path, training(), wall=7.0, epochs=[1.0]), benchmark=None)
    assert [m.seconds for m in measured(found)] == [7.0]


def test_more_epochs_than_were_measured_take_more_time_but_start_once(tmp_path):
    longer = training(epochs=15)
    found = measured(ran(tmp_path, training(), 12.0))
    assert by_measurements(longer, flops(longer), found, 2.0) == (pytest.approx(2 + 3 * 10.0), False)


def test_another_seed_takes_the_median_of_those_of_its_recipe_and_another_recipe_that_of_its_dataset(tmp_path):
    jobs = [ran(tmp_path, training(seed=seed), seconds) for seed, seconds in enumerate((12.0, 15.0, 99.0))]
    found = measured(*jobs, ran(tmp_path, training("standard"), 4.0))
    sat, standard, trades = (flops(training(method)) for method in ("sat", "standard", "trades"))
    assert by_measurements(training(seed=9), sat, found, 0.0) == (pytest.approx(15.0), False)
    rates = sorted([12 / sat, 15 / sat, 99 / sat, 4 / standard])
    middle = (rates[1] + rates[2]) / 2
    assert by_measurements(training("trades"), trades, found, 0.0)[0] == pytest.approx(middle * trades)
    assert by_measurements(evaluation(CLEAN), 1.0, found, 0.0) is None


def test_what_was_measured_on_another_kind_of_device_does_not_count(tmp_path):
    found = ran(tmp_path, training(), 12.0, accelerator="A100")
    assert measured(found) == []
    assert [m.seconds for m in measured(found, on_gpu=True)] == [12.0]


@pytest.mark.parametrize("damage", ["no benchmark", "no certificate", "empty benchmark", "no json", "other parameters"])
def test_a_measurement_that_can_t_be_read_counts_as_none(damage, tmp_path):
    found = ran(tmp_path, training(), 12.0)
    if damage == "no benchmark":
        Path(found.benchmark).unlink()
    if damage == "no certificate":
        Path(found.certificate).unlink()
    if damage == "empty benchmark":
        Path(found.benchmark).write_text("")
    if damage == "no json":
        Path(found.certificate).write_text("[")
    if damage == "other parameters":
        ran(tmp_path, training(), 12.0, parameters=RUN | {"architecture": {"family": "resnet", "gone": 1}})
    assert measured(found) == []


# Timings of this machine


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """An epoch takes 0.5 s and 0.2 s of tracking; the images that it is asked for."""
    found = []

    def epoch_seconds(spec, dataset, device):
        found.append((dataset.sizes, spec["tracking"]["train_samples"]))
        return {"training": 0.5, "tracking": 0.2}

    monkeypatch.setattr(train, "epoch_seconds", epoch_seconds)
    return found


def timed(chosen: Job, by: probe.Probe | None = None) -> float | None:
    by = by or probe.Probe(CPU, known())
    return by.seconds(chosen, by.known.work(chosen))


def test_a_training_is_as_many_times_the_probe_as_it_has_epochs_and_images(asked):
    once = probe.Probe(CPU, known())
    assert timed(training(), once) == pytest.approx(5 * (0.5 + 0.2))
    assert timed(training(seed=1), once) == pytest.approx(5 * (0.5 + 0.2))
    assert asked == [({"train": 100, "validation": 20}, 50)]  # once: another seed costs the same


def test_a_large_training_is_timed_on_as_many_of_its_batches_as_the_budget_allows(asked):
    small = probe.Probe(CPU, known())
    small.budget = TINY_FLOPS * 11 * 64  # of 100 images, two batches of 32
    assert timed(training(), small) == pytest.approx(5 * (0.5 * 100 / 64 + 0.2), rel=0.05)
    assert asked[0][0]["train"] == 64
    smaller = probe.Probe(CPU, known())
    smaller.budget = TINY_FLOPS * 11 * 16  # not even one
    assert timed(training(), smaller) is None


def test_when_the_time_for_timings_is_over_another_run_of_the_network_stands_in(asked):
    late = probe.Probe(CPU, known())
    timed(training(), late)
    late.end = -math.inf
    expected_seconds = 5 * (0.5 * 15 / 11 + 0.2)  # TRADES makes 15 passes per step where SAT makes 11
    assert timed(training("trades"), late) == pytest.approx(expected_seconds)
    wider = replace(training(), spec=RUN | {"architecture": TINY | {"width": 4}})
    assert timed(wider, late) is None


def test_a_stage_of_a_study_brings_a_trial_of_its_own(asked, tmp_path, monkeypatch):
    (tmp_path / "trial_of_a_test.py").write_text("""
from robustlens.planning.stages.train import training, work


def trial(job, known, device, budget):
    return {"training": 1e-6, "tracking": 0.0}
""")
    monkeypatch.syspath_prepend(tmp_path)
    chosen = replace(training(), rule="train_generator")
    stages = known(stages=STAGES | {"train_generator": "trial_of_a_test"})
    assert timed(chosen, probe.Probe(CPU, stages)) == pytest.approx(1e-6 * TINY_FLOPS * 5 * 100 * 11)
    assert asked == []


def test_other_jobs_take_their_calls_at_the_batches_they_have(monkeypatch):
    monkeypatch.setattr(probe, "call_seconds", lambda *_: lambda batch, gradient: batch + 100 * gradient)
    chosen = evaluation(PGD, checkpoints=["published"], batch=15)
    around = sum(calls.seconds for calls in known().work(chosen).calls)
    # Two batches of 15: the predictions before and after, and five steps of a forward and a gradient.
    assert timed(chosen) == pytest.approx(2 * (7 * 15 + 5 * 115) + around)


def test_the_inception_network_is_not_built_for_a_timing():
    assert timed(features("reference_features", "inception", "test")) is None


def test_the_training_loop_itself_is_timed():
    small = replace(SMALL, sizes={"train": 40, "validation": 10})
    found = train.epoch_seconds(RUN | {"tracking": RUN["tracking"] | {"energy_epochs": [1]}}, small, CPU)
    assert 0 < found["training"] < 10 and 0 < found["tracking"] < 10


def test_a_larger_batch_and_a_gradient_take_longer():
    seconds = probe.call_seconds(Network.of(TINY | {"width": 16}, (1, 8, 8), 3), CPU, 1e8)
    assert 0 < seconds(1, False) < seconds(400, False)
    assert seconds(400, True) > 0
