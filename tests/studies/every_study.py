"""The studies that there are, and the made-up configuration and results that the tests of each bring."""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

from robustlens.study.discovery import find
from robustlens.study.selection import Kind, Selection

ROOT = Path(__file__).parents[2]
STUDIES = find(ROOT / "studies")
DECLARATION = re.compile(r"^FILES\[.*(?:\n[ )].*)*", re.MULTILINE)  # with the lines that go on with it


@cache
def made_up(study):
    """`tests/studies/<study>/made_up.py`: CONFIG, in the form of a loaded configuration, with two datasets;
    write(folder), the results of its scale; and, where the study has claims, claims_data(support)."""
    folder = Path(__file__).parent / study.replace("-", "_")
    file = folder / "made_up.py"
    assert file.is_file(), f"{file} is missing: the tests of a study bring results to build its tables and figures from"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"made_up_{folder.name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def selection(study):
    """What the study's declaration means under its made-up configuration."""
    return Selection(made_up(study).CONFIG, {study: STUDIES[study]}, all_kinds())


def all_kinds():
    """The kinds of files that the stages make."""
    files = [*(ROOT / "rules").glob("*.smk"), *(ROOT / "studies").glob("*/rules.smk")]
    return {name: kind for file in files for name, kind in declared_kinds(file).items()}


def declared_kinds(rules):
    """What a file of rules, which as a whole is no Python, enters in FILES."""
    kinds, text = {}, rules.read_text()
    for declaration in DECLARATION.findall(text):
        exec(declaration, {"FILES": kinds, "Kind": Kind})
    assert len(kinds) == text.count("FILES["), f"{rules}: an entry of FILES that does not start a line"
    return kinds


def builder(item, function="build"):
    """The function that makes a table or figure; of claims, the one that reads what they are judged on."""
    return getattr(importlib.import_module(item.builder), function)
