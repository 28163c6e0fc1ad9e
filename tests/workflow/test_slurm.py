"""The tiny scale from nothing to its tables on a real SLURM, with the profile that users have."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from cluster import Cluster, missing, running
from compare_results import difference
from flow import NOTHING, RESULTS, THREAT, copy_of, edit, files, run
from slurm import PROFILE, Driver, fill_in_profile

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(1800)]

ON_NODES = {"prepare_data", "train", "measure_energies", "evaluate", "generate_samples", "generate_grid"}
ON_NODES |= {"reference_features", "score_samples", "score_real_images"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    with running(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def on_slurm(cluster, snapshot, tmp_path_factory) -> tuple[Path, list[dict], str]:
    """The checkout in which everything was run, the jobs that SLURM had, and what the driver said."""
    folder = fill_in_profile(copy_of(snapshot, tmp_path_factory.mktemp("tiny") / "it's a checkout"))
    code, output = Driver(cluster, folder).wait()
    assert code == 0, output
    return folder, cluster.jobs(), output


def submitted(jobs: list[dict]) -> list[tuple[str, dict]]:
    """The rule (or `group`) and the facts of each job: the plugin writes it into the comment."""
    return [(re.sub(r"^(rule|group)_", "", job["Comment"].split("_wildcards")[0]), job) for job in jobs]


def test_every_table_figure_and_number_has_the_bytes_of_a_local_run(on_slurm, request):
    folder, _, _ = on_slurm
    finished = request.getfixturevalue("finished")  # as an argument it would be waited for first
    kinds = ("studies", "evaluations", "energies", "generation", "runs")
    made = [RESULTS / kind / name for kind in kinds for name in files(finished / RESULTS / kind)]
    assert len(made) > 100
    assert {path: difference(folder / path, finished / path) for path in made} == dict.fromkeys(made)
    assert {path.name for path in (folder / RESULTS).glob("report.*")} >= {"report.html", "report.pdf"}


def test_nothing_is_left_to_do_and_no_job_failed(on_slurm, cluster):
    folder, jobs, _ = on_slurm
    assert Counter(job["JobState"] for job in jobs) == {"COMPLETED": len(jobs)}
    assert cluster.job_ids() == []
    code, output = run(folder, "-n", "-c1")
    assert code == 0 and NOTHING in output


def test_what_needs_a_gpu_asks_for_one_and_gets_one_of_its_own(on_slurm):
    folder, jobs, _ = on_slurm
    with_gpu = [job for job in jobs if job.get("TresPerJob") == "gres:gpu:1"]
    assert {rule for rule, _ in submitted([job for job in jobs if job not in with_gpu])} == {"prepare_data"}
    had = {}  # by the number of the SLURM job, which is in the owner file of the training
    for owner in (folder / RESULTS / "state").glob("digits-*/owner.json"):
        dataset, recipe, seed = re.fullmatch(r"(digits)-(.+)-(seed\d+)-[0-9a-f]+", owner.parent.name).groups()
        certificate = folder / RESULTS / f"provenance/runs/{dataset}/{recipe}/{seed}.json"
        had[json.loads(owner.read_text())["slurm_job"]] = json.loads(certificate.read_text())["device"]["visible"]
    assert len(had) == 10 and set(had.values()) == {"0", "1"}
    trainings = [job for job in jobs if job["JobId"] in had]
    for one, other in combinations(trainings, 2):
        if one["StartTime"] < other["EndTime"] and other["StartTime"] < one["EndTime"]:
            assert had[one["JobId"]] != had[other["JobId"]]


def test_the_evaluations_of_a_run_are_one_job_on_one_gpu_with_time_for_both(on_slurm):
    _, jobs, _ = on_slurm
    by_rule = Counter(rule for rule, _ in submitted(jobs))
    (two,) = [job for rule, job in submitted(jobs) if rule == "evaluations-digits-sat-0_evaluate"]
    (one,) = [job for rule, job in submitted(jobs) if rule == "evaluations-digits-trades-0_evaluate"]
    assert (two["TimeLimit"], one["TimeLimit"]) == ("16:00:00", "08:00:00")
    assert two["TresPerJob"] == one["TresPerJob"] == "gres:gpu:1"
    assert two["MinMemoryNode"] == one["MinMemoryNode"] == "8000M"
    assert by_rule["train"] == 10 and by_rule["evaluate"] == 0


def test_tables_and_figures_are_made_where_the_driver_is(on_slurm):
    _, jobs, _ = on_slurm
    rules = {rule for rule, _ in submitted(jobs) if not rule.startswith("evaluations-")}
    assert rules == ON_NODES - {"evaluate"}


def test_a_data_parallel_training_has_a_gpu_for_each_of_its_processes(cluster, snapshot, tmp_path):
    """As docs/slurm.md has it for ImageNet."""
    folder = fill_in_profile(copy_of(snapshot, tmp_path / "checkout"))
    train = "  train:  # on ImageNet-64 58 to 86 hours\n    gpu: "
    edit(folder / PROFILE, f"{train}1\n", f"{train}2\n    processes: 2\n")
    edit(folder / PROFILE, "\nresources:\n  gpu: 1\n", "\nresources:\n  gpu: 2\n")
    before = {job["JobId"] for job in cluster.jobs()}
    code, output = Driver(cluster, folder, str(RESULTS / "runs/digits/sat/seed0/best.safetensors")).wait()
    assert code == 0, output
    jobs = dict(submitted([job for job in cluster.jobs() if job["JobId"] not in before]))
    assert jobs.keys() == {"prepare_data", "train"} and jobs["train"]["TresPerJob"] == "gres:gpu:2"
    record = json.loads((folder / RESULTS / "provenance/runs/digits/sat/seed0.json").read_text())
    assert record["processes"] == 2 and record["device"]["visible"] == "0,1"


def test_stages_of_other_studies_run_on_nodes_with_a_gpu(on_slurm, cluster, tmp_path):
    """What the other studies compute beside trainings and evaluations."""
    folder = copy_of(on_slurm[0], tmp_path / "checkout")
    before, run = {job["JobId"] for job in cluster.jobs()}, f"digits/trades/seed0/{THREAT}"
    wanted = [
        RESULTS / "runs/digits/trades/seed0/corrections.parquet",
        RESULTS / f"signs/{run}/temperature.parquet",
        RESULTS / f"features/{run}/robustness.parquet",
        RESULTS / "discrimination/digits/port-full/seed0/curve.parquet",
    ]
    overlay = tmp_path / "cohorts.yaml"
    cohorts = "main: {recipes: [trades]}, temperature-gain: {recipes: [trades]}, temperature: {recipes: [trades]}"
    of = "datasets: [digits], seeds: [0], cohorts:"
    overlay.write_text(
        "scales: {tiny: {suites: {corrected: {attacks: [clean, pgd20]}}, generators: {full: {per_class: 30}}, "
        "discrimination: {epsilons: [0, 0.2], steps: [2, 4], batch_size: 16, attack_steps: 1}, studies: {"
        f"classwise: {{{of} {{{cohorts}, corrected: {{recipes: [trades]}}}}}}, "
        f"invariance: {{{of} {{main: {{recipes: [trades]}}, features: {{recipes: [trades]}}}}}}, "
        f"proxy: {{{of} {{proxies: {{recipes: [port-full], suite: brief}}}}}}}}}}}}\n"
    )
    code, output = Driver(cluster, folder, *map(str, wanted), overlay=overlay).wait()
    assert code == 0, output
    jobs = dict(submitted([job for job in cluster.jobs() if job["JobId"] not in before]))
    assert jobs.keys() == {
        "correct",
        "compare_signs",
        "compare_features",
        "fit_generator",
        "generate_pool",
        "discriminate",
    }
    assert {job["TresPerJob"] for job in jobs.values()} == {"gres:gpu:1"}
    assert all((folder / file).is_file() for file in wanted)
