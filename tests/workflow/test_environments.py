"""The conda environment, the lock file and the rules say the same."""

import re
import tomllib

import yaml
from flow import REPOSITORY

DRIVER_ONLY = {"snakemake-executor-plugin-slurm"}  # submits jobs; no job needs it


def pins() -> dict[str, str]:
    environment = yaml.safe_load((REPOSITORY / "envs/robustlens.yaml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    return dict(entry.split("==") for entry in pip)


def locked() -> dict[str, str]:
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    return {package["name"]: package["version"].partition("+")[0] for package in packages}


def test_every_pin_of_the_conda_environment_is_the_locked_version():
    versions = locked()
    assert pins() == {name: versions[name] for name in pins()}


def test_every_dependency_but_the_slurm_executor_is_pinned():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {re.match("[a-z0-9-]+", dependency)[0] for dependency in project["dependencies"]}
    assert set(pins()) == needed - DRIVER_ONLY


def test_the_conda_environment_s_python_is_one_that_the_project_supports():
    environment = yaml.safe_load((REPOSITORY / "envs/robustlens.yaml").read_text())
    (python,) = (entry for entry in environment["dependencies"] if str(entry).startswith("python"))
    least = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    numbers = [tuple(map(int, re.findall(r"\d+", text))) for text in (python, least)]
    assert numbers[0] >= numbers[1]


def test_every_rule_that_runs_something_has_a_log_an_environment_and_a_message():
    counted = 0
    for file in [*(REPOSITORY / "rules").glob("*.smk"), *(REPOSITORY / "studies").glob("*/rules.smk")]:
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            name = rule.partition(":")[0]
            if name in ("former_layout", "unknown"):  # which only end with words
                continue
            counted += 1
            assert re.search("^    shell:", rule, re.MULTILINE), name
            for directive in ("log", "message"):
                assert re.search(f"^    {directive}:", rule, re.MULTILINE), f"{name} has no {directive}"
            assert re.search(r'^    conda:\n        "(\.\./)+envs/robustlens\.yaml"\n', rule, re.MULTILINE), (
                f"{name} has no environment"
            )
    assert counted > 10
