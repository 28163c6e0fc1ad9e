"""The numbers of the README are those of the present parameters and of the present arithmetic; nothing is run."""

import importlib.util
import json

from flow import REPOSITORY

SCALE = "embedded"
RECORDED = json.loads((REPOSITORY / f"docs/recorded/{SCALE}.json").read_text())
README = (
    (REPOSITORY / "README.md").read_text().partition("<!-- numbers: begin -->")[2].partition("<!-- numbers: end")[0]
)
STALE = "the README's numbers are not of this checkout: run make reproduce, make readme"


def present(folder) -> dict:
    spec = importlib.util.spec_from_file_location("record_origin", REPOSITORY / "scripts/record_origin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    snakefile = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    return module.origin([*snakefile, "--cores", "1", "--config", f"scale={SCALE}"], SCALE)


def test_the_recorded_numbers_are_of_the_present_parameters_and_arithmetic(tmp_path):
    assert present(tmp_path) == {key: value for key, value in RECORDED.items() if key != "commit"}, STALE


def test_the_readme_has_the_recorded_numbers_commit_arithmetic_and_digests():
    assert f"commit `{RECORDED['commit']}`, in {RECORDED['arithmetic']} arithmetic" in README, STALE
    for study, behind in RECORDED["studies"].items():
        block = README.partition(f"### {study}\n")[2].partition("###")[0]
        assert f"{behind['jobs']} jobs, whose parameters have the digest `{behind['parameters']}`" in block, STALE
