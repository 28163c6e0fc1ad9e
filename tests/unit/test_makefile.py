"""`make` says what there is to make."""

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


def test_help_is_what_bare_make_prints_and_lists_every_target_with_its_sentence():
    assert ".DEFAULT_GOAL := help" in TEXT
    phony = re.search(r"^\.PHONY: (.+)$", TEXT, re.MULTILINE)[1].split()
    assert sorted(listed()) == sorted(phony)
    assert listed()["compare"] == "the finished run's tables and claims with the recorded ones, cell by cell"
