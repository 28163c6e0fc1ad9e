"""The studies beside the energy study, from its finished tiny run to their tables, figures and claims."""

import csv
import json
from pathlib import Path

import pytest
from flow import NOTHING, REPOSITORY, RESULTS, copy_of, run

from robustlens.study.discovery import find

STUDIES = find(REPOSITORY / "studies")
OVERLAY = "tests/tiny-studies.yaml"
OTHERS = ("classwise", "invariance", "proxy")
AGAIN = "results/tiny/runs/digits/trades/seed1/best.safetensors"  # of the energy study alone


@pytest.fixture(scope="module")
def studied(finished, tmp_path_factory) -> tuple[Path, str]:
    """The finished run with the other studies beside it, and what was printed."""
    folder = copy_of(finished, tmp_path_factory.mktemp("studies") / "checkout")
    code, output = run(folder, OVERLAY, "-c2", "-p", *OTHERS)
    assert code == 0, output
    return folder, output


@pytest.mark.parametrize("study", OTHERS)
def test_every_table_figure_and_claim_that_has_its_files_is_made(studied, study):
    folder, _ = studied
    place = folder / RESULTS / "studies" / study
    tables = {file.stem for file in (place / "tables").glob("*.tex")} - {"claims"}
    figures = {file.stem for file in (place / "figures").glob("*.pdf")}
    assert {table.name for table in STUDIES[study].tables} == tables
    of_dataset = {f"{figure.name}-digits" for figure in STUDIES[study].figures if figure.per == ("dataset",)}
    of_recipes = {f"{figure.name}-digits-" for figure in STUDIES[study].figures if "recipe" in figure.per}
    assert of_dataset == {name for name in figures if not name.startswith(tuple(of_recipes))}
    assert all(any(name.startswith(start) for name in figures) for start in of_recipes)
    with open(place / "claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 10


def test_nothing_is_left_to_do_and_what_was_there_was_not_made_again(studied, finished):
    folder, output = studied
    code, asked = run(folder, OVERLAY, "-n", "-c1", *OTHERS)
    assert code == 0 and NOTHING in asked
    assert (folder / AGAIN).read_bytes() == (finished / AGAIN).read_bytes()
    assert "/logs/train/digits/trades/seed1.log" not in output


def test_every_result_has_a_certificate_of_what_it_was_made_from(studied):
    folder, _ = studied
    for kind in ("signs", "features", "closeness", "discrimination"):
        files = list((folder / RESULTS / kind).rglob("*.parquet"))
        assert files
        for file in files:
            # Jobs with two files have the certificate of one of them, or of the folder.
            named = {"validation": file.with_stem("curve"), "channels": file.parent}.get(file.stem, file)
            record = folder / RESULTS / "provenance" / named.relative_to(folder / RESULTS).with_suffix(".json")
            assert file.name in {Path(name).name for name in json.loads(record.read_text())["outputs"]}
