"""A study is added by adding a folder: nothing outside it names it, and no other study runs again."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flow import NOTHING, RESULTS, THREAT, TINY, copy_of, edit, jobs, pending, run

FILES = {
    "study.py": '''
"""A made-up paper."""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Study, Table
from robustlens.study.general import robustness

EVALUATIONS = Files("evaluations", "main")

STUDY = Study(
    title="A Second Paper (2026)",
    paper="the second paper",
    cohorts={"main": Cohort("All of it.", suite="brief")},
    tables=[
        robustness(EVALUATIONS),
        Table("counts", "Counted images", {"evaluations": EVALUATIONS, "sizes": Files("sizes", "main")}),
    ],
    figures=[Figure("losses", "Losses", {"history": Files("history", "main")}, per=("dataset",), uses=("colours",))],
    claims=Claims("Judge the claims of the second paper", {"evaluations": EVALUATIONS}),
)
''',
    "config.yaml": """
recipes:
  sat-slow: {method: sat, changes: sat, label: Slow SAT, training: {learning_rate: 0.01}}
scales:
  tiny:
    studies:
      second-one:
        datasets: [digits]
        seeds: [0]
        cohorts: {main: {recipes: [sat, sat-slow]}}
""",
    "rules.smk": """
# REQUIRED INPUTS   the weights of a run
# OUTPUTS           results/<scale>/sizes/<dataset>/<recipe>/seed<k>.txt

FILES["sizes"] = Kind("sizes/{dataset}/{recipe}/seed{seed}/size.txt")
PLANNED["weigh"] = "studies.second_one.planning"


rule weigh:
    input:
        weights="results/{scale}/runs/{dataset}/{recipe}/seed{seed}/best.safetensors",
    output:
        size="results/{scale}/sizes/{dataset}/{recipe}/seed{seed}/size.txt",
    log:
        "results/{scale}/logs/weigh/{dataset}/{recipe}/seed{seed}.log",
    conda:
        "../../envs/robustlens.yaml"
    resources:
        mem_mb=memory(100),
        runtime=minutes(5),
    params:
        spec=lambda wildcards: json.dumps({"pounds": 3}),
    message:
        "Weigh {wildcards.recipe}"
    shell:
        "wc -c < {input.weights:q} > {output.size:q} 2> {log:q}"
""",
    "planning.py": '''
"""What the stage `weigh` writes."""


def written(job, known) -> dict[str, float]:
    return {"weighed weights": 1e3}
''',
    "tables/counts.py": '''
"""How many images each recipe was tried on."""

from pathlib import Path

from robustlens.analysis.frames import read_evaluations
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.table import Table


def build(context: Context, *, evaluations: list[Path], sizes: list[Path]) -> Table:
    frame = read_evaluations(evaluations)
    counts = frame.groupby("recipe", sort=False)["index"].nunique()
    sources = frame.groupby("recipe")["source"].first()
    rows = [
        Row(context.recipe_label(recipe), (Cell(float(n), sources=(sources[recipe],)),)) for recipe, n in counts.items()
    ]
    name = f"{context.study}-{context.name}"
    return Table(name, f"Images, and {len(sizes)} sizes.", "recipe", (Column("images"),), tuple(rows))
''',
    "figures/losses.py": '''
"""The loss of every recipe."""

from pathlib import Path

from matplotlib.figure import Figure

from robustlens.analysis.frames import read_runs
from robustlens.report.context import Context
from robustlens.report.figure import Drawing, styled


@styled
def build(context: Context, *, history: list[Path]) -> Drawing:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    for recipe, rows in read_runs(history).groupby("recipe"):
        axes.plot(rows["epoch"], rows["train_loss"], color=context.colour(recipe), label=context.recipe_label(recipe))
    return Drawing(figure, "Losses", "The losses of the second paper.")
''',
    "claims/__init__.py": '''
"""The only claim of the second paper."""

from robustlens.analysis.claims import Claim, Outcome, collector
from robustlens.analysis.frames import read_evaluations

CLAIMS: list[Claim] = []
PAPER_DATASETS: tuple[str, ...] = ()
claim = collector(CLAIMS)


def read(context, *, evaluations):
    frame = read_evaluations(evaluations)
    return {dataset: rows for dataset, rows in frame.groupby("dataset")}


@claim("images-exist", "There are images.", "title", "The number of images is above 0.")
def images_exist(data) -> Outcome:
    number = float(data["index"].nunique())
    return Outcome(number, number, number, "images", "supported", "counted", tuple(data["source"].unique()))
''',
}


def add_study(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / "studies/second_one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return folder


@pytest.fixture(scope="module")
def both(finished, tmp_path_factory) -> Path:
    """The finished checkout with a second study's folder added, before that has run."""
    return add_study(copy_of(finished, tmp_path_factory.mktemp("both") / "checkout"))


