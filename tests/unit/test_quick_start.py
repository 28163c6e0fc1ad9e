"""No search for garbage while a script imports its modules, and an ordinary one from then on."""

import subprocess
import sys
from pathlib import Path

import pytest

from robustlens.code_digest import closure

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "scripts", *sorted((ROOT / "studies").glob("*/scripts")))
JOBS = [file for folder in FOLDERS for file in sorted(folder.glob("*.py")) if "parser(__doc__)" in file.read_text()]
STATE = "import gc; print(gc.isenabled(), gc.get_freeze_count() > 1000)"


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("script", JOBS, ids=[str(file.relative_to(ROOT)) for file in JOBS])
def test_every_job_imports_it_before_all_else_of_the_package(script):
    first = next(line for line in script.read_text().splitlines() if line.startswith(("import rob", "from rob")))
    assert first.startswith("import robustlens.quick_start")


def test_the_jobs_are_those_of_all_studies():
    assert len(JOBS) >= 30 and {file.parents[1].name for file in JOBS} >= {"classwise", "invariance", "proxy"}


def test_it_ends_with_the_command_line():
    assert printed(f"import robustlens.quick_start; {STATE}") == "False False"
    assert (
        printed(f"import robustlens.quick_start; from robustlens.console import parser; parser(''); {STATE}")
        == "True True"
    )


def test_to_import_the_library_changes_nothing_of_the_search():
    assert printed(f"import robustlens.evaluation.suite; {STATE}") == "True False"
    imported = closure("robustlens.evaluation.suite") | closure("robustlens.training.run")
    assert not any(file.name == "quick_start.py" for file in imported)
