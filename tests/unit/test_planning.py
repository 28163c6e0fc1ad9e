"""The plan: jobs read from a dry run, operations counted by hand, times from measurements and probes."""

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from robustlens.errors import RobustlensError
from robustlens.parameters import create
from robustlens.planning import estimate, plan, probe
from robustlens.planning.datasets import Dataset, expected
from robustlens.planning.dry_run import Job, needed_by, read_job, read_jobs
from robustlens.planning.gpus import GPUS
from robustlens.planning.measured import Measurement, by_measurements, measurements
from robustlens.planning.networks import INCEPTION, Network
from robustlens.planning.passes import NOWHERE, CountingNetwork, attack_passes, training_passes
from robustlens.planning.storage import disk, downloads
from robustlens.planning.text import between, duration, number, plan_text, size, table
from robustlens.planning.work import ROBUST_SHARE, WorkOf

CPU = torch.device("cpu")
TINY = {"family": "resnet", "blocks": [1], "width": 2}
SMALL = Dataset((1, 4, 4), 3, {"train": 100, "validation": 20, "test": 30})
# By hand, two a multiply-add. Stem: 16 pixels x 2 filters of 3x3x1; block: twice 16 x 2 of 3x3x2; linear: 2 x 3.
TINY_FLOPS = 2 * (16 * 2 * 9 + 2 * 16 * 2 * 9 * 2 + 2 * 3)
# Convolutions 18 + 36 + 36, scale and shift of three BatchNorms of 2 channels, linear 6 + 3.
TINY_PARAMETERS = 18 + 36 + 36 + 3 * 4 + 9
TRAINING = {
    "epochs": 5,
    "batch_size": 32,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": {"name": "step", "milestones": [1], "factor": 0.1},
    "attack_steps": 4,
    "attack_batchnorm": "eval",
    "augmentation": {"crop_padding": 0, "flip": False},
    "averaging": {"name": "none"},
    "weight_perturbation": {"name": "none"},
    "precision": "auto",
    "memory_format": "auto",
    "compile": "auto",
}
RUN = {
    "dataset": "small",
    "recipe": "sat",
    "seed": 0,
    "code": "abc",
    "architecture": TINY,
    "method": {"name": "sat", "parameters": {}},
    "training": TRAINING,
    "threat": {"norm": "linf", "epsilon": "1/4", "step_size": "1/8"},
    "tracking": {"train_samples": 50, "attack_steps": 3, "batch_size": 15, "energy_epochs": [5]},
}


def job(rule: str, spec: dict | None = None, **changes) -> Job:
    spec = {} if spec is None else spec
    wildcards = {name: str(spec[name]) for name in ("dataset", "recipe", "suite", "seed") if name in spec}
    return replace(Job(rule, wildcards, (), (), None, 1, spec), **changes)


def training(method: str = "sat", parameters: dict | None = None, seed: int = 0, **settings) -> Job:
    chosen = {"name": method, "parameters": parameters or {}}
    return job("train", RUN | {"recipe": method, "seed": seed, "method": chosen, "training": TRAINING | settings})


def evaluation(*attacks: dict, inputs=("best.safetensors", "last.safetensors"), recipe: str = "sat", batch: int = 12):
    named = [{"samples": None, "best_only": False, "parameters": {}} | attack for attack in attacks]
    spec = {"dataset": "small", "recipe": recipe, "seed": 0, "suite": "robustness", "architecture": TINY}
    return job("evaluate", spec | {"attacks": named, "batch_size": batch}, inputs=inputs)


def work_of(**arguments) -> WorkOf:
    return WorkOf({"small": SMALL}, **arguments)


# The jobs of a dry run


def announced(rule: str = "train", command: str = "true", **changes) -> dict:
    record = {"rule": rule, "wildcards": {}, "inputs": [], "outputs": [], "benchmark": None, "threads": 1}
    return record | {"command": command} | changes