@pytest.fixture(scope="module")
def made(both, tmp_path_factory) -> tuple[Path, set[str]]:
    """The same after it has run, and the jobs of that run."""
    folder = copy_of(both, tmp_path_factory.mktemp("made") / "checkout")
    code, output = run(folder, "-c2", "-p")
    assert code == 0, output
    return folder, jobs(output)


def test_the_first_study_has_nothing_to_do_beside_a_second_one(both):
    code, output = run(both, "-n", "-c2", "energy")
    assert code == 0 and NOTHING in output, output


def test_only_what_is_of_the_second_study_is_to_be_made(both):
    place = "studies/second-one"
    report = {name for name in pending(both) if name.startswith("report")}
    assert pending(both) == report | {
        "train/digits/sat-slow/seed0",
        *(f"evaluate/digits/{recipe}/seed0/{THREAT}/brief" for recipe in ("sat", "sat-slow")),
        *(f"weigh/digits/{recipe}/seed0" for recipe in ("sat", "sat-slow")),
        *(f"{place}/tables/robustness", f"{place}/tables/counts", f"{place}/figures/losses-digits", f"{place}/claims"),
        *("claims", "configuration"),
    }
    assert "report" in report


def test_its_jobs_are_in_the_plan_with_what_their_stage_declares(both):
    code, output = run(both, "-c1", "plan", "second-one")
    assert code == 0, output
    plan = json.loads((both / RESULTS / "plan.json").read_text())
    assert plan["jobs"]["weigh"] == 2 and plan["jobs"]["make_table"] == 2
    assert plan["studies"]["second-one"]["jobs"] >= 8 and plan["disk"]["bytes"]["weighed weights"] == 2e3


