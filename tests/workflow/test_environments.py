"""The conda environment, the lock file and the rules say the same; a user without a name or a home can run them."""

import os
import pwd
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from flow import REPOSITORY, TINY, command_line
from processes import Child

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
        for indent, name, rule in re.findall(
            r"^( *)rule ?(\w*):\n(.*?)(?=^ *rule\b|\Z)", file.read_text(), re.M | re.S
        ):
            if name in ("former_layout", "unknown", "targets"):  # which only end with words
                continue
            counted += 1
            assert re.search(f"^{indent}    shell:", rule, re.MULTILINE), name or file
            for directive in ("log", "message"):
                assert re.search(f"^{indent}    {directive}:", rule, re.MULTILINE), f"{name or file} has no {directive}"
            assert re.search(
                rf'^{indent}    conda:\n{indent}        "(\.\./)+envs/robustlens\.yaml"\n', rule, re.MULTILINE
            ), f"{name or file} has no environment"
    assert counted > 10


def without_a_name(folder: Path, arguments: list[str]) -> None:
    """Snakemake in a process whose user id has no entry among the users, as in a container."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    pwd.getpwuid = unknown
    command_line(folder, arguments)


def test_a_user_without_a_name_runs_the_workflow(sources, tmp_path):
    code, output = Child(
        tmp_path / "output", without_a_name, sources, [*TINY, "-n", "-q", "all", "--", "energy"]
    ).wait()
    assert code == 0 and "Traceback" not in output and "make_table" in output


@pytest.mark.parametrize(
    ("given", "user", "home"),
    [
        ({}, str(os.getuid()), "{here}/.tools/home"),
        ({"HOME": "/nowhere", "USER": "me"}, "me", "{here}/.tools/home"),
        ({"HOME": "{here}", "USER": "me"}, "me", "{here}"),
    ],
)
def test_make_has_a_user_and_a_home_where_a_container_has_none(given, user, home, tmp_path):
    show = 'show: ; @echo "$$USER $$HOME"'
    given = {name: value.format(here=tmp_path) for name, value in given.items()}
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {os.getuid()}\ncase $1 in -un) exit 1;; esac\n")
    (tmp_path / "id").chmod(0o755)
    command = ["make", "--file", REPOSITORY / "Makefile", "--eval", show, "show"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | given
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, text=True).stdout
    assert shown == f"{user} {home.format(here=tmp_path)}\n"
    assert Path(home.format(here=tmp_path)).is_dir()