def test_a_job_s_parameters_are_those_of_its_command_whatever_characters_they_hold():
    spec = {"title": 'it\'s "naïve"\n --spec {x} $HOME', "n": [1, None]}
    command = f'python "$ROBUSTLENS/scripts/train.py" --spec {shlex.quote(json.dumps(spec))} --certificate c.json'
    found = read_job(announced(command=command, benchmark="b.tsv", wildcards={"seed": "0"}, threads=2))
    assert (found.spec, found.certificate, found.benchmark) == (spec, "c.json", "b.tsv")
    assert (found.wildcards, found.threads) == ({"seed": "0"}, 2)


@pytest.mark.parametrize("rest", ["", "--spec", "--spec 'no json'", "--spec '{}"])
def test_a_script_whose_parameters_can_t_be_read_is_an_error_that_names_the_rule(rest):
    with pytest.raises(RobustlensError, match="rule odd: its command can't be read"):
        read_job(announced("odd", f'python "$ROBUSTLENS/scripts/train.py" {rest}'))


def test_a_command_that_is_no_script_of_ours_is_a_job_without_parameters():
    assert read_job(announced("collect", "cat a b > c")).spec == {}


def test_targets_without_a_command_are_no_jobs_but_are_counted():
    lines = [json.dumps(line) for line in (announced(), announced("all", None), {"counts": {"total": 2}})]
    assert [found.rule for found in read_jobs(lines)] == ["train"]
    assert read_jobs([]) == []


def test_fewer_jobs_than_snakemake_counts_are_an_error():
    with pytest.raises(RobustlensError, match="counts 2 jobs, but announced 1"):
        read_jobs([json.dumps({"counts": {"total": 2}}), json.dumps(announced())])


def test_the_jobs_behind_some_files_are_those_that_lead_to_them():
    def step(name: str, *inputs: str) -> Job:
        return Job(name, {}, inputs, (f"{name}.out",), None, 1)

    jobs = [
        step("data"),
        step("a", "data.out", "elsewhere"),
        step("b", "data.out"),
        step("table", "a.out"),
        step("odd"),
    ]
    assert {found.rule for found in needed_by(jobs, ("table",))} == {"data", "a", "table"}
    assert needed_by(jobs, ("nothing",)) == []


# Networks and datasets


def test_a_small_network_s_operations_and_parameters_are_those_counted_by_hand():
    network = Network.of(TINY, (1, 4, 4), 3)
    assert (network.flops, network.parameters, network.features) == (TINY_FLOPS, TINY_PARAMETERS, 2)


def test_resnet18_has_the_1_11_gflop_and_11_17_million_parameters_of_the_literature():
    network = Network.of({"family": "resnet"}, (3, 32, 32), 10)
    assert network.flops / 1e9 == pytest.approx(1.111, abs=0.001)
    assert network.parameters / 1e6 == pytest.approx(11.17, abs=0.01)


def test_normalisation_inside_the_model_changes_nothing_but_its_description():
    plain = Network.of(TINY, (1, 4, 4), 3)
    assert Network.of(TINY | {"normalisation": {"mean": [0.5], "std": [0.2]}}, (1, 4, 4), 3).flops == plain.flops


def prepared(family: str, reader: dict | None = None, **splits) -> Dataset:
    complete = {"train": None, "validation": 1000, "test": None, "seed": 0} | splits
    return expected({"reader": {"family": family} | (reader or {}), "splits": complete})


def test_a_dataset_with_an_official_test_split_is_trained_on_all_but_the_validation_images():
    found = prepared("cifar10")
    assert (found.shape, found.classes) == ((3, 32, 32), 10)
    assert found.sizes == {"train": 49000, "validation": 1000, "test": 10000}
    assert found.bytes == 60000 * (3 * 32 * 32 + 16)


def test_a_dataset_without_one_is_tested_on_what_is_left():
    assert prepared("digits", train=200, validation=200).sizes == {"train": 200, "validation": 200, "test": 1397}


def test_a_reader_s_size_is_the_side_of_the_images_and_a_shorter_split_is_taken():
    assert prepared("afhq", {"size": 64}, train=500, test=300).shape == (3, 64, 64)
    assert prepared("afhq", {"size": 64}, train=500, test=300).sizes == {"train": 500, "validation": 1000, "test": 300}


