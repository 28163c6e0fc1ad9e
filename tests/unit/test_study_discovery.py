"""Folders of studies are found, and declarations that contradict themselves are refused with words."""

from pathlib import Path

import pytest

from robustlens.errors import RobustlensError
from robustlens.study.declaration import Files
from robustlens.study.discovery import find, general

HEAD = "from robustlens.study.declaration import *\nMAIN = {'main': Cohort('all')}\n"
TABLE = "Table('one', 'One', {'history': Files('history', 'main')})"


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
    (tmp_path / "__pycache__").mkdir()
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
        "f: `animation` names 'b', which is no input of it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_that_contradicts_itself_is_refused_with_its_file(case, tmp_path):
    text, message = REFUSED[case]
    study(tmp_path, "odd", text)
    with pytest.raises(RobustlensError, match=message) as caught:
        find(tmp_path)
    assert str(tmp_path / "odd/study.py") in str(caught.value) or "studies/odd/study.py" in str(caught.value)


def test_a_folder_without_a_declaration_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RobustlensError, match=r"empty: a folder in studies/ needs a study\.py"):
        find(tmp_path)


def test_a_study_without_a_folder_has_the_tables_that_every_study_has():
    study = general("own", {"this": {}, "that": {}})
    assert [table.name for table in study.tables] == ["robustness", "differences", "autoattack"]
    assert all(table.inputs["evaluations"].cohorts == ("this", "that") for table in study.tables)
    assert study.claims is None
