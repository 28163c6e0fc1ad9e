"""One dataset under several protocols, threats and without some classes, and several checkpoints of a run, in a study
without a folder."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml
from flow import RESULTS, THREAT, copy_of, jobs, run

OWN = RESULTS / "studies/own"
EVEN = [0, 2, 4, 6, 8]
SCALE = {
    "threats": {
        "near": {"norm": "linf", "epsilon": "1/16", "step_size": "1/64"},
        "round": {"norm": "l2", "epsilon": "1/2", "step_size": "1/8"},
    },
    "recipes": {
        "sat-l2": {"method": "sat", "label": "SAT, L2", "threat": "round"},
        "sat-without": {"method": "sat", "changes": "sat", "label": "SAT without ones", "leave_out": {"classes": [1]}},
        "kept": {"method": "trades", "label": "Kept", "training": {"checkpoints": [1], "also_select": ["worst-class"]}},
        "he": {"method": "he", "label": "HE", "head": "cosine"},
    },
    "corrections": {"tau": {"family": "tau-normalised", "strengths": [0, 1]}},
    "suites": {"several": {"attacks": ["clean"], "checkpoints": ["best", "epochs", "best-worst-class", "best-tau"]}},
    "datasets": {
        "digits-narrow": {"like": "digits", "architecture": {"family": "resnet", "blocks": [1], "width": 4}},
        "digits-even": {"like": "digits", "classes": EVEN, "splits": {"train": 60, "validation": 30, "seed": 0}},
    },
    "studies": {
        "energy": None,
        "own": {
            "datasets": ["digits-narrow", "digits-even"],
            "seeds": [0],
            "cohorts": {
                "main": {"recipes": ["sat", "sat-l2", "sat-without"], "suite": "brief"},
                "several": {"datasets": ["digits-narrow"], "recipes": ["kept", "he"], "suite": "several"},
                "nearer": {"datasets": ["digits-narrow"], "recipes": ["sat"], "suite": "brief", "threat": "near"},
            },
        },
    },
}


@pytest.fixture(scope="module")
def made(snapshot, tmp_path_factory) -> tuple[Path, str]:
    folder = copy_of(snapshot, tmp_path_factory.mktemp("protocols") / "checkout")
    (folder / "own.yaml").write_text(yaml.safe_dump({"scales": {"tiny": SCALE}}))
    code, output = run(folder, "own.yaml", "-c2", "-p")
    assert code == 0, output
    return folder, output


def test_protocols_on_the_same_images_share_what_is_prepared(made):
    folder, output = made
    assert {name for name in jobs(output) if name.startswith("data/")} == {"data/digits", "data/digits-even"}
    assert not (folder / RESULTS / "data/digits-narrow").exists()
    weights = folder / RESULTS / "runs/digits-narrow/sat/seed0/best.safetensors"
    assert weights.stat().st_size < (folder / RESULTS / "runs/digits-even/sat/seed0/best.safetensors").stat().st_size


def test_a_dataset_without_some_classes_says_so_in_its_sheet_and_in_its_title(made):
    folder, _ = made
    sheet = json.loads((folder / RESULTS / "data/digits-even/sheet.json").read_text())
    assert len(sheet["classes"]) == 5 and sheet["classes_of_source"]["kept"] == EVEN
    evaluated = folder / RESULTS / f"evaluations/digits-even/sat/seed0/{THREAT}/best/clean.100.parquet"
    assert set(pyarrow.parquet.read_table(evaluated)["label"].to_pylist()) == {0, 1, 2, 3, 4}
    page = (folder / OWN / "tables/robustness.html").read_text()
    assert "scikit-learn digits without class" in page or "classes 0, 2, 4, 6, 8 of scikit-learn digits" in page


def test_a_recipe_may_leave_a_class_out_and_its_network_still_knows_it(made):
    folder, _ = made
    history = pyarrow.parquet.read_table(folder / RESULTS / "runs/digits-narrow/sat-without/seed0/history.parquet")
    assert 80 <= history["train_images"][0].as_py() < 100
    evaluated = folder / RESULTS / f"evaluations/digits-narrow/sat-without/seed0/{THREAT}/best/clean.100.parquet"
    assert 1 in pyarrow.parquet.read_table(evaluated)["label"].to_pylist()


def test_a_suite_evaluates_the_checkpoints_that_each_run_has(made):
    folder, output = made
    found = {
        recipe: {
            path.name for path in (folder / RESULTS / f"evaluations/digits-narrow/{recipe}/seed0/{THREAT}").iterdir()
        }
        for recipe in ("kept", "he")
    }
    assert found["kept"] == {"several.json", "best", "1", "best-worst-class", "best-tau"}
    assert found["he"] == {"several.json", "best"}  # cosines have no bias to correct
    assert [name for name in jobs(output) if name.startswith("correct")] == ["correct/digits-narrow/kept/seed0"]
    tried = pyarrow.parquet.read_table(folder / RESULTS / "runs/digits-narrow/kept/seed0/corrections.parquet")
    tau = [row for row in tried.to_pylist() if row["correction"] == "tau"]  # beside those that studies bring
    assert [row["strength"] for row in tau] == [0.0, 1.0] and sum(row["chosen"] for row in tau) == 1


def test_evaluations_under_several_threats_lie_beside_each_other(made):
    folder, _ = made
    run_of = folder / RESULTS / "evaluations/digits-narrow"
    assert {path.name for path in (run_of / "sat/seed0").iterdir()} == {THREAT, "near"}
    assert {path.name for path in (run_of / "sat-l2/seed0").iterdir()} == {"round"}
    near, far = (
        pyarrow.parquet.read_table(run_of / f"sat/seed0/{threat}/best/pgd20.100.parquet") for threat in ("near", THREAT)
    )
    assert max(near["distance"].to_pylist()) <= 1 / 16 + 1e-6 < max(far["distance"].to_pylist())


def test_a_recipe_trained_in_l2_is_evaluated_in_l2_and_tables_say_so(made):
    folder, _ = made
    for dataset in ("digits-narrow", "digits-even"):
        file = folder / RESULTS / f"evaluations/{dataset}/sat-l2/seed0/round/best/pgd20.100.parquet"
        distances = pyarrow.parquet.read_table(file)["distance"].to_pylist()
        assert 1 / 4 < max(distances) <= 1 / 2 + 1e-6  # steps in L-inf would go farther
    tables = folder / OWN / "tables"
    with open(tables / "robustness.csv", newline="") as file:
        groups = {row["group"] for row in csv.DictReader(file) if row["row"] == "SAT, L2"}
    assert len(groups) == 2 and all(group.endswith(", L2, ε = 1/2") for group in groups)
    assert r"$\ell_2$, $\varepsilon$ = 1/2" in (tables / "robustness.tex").read_text()
    assert ", L2, ε = 1/2" in (tables / "robustness.html").read_text()


SAID = "Trained under L∞, ε = 12/16, but evaluated under L∞, ε = 1/16 on scikit-learn digits: SAT."


def test_every_table_says_which_rows_are_of_another_threat_than_the_training_s(made):
    folder, _ = made
    for table in ("robustness", "differences"):
        html = (folder / OWN / f"tables/{table}.html").read_text()
        assert html.count(SAID) == 1 and html.count("but evaluated under") == 1, table
    with open(folder / OWN / "tables/robustness.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    best = [row for row in rows if row["column"] == "Best checkpoint: PGD-20" and row["row"].startswith("SAT")]
    near = [row for row in best if "/near/" in row["files"]]
    assert [row["group"].endswith("L∞, ε = 1/16") for row in near] == [True]
    assert float(near[0]["value"]) > min(float(row["value"]) for row in best)


def test_headline_numbers_and_the_readme_s_say_it_too(made):
    folder, _ = made
    page = re.sub("<pre>.*?</pre>", "", (folder / RESULTS / "report.html").read_text(), flags=re.DOTALL)
    headlines = page[page.index('id="own-headlines"') : page.index('id="own-robustness"')]
    assert headlines.count(SAID) == 1
    assert "scikit-learn digits, L∞, ε = 1/16: most robust" in headlines
    readme = folder / "short.md"
    readme.write_text("<!-- numbers: begin -->\n<!-- numbers: end -->\n")
    recorded = {"commit": "a commit", "arithmetic": "native", "studies": {"own": {"jobs": 1, "parameters": "digest"}}}
    (folder / "origin.json").write_text(json.dumps(recorded))
    command = [sys.executable, "scripts/update_readme.py", "--results", str(RESULTS), "--readme", readme.name]
    command += ["--origin", "origin.json"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert readme.read_text().count(SAID) == 1