# Passes


@pytest.mark.parametrize(
    ("family", "parameters", "forwards", "gradients"),
    [
        ("clean", {}, 0, 0),
        ("pgd", {"steps": 1, "start": "image"}, 1, 1),
        ("pgd", {"steps": 50}, 50, 50),
        ("pgd", {"steps": 50, "loss": "kl", "start": "gaussian"}, 51, 50),
        # Those of training-and-evaluation-peers.md, 3.1, for 10 classes, and the wrapper's look at the classes.
        ("apgd", {"loss": "ce", "steps": 100}, 102, 101),
        ("apgd-t", {"steps": 100}, 919 + 1, 909),
        ("square", {"queries": 5000}, 5003, 0),
    ],
)
def test_an_attack_makes_the_passes_of_the_literature(family, parameters, forwards, gradients):
    found = attack_passes(family, parameters, classes=10)
    assert (found.forwards, found.gradients) == (forwards, gradients)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("apgd", {"steps": 33}),
        ("apgd-t", {"steps": 30}),
        ("fab", {"steps": 24}),
        ("square", {"queries": 70}),
        ("cw", {}),
    ],
)
def test_passes_that_were_extrapolated_are_those_that_the_attack_makes(family, parameters):
    network = CountingNetwork(4).eval().requires_grad_(False)
    x = torch.full((1, 1, 4, 4), 0.5)
    y = network(x).argmax(1)
    network.read()
    create("attacks", family, parameters)(network, x, y, NOWHERE, torch.Generator().manual_seed(0))
    complete = create("attacks", family, parameters).__dict__
    found = attack_passes(family, complete, classes=4)
    assert (found.forwards, found.gradients) == network.read()
    assert found.seconds > 0


def test_autoattack_s_standard_version_costs_9_762_passes_a_robust_image():
    found = attack_passes("autoattack", {}, classes=10)
    assert found.gradients == 1910
    assert found.forwards == pytest.approx(7852, abs=5)


@pytest.mark.parametrize("family", ["apgd", "apgd-t", "fab", "square", "autoattack"])
def test_an_image_that_is_misclassified_costs_the_library_s_attacks_a_look(family):
    complete = create("attacks", family, {}).__dict__
    found = attack_passes(family, complete, classes=10, robust=False)
    assert found.gradients == 0 and found.forwards <= 2


@pytest.mark.parametrize(
    ("method", "attack", "losses"),
    [
        ("standard", (0, 0), 1),
        ("sat", (7, 7), 1),
        ("trades", (8, 7), 2),  # the natural softmax of the KL is one pass more
        ("mart", (7, 7), 2),
        ("mail-trades", (8, 7), 2),
        ("weat", (8, 7), 2),
    ],
)
def test_a_training_step_makes_the_passes_of_its_method(method, attack, losses):
    found, counted = training_passes(method, {}, attack_steps=7)
    assert ((found.forwards, found.gradients), counted) == (attack, losses)


# The work of a job

# 50 training and 20 validation images with 3 attack steps of 2 passes, and the two predictions.
TRACKING = 5 * (50 + 20) * (3 * 2 + 2)


@pytest.mark.parametrize(
    ("method", "step"), [("standard", 3), ("sat", 4 * 2 + 3), ("trades", 4 * 2 + 1 + 2 * 3), ("mart", 4 * 2 + 2 * 3)]
)
def test_a_training_s_operations_are_those_counted_by_hand(method, step):
    work = work_of()(training(method))
    assert work.flops == pytest.approx(TINY_FLOPS * (5 * 100 * step + TRACKING))
    assert work.flops_by("name") == pytest.approx(
        {"training": TINY_FLOPS * 5 * 100 * step, "tracking": TINY_FLOPS * TRACKING}
    )


def test_only_the_training_is_in_bfloat16_and_that_not_where_float32_is_asked_for():
    by_precision = work_of()(training()).flops_by("precision")
    assert by_precision == pytest.approx({"bfloat16": TINY_FLOPS * 5 * 100 * 11, "float32": TINY_FLOPS * TRACKING})
    assert set(work_of()(training(precision="float32")).flops_by("precision")) == {"float32"}


