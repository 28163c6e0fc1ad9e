"""Folders of studies are found, and declarations that contradict themselves are refused with words."""

from pathlib import Path

import pytest

from robustlens.errors import RobustlensError
from robustlens.study.declaration import Files
from robustlens.study.discovery import find
from robustlens.study.general import undeclared

HEAD = "from robustlens.study.declaration import *\nMAIN = {'main': Cohort('all')}\n"
HISTORY = "{'history': Files('history', 'main')}"
BUILDER = "'robustlens.report.tables.robustness'"
TABLE = f"Table('one', 'One', {HISTORY}, {BUILDER})"


def study(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "study.py").write_text(HEAD + text)
    return folder


def declared(tables: str = "", cohorts: str = "MAIN", **more: str) -> str:
    rest = "".join(f", {key}={value}" for key, value in more.items())
    return f"STUDY = Study('A title', 'the paper', {cohorts}, [{tables}]{rest})"


def test_every_folder_is_a_study_named_like_it_in_alphabetical_order(tmp_path):
    study(tmp_path, "second_one", declared())
    study(tmp_path, "first", declared(TABLE))
    for name in ("__pycache__", ".ipynb_checkpoints", "_draft"):
        (tmp_path / name).mkdir()
    (tmp_path / "a file.txt").write_text("")
    found = find(tmp_path)
    assert list(found) == ["first", "second-one"]
    assert [one.name for one in found.values()] == ["first", "second-one"]
    assert found["first"].tables[0].inputs["history"] == Files("history", "main")


REFUSED = {
    "no STUDY": ("x = 1", "assigns no STUDY"),
    "a mistake in Python": ("STUDY = Studi()", r"can't be read \(NameError"),
    "a table twice": (declared(f"{TABLE}, {TABLE}"), "the table 'one' is declared twice"),
    "a figure twice": (
        declared(figures="[Figure('f', 'F', {'a': Files('history', 'main')})] * 2"),
        "the figure 'f' is declared twice",
    ),
    "an unknown cohort": (
        declared("Table('one', 'One', {'history': Files('history', 'mian')})"),
        "one, input 'history': no cohort 'mian' is declared; there are: main",
    ),
    "an unknown cohort behind changed_by": (
        declared("Table('one', 'One', {'history': Files('history', 'main', changed_by='subsets')})"),
        "no cohort 'subsets'",
    ),
    "an unknown cohort to be within": (declared(cohorts="{'a': Cohort('x', within='b')}"), "cohort a: no cohort 'b'"),
    "an animation of what is no input": (
        declared(figures="[Figure('f', 'F', {'a': Files('history', 'main')}, animation=('b',))]"),
        "f: `animation` names 'b', which is not among its inputs",
    ),
    "a name that is no file's": (
        declared(f"Table('One_Table', 'One', {HISTORY})"),
        "the table 'One_Table': a name has",
    ),
    "a cohort's name with a space": (declared(cohorts="{'a b': Cohort('x')}"), "the cohort 'a b': a name has"),
    "an input that is no argument": (
        declared("Table('one', 'One', {'of-runs': Files('history', 'main')})"),
        "one: an input can't be called 'of-runs'",
    ),
    "an input whose name Snakemake needs": (
        declared("Table('one', 'One', {'items': Files('history', 'main')})"),
        "one: an input can't be called 'items'",
    ),
    "a use that is unknown": (declared(f"Table('one', 'One', {HISTORY}, uses=('colors',))"), "`uses` names 'colors'"),
    "a figure for each of what no file has": (
        declared(figures=f"[Figure('f', 'F', {HISTORY}, per=('attack',))]"),
        "f: `per` names 'attack'; valid are: dataset, recipe",
    ),
    "a figure of published numbers alone": (
        declared(figures="[Figure('f', 'F', {'numbers': Published()})]"),
        "f: a figure needs an input of `Files`",
    ),
    "a table that nothing builds": (
        declared(f"Table('one', 'One', {HISTORY})"),
        r"one: no module studies\.odd\.tables\.one builds it",
    ),
    "a builder that is nowhere": (
        declared(f"Table('one', 'One', {HISTORY}, 'robustlens.report.tables.robustnes')"),
        r"one: no module robustlens\.report\.tables\.robustnes builds it",
    ),
    "a ledger that nothing judges": (declared(claims=f"Claims('Judge', {HISTORY})"), r"no module studies\.odd\.claims"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_that_contradicts_itself_is_refused_with_its_file(case, tmp_path):
    text, message = REFUSED[case]
    study(tmp_path, "odd", text)
    with pytest.raises(RobustlensError, match=message) as caught:
        find(tmp_path)
    assert str(tmp_path / "odd/study.py") in str(caught.value) or "studies/odd/study.py" in str(caught.value)


def test_a_builder_may_be_a_module_or_a_package_of_the_study(tmp_path):
    study(tmp_path, "own", declared(f"Table('a-table', 'One', {HISTORY})", figures=f"[Figure('f', 'F', {HISTORY})]"))
    for file in ("tables/a_table.py", "figures/f/__init__.py"):
        (tmp_path / "own" / file).parent.mkdir(parents=True)
        (tmp_path / "own" / file).write_text("")
    assert list(find(tmp_path)) == ["own"]


@pytest.mark.parametrize("name", ["Own", "a-study", "a study", "a__b"])
def test_a_folder_whose_name_is_no_module_is_refused(name, tmp_path):
    study(tmp_path, name, declared())
    with pytest.raises(RobustlensError, match="a study's folder has lower-case letters"):
        find(tmp_path)


def test_a_folder_without_a_declaration_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RobustlensError, match=r"empty: a folder in studies/ needs a study\.py"):
        find(tmp_path)


def test_a_study_without_a_folder_has_the_tables_that_every_study_has():
    study = undeclared("own", {"this": {}, "that": {}})
    assert [table.name for table in study.tables] == ["robustness", "differences", "autoattack"]
    assert all(table.inputs["evaluations"].cohorts == ("this", "that") for table in study.tables)
    assert study.claims is None
