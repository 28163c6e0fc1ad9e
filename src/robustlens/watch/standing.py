"""How a run stands: what the logs of Snakemake and of the jobs, the states of trainings and finished histories say.

Nothing is written, and no job notices it. A file is read again only when it has changed, so that looking every few
seconds is cheap on the login node of a cluster, too.
"""

import glob
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from robustlens.job_log import START, JobLog, read_log, slurm_states

FINISHED_SHOWN = 6
SECONDS_BETWEEN_QUESTIONS = 60  # to SLURM
STEPS = re.compile(r"^(\d+) of (\d+) steps ", re.MULTILINE)
TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)  # of the table of jobs that Snakemake begins with
PLAN = re.compile(r"^plan +1$", re.MULTILINE)
NO_JOB = re.compile(r"plan\.log|.+\.process\d+\.log")  # logs of plans, and of further processes of a training
EPOCHS = re.compile(r"epoch \d+/(\d+)")
Points = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Curves:
    """Of one training. epochs: how many there will be. points: (epoch, robust accuracy, natural accuracy) on validation
    images, in [0, 1]."""

    name: str
    epochs: int
    points: Points


@dataclass(frozen=True)
class Standing:
    """steps: how many of how many Snakemake has done, None where no log says it. running, failed: by the path of the
    log, relative to the working folder."""

    steps: tuple[int, int] | None
    running: Mapping[Path, JobLog]
    failed: Mapping[Path, JobLog]
    training: list[Curves]
    finished: list[Curves]


def scales(root: Path) -> list[str]:
    """Those of which there are logs in a working folder; the one that ran last comes first."""
    newest = {
        folder.parent.name: max(map(time_of, folder.rglob("*.log")), default=0.0)
        for folder in root.glob("results/*/logs")
    }
    return sorted(filter(newest.get, newest), key=newest.__getitem__, reverse=True)


class Watched:
    """One scale's run in a working folder."""

    def __init__(self, root: Path, scale: str):
        self.root, self.scale, self.results = root, scale, root / "results" / scale
        self.kept: dict[tuple[Path, Callable], tuple[tuple, Any]] = {}
        self.slurm: tuple[float, Mapping[str, str]] = (float("-inf"), {})

    def standing(self) -> Standing:
        logs = [path for path in self.results.glob("logs/**/*.log") if not NO_JOB.fullmatch(path.name)]
        written = {path: time_of(path) for path in sorted(logs)}
        since, steps = self._steps(max(written.values(), default=0.0))
        jobs = {path: log for path in written if (log := self._job(path))}
        running = {path: log for path, log in jobs.items() if log.state == "running"}
        # What failed before this Snakemake may belong to no job any more.
        failed = {p: log for p, log in jobs.items() if log.state in ("failed", "killed") and written[p] >= since}
        return Standing(
            steps,
            {path.relative_to(self.root): log for path, log in running.items()},
            {path.relative_to(self.root): log for path, log in failed.items()},
            [curves for path, log in running.items() if (curves := self._training(path, log))],
            self._finished({path.with_suffix("").parts[-3:] for path in running}),
        )

    def _read(self, path: Path, reader: Callable[[Path], Any]) -> Any:
        """What the reader makes of a file; None for one that is gone or damaged."""
        try:
            facts = path.stat()
            version = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if self.kept.get((path, reader), (None,))[0] != version:
                self.kept[path, reader] = version, reader(path)
            return self.kept[path, reader][1]
        except (OSError, SafetensorError, ValueError, LookupError, TypeError):
            return None

    def _job(self, path: Path) -> JobLog | None:
        log = self._read(path, read_log)
        if log and log.state in ("running", "killed", "waiting"):
            log = read_log(path)  # whether its process lives changes without the file
        if log and log.state == "killed":
            if time.monotonic() - self.slurm[0] > SECONDS_BETWEEN_QUESTIONS:
                self.slurm = time.monotonic(), slurm_states()
            log = read_log(path, self.slurm[1]) if self.slurm[1] else log
        return log

    def _steps(self, newest: float) -> tuple[float, tuple[int, int] | None]:
        """When the last Snakemake started that may have run the job that wrote last, and its steps: its log does not
        say its scale."""
        for path in sorted(self.root.glob(".snakemake/log/*.snakemake.log"), reverse=True):
            since = began(path)
            if since <= newest and (steps := self._read(path, read_steps)):
                return since, steps
        return 0.0, None

    def _training(self, path: Path, log: JobLog) -> Curves | None:
        """From the state that its process saves after every epoch, which has all epochs, also of a resumed training."""
        stage, *place = path.relative_to(self.results / "logs").with_suffix("").parts
        if stage != "train":
            return None
        epochs, start = EPOCHS.search(log.says), self._read(path, read_start)
        owners = self.results.glob(f"state/{glob.escape('-'.join(place))}-*/owner.json")
        mine = [owner for owner in sorted(owners, key=time_of) if start and self._read(owner, read_owner) == start]
        points = self._read(mine[-1].with_name("state.safetensors"), read_state) if mine else None
        return Curves("/".join(place), int(epochs[1]) if epochs else 0, points or ())

    def _finished(self, running: set[tuple[str, ...]]) -> list[Curves]:
        files = sorted(self.results.glob("runs/*/*/seed*/history.parquet"), key=time_of, reverse=True)
        places = {file: file.parent.parts[-3:] for file in files[:FINISHED_SHOWN]}
        read = {file: self._read(file, read_history) for file in places if places[file] not in running}
        return [Curves("/".join(places[file]), points[-1][0], points) for file, points in read.items() if points]


# Files -------------------------------------------------------------------------------------------------------------


def time_of(path: Path) -> float:
    """When it was written; 0 for a file that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def began(path: Path) -> float:
    """When the Snakemake of a log started, by the log's name; infinity for another name."""
    try:
        return datetime.strptime(path.name, "%Y-%m-%dT%H%M%S.%f.snakemake.log").timestamp()
    except ValueError:
        return float("inf")


def read_steps(path: Path) -> tuple[int, int] | None:
    """From Snakemake's log; None where it lists no jobs (yet), or only plans."""
    text = path.read_text(errors="replace")
    total, done = TOTAL.search(text), STEPS.findall(text)
    if not total or PLAN.search(text):
        return None
    return (int(done[-1][0]), int(done[-1][1])) if done else (0, int(total[1]))


def read_start(path: Path) -> tuple[str, str]:
    """Machine and process of a job, from the first line of its log."""
    with open(path, errors="replace") as file:
        start = START.match(file.readline().strip())
    return start["host"], start["process"]


def read_owner(path: Path) -> tuple[str, str]:
    """The same of the training that a state belongs to."""
    owner = json.loads(path.read_bytes())
    return owner["host"], str(owner["pid"])


def read_state(path: Path) -> Points:
    """From what `training.loop` saves. Only the header is read of the file, which also has all weights."""
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["record"])
    return points_of(record["task"]["following"]["history"])


def read_history(path: Path) -> Points:
    columns = ["epoch", "split", "robust_accuracy", "clean_accuracy"]
    return points_of(pd.read_parquet(path, columns=columns).to_dict("records"))


def points_of(history: Iterable[Mapping[str, Any]]) -> Points:
    of_validation = [row for row in history if row["split"] == "validation"]
    return tuple((int(r["epoch"]), float(r["robust_accuracy"]), float(r["clean_accuracy"])) for r in of_validation)
