"""What all studies share names none of them, nor anything that only one of them defines."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from configured import REPOSITORY

from robustlens.study.declaration import Study, Table
from robustlens.study.discovery import find

pytestmark = pytest.mark.slow

STUDIES = find(REPOSITORY / "studies")
OWN = ("recipes", "models")  # attacks have the names of their families, suites and datasets those of what they hold
SHARED = [
    *(REPOSITORY / name for name in ("Snakefile", "Makefile", "config.yaml", "pyproject.toml")),
    *(REPOSITORY / "rules").glob("*.smk"),
    *(REPOSITORY / "scripts").glob("*.py"),
    *(
        file
        for folder in ("schemas", "profiles", "envs")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file()
    ),
    *(file for file in (REPOSITORY / "src").rglob("*") if file.suffix in (".py", ".yaml", ".html", ".tex", ".css")),
]


def scalars(tree: Any) -> Iterator[str]:
    """All keys and single values of a YAML document."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from (str(key), *scalars(value))
    elif isinstance(tree, list):
        for value in tree:
            yield from scalars(value)
    else:
        yield str(tree)


def defined(config: dict, section: str) -> set[str]:
    """The names that a configuration file gives to entries of a section, at its top level and at any scale."""
    parts = [config, *(config.get("scales") or {}).values()]
    return {name for part in parts for name in (part or {}).get(section) or {}}


def own_names(study: Study, root: Path = REPOSITORY) -> set[str]:
    """Recipes and third-party models that only the study defines; a recipe that is called as its method has a general
    name."""
    file = root / "studies" / study.name.replace("-", "_") / "config.yaml"
    own, shared = (yaml.safe_load(path.read_text()) for path in (file, root / "config.yaml"))
    methods = {path.stem.replace("_", "-") for path in (REPOSITORY / "src/robustlens/methods").glob("*.py")}
    return {name for section in OWN for name in defined(own, section) - defined(shared, section)} - methods


def named(study: Study, own: set[str], text: str) -> list[str]:
    """How a text names the study. `energy` is also a physical quantity: paths, quoted names, targets and the paper
    count. A quoted phrase, as in `such as "the energy paper"`, is an example."""
    name, folder = re.escape(study.name), re.escape(study.name.replace("-", "_"))
    made = "|".join(re.escape(item.name) for item in (*study.tables, *study.figures))
    patterns = [
        rf"studies[./]{folder}\b",
        rf"studies\.{name}\b",
        rf"[\"'`]{name}[\"'`]",
        rf"claims_{folder}\b",
        rf"(?<![\w-]){name}-({made or '(?!)'}|claims)(?![\w-])",
        rf"(?<!\"the )(?i:{re.escape(study.paper.removeprefix('the '))})\b",
        *(rf"(?<![\w-]){re.escape(one)}(?![\w-])" for one in sorted(own)),
    ]
    return [match[0] for pattern in patterns for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("study", STUDIES)
def test_the_study_is_named_by_nothing_outside_its_folder(study):
    own = own_names(STUDIES[study])
    assert len(SHARED) > 100
    found = {str(file.relative_to(REPOSITORY)): named(STUDIES[study], own, file.read_text()) for file in SHARED}
    assert {file: words for file, words in found.items() if words} == {}


@pytest.mark.parametrize("file", [file for file in SHARED if file.suffix == ".yaml"], ids=lambda file: file.stem)
def test_no_key_or_value_of_a_shared_yaml_file_is_a_study(file):
    assert STUDIES.keys() & set(scalars(yaml.safe_load(file.read_text()))) == set()


def test_the_shared_configuration_has_no_runs():
    assert defined(yaml.safe_load((REPOSITORY / "config.yaml").read_text()), "studies") == set()


NAMING = {
    "a path": 'open("studies/cold_light/published.yaml")',
    "a module": "import studies.cold_light.tables",
    "a place in the configuration": "config.studies.cold-light.seeds",
    "a quoted name": "if study == 'cold-light':",
    "a file": "tables/cold-light-counts.tex",
    "its claims": "figures/cold-light-claims.csv",
    "its paper": "as in the cold light paper, Eq. 2",
    "its recipe": "{recipe: sat-cold}",
}


@pytest.mark.parametrize("case", NAMING)
def test_what_names_a_study_is_found(case, tmp_path):
    study = Study("Cold Light (2026)", "the cold light paper", {}, [Table("counts", "Counts", {})], name="cold-light")
    (tmp_path / "studies/cold_light").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("recipes: {sat: {method: sat}}")
    (tmp_path / "studies/cold_light/config.yaml").write_text(
        "{recipes: {sat: {method: sat}, trades: {method: trades}}, scales: {a: {recipes: {sat-cold: {method: sat}}}}}"
    )
    own = own_names(study, tmp_path)
    assert own == {"sat-cold"}
    assert named(study, own, NAMING[case])
    assert not named(study, own, 'Light that is cold, such as "the cold light paper", sat-colder and trades.')
