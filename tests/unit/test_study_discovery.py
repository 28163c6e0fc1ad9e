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


def table(inputs: str = HISTORY, **fields: str) -> str:
    rest = "".join(f", {key}={value}" for key, value in fields.items())
    return declared(f"Table('one', 'One', {inputs}, {BUILDER}{rest})")


def figure(**fields: str) -> str:
    rest = "".join(f", {key}={value}" for key, value in fields.items())
    return declared(figures=f"[Figure('f', 'F', {HISTORY}{rest})]")


FILES = "Files(...), Published(...) or a tuple of Files(...)"
OF_WRONG_TYPE = {
    "a title": ("STUDY = Study(None, 'the paper', MAIN)", "STUDY: `title` must be a string, not None"),
    "cohorts": (
        declared(cohorts="['main']"),
        "STUDY: `cohorts` must be a mapping from strings to Cohort(...), not [",
    ),
    "a cohort": (declared(cohorts="{'main': 'all'}"), "STUDY: `cohorts`: 'main' must be Cohort(...), not 'all'"),
    "a cohort's name": (declared(cohorts="{3: Cohort('x')}"), "STUDY: `cohorts`: a name must be a string, not 3"),
    "a suite": (declared(cohorts="{'a': Cohort('x', suite=3)}"), "cohort a: `suite` must be a string or None, not 3"),
    "needs": (
        declared(cohorts="{'a': Cohort('x', needs='generation')}"),
        "cohort a: `needs` must be a tuple of strings, not 'generation'",
    ),
    "tables": (
        "STUDY = Study('A', 'a', MAIN, 'robustness')",
        "STUDY: `tables` must be a list of Table(...), not 'robustness'",
    ),
    "a table": (declared("'robustness'"), "STUDY: `tables`: an entry must be Table(...), not 'robustness'"),
    "claims": (declared(claims="True"), "STUDY: `claims` must be Claims(...) or None, not True"),
    "a table's name": (declared(f"Table(3, 'One', {HISTORY})"), "Table: `name` must be a string, not 3"),
    "a message": (declared(f"Table('one', None, {HISTORY})"), "one: `message` must be a string, not None"),
    "inputs": (table("['history']"), f"one: `inputs` must be a mapping from strings to {FILES}, not ['history']"),
    "an input": (table("{'history': 'history'}"), f"one: `inputs`: 'history' must be {FILES}, not 'history'"),
    "an input's name": (table("{3: Published()}"), "one: `inputs`: a name must be a string, not 3"),
    "a list of files": (table("{'x': [Files('history', 'main')]}"), f"one: `inputs`: 'x' must be {FILES}, not "),
    "one of several files": (
        table("{'x': (Files('history', 'main'), 'scores')}"),
        "one: `inputs`: 'x': an entry must be Files(...), not 'scores'",
    ),
    "published numbers that are not made": (table("{'p': Published}"), f"one: `inputs`: 'p' must be {FILES}, not "),
    "a builder": (declared(f"Table('one', 'One', {HISTORY}, 3)"), "one: `builder` must be a string or None, not 3"),
    "uses": (table(uses="('attacks')"), "one: `uses` must be a tuple of strings, not 'attacks'"),
    "an entry of uses": (table(uses="('attacks', 3)"), "one: `uses`: an entry must be a string, not 3"),
    "a baseline": (table(baseline="['sat']"), "one: `baseline` must be a string or None, not ['sat']"),
    "early": (table(early="'yes'"), "one: `early` must be True or False, not 'yes'"),
    "per": (figure(per="'dataset'"), "f: `per` must be a tuple of strings, not 'dataset'"),
    "an animation": (figure(animation="'history'"), "f: `animation` must be a tuple of strings, not 'history'"),
    "uses of claims": (
        declared(claims=f"Claims('Judge', {HISTORY}, uses='changes')"),
        "claims: `uses` must be a tuple of strings, not 'changes'",
    ),
    "a kind of files": (table("{'x': Files(3, 'main')}"), "one, input 'x': `kind` must be a string, not 3"),
    "the cohorts of files": (
        table("{'x': Files('history', ('main', 'further'))}"),
        "one, input 'x': `cohorts`: an entry must be a string, not ('main', 'further')",
    ),
    "where": (
        table("{'x': Files('history', 'main', where={'method': 'sat'})}"),
        "one, input 'x': `where` must be a function or None, not {'method': 'sat'}",
    ),
    "first_seed": (
        table("{'x': Files('history', 'main', first_seed=1)}"),
        "one, input 'x': `first_seed` must be True or False, not 1",
    ),
    "no cohort": (
        table("{'x': Files('history')}"),
        "one, input 'x': Files('history') names no cohort; there are: main",
    ),
    "no files": (table("{'x': ()}"), "one, input 'x': names no files"),
}


@pytest.mark.parametrize("case", OF_WRONG_TYPE)
def test_a_declaration_of_wrong_types_is_refused_with_file_item_field_and_what_belongs_there(case, tmp_path):
    text, message = OF_WRONG_TYPE[case]
    study(tmp_path, "odd", text)
    with pytest.raises(RobustlensError) as caught:
        find(tmp_path)
    assert str(caught.value).startswith(f"studies/odd/study.py: {message}")


def test_lists_and_tuples_both_hold_tables(tmp_path):
    study(tmp_path, "own", f"STUDY = Study('A title', 'the paper', MAIN, ({TABLE},), ())")
    assert [table.name for table in find(tmp_path)["own"].tables] == ["one"]


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
    suites = {"short": {"attacks": ["clean"]}, "long": {"attacks": ["clean", "autoattack"]}}
    study = undeclared("own", {"this": {"suite": "short"}, "that": {"suite": "long"}}, suites)
    assert [table.name for table in study.tables] == ["robustness", "differences", "autoattack"]
    assert all(table.inputs["evaluations"].cohorts == ("this", "that") for table in study.tables)
    assert study.claims is None
    assert undeclared("own", {"this": {}}, suites).tables  # that it has no suite is told by the selection
    without = undeclared("own", {"this": {"suite": "short"}}, suites)
    assert [table.name for table in without.tables] == ["robustness", "differences"]
