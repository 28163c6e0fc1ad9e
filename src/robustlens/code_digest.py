"""A digest of the code that a job really uses.

Snakemake re-runs a job when its parameters change, but does not see a change in an imported module. Every rule
therefore carries `code_digest(...)` among its parameters: a hash over the syntax trees of an entry file and of
everything of this package, and of the studies, that it imports, directly or not. Comments, formatting and docstrings do
not count.
"""

import ast
import atexit
import contextlib
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError

SOURCE = Path(__file__).parent.parent
PACKAGE = Path(__file__).parent.name
ROOTS = {PACKAGE: SOURCE, "studies": SOURCE.parent}  # where the packages lie whose code counts
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
MOST_TEXTS = 10_000  # that are remembered: a few megabytes

# What `_parsed` found, by the text and by who read it: another Python has other syntax trees, other code other rules.
_known: dict[str, tuple[str, list[str]]] = {}


@cache
def code_digest(*entries: str | Path) -> str:
    """Twelve hexadecimal digits over the import closure of `entries`: modules of these packages, or files."""
    digest = hashlib.sha256()
    for path in sorted(closure(*entries)):
        digest.update(f"{_name(path)}:{_read(path).digest}\n".encode())
    return digest.hexdigest()[:12]


def _name(path: Path) -> str:
    """A file by its place in its package, so that a checkout may be moved; a file outside them by its name."""
    places = ((root / package, root) for package, root in ROOTS.items())
    return next((path.relative_to(root).as_posix() for place, root in places if path.is_relative_to(place)), path.name)


def closure(*entries: str | Path) -> set[Path]:
    """The files of these packages (and the entries themselves) that running `entries` imports."""
    waiting = [path for entry in entries for path in _entry_files(entry)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_read(path).imports)
    return found


def _entry_files(entry: str | Path) -> list[Path]:
    if isinstance(entry, Path):
        return [entry]
    first, *_ = parts = entry.split(".")
    base = ROOTS.get(first, SOURCE).joinpath(*parts)
    if not (base.with_suffix(".py").exists() or (base / "__init__.py").exists()):
        raise ModuleNotFoundError(f"no module {entry} under {ROOTS.get(first, SOURCE)}")
    return _module_files(entry)


@cache
def _module_files(name: str) -> list[Path]:
    """The files that `import name` runs: the package files above it, and its own. Other packages give none."""
    parts = name.split(".")
    if parts[0] not in ROOTS:
        return []
    files = []
    for depth in range(1, len(parts) + 1):
        base = ROOTS[parts[0]].joinpath(*parts[:depth])
        if (base / "__init__.py").exists():
            files.append(base / "__init__.py")
        elif base.with_suffix(".py").exists():
            files.append(base.with_suffix(".py"))
    return files


class _Code(NamedTuple):
    """What counts of a file: a digest of its syntax tree, and the files of these packages that it imports."""

    digest: str
    imports: list[Path]


@cache
def _read(path: Path) -> _Code:
    text = path.read_bytes()
    key = ".".join([*map(str, sys.version_info[:2]), _own_digest(), hashlib.sha256(text).hexdigest()])
    if key not in _known:
        _known[key] = _parsed(text, path)
    digest, names = _known[key]
    return _Code(digest, [file for name in names for file in _module_files(name)])


@cache
def _own_digest() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _parsed(text: bytes, path: Path) -> tuple[str, list[str]]:
    """The digest of a file's syntax tree, and the dotted names of all that it imports, modules or what is in them."""
    tree, names = ast.parse(text), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ImportError(f"{path}: relative imports are not followed; write `from {PACKAGE}.x import y`")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(set(names))


def remember(file: Path) -> None:
    """Take from `file` what earlier processes found in texts that are read again, and leave there what this one finds.
    This saves a third of the time that reading a Snakefile takes. The file may be deleted, or not be writable."""
    file = file.absolute()
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(file.read_text())
        if isinstance(kept, dict) and len(kept) < MOST_TEXTS:
            _known.update(kept)
    atexit.register(_keep, file, frozenset(_known))


def _keep(file: Path, before: frozenset[str]) -> None:
    if _known.keys() - before:
        with contextlib.suppress(RobustlensError), replacing(file) as temporary:
            temporary.write_text(json.dumps(_known))
