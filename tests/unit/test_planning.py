"""The plan: the best estimate of each job, the sums of a study, and the text that a person reads."""

import json
from pathlib import Path

import pytest
from planned_jobs import CLEAN, CPU, SHEET, STAGES, evaluation, features, job, training

from robustlens.planning import estimate, plan, probe
from robustlens.planning.dry_run import Job
from robustlens.planning.gpus import GPUS
from robustlens.planning.known import Known
from robustlens.planning.stages import train
from robustlens.planning.text import between, duration, number, plan_text, size, table


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """A machine of 1 GFLOP/s on which Python starts in a second."""
    for module in (estimate, probe):
        monkeypatch.setattr(module, "start_up", lambda kind: {"network": 1.0, "table": 0.5}[kind])
        monkeypatch.setattr(module, "convolution_rate", lambda device: 1e9)
    monkeypatch.setattr(train, "epoch_seconds", lambda *_: {"training": 0.5, "tracking": 0.2})


def data() -> Job:
    splits = {"train": 200, "validation": 200, "test": None, "seed": 0}
    spec = {"reader": {"family": "digits"}, "splits": splits}
    return job("prepare_data", spec, wildcards={"dataset": "small"}, benchmark="b", inputs=(), outputs=(SHEET,))


def make_plan(jobs: list[Job], needed: list[Job], studies: tuple[str, ...] = ()) -> dict:
    return plan.make_plan("s", ["all"], list(studies), Known(jobs, needed, STAGES, CPU))


# Estimates


def test_each_job_has_the_best_estimate_that_there_is(tmp_path):
    inception = features("reference_features", "inception", "test")
    figure, saved = job("make_figure", {"builder": "a"}), job("save_configuration")
    fetched, heavy = job("download", {"archives": []}, wildcards={"download": "d"}), job("new", {"a": 1}, benchmark="b")
    imported = job("import_model", {"model": "m"})
    jobs = [data(), training(), inception, figure, saved, fetched, heavy, imported]
    made = estimate.Estimator(Known(jobs, jobs, STAGES, CPU))
    assert {one.rule: (made(one).source, made(one).seconds) for one in jobs} == {
        "prepare_data": ("assumed", pytest.approx(0.5 + 1797 * (64 + 16) / 20e6)),
        "train": ("probe", pytest.approx(1 + 5 * 0.7)),
        "reference_features": ("rate", pytest.approx(1 + 1397 * 11.42e9 / 0.8e9)),
        "make_figure": ("start-up", 0.5),
        "save_configuration": ("start-up", 0.0),
        "download": ("unknown", 0.5),
        "new": (
            "unknown",
            0.5,
        ),  # no module plans it, and it has a benchmark file, so that it takes longer than to start
        "import_model": ("start-up", 1.0),
    }
    certificate = tmp_path / "certificate.json"
    certificate.write_text(json.dumps({"parameters": training().spec, "device": {}, "wall_seconds": 32.0}))
    ran = job("train", training().spec, certificate=str(certificate))
    known = Known([data(), ran], [training()], STAGES, CPU)
    assert estimate.Estimator(known)(training()) == estimate.Estimate(
        training(), made(training()).work, "measured", 33.0
    )


def test_an_evaluation_that_is_there_already_takes_what_python_takes_to_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = evaluation(CLEAN, checkpoints=["best"])
    file = Path(chosen.outputs[0]).parent / "best/clean.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    made = estimate.Estimator(Known([data(), chosen], [chosen], STAGES, CPU))
    assert (made(chosen).source, made(chosen).seconds, made.processor_hours) == ("probe", 1.0, 0.0)


def test_what_one_core_would_take_weeks_for_is_planned_for_gpus():
    weeks = training(epochs=10**9)
    made = estimate.Estimator(Known([data(), weeks], [weeks], STAGES, CPU))
    assert (made.here, made.on_gpu) == (False, True)
    assert made(weeks).source == "gpus"
    assert made(weeks).flops == pytest.approx(made.works[weeks.key()].flops_by("precision"))
    assert made(weeks).seconds == 1.0  # of the processor, to start


def test_a_gpu_s_hours_are_the_operations_of_each_precision_over_its_rates():
    a100 = next(gpu for gpu in GPUS if gpu.name == "A100")
    fewest, most = a100.hours({"bfloat16": 77e12 * 3600, "float32": 10e12 * 3600 * 2})
    assert most == pytest.approx(1 + 2)
    assert fewest == pytest.approx(77 / 114 + 2 * 10 / 16)


# Plans


def test_a_plan_counts_shared_jobs_once_and_each_study_s_own():
    def table_of(study: str) -> Job:
        output = f"results/s/studies/{study}/tables/x.tex"
        wildcards = {"study": study, "table": "x"}
        return job("make_table", {"builder": study}, wildcards=wildcards, inputs=("run",), outputs=(output,))

    run = job("train", training().spec, outputs=("run",))
    jobs = [data(), run, table_of("energy"), table_of("energy-two"), job("make_report", {"title": "t"})]
    made = make_plan(jobs, jobs[1:], ("energy", "energy-two", "classwise"))
    assert made["jobs"] == {"make_table": 2, "train": 1, "make_report": 1}
    assert made["finished_jobs"] == 1
    assert {study: hours["jobs"] for study, hours in made["studies"].items()} == {"energy": 2, "energy-two": 2}
    trained, light = 1 + 5 * 0.7, 0.5
    assert made["studies"]["energy"]["processor_hours"] == pytest.approx((trained + light) / 3600)
    assert made["total"]["processor_hours"] == pytest.approx((trained + 3 * light) / 3600)
    assert sum(one["seconds"] for one in made["estimates"]) == pytest.approx(trained + 3 * light)
    text = plan_text(json.loads(json.dumps(made)))
    assert "PLAN of scale s: snakemake all" in text and "JOBS to run (1 more are done)" in text
    assert "Studies share jobs" in text and "DOWNLOADS: none" in text


def test_a_plan_has_the_notes_of_the_stages_that_it_runs_and_no_others():
    jobs = [data(), training(), job("download", {"archives": [{"file": "a.zip", "urls": []}]},
                                    wildcards={"download": "d"})]  # fmt: skip
    text = plan_text(make_plan(jobs, jobs[1:]))
    assert "resumes from its saved state" in text
    assert "AutoAttack" not in text and "Preparing a dataset" not in text
    assert "Preparing a dataset is assumed to write 20 MB/s" in plan_text(make_plan(jobs, jobs))
    assert "d/a.zip" in text and "put it there by hand" in text and "weights of runs" in text


def test_a_plan_for_gpus_says_so_and_where_its_rates_are_from():
    weeks = training(epochs=10**9)
    made = make_plan([data(), weeks], [weeks])
    text = plan_text(made)
    assert "A100-hours" in text and "H100-hours" in text and "assumed" in text
    assert "a plan is made for GPUs" in text
    low, high = made["total"]["gpus"]["A100"]
    assert between(low, high) in text and 0 < low < high


def test_threads_count_as_hours_of_so_many_cores():
    threaded = job("train", training().spec, threads=4)
    made = make_plan([data(), threaded], [threaded])
    assert made["total"]["processor_hours"] == pytest.approx(4 * (1 + 5 * 0.7) / 3600)


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
