"""What is behind a table or a figure, as its certificate says."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Origin:
    """certificate: the file. script: the file of the module that made it, from the root of the repository; code: the
    digest of that and of all that it imports. read: what it was made from, files of one kind together."""

    certificate: Path
    script: str
    code: str
    read: list[str]


def origin_of(file: Path) -> Origin | None:
    """Of a file of a study; None for a file without a certificate.

    Times and machines are left out: a page that shows this is the same whenever the results are.
    """
    for root in file.parents:
        certificate = root / "provenance" / file.relative_to(root).with_suffix(".json")
        if certificate.is_file():
            record = json.loads(certificate.read_text())
            builder, code = (record["parameters"][key] for key in ("builder", "code"))
            return Origin(certificate, _script(builder), code, _kinds(record["inputs"], root))
    return None


def _script(module: str) -> str:
    path = module.replace(".", "/") + ".py"
    return path if module.startswith("studies.") else f"src/{path}"


def _place(path: Path, root: Path) -> Path:
    """Relative to the results or, of a file of the repository, to that: it may be run in another folder."""
    if path.is_relative_to(root):
        return path.relative_to(root)
    whole = path.resolve()
    return whole.relative_to(REPOSITORY) if whole.is_relative_to(REPOSITORY) else path


def _kinds(files: Iterable[str], root: Path) -> list[str]:
    """Files by name where there is one of a kind, else how many, as in 24 of runs/…/history.parquet. A kind
    has a name and a folder of the results."""
    paths = [Path(file) for file in sorted(files)]
    places = [_place(path, root) for path in paths]
    kinds = Counter((place.parts[0], place.name) for place in places)
    only = {(place.parts[0], place.name): place.as_posix() for place in places}
    return [
        only[kind] if number == 1 else f"{number} \u00d7 {kind[0]}/…/{kind[1]}"
        for kind, number in sorted(kinds.items())
    ]
