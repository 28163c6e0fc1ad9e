import json
import subprocess
import sys
from pathlib import Path

import pytest

from robustlens.report.context import Context, Recipe

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "update_readme.py"
BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
HEADER = "group,row,column,value,std,n_seeds,n_images,files"
THREATS = {"near": {"norm": "linf", "epsilon": "3/16"}, "far": {"norm": "l2", "epsilon": "1/2"}}
SAT = Recipe("SAT", threats={"digits": "far"})
TOLD = Context("robustness", "x", "embedded", "", {"digits": "Digits"}, {"sat": SAT}, threats=THREATS)
ORIGIN = {"commit": "abc123", "arithmetic": "portable", "reference": "0123"}
BEHIND = {"jobs": 7, "parameters": "456789ab"}
ROWS = [
    ",SAT,Best checkpoint: clean,95.75,0.25,3,1397",
    ",SAT,Best checkpoint: AutoAttack,54.4,10.2,3,30",
    ",TRADES,Best checkpoint: clean,94.5,0.3,3,1397",
    ",TRADES,Best checkpoint: AutoAttack,,,,",
    ",SAT | AWP,Best checkpoint: clean,96.0,,1,1397",
    ",SAT | AWP,Best checkpoint: AutoAttack,,,,",
]


@pytest.fixture
def update(tmp_path):
    """Write studies' tables and claims, run the command in their folder and return the README."""
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    def run(studies, claims=(), differences=()):
        recorded = tmp_path / "docs/recorded/embedded.json"
        recorded.parent.mkdir(parents=True, exist_ok=True)
        recorded.write_text(json.dumps(ORIGIN | {"studies": dict.fromkeys(studies, BEHIND)}))
        for study, rows in studies.items():
            folder = tmp_path / "results/embedded/studies" / study / "tables"
            folder.mkdir(parents=True)
            (folder / "robustness.csv").write_text("\n".join([HEADER, *rows]) + "\n")
            certificate = tmp_path / "results/embedded/provenance/studies" / study / "tables/robustness.json"
            certificate.parent.mkdir(parents=True)
            certificate.write_text(json.dumps({"parameters": {"context": TOLD.to_json()}}))
            if study in differences:
                (folder / "differences.csv").write_text("")
            if study in claims:
                rows = ["id,about,verdict,why_open", "a,paper,supported,", "b,paper,open,one seed"]
                rows += ["c,paper,open,not measured", "proven,code,supported,"]
                (folder.parent / "claims.csv").write_text("\n".join(rows) + "\n")
        done = subprocess.run([sys.executable, SCRIPT], cwd=tmp_path, capture_output=True, text=True)
        return done, (tmp_path / "README.md").read_text()

    return run


def test_one_study_lists_the_recipes_with_the_most_seeds_and_names_where_the_others_are(update):
    done, text = update({"light": ROWS}, claims=["light"], differences=["light"])
    assert done.returncode == 0, done.stderr
    folder = "results/embedded/studies/light"
    assert text == "\n".join(
        [
            "before",
            BEGIN,
            "Computed at commit `abc123`, in portable arithmetic.",
            "",
            "Accuracy in %, mean ± standard deviation over 3 seeds; test images: clean on 1,397; AutoAttack on 30.",
            "",
            "| recipe | Best checkpoint: clean | Best checkpoint: AutoAttack |",
            "|---|---|---|",
            "| SAT | 95.8 ± 0.2 | 54.4 ± 10.2 |",
            "| TRADES | 94.5 ± 0.3 | \u2013 |",
            "",
            f"1 further recipe with one seed is in `{folder}/tables/robustness.csv` and, compared on the same seed "
            f"with what they change or with a baseline, in `{folder}/tables/differences.csv`.",
            "",
            "Claims of the paper: 2 open, 1 supported; 1 of the open ones is not measured at this scale; not counted, "
            f"because it only checks the code: proven (`{folder}/claims.csv` says which, by which rule).",
            "",
            "Behind them: 7 jobs, whose parameters have the digest `456789ab`.",
            END,
            "after",
            "",
        ]
    )


def test_each_of_several_studies_has_a_heading_and_only_what_it_made(update):
    one_seed = [",A|B,Best checkpoint: clean,90,,1,500"]
    done, text = update({"light": ROWS, "dark-2": one_seed}, claims=["light"])
    assert done.returncode == 0, done.stderr
    dark, light = text.split("### ")[1:]
    assert dark.startswith("dark-2\n\nAccuracy in %, one seed; test images: clean on 500.\n\n| recipe |")
    assert r"| A\|B | 90.0 |" in dark and "Claims" not in dark and "further" not in dark
    assert light.startswith("light\n\nAccuracy in %, mean ±") and "Claims of the paper: 2 open, 1 supported;" in light
    assert "1 further recipe with one seed is in `results/embedded/studies/light/tables/robustness.csv`.\n" in light


def test_datasets_are_told_apart(update):
    rows = [f"{dataset},SAT,Best checkpoint: clean,{value},,1,500" for dataset, value in (("digits", 90), ("SVHN", 80))]
    rows += ["SVHN,SAT,Best checkpoint: AutoAttack,40,,1,500"]
    done, text = update({"light": rows})
    assert done.returncode == 0, done.stderr
    assert "| dataset | recipe | Best checkpoint: clean | Best checkpoint: AutoAttack |\n|---|---|---|---|\n" in text
    assert "| digits | SAT | 90.0 | \u2013 |\n| SVHN | SAT | 80.0 | 40.0 |\n" in text


def test_without_results_the_readme_stays_and_the_message_says_what_to_run(update):
    done, text = update({})
    assert done.returncode == 1 and "results/embedded: no study" in done.stderr and "make reproduce" in done.stderr
    assert "\nold\n" in text


def test_without_a_record_of_where_they_come_from_no_numbers_are_written(update, tmp_path):
    update({"light": ROWS})
    (tmp_path / "docs/recorded/embedded.json").unlink()
    done = subprocess.run([sys.executable, SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "docs/recorded/embedded.json: missing; run scripts/record_origin" in done.stderr


def test_a_readme_without_markers_is_an_error(update, tmp_path):
    (tmp_path / "README.md").write_text("nothing\n")
    done, text = update({"light": ROWS})
    assert done.returncode == 1 and BEGIN in done.stderr and text == "nothing\n"


def test_recipes_that_were_trained_under_another_threat_are_named(update):
    files = ",results/embedded/evaluations/digits/sat/seed0/near/best/clean.parquet"
    said = "Trained under L2, ε = 1/2, but evaluated under L∞, ε = 3/16 on Digits: SAT."
    _, text = update({"energy": [ROWS[0] + files, *ROWS[1:]]})
    assert text.count(said) == 1 and "Trained under" not in update({"other": ROWS})[1].partition("### other")[2]