def test_its_stage_has_a_row_in_the_status(both):
    command = [sys.executable, str(both / "scripts/status.py"), *TINY, "-c1"]
    environment = {"PYTHONPATH": f"{both}/src:{both}"}
    done = subprocess.run(command, cwd=both, env={**os.environ, **environment}, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["weigh"] == ["-", "-", "-", "2"]


def test_it_is_made_with_its_chapter_in_the_report(made):
    both, done = made
    assert not [name for name in done if "/energy/" in name or name.startswith(("train/digits/sat/", "score"))]
    results = both / RESULTS / "studies/second-one"
    with open(results / "tables/counts.csv", newline="") as file:
        assert {row["row"]: row["value"] for row in csv.DictReader(file)} == {"SAT": "100", "Slow SAT": "100"}
    assert (results / "figures/losses-digits.png").stat().st_size > 1000
    page = (both / RESULTS / "report.html").read_text()
    assert "A Second Paper (2026)" in page and "Shedding More Light" in page
    assert "The losses of the second paper." in page and "There are images." in page
    with open(both / RESULTS / "claims.csv", newline="") as file:
        assert {row["study"] for row in csv.DictReader(file)} == {"energy", "second-one"}
    assert "second-one" not in "".join(path.read_text() for path in (both / "rules").glob("*.smk"))
    code, output = run(both, "-n", "-c2")
    assert code == 0 and NOTHING in output, output


def test_another_recipe_there_re_runs_nothing_of_the_first_study(made, tmp_path):
    folder = copy_of(made[0], tmp_path / "checkout")
    edit(folder / "studies/second_one/config.yaml", "recipes: [sat, sat-slow]", "recipes: [sat, sat-slow, trades]")
    asked = pending(folder)
    assert f"evaluate/digits/trades/seed0/{THREAT}/brief" in asked
    assert not [name for name in asked if "/energy/" in name or name.startswith("train/")]


OWN_TABLES = {f"studies/own/tables/{name}" for name in ("robustness", "differences", "autoattack")}
SCALES = {
    "without the first study": ({"energy": None}, "second-one", set()),
    "without the second study": ({"second-one": None}, "energy", set()),
    "a study without a folder": (
        {"energy": None, "second-one": None, "own": {"datasets": ["digits"], "seeds": [0],
                                                   "cohorts": {"any": {"recipes": ["sat", "trades"]}}}},
        "own",
        OWN_TABLES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCALES)
def test_a_scale_with_any_studies_loads_plans_and_runs(case, made, tmp_path):
    """What is finished is not made again: the documents are, and the tables of a study that is new."""
    studies, only, tables = SCALES[case]
    folder = copy_of(made[0], tmp_path / "checkout")
    overlay = folder / "overlay.json"
    overlay.write_text(json.dumps({"scales": {"tiny": {"studies": studies}}}))
    code, output = run(folder, str(overlay), "-c1", "plan")
    assert code == 0, output
    assert list(json.loads((folder / RESULTS / "plan.json").read_text())["studies"]) == ([only] if tables else [])
    code, output = run(folder, str(overlay), "-c2", "-p")
    assert code == 0, output
    report = {name for name in jobs(output) if name.startswith("report")}
    assert "report" in report and jobs(output) == report | {"claims", "configuration"} | tables
    chapters = re.findall(r'id="([a-z-]+)-robustness"', (folder / RESULTS / "report.html").read_text())
    assert chapters == [only]


def test_a_folder_without_a_declaration_and_a_recipe_defined_twice_are_refused(both, tmp_path):
    folder = copy_of(both, tmp_path / "checkout")
    edit(folder / "studies/second_one/config.yaml", "recipes:\n  sat-slow:",
         "recipes:\n  gairat: {method: sat}\n  sat-slow:")  # fmt: skip
    code, output = run(folder, "-n", "-c1")
    assert code == 1 and "gairat" in output and "second_one/config.yaml" in output and "energy/config.yaml" in output
    (folder / "studies/second_one/study.py").unlink()
    code, output = run(folder, "-n", "-c1")
    assert code == 1 and "second_one: a folder in studies/ needs a study.py" in output and "Traceback" not in output


OWN_DATASET = """
datasets:
  aside:
    like: digits
    training: {schedule: {name: step, milestones: [2], factor: 0.1}}
"""


def test_a_dataset_of_its_own_shares_the_images_that_are_there_and_the_protocol_of_none(made, tmp_path):
    """Wherever it stands, and though recipes of the first study, which are not trained on it, would not fit it."""
    folder = copy_of(made[0], tmp_path / "checkout")
    (folder / "studies/energy/config.yaml").write_text(
        (folder / "studies/energy/config.yaml")
        .read_text()
        .replace(
            "\nrecipes:\n", "\nrecipes:\n  unfit: {method: sat, training: {schedule: {warmup_fraction: 0.5}}}\n", 1
        )
    )
    config = folder / "studies/second_one/config.yaml"
    config.write_text(OWN_DATASET + config.read_text().replace("datasets: [digits]", "datasets: [digits, aside]"))
    asked = pending(folder)
    assert not [name for name in asked if name.startswith(("data/", "train/digits/")) or "/energy/" in name]
    assert {name for name in asked if name.startswith("train/")} == {
        f"train/aside/{r}/seed0" for r in ("sat", "sat-slow")
    }


def test_a_declaration_that_asks_for_what_no_stage_makes_is_refused(both, tmp_path):
    folder = copy_of(both, tmp_path / "checkout")
    edit(folder / "studies/second_one/study.py", 'Files("sizes"', 'Files("size"')
    code, output = run(folder, "-n", "-c1")
    assert code == 1 and "second_one/study.py: no stage makes files of the kind 'size'; did you mean" in output
    assert "Traceback" not in output
