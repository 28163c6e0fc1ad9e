"""`snakemake plan`: what would run, without running it."""

import json
import re
from pathlib import Path

import pytest
from flow import RESULTS, Outcome, copy_of, files, run, untouched

CLAIMS, TABLE = (f"{RESULTS}/studies/energy/{name}.tex" for name in ("claims", "tables/subsets"))
WRITTEN = {"plan.txt", "plan.json", "logs/plan.log"}


def counted(folder: Path, *targets: str) -> dict[str, int]:
    """How many jobs of each rule Snakemake itself says that it would run; targets without a command are none."""
    code, output = run(folder, "-n", "-c2", *targets)
    assert code == 0, output
    rows = re.findall(r"^(\w+) +(\d+)$", output.partition("Job stats:")[2].partition("\n\n")[0], re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule not in ("total", "all", "energy")}


def planned(folder: Path, *arguments: str, scale: str = "tiny") -> tuple[dict, Outcome]:
    """The plan that `snakemake plan <arguments>` writes, and what it printed."""
    outcome = run(folder, "-c2", "plan", *arguments)
    assert outcome.code == 0, outcome.output
    return json.loads((folder / f"results/{scale}/plan.json").read_text()), outcome


@pytest.fixture
def fresh(sources, tmp_path) -> Path:
    """A checkout without results."""
    return copy_of(sources, tmp_path / "checkout")


def test_a_plan_of_everything_has_the_jobs_of_a_dry_run_and_starts_none(fresh):
    plan, (_, output) = planned(fresh)
    assert plan["jobs"] == counted(fresh)
    assert set(map(str, files(fresh / RESULTS))) == WRITTEN
    text = (fresh / RESULTS / "plan.txt").read_text()
    assert text in output
    assert "PLAN of scale tiny: snakemake all" in text and "DOWNLOADS: none" in text
    assert plan["machine"]["here"] and plan["sources"]["probe"] >= plan["jobs"]["train"] + plan["jobs"]["evaluate"]
    assert all(one["seconds"] > 0 for one in plan["estimates"] if one["source"] == "probe")
    assert plan["studies"]["energy"]["jobs"] < plan["total"]["jobs"]  # the report is no study's

    plan, (_, output) = planned(fresh, "energy")  # again, and of one study
    assert plan["jobs"] == counted(fresh, "energy") and "make_report" not in plan["jobs"]
    assert plan["studies"]["energy"]["jobs"] == sum(plan["jobs"].values()) - plan["jobs"].get("collect_claims", 0)
    assert set(map(str, files(fresh / RESULTS))) == WRITTEN


def test_a_file_is_planned_by_its_name(fresh):
    plan, _ = planned(fresh, "--config", f"target={TABLE}")
    assert plan["jobs"] == counted(fresh, TABLE) and plan["jobs"]["train"] == 3
    assert plan["targets"] == [TABLE]


def test_a_plan_for_gpus_lists_operations_and_downloads(fresh):
    run_of_paper = "results/paper/runs/cifar10/sat/seed0/best.safetensors"
    plan, (_, output) = planned(fresh, "--config", "scale=paper", f"target={run_of_paper}", scale="paper")
    assert plan["jobs"] == {"download": 1, "prepare_data": 1, "train": 1}
    assert not plan["machine"]["here"] and "A100-hours" in output
    assert [file["file"] for file in plan["downloads"]] == ["cifar-10-python.tar.gz"]
    # 100 epochs of 49,000 images: ten steps of 2 F and 3 F, of ResNet-18's 1.111 GFLOP; tracking adds a little.
    assert plan["total"]["exaflops"] == pytest.approx(100 * 49_000 * 23 * 1.1108e9 / 1e18, rel=0.1)


def test_with_everything_done_there_is_nothing_to_plan_and_nothing_is_touched(tree):
    before = untouched(tree / RESULTS)
    plan, (_, output) = planned(tree)
    assert plan["jobs"] == {} and plan["finished_jobs"] == sum(counted(tree, "-F").values())
    assert "Nothing to do: all " in output and "The report:" not in output
    after = untouched(tree / RESULTS)
    assert {str(name) for name in after.keys() - before.keys()} == WRITTEN
    assert {name: after[name] for name in before} == before


def test_a_run_that_is_to_be_repeated_takes_what_it_took(tree):
    run_folder = tree / RESULTS / "runs/digits/trades/seed0"
    (run_folder / "best.safetensors").unlink()
    certificate = tree / RESULTS / "provenance/runs/digits/trades/seed0.json"
    took = json.loads(certificate.read_text())["wall_seconds"]
    plan, _ = planned(tree, "--config", f"target={run_folder.relative_to(tree)}/best.safetensors")
    (one,) = plan["estimates"]
    assert (one["rule"], one["source"]) == ("train", "measured")
    assert took < one["seconds"] < took + 60  # and the start of Python, as measured just now


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", CLAIMS), f"to plan it: snakemake plan --config target={CLAIMS}"),
        (("energy", "--config", f"target={CLAIMS}"), "config.target: is what `snakemake plan` plans"),
        (("plan", "--config", "target=nothing-makes-this"), "snakemake nothing-makes-this can't be planned"),
    ],
)
def test_what_can_t_be_planned_is_refused_and_nothing_runs(arguments, message, sources):
    code, output = run(sources, "-c2", *arguments)
    assert code == 1 and message in output
    assert not (sources / RESULTS / "data").exists()