def test_the_batchnorm_statistics_of_a_weight_average_take_two_more_epochs():
    average = {"name": "swa", "start_epoch": 1, "every_steps": 1}
    more = work_of()(training(averaging=average)).flops - work_of()(training()).flops
    assert more == pytest.approx(TINY_FLOPS * 100 * (1 + 4 * 2 + 1))


def test_an_evaluation_s_operations_are_those_counted_by_hand():
    pgd = {"name": "pgd5", "family": "pgd", "parameters": {"steps": 5}}
    clean = {"name": "clean", "family": "clean"}
    # Two checkpoints; 30 images, or 10, of which AutoAttack-like attacks leave the fooled half alone.
    assert work_of()(evaluation(clean)).flops == pytest.approx(TINY_FLOPS * 2 * 30 * 2)
    assert work_of()(evaluation(pgd)).flops == pytest.approx(TINY_FLOPS * 2 * 30 * (2 + 5 * 2))
    assert work_of()(evaluation(pgd | {"samples": 10})).flops == pytest.approx(TINY_FLOPS * 2 * 10 * (2 + 5 * 2))
    assert work_of()(evaluation(pgd | {"best_only": True})).flops == pytest.approx(TINY_FLOPS * 30 * (2 + 5 * 2))


def test_of_the_images_that_square_attacks_only_the_robust_ones_cost_its_queries():
    square = {"name": "square", "family": "square", "parameters": {"queries": 1000}}
    once = evaluation(square, inputs=("published.safetensors",))
    by_hand = 30 * (2 + ROBUST_SHARE * 1003 + (1 - ROBUST_SHARE) * 1)
    assert work_of()(once).flops == pytest.approx(TINY_FLOPS * by_hand)
    assert work_of(fragile={"sat"})(once).flops == pytest.approx(TINY_FLOPS * 30 * (2 + 1))


def test_recipes_without_an_attack_are_found_by_their_training():
    assert WorkOf.jobs([training("standard"), training("sat")]).fragile == {"standard"}


def test_generated_images_cost_a_gradient_a_step_and_a_look_at_the_end():
    spec = {"dataset": "small", "recipe": "sat", "seed": 0, "architecture": TINY, "sampler": {"steps": 40}}
    made = work_of()(job("generate_samples", spec | {"per_class": 7, "batch_size": 10}))
    assert made.flops == pytest.approx(TINY_FLOPS * 7 * 3 * (40 * 2 + 1))


def features(rule: str, kind: str, reference: str) -> Job:
    spec = {"dataset": "small", "features": {"kind": kind, "reference": reference}, "architecture": TINY}
    return job(rule, spec | {"batch_size": 8})


def test_features_cost_a_pass_an_image_of_the_network_that_is_asked_for():
    chosen = work_of(per_class={"small": 7})
    assert chosen(features("reference_features", "classifier", "train")).flops == pytest.approx(TINY_FLOPS * 100)
    assert chosen(features("reference_features", "inception", "test")).flops == pytest.approx(11.42e9 * 30)
    assert chosen(features("score_samples", "inception", "train")).flops == pytest.approx(11.42e9 * 7 * 3)
    assert chosen(features("score_real_images", "inception", "train")).flops == pytest.approx(11.42e9 * 30)
    assert chosen(features("score_real_images", "inception", "test")).flops == pytest.approx(11.42e9 * 20)


def test_the_nearest_training_image_and_the_statistics_are_work_for_the_processor():
    scores = work_of(per_class={"small": 7})(features("score_samples", "classifier", "train"))
    nearest, covariances = 2 * 21 * 100 * 16, 2 * (2 * 21 + 100) * 2**2
    assert scores.processor == pytest.approx(nearest + covariances + 3 * 13 * 2**3 + 300 * 2 * 21**2 * 2)


def test_a_table_has_no_network():
    assert work_of()(job("table_claims", {"table": "claims"})) is None


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


