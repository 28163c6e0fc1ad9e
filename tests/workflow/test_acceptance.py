"""`make accept`: finished results of the former layout, and of earlier code, are not computed again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from flow import RESULTS, THREAT, TINY, Outcome, contents, copy_of, edit, files, pending, untouched

CHEAP = ("studies/", "claims", "report", "configuration")
OTHER_CODE = "0123456789ab"


def accept(folder: Path, *arguments: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "scripts/accept_results.py", *TINY, "-c1", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}/src:{folder}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Outcome(done.returncode, done.stdout)


def computing(folder: Path) -> set[str]:
    """The jobs that Snakemake would run, but for those that take seconds."""
    return {job for job in pending(folder) if not job.startswith(CHEAP)}


def rewrite(certificate: Path, change) -> None:
    record = json.loads(certificate.read_text())
    record["parameters"]["code"] = OTHER_CODE
    change(record)
    certificate.write_text(json.dumps(record))


def merge(index: Path, certificate: Path) -> None:
    """The evaluations of a suite in one file, with its certificate, as the former layout had them."""
    listed = json.loads(index.read_text())["evaluations"]
    tables = []
    for one in listed:
        rows = pandas.read_parquet(index.parent / one["file"])
        rows.insert(0, "attack", one["attack"])
        rows.insert(0, "checkpoint", one["checkpoint"])
        tables.append(rows)
    suite, of_suite = (path.parent.parent / path.name for path in (index.with_suffix(".parquet"), certificate))
    pandas.concat(tables, ignore_index=True).to_parquet(suite, index=False)
    shutil.copy(certificate, of_suite)

    def former(record: dict) -> None:
        del record["parameters"]["threat"]["name"]
        for attack in record["parameters"]["attacks"]:
            del attack["code"]
        tree = index.parents[len(index.parts) - index.parts.index("results") - 1]
        place = suite.relative_to(tree)
        record["outputs"] = {str(place): contents(tree, [place])[str(place)]}

    rewrite(of_suite, former)


@pytest.fixture(scope="module")
def former(finished, tmp_path_factory) -> Path:
    """The finished checkout with its results in the former layout, made by other code than is there now."""
    folder = copy_of(finished, tmp_path_factory.mktemp("former") / "checkout")
    results = folder / RESULTS
    for certificate in (results / "provenance").glob("evaluations/*/*/seed*/*/*.json"):
        merge(results / certificate.relative_to(results / "provenance"), certificate)
    for place in [*results.glob("evaluations/*/*/seed*/*/"), *results.glob("provenance/evaluations/*/*/seed*/*/")]:
        if place.is_dir():
            shutil.rmtree(place)
    for kind in ("runs", "energies", "generation"):
        for certificate in (results / "provenance" / kind).rglob("*.json"):
            rewrite(certificate, lambda record: None)
    rewrite(
        results / "provenance/data/digits.json", lambda record: record["parameters"]["facts"].update(title="Digits")
    )
    for kind in ("tables", "figures"):
        (results / "studies/energy" / kind).rename(results / kind)
        for path in (results / kind).iterdir():
            path.rename(path.with_name(f"energy-{path.name}"))
    shutil.rmtree(results / "studies")
    # All jobs use this module: Snakemake has recorded other digests than they have now.
    with open(folder / "src/robustlens/atomic.py", "a") as module:
        module.write("\nADDED = True\n")
    return folder


def test_nothing_of_the_former_layout_is_computed_again(former, finished, tmp_path):
    tree = copy_of(former, tmp_path / "tree")
    left = computing(tree)
    assert {"data/digits", "train/digits/sat/seed0", f"evaluate/digits/sat/seed0/{THREAT}/robustness"} <= left

    before = untouched(tree / RESULTS)
    code, output = accept(tree, "-n")
    assert code == 0 and f"{len(left)} of {len(left)} computations would be accepted" in output, output
    assert untouched(tree / RESULTS) == before

    code, output = accept(tree)
    assert code == 0 and f"{len(left)} of {len(left)} computations accepted" in output, output
    assert f"{RESULTS}/tables" in output and f"{RESULTS}/evaluations/*/*/seed*/*.parquet" in output
    assert "Continue with: " in output
    assert computing(tree) == set() and "studies/energy/tables/robustness" in pending(tree)

    evaluations = [RESULTS / "evaluations" / name for name in files(finished / RESULTS / "evaluations")]
    assert contents(tree, evaluations) == contents(finished, evaluations)
    split = RESULTS / f"provenance/evaluations/digits/sat/seed0/{THREAT}/best/autoattack.20.json"
    accepted, made = (json.loads((folder / split).read_text()) for folder in (tree, finished))
    assert accepted["accepted"]["code"] == OTHER_CODE
    assert accepted["accepted"]["file"] == f"{RESULTS}/evaluations/digits/sat/seed0/robustness.parquet"
    for key in ("inputs", "outputs", "device", "devices", "versions"):
        assert accepted[key] == made[key], key

    code, output = accept(tree)
    assert code == 0 and output.startswith("Nothing to accept"), output


def test_what_differs_or_is_damaged_is_named_and_computed_again(former, tmp_path):
    tree = copy_of(former, tmp_path / "tree")
    edit(tree / "config.yaml", "trades, beta: 6.0", "trades, beta: 5.0")
    settings = (tree / "config.yaml").read_text()
    assert re.search(r"^ +pgd20: .*steps: 20", settings, re.MULTILINE)
    (tree / "config.yaml").write_text(re.sub(r"(?m)^( +pgd20: .*steps: )20", r"\g<1>21", settings))
    damaged = RESULTS / "runs/digits/weat-adv/seed1/last.safetensors"
    with open(tree / damaged, "ab") as file:
        file.write(b"x")

    code, output = accept(tree)
    assert code == 0, output
    assert "train digits/trades/seed0: parameters that differ: method.parameters.beta (was 6.0, now 5.0)" in output
    assert f"train digits/weat-adv/seed1: {damaged}: damaged" in output
    evaluation = f"digits/sat/seed0/{THREAT}/robustness"
    words = "seed0 best pgd20, seed0 last pgd20: parameters that differ: attack.parameters.steps (was 20, now 21)"
    assert f"evaluate {evaluation}: {words}" in output

    left = computing(tree)
    assert {job for job in left if job.startswith("train/")} == {
        *(f"train/digits/trades/seed{seed}" for seed in (0, 1)),
        "train/digits/weat-adv/seed1",
    }
    assert f"evaluate/{evaluation}" in left and f"evaluate/digits/sat/seed0/{THREAT}/attack-energies" not in left
    made = {path.name for path in (tree / RESULTS / f"evaluations/digits/sat/seed0/{THREAT}/best").iterdir()}
    assert made == {"clean.100.parquet", "fgsm.100.parquet", "autoattack.20.parquet"}  # all but PGD-20
    assert not (tree / RESULTS / f"evaluations/digits/trades/seed0/{THREAT}").exists()


def test_nothing_is_accepted_while_snakemake_runs(former, tmp_path):
    tree = copy_of(former, tmp_path / "tree")
    (tree / ".snakemake/locks").mkdir(exist_ok=True)
    (tree / ".snakemake/locks/0.input.lock").touch()
    before = untouched(tree / RESULTS)
    code, output = accept(tree)
    assert code == 1 and "Snakemake is running here" in output and "--unlock" in output
    assert untouched(tree / RESULTS) == before
