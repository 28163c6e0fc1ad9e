"""Snakemake's own words on the terminal, where they are too long or don't say what to do: shortened or completed.

Only the text of its log records is changed, never what it does.
"""

import difflib
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping

FILES_SHOWN = 3
PARAMETERS = re.compile(
    r"Union of exclusive params before and now across all output: before: (?P<before>.*) now: (?P<now>.*) (?=;|$)",
    re.DOTALL,
)
UPDATED = re.compile(r"(?<=Input files updated by another job: )[^;]+")
MISSING = re.compile(r"No rule to produce (?P<file>.+?) \(if you use input functions ")
SCALE = re.compile(r"results/(?P<scale>[^/]+)/")
SHARED = ("downloads", "receipts")  # the folders of results/ that are of no scale


class Words(logging.Filter):
    """A filter for Snakemake's logger.

    targets: gives the files that may be asked for by name, called only when one was misspelt. scale: whose they
    are.
    """

    def __init__(self, targets: Callable[[], Iterable[str]], scale: str):
        super().__init__()
        self.targets, self.scale = targets, scale

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(reason := getattr(record, "reason", None), str):
            record.reason = shortened(reason)
        if getattr(record, "exception", None) == "MissingRuleException" and (found := MISSING.search(record.msg)):
            record.msg = unknown_file(found["file"], self.targets(), self.scale)
        return True


def shortened(reason: str) -> str:
    """Why a job runs, with digests of its parameters instead of all of them, and the first of many input files."""
    reason = PARAMETERS.sub(lambda found: f"{_digest(found['before'])} before, {_digest(found['now'])} now", reason)
    return UPDATED.sub(lambda found: _first_files(found[0].split(", ")), reason)


def _digest(parameters: str) -> str:
    return "none" if parameters.startswith("<nothing") else hashlib.sha256(parameters.encode()).hexdigest()[:8]


def _first_files(files: list[str]) -> str:
    more = len(files) - FILES_SHOWN
    return ", ".join(sorted(files)[:FILES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def unknown_file(file: str, targets: Iterable[str], scale: str) -> str:
    """One line on a file that no rule makes, with the nearest one that some rule does make."""
    of = SCALE.match(file)
    if of and of["scale"] not in (scale, *SHARED):
        return f"{file}: this is scale {scale}; for another one add --config scale={of['scale']}"
    close = difflib.get_close_matches(file, list(dict.fromkeys(targets)), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{file}: nothing makes this file at scale {scale}; {hint}`snakemake targets` lists what can be asked for"


def target_list(targets: Mapping[str, str]) -> str:
    """One line per target, each with what it makes."""
    width = max(map(len, targets))
    return "\n".join(f"{name.ljust(width)}  {' '.join(sentence.split())}" for name, sentence in targets.items())