def test_a_job_that_ran_before_takes_what_it_took(tmp_path):
    jobs = [ran(tmp_path, training(), 12.0), ran(tmp_path, training(seed=1), 90.0)]
    measured = measurements(jobs, work_of(), on_gpu=False)
    flops = work_of()(training()).flops
    assert by_measurements(training(), flops, measured, start_up=2.0) == (pytest.approx(12.0), True)


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
    return replace(found, outputs=("best.safetensors", str(timing)) if epochs else ("evaluation.parquet",))


def test_a_job_took_what_its_certificate_says_and_its_start_and_not_the_wait_for_a_gpu(tmp_path):
    pgd = evaluation({"name": "pgd5", "family": "pgd", "parameters": {"steps": 5}})
    once, flops = certified(tmp_path, pgd, wall=10.0), work_of()(pgd).flops
    measured = measurements([once], work_of(), on_gpu=False)
    assert by_measurements(pgd, flops, measured, start_up=2.0) == (pytest.approx(2 + 10), True)
    assert by_measurements(pgd, 3 * flops, measured, start_up=2.0) == (pytest.approx(2 + 3 * 10), False)
    table = certified(tmp_path, job("table_claims", {"table": "claims"}, wildcards={"study": "energy"}), wall=0.5)
    measured = measurements([table], work_of(), on_gpu=False)
    assert by_measurements(table, 0.0, measured, start_up=1.0) == (pytest.approx(1.5), True)


@pytest.mark.parametrize(("wall", "seconds"), [(12.0, 12.0), (3.0, 10.0)])
def test_a_training_that_was_resumed_took_all_its_epochs_and_not_the_last_session(wall, seconds, tmp_path):
    """10 s of training in five epochs: once in a session of 12 s, which tracked, too, and once with one of 3 s."""
    run = certified(tmp_path, training(), wall, epochs=[4.0, 1.5, 1.5, 1.5, 1.5])
    measured = measurements([run], work_of(), on_gpu=False)
    assert by_measurements(training(), work_of()(training()).flops, measured, 2.0) == (pytest.approx(2 + seconds), True)


def test_a_certificate_does_for_a_job_without_a_benchmark_file(tmp_path):
    found = replace(certified(tmp_path, training(), wall=7.0, epochs=[1.0]), benchmark=None)
    assert [m.seconds for m in measurements([found], work_of(), on_gpu=False)] == [7.0]


def test_more_epochs_than_were_measured_take_more_time_but_start_once(tmp_path):
    measured = measurements([ran(tmp_path, training(), 12.0)], work_of(), on_gpu=False)
    longer = training(epochs=15)
    assert by_measurements(longer, work_of()(longer).flops, measured, 2.0) == (pytest.approx(2 + 3 * 10.0), False)


def test_another_seed_takes_the_median_of_those_of_its_recipe_and_another_recipe_that_of_its_dataset(tmp_path):
    jobs = [ran(tmp_path, training(seed=seed), seconds) for seed, seconds in enumerate((12.0, 15.0, 99.0))]
    jobs.append(ran(tmp_path, training("standard"), 4.0))
    measured = measurements(jobs, work_of(), on_gpu=False)
    flops = {method: work_of()(training(method)).flops for method in ("sat", "standard", "trades")}
    assert by_measurements(training(seed=9), flops["sat"], measured, 0.0) == (pytest.approx(15.0), False)
    rates = sorted([12 / flops["sat"], 15 / flops["sat"], 99 / flops["sat"], 4 / flops["standard"]])
    middle = (rates[1] + rates[2]) / 2
    assert by_measurements(training("trades"), flops["trades"], measured, 0.0)[0] == pytest.approx(
        middle * flops["trades"]
    )
    assert by_measurements(evaluation({"name": "clean", "family": "clean"}), 1.0, measured, 0.0) is None


def test_what_was_measured_on_another_kind_of_device_does_not_count(tmp_path):
    jobs = [ran(tmp_path, training(), 12.0, accelerator="A100")]
    assert measurements(jobs, work_of(), on_gpu=False) == []
    assert [m.seconds for m in measurements(jobs, work_of(), on_gpu=True)] == [12.0]


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
    assert measurements([found], work_of(), on_gpu=False) == []


