"""Which studies there are: every folder with a `study.py`."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from robustlens.errors import RobustlensError
from robustlens.study.declaration import Claims, Figure, Study, Table, check

FOLDER = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def find(folder: Path) -> dict[str, Study]:
    """The studies in `folder` (the repository's `studies/`) by name, in alphabetical order, each declaration checked.

    The name of a study is that of its folder, with hyphens for underscores; folders whose name begins with a dot or an
    underscore are ignored. Raises RobustlensError for a folder without a declaration, for a declaration that can't be
    read or contradicts itself, and for one that names a builder that is not there.
    """
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir() and path.name[0] not in "._")
    return {path.name.replace("_", "-"): _read(path) for path in folders}


def _read(folder: Path) -> Study:
    file = folder / "study.py"
    if not FOLDER.fullmatch(folder.name):
        raise RobustlensError(
            f"{folder}: a study's folder has lower-case letters, digits and single underscores between them"
        )
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
    for item in study.items():
        module = builder(study, item)
        if not any(file.is_file() for file in _files(module, folder)):
            what = getattr(item, "name", "claims")
            raise RobustlensError(f"{file}: {what}: no module {module} builds it; write it, or name another `builder`")
    return study


def builder(study: Study, item: Table | Figure | Claims) -> str:
    """The dotted name of the module that builds a table, a figure or the ledger of claims."""
    folder = f"studies.{study.name.replace('-', '_')}"
    if isinstance(item, Claims):
        return f"{folder}.claims"
    kind = "figures" if isinstance(item, Figure) else "tables"
    return item.builder or f"{folder}.{kind}.{item.name.replace('-', '_')}"


def _files(module: str, folder: Path) -> Iterator[Path]:
    """Where a module may lie: of the study's own folder, or of what Python finds by the first part of its name."""
    first, *rest = module.split(".")
    if first == "studies":
        place = folder.parent.joinpath(*rest)
    elif spec := importlib.util.find_spec(first):
        place = Path(next(iter(spec.submodule_search_locations or [""]))).joinpath(*rest)
    else:
        return
    yield from (place.with_suffix(".py"), place / "__init__.py")
