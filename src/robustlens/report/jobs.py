"""The jobs that results rest on, as their certificates say: how many, how long, and on which machines."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustlens.errors import RobustlensError
from robustlens.evaluation.checkpoints import BEST

Certificate = Mapping[str, Any]
Certificates = Mapping[Path, Certificate]


@dataclass(frozen=True)
class Jobs:
    """trainings: trained classifiers. evaluations: of one checkpoint by one attack each. seconds: of all jobs, added
    up; of one that was resumed only the last part. processors, accelerators: their names; none is a CPU alone."""

    count: int
    trainings: int
    evaluations: int
    seconds: float
    processors: tuple[str, ...]
    accelerators: tuple[str, ...]

    @property
    def hardware(self) -> str:
        """What the jobs ran on; empty where no certificate says it."""
        return "; ".join([*self.processors, *(self.accelerators or ["no GPU"])]) if self.processors else ""

    @property
    def runs(self) -> str:
        """What was trained and evaluated; empty where no certificate tells of a training."""
        evaluated = f"{_several(self.evaluations, 'evaluation')}, each of one checkpoint by one attack"
        return f"{_several(self.trainings, 'classifier')} trained; {evaluated}" if self.trainings else ""

    @property
    def time(self) -> str:
        """Of all jobs; empty where there is no certificate."""
        return f"{self.taken}, added up from {_several(self.count, 'certificate')}" if self.count else ""

    @property
    def taken(self) -> str:
        """The time alone."""
        hours, minutes = divmod(max(round(self.seconds / 60), 1), 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def jobs_behind(results: Iterable[Path], certificates: Certificates) -> Jobs:
    """Of the jobs that made these files, that made what those read, and so on. A file without a certificate counts for
    nothing."""
    found = list(_behind(map(str, results), certificates))
    devices = [certificate.get("device", {}) for _, certificate in found]
    return Jobs(
        count=len(found),
        trainings=sum(place.parts[0] == "runs" for place, _ in found),
        evaluations=len({one for place, certificate in found for one in _evaluated(place, certificate)}),
        seconds=sum(certificate.get("wall_seconds", 0.0) for _, certificate in found),
        processors=_names(devices, "processor"),
        accelerators=_names(devices, "accelerator"),
    )


def commit(repository: Path) -> str:
    """That of a checkout, with what was changed since; empty where it is none, or git is not installed."""
    try:
        top, head = _git(repository, "rev-parse", "--show-toplevel", "HEAD").split()
        changed = _git(repository, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError, ValueError):
        return ""
    if Path(top).resolve() != repository.resolve():
        return ""  # a copy of the files within another project
    return f"{head[:12]}, with changes" if changed else head[:12]


def read_certificates(provenance: Path) -> Certificates:
    """By their paths within the folder of the certificates of a scale. Raises RobustlensError for a damaged one."""
    certificates: dict[Path, Certificate] = {}
    for path in sorted(provenance.rglob("[!.]*.json")):  # not what a job is about to write
        try:
            record = json.loads(path.read_bytes())
        except ValueError as error:
            raise RobustlensError(
                f"{path}: damaged ({error}); delete it with the files that it is of and run the same command again"
            ) from error
        if "outputs" in record:  # the saved configuration lies there, too
            certificates[path.relative_to(provenance)] = record
    return certificates


def _behind(results: Iterable[str], certificates: Certificates) -> Iterator[tuple[Path, Certificate]]:
    """Each once, with its path."""
    made = {file: path for path, record in certificates.items() for file in record["outputs"]}
    waiting, seen = list(results), set()
    while waiting:
        path = made.get(waiting.pop())
        if path and path not in seen:
            seen.add(path)
            waiting += certificates[path].get("inputs", {})
            yield path, certificates[path]


def _evaluated(place: Path, certificate: Certificate) -> Iterator[tuple]:
    """The evaluations of a suite, which several suites may share."""
    if place.parts[0] != "evaluations":
        return
    parameters = certificate.get("parameters", {})
    for attack in parameters.get("attacks", []):
        for checkpoint, _ in parameters["checkpoints"]:
            if checkpoint in BEST or not attack["best_only"]:
                yield place.parent, checkpoint, attack["name"], attack["samples"]


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _names(devices: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(sorted({device[key] for device in devices if device.get(key)}))


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