# Timings of this machine


def test_a_training_is_as_many_times_the_probe_as_it_has_epochs_and_images(monkeypatch):
    asked = []

    def epoch_seconds(spec, dataset, device):
        asked.append((dataset.sizes, spec["tracking"]["train_samples"]))
        return {"training": 0.5, "tracking": 0.2}

    monkeypatch.setattr(probe, "epoch_seconds", epoch_seconds)
    timed = probe.Probe(CPU, work_of())
    assert timed.seconds(training(), work_of()(training())) == pytest.approx(5 * (0.5 + 0.2))
    assert timed.seconds(training(seed=1), work_of()(training(seed=1))) == pytest.approx(5 * (0.5 + 0.2))
    assert asked == [({"train": 100, "validation": 20}, 50)]  # once: another seed costs the same


def test_a_large_training_is_timed_on_as_many_of_its_batches_as_the_budget_allows(monkeypatch):
    sizes = []

    def epoch_seconds(spec, dataset, device):
        sizes.append(dataset.sizes)
        return {"training": 0.5, "tracking": 0.2}

    monkeypatch.setattr(probe, "epoch_seconds", epoch_seconds)
    timed = probe.Probe(CPU, work_of())
    timed.budget = TINY_FLOPS * 11 * 64  # of 100 images, two batches of 32
    assert timed.seconds(training(), work_of()(training())) == pytest.approx(5 * (0.5 * 100 / 64 + 0.2), rel=0.05)
    assert sizes[0]["train"] == 64
    timed = probe.Probe(CPU, work_of())
    timed.budget = TINY_FLOPS * 11 * 16  # not even one
    assert timed.seconds(training(), work_of()(training())) is None


def test_when_the_time_for_timings_is_over_another_run_of_the_network_stands_in(monkeypatch):
    monkeypatch.setattr(probe, "epoch_seconds", lambda *_: {"training": 0.5, "tracking": 0.2})
    timed = probe.Probe(CPU, work_of())
    timed.seconds(training(), work_of()(training()))
    timed.end = -math.inf
    expected_seconds = 5 * (0.5 * 15 / 11 + 0.2)  # TRADES makes 15 passes a step where SAT makes 11
    assert timed.seconds(training("trades"), work_of()(training("trades"))) == pytest.approx(expected_seconds)


def test_other_jobs_take_their_calls_at_the_batches_they_have(monkeypatch):
    monkeypatch.setattr(probe, "call_seconds", lambda *_: lambda batch, gradient: batch + 100 * gradient)
    pgd = {"name": "pgd5", "family": "pgd", "parameters": {"steps": 5}}
    chosen = evaluation(pgd, inputs=("published.safetensors",), batch=15)
    work = work_of()(chosen)
    around = sum(calls.seconds for calls in work.calls)
    # Two batches of 15: the predictions before and after, and five steps of a forward and a gradient.
    assert probe.Probe(CPU, work_of()).seconds(chosen, work) == pytest.approx(2 * (7 * 15 + 5 * 115) + around)


def test_the_inception_network_is_not_built_for_a_timing():
    inception = features("reference_features", "inception", "test")
    assert probe.Probe(CPU, work_of()).seconds(inception, work_of()(inception)) is None


def test_the_training_loop_itself_is_timed():
    small = replace(SMALL, sizes={"train": 40, "validation": 10})
    found = probe.epoch_seconds(RUN | {"tracking": RUN["tracking"] | {"energy_epochs": [1]}}, small, CPU)
    assert 0 < found["training"] < 10 and 0 < found["tracking"] < 10


def test_a_larger_batch_and_a_gradient_take_longer():
    seconds = probe.call_seconds(Network.of(TINY | {"width": 16}, (1, 8, 8), 3), CPU, 1e8)
    assert 0 < seconds(1, False) < seconds(400, False)
    assert seconds(400, True) > 0


# Estimates and plans


