"""The state of a job, from the log that `robustlens.console.job` writes."""

import fcntl
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
START = re.compile(
    WHEN + r" (?P<name>.+): started on (?P<host>[^,]+), process (?P<process>\d+)(?:, SLURM job (?P<slurm>\d+))?$"
)
PROGRESS = re.compile(rf"(?P<time>{WHEN}) (?P<step>.+ \d+/\d+, ETA \S+)")
FAILED = re.compile(WHEN + r" FAILED: (?P<reason>.*)")
FINISHED = re.compile(WHEN + " finished in ")


@dataclass(frozen=True)
class JobLog:
    """What the log of a job says.

    state: `running`, `finished`, `failed`, `killed` (it ended without a last line), `waiting` (SLURM will start it
    again), or `unknown`, if the log was written by a command that is not one of our scripts.
    says: in one line, how far a running job is, why it failed, or how else it ended.
    """

    state: str
    says: str
    name: str = ""


def read_log(path: Path, slurm: Mapping[str, str] | None = None) -> JobLog | None:
    """What a log says; None if there is no log. slurm: the states of the user's jobs there, from `slurm_states`."""
    try:
        with open(path, errors="replace") as file:
            locked = _locked(file)
            lines = [line.strip() for line in file if line.strip()]
            locked = locked or _locked(file)  # the job may have begun after the first look
    except FileNotFoundError:
        return None
    start = START.match(lines[0]) if lines else None
    if not start:
        return JobLog("unknown", lines[-1] if lines else "its log is empty")
    name = start["name"]
    if failed := _last(FAILED, lines):
        return JobLog("failed", failed["reason"], name)
    if _last(FINISHED, lines):
        return JobLog("finished", "its log says that it finished", name)
    state = {"RUNNING": "running", "PENDING": "waiting"}.get((slurm or {}).get(start["slurm"], ""), "killed")
    if locked or state == "running":
        step = _last(PROGRESS, lines)
        return JobLog("running", f"{step['step']} (at {step['time']})" if step else "has begun", name)
    end = f"ended silently on {start['host']}: killed (out of memory, out of time) or cancelled"
    return JobLog(state, f"{end}; its log ends with: {lines[-1]}", name)


def _last(pattern: re.Pattern, lines: list[str]) -> re.Match | None:
    return next(filter(None, map(pattern.match, reversed(lines))), None)


def _locked(file: TextIO) -> bool:
    """Whether the process that writes this file is alive, as far as its lock can be seen from this machine."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def slurm_states() -> dict[str, str]:
    """The states of the user's jobs in SLURM, by their numbers: on many clusters no machine sees another's locks."""
    command = ["squeue", "--me", "--noheader", "--format=%A %T"]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}  # there is no SLURM here, or it does not answer
    return dict(line.split() for line in asked.stdout.splitlines())
