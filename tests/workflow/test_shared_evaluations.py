"""One job for all seeds of a recipe, and several for the images of an attack, make the same files as a job for each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from flow import ENERGY, RESULTS, THREAT, TINY, contents, edit, files, jobs, pending, run

SHARED = ("--config", "seeds_share_jobs=True")
RECIPES = ("sat", "trades", "weat-adv")
OF_SAT = RESULTS / "evaluations/digits/sat"
TABLE = ENERGY / "tables/robustness"
TOGETHER = {f"evaluate/digits/{recipe}/seeds-0-1/{THREAT}/robustness" for recipe in RECIPES} | {
    f"evaluate/digits/sat/seeds-0-1/{THREAT}/attack-energies"
}

SETTINGS = "tests/tiny.yaml"


def evaluating(folder: Path, *arguments: str) -> set[str]:
    return {job for job in pending(folder, *arguments) if job.startswith("evaluate/")}


def test_they_make_the_same_files_and_what_one_of_them_has_is_used_again(tree):
    made = [*(OF_SAT / file for file in files(tree / OF_SAT)), *(f"{TABLE}{suffix}" for suffix in (".tex", ".csv"))]
    before = contents(tree, made)
    shutil.rmtree(tree / OF_SAT / "seed1" / THREAT / "best")
    code, output = run(tree, "-c2", "-p", *SHARED, "--", f"{TABLE}.tex")
    assert code == 0, output
    assert jobs(output) >= {f"evaluate/digits/{recipe}/seeds-0-1/{THREAT}/robustness" for recipe in RECIPES}
    assert contents(tree, made) == before
    log = (tree / RESULTS / f"logs/evaluate/digits/sat/seeds-0-1/{THREAT}/robustness.log").read_text()
    assert "12 of 16 evaluations are there already" in log and "seed1 best autoattack: accuracy" in log
    # Each seed's file has a certificate of its own, as if it had been evaluated alone: a job for it has nothing to do.
    for seed in ("seed0", "seed1"):
        certificate = tree / RESULTS / f"provenance/evaluations/digits/sat/{seed}/{THREAT}/robustness.json"
        assert f'"seed": {seed[-1]}' in certificate.read_text() and '"seeds"' not in certificate.read_text()
    code, output = run(tree, "-c2", "-p", "--", str(OF_SAT / f"seed1/{THREAT}/robustness.json"))
    assert code == 0 and contents(tree, made) == before, output
    log = (tree / RESULTS / f"logs/evaluate/digits/sat/seed1/{THREAT}/robustness.log").read_text()
    assert "8 of 8 evaluations are there already" in log


def test_finished_evaluations_are_accepted_for_them(tree):
    assert evaluating(tree, *SHARED) == TOGETHER
    command = [sys.executable, "scripts/accept_results.py", *TINY, "-c1", *SHARED]
    environment = os.environ | {"PYTHONPATH": f"{tree}/src:{tree}"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert evaluating(tree, *SHARED) == set()


def test_a_seed_that_nothing_asks_for_has_a_job_of_its_own(finished):
    place = f"evaluations/digits/sat/seed7/{THREAT}/robustness.json"
    asked = pending(finished, *SHARED, "--", str(RESULTS / place))
    assert f"evaluate/digits/sat/seed7/{THREAT}/robustness" in asked and "train/digits/sat/seed7" in asked


def test_jobs_that_share_the_images_of_an_attack_make_the_file_that_one_makes(tree):
    folder = RESULTS / f"evaluations/digits/trades/seed1/{THREAT}"
    asked = str(folder / "brief.json")
    edit(
        tree / SETTINGS,
        "        tracking: {train_samples: 50",
        "        evaluation: {batch_size: 40}\n        tracking: {train_samples: 50",
    )
    assert run(tree, "-c2", "--", asked).code == 0
    made = [folder / f"{checkpoint}/pgd20.100.parquet" for checkpoint in ("best", "last")]
    alone = contents(tree, [asked, *made])
    for file in made:
        (tree / file).unlink()
    edit(tree / SETTINGS, "    generators:\n", "    attacks: {pgd20: {shards: 2}}\n    generators:\n")
    places = {
        f"digits/trades/seed1/{THREAT}/{checkpoint}/pgd20.100.{job}-of-2"
        for checkpoint in ("best", "last")
        for job in (1, 2)
    }
    code, output = run(tree, "-c2", "-p", "--", asked)
    assert code == 0, output
    assert jobs(output) == {f"evaluate_shard/{place}" for place in places} | {
        f"evaluate/digits/trades/seed1/{THREAT}/brief"
    }
    assert contents(tree, [asked, *made]) == alone
    sizes = [len(pd.read_parquet(tree / RESULTS / f"shards/{place}.parquet")) for place in sorted(places)]
    assert sizes == [60, 40, 60, 40]
    assert pending(tree, "--", asked) == set()
    # More jobs than before: what is there is not attacked again.
    edit(tree / SETTINGS, "{pgd20: {shards: 2}}", "{pgd20: {shards: 3}}")
    code, output = run(tree, "-c2", "--", asked)
    assert code == 0 and contents(tree, [asked, *made]) == alone, output
    again = sorted((tree / RESULTS / "shards").rglob("*-of-3.parquet"))
    assert [len(pd.read_parquet(file)) for file in again] == [0] * 6