@pytest.fixture
def quick(monkeypatch) -> None:
    """A machine of 1 GFLOP/s on which Python starts in a second."""
    for module in (estimate, probe):
        monkeypatch.setattr(module, "start_up", lambda kind: 1.0)
        monkeypatch.setattr(module, "convolution_rate", lambda device: 1e9)
    monkeypatch.setattr(probe, "epoch_seconds", lambda *_: {"training": 0.5, "tracking": 0.2})


def data(**changes) -> Job:
    splits = {"train": 200, "validation": 200, "test": None, "seed": 0}
    spec = {"reader": {"family": "digits"}, "splits": splits}
    return job("prepare_data", spec, wildcards={"dataset": "small"}, benchmark="b", **changes)


def test_each_job_has_the_best_estimate_that_there_is(quick, tmp_path):
    inception = features("reference_features", "inception", "test")
    figure, saved = job("figure_delta", {"figure": "delta"}), job("save_configuration")
    download, heavy = job("download", {"archives": []}), job("new_rule", {"a": 1}, benchmark="b")
    jobs = [data(), training(), inception, figure, saved, download, heavy]
    made = estimate.Estimator(jobs, jobs, CPU)
    assert {one.rule: made(one).source for one in jobs} == {
        "prepare_data": "assumed",
        "train": "probe",
        "reference_features": "rate",
        "figure_delta": "start-up",
        "save_configuration": "start-up",
        "download": "unknown",
        "new_rule": "unknown",
    }
    assert made(training()).seconds == pytest.approx(1 + 5 * 0.7)
    assert made(inception).seconds == pytest.approx(1 + 1397 * 11.42e9 / 0.8e9)
    assert made(data()).seconds == pytest.approx(1 + 1797 * (64 + 16) / 20e6)
    ran_before = [data(), ran(tmp_path, training(), 33.0)]
    assert estimate.Estimator(ran_before, [training()], CPU)(training()) == estimate.Estimate(
        training(), made(training()).work, "measured", 33.0
    )


def test_what_one_core_would_take_weeks_for_is_planned_for_gpus(quick):
    weeks = training(epochs=10**9)
    made = estimate.Estimator([data(), weeks], [weeks], CPU)
    assert (made.here, made.on_gpu) == (False, True)
    assert made(weeks).source == "gpus"
    assert made(weeks).flops == pytest.approx(made.works[weeks.key()].flops_by("precision"))
    assert made(weeks).seconds == 1.0  # of the processor, to start


def test_a_gpu_s_hours_are_the_operations_of_each_precision_over_its_rates():
    a100 = next(gpu for gpu in GPUS if gpu.name == "A100")
    fewest, most = a100.hours({"bfloat16": 77e12 * 3600, "float32": 10e12 * 3600 * 2})
    assert most == pytest.approx(1 + 2)
    assert fewest == pytest.approx(77 / 114 + 2 * 10 / 16)


def test_a_plan_counts_shared_jobs_once_and_each_study_s_own(quick):
    def table_of(study: str) -> Job:
        return job(f"table_{study}", {"table": study}, inputs=("run",), outputs=(f"results/s/tables/{study}-x.tex",))

    jobs = [data(), replace(training(), outputs=("run",)), table_of("energy"), table_of("proxy"), job("make_report")]
    made = plan.make_plan("s", ["all"], ["energy", "proxy", "classwise"], jobs, jobs[1:], CPU)
    assert made["jobs"] == {"train": 1, "table_energy": 1, "table_proxy": 1, "make_report": 1}
    assert made["finished_jobs"] == 1
    assert {study: hours["jobs"] for study, hours in made["studies"].items()} == {"energy": 2, "proxy": 2}
    train, light = 1 + 5 * 0.7, 1
    assert made["studies"]["energy"]["processor_hours"] == pytest.approx((train + light) / 3600)
    assert made["total"]["processor_hours"] == pytest.approx((train + 2 * light) / 3600)
    assert sum(one["seconds"] for one in made["estimates"]) == pytest.approx(train + 2 * light)
    text = plan_text(json.loads(json.dumps(made)))
    assert "PLAN of scale s: snakemake all" in text and "JOBS to run (1 more are done)" in text
    assert "Studies share jobs" in text and "DOWNLOADS: none" in text


