"""Which studies there are: every folder with a `study.py`."""

import importlib.util
from dataclasses import replace
from pathlib import Path

from robustlens.errors import RobustlensError
from robustlens.study.declaration import Files, Study, Table, check

NOT_STUDIES = ("__pycache__",)

LIBRARY = "robustlens.report.tables"


def find(folder: Path) -> dict[str, Study]:
    """The studies in `folder` (the repository's `studies/`) by name, in alphabetical order, each declaration checked.

    The name of a study is that of its folder, with hyphens for underscores. Raises RobustlensError for a folder without
    a declaration and for a declaration that can't be read or contradicts itself.
    """
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir() and path.name not in NOT_STUDIES)
    return {path.name.replace("_", "-"): _read(path) for path in folders}


def _read(folder: Path) -> Study:
    file = folder / "study.py"
    if not file.is_file():
        raise RobustlensError(f"{folder}: a folder in studies/ needs a study.py that assigns STUDY = Study(...)")
    name = f"studies.{folder.name}.study"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RobustlensError(f"{file}: can't be read ({type(error).__name__}: {error})") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise RobustlensError(f"{file}: assigns no STUDY = Study(...)")
    study = replace(study, name=folder.name.replace("_", "-"))
    check(study)
    return study


def general(name: str, cohorts: dict) -> Study:
    """The declaration of a study that has no folder but is in the configuration: its cohorts have free names, and it
    gets the tables that every study has."""
    evaluations = Files("evaluations", *cohorts)
    return Study(
        title=name,
        paper=name,
        cohorts=cohorts,
        tables=[
            Table("robustness", "Clean and robust accuracy", {"evaluations": evaluations}, f"{LIBRARY}.robustness"),
            Table("differences", "Differences between recipes", {"evaluations": evaluations}, f"{LIBRARY}.differences"),
            Table("autoattack", "AutoAttack, stage by stage", {"evaluations": evaluations}, f"{LIBRARY}.autoattack"),
        ],
        name=name,
    )
