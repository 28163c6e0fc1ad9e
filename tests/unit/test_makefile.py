"""`make` says what there is to make."""

import os
import re
import subprocess

from configured import REPOSITORY

TEXT = (REPOSITORY / "Makefile").read_text()


def listed() -> dict[str, str]:
    """What the recipe of `help` prints, run as make runs it."""
    recipe = re.search(r"^help: .*\n\t@(.+)$", TEXT, re.MULTILINE)[1]
    command = recipe.replace("$$", "$").replace("$(firstword $(MAKEFILE_LIST))", "Makefile")
    done = subprocess.run(command, shell=True, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return dict(re.fullmatch(r"make (\S+) +(\S.*)", line).groups() for line in done.stdout.splitlines())


def make(*arguments: str) -> subprocess.CompletedProcess:
    """As from a terminal, and not from the `make test` that may have started this."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    return subprocess.run(["make", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def test_bare_make_prints_the_list_and_makes_nothing():
    done = make()
    assert done.returncode == 0 and "make reproduce " in done.stdout and done.stderr == ""
    assert all(line.startswith("make ") for line in done.stdout.splitlines())


def test_evaluate_hands_its_variables_to_the_script():
    done = make("-n", "evaluate", "WEIGHTS=it's my.pt", "DATASET=digits", "ATTACK=pgd20", "IMAGES=5", "SNAKEMAKE=-c1")
    assert done.returncode == 0, done.stderr
    command = done.stdout.replace("\\\n", " ").split("scripts/evaluate_weights.py", 1)[1].split()
    assert command == [
        *(
            "--weights",
            '"$WEIGHTS"',
            "--dataset",
            '"$DATASET"',
            "--attack",
            '"$ATTACK"',
            "--images",
            '"$IMAGES"',
            "-c1",
        ),
    ]


def test_evaluate_without_its_variables_says_what_to_type():
    done = make("-n", "evaluate", "WEIGHTS=my.pt")
    assert done.returncode == 2 and "give all three: make evaluate WEIGHTS=my.pt DATASET=" in done.stderr
    assert done.stdout == ""


def test_help_is_what_bare_make_prints_and_lists_every_target_with_its_sentence():
    assert ".DEFAULT_GOAL := help" in TEXT
    phony = re.search(r"^\.PHONY: (.+)$", TEXT, re.MULTILINE)[1].split()
    assert sorted(listed()) == sorted(phony)
    assert listed()["compare"] == "the finished run's tables and claims with the recorded ones, cell by cell"