def test_a_plan_for_gpus_says_so_and_where_its_rates_are_from(quick):
    weeks = training(epochs=10**9)
    made = plan.make_plan("s", ["all"], [], [data(), weeks], [weeks], CPU)
    text = plan_text(made)
    assert "A100-hours" in text and "H100-hours" in text and "assumed" in text
    assert "a plan is for GPUs" in text
    low, high = made["total"]["gpus"]["A100"]
    assert between(low, high) in text and 0 < low < high


def test_threads_count_as_hours_of_so_many_cores(quick):
    jobs = [data(), replace(training(), threads=4)]
    made = plan.make_plan("s", ["all"], [], jobs, jobs[1:], CPU)
    assert made["total"]["processor_hours"] == pytest.approx(4 * (1 + 5 * 0.7) / 3600)


def test_with_everything_done_there_is_nothing_to_plan(quick):
    made = plan.make_plan("s", ["all"], ["energy"], [data(), training()], [], CPU)
    assert made["jobs"] == {} and made["total"]["jobs"] == 0
    assert "Nothing to do: all 2 jobs are done." in plan_text(made)


# Disk and downloads


def test_a_run_writes_its_weights_twice_and_a_state_of_three_times_their_size():
    found = disk([training(), training(seed=1)], work_of())
    assert found == {"weights of runs": 2 * 2 * 4 * TINY_PARAMETERS, "training states": 2 * 3 * 4 * TINY_PARAMETERS}
    averaged = disk([training(averaging={"name": "ema", "decay": 0.9})], work_of())
    assert averaged["training states"] == 4 * 4 * TINY_PARAMETERS


def test_images_and_features_take_the_bytes_of_their_arrays():
    spec = {"dataset": "small", "recipe": "sat", "seed": 0, "architecture": TINY, "sampler": {"steps": 4}}
    samples = job("generate_samples", spec | {"per_class": 7, "batch_size": 10})
    found = disk([data(), samples, features("reference_features", "inception", "test")], work_of())
    assert found == {
        "prepared datasets": SMALL.bytes,
        "generated images": 7 * 3 * 16 * 4,
        "reference features": 30 * (2048 + 1008) * 8,
    }


def test_downloads_are_the_archives_that_are_not_there_and_say_what_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results/downloads/d").mkdir(parents=True)
    Path("results/downloads/d/there.zip").touch()
    archives = [
        {"file": "there.zip", "bytes": 5, "urls": ["https://a.org/there.zip"]},
        {"file": "known.zip", "bytes": 7, "urls": ["https://a.org/known.zip"]},
        {"file": "by-hand.zip", "urls": []},
    ]
    spec = {"archives": archives, "folder": {"name": "images", "layout": "train/<class>"}}
    found = downloads([job("download", spec, wildcards={"download": "d"}), data()])
    assert [(file["file"], file["bytes"], file["by_hand"]) for file in found] == [
        ("known.zip", 7, False),
        ("by-hand.zip", None, True),
        ("images", None, True),
    ]


# Text


def test_numbers_keep_two_digits_and_sizes_and_durations_their_unit():
    assert [number(v) for v in (0, 0.00001, 0.0123, 1.26, 12.6, 12345)] == [
        "0",
        "<0.001",
        "0.012",
        "1.3",
        "13",
        "12,345",
    ]
    assert [size(v) for v in (12, 170498071, 1.2e9, 5e15)] == ["12 B", "170 MB", "1.2 GB", "5e+03 TB"]
    assert [duration(h) for h in (0.01, 0.5, 3.5, 240)] == ["36 s", "30 min", "3.5 h", "10 days"]
    assert (between(1.26, 1.31), between(1, 2)) == ("1.3", "1.0-2.0")


def test_columns_are_aligned():
    assert table(["name", "n"], [["a", "10"], ["longer", "5"]], left=1) == "  name     n\n  a       10\n  longer   5"


def test_the_feature_network_of_a_measurement_is_no_resnet():
    assert Measurement(training(), 1.0, 0.0).flops == 0.0
    assert Network(INCEPTION, (3, 299, 299), 1008).features == 2048
