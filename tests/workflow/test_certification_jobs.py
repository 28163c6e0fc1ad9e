"""Certifications as jobs of the workflow: by one job or by several that share the images."""

import shlex
from pathlib import Path

import pytest
import yaml
from flow import RESULTS, copy_of, jobs, run

SETTINGS = {"family": "smoothing", "sigma": 0.5, "first_draws": 10, "draws": 100, "images": 60}
SCALE = {
    "certifications": {"whole": SETTINGS, "shared": {**SETTINGS, "shards": 3, "checkpoint": "last"}},
    "recipes": {"smooth": {"method": "smoothing", "sigma": 0.5, "label": "Smooth"}},
}
RUN = RESULTS / "certified/digits/smooth/seed0"


@pytest.fixture(scope="module")
def checkout(snapshot, tmp_path_factory) -> Path:
    folder = copy_of(snapshot, tmp_path_factory.mktemp("certified") / "checkout")
    (folder / "own.yaml").write_text(yaml.safe_dump({"scales": {"tiny": SCALE}}))
    return folder


def commands(folder: Path, *targets: Path) -> tuple[set[str], list[list[str]]]:
    """The jobs of a dry run, and the words of the commands that certify or join."""
    code, output = run(folder, "own.yaml", "-n", "-p", "-c2", "--", *map(str, targets))
    assert code == 0, output
    lines = [line for line in output.splitlines() if "certif" in line and "python" in line]
    found = [shlex.split(line[line.index("python") :]) for line in lines]
    return jobs(output), [words for words in found if words[1].endswith(("certify.py", "join_certified.py"))]


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_one_job_makes_a_whole_table_from_the_weights_of_its_checkpoint(checkout):
    found, (command,) = commands(checkout, RUN / "whole.parquet")
    assert found == {"data/digits", "train/digits/smooth/seed0", "certify/digits/smooth/seed0/whole"}
    assert value(command, "--weights") == str(RESULTS / "runs/digits/smooth/seed0/best.safetensors")
    assert value(command, "--table") == str(RUN / "whole.parquet")
    assert value(command, "--certificate") == str(RESULTS / "provenance/certified/digits/smooth/seed0/whole.json")


def test_several_jobs_share_the_images_and_another_one_joins_their_tables(checkout):
    found, words = commands(checkout, RUN / "shared.parquet")
    parts = [f"shared.{number}-of-3" for number in (1, 2, 3)]
    assert {name for name in found if "certif" in name} == {
        *(f"certify/digits/smooth/seed0/{part}" for part in parts),
        "join_certified/digits/smooth/seed0/shared",
    }
    certify = [command for command in words if command[1].endswith("/certify.py")]
    (join,) = [command for command in words if command[1].endswith("/join_certified.py")]
    assert {value(command, "--table") for command in certify} == {str(RUN / f"{part}.parquet") for part in parts}
    assert all(value(command, "--weights").endswith("last.safetensors") for command in certify)
    start = join.index("--parts") + 1
    assert join[start : start + 3] == [str(RUN / f"{part}.parquet") for part in parts]


def test_a_table_that_no_certification_makes_is_asked_for_in_vain(checkout):
    for name in ("own", "shared.4-of-3", "whole.1-of-1"):
        code, output = run(checkout, "own.yaml", "-n", "-c1", "--", str(RUN / f"{name}.parquet"))
        assert code != 0 and f"{name}.parquet" in output, output
