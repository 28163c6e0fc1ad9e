"""Evaluations that are kept: one attack on one checkpoint of a run under one threat, in a Parquet file of its own.

The file and its certificate are not outputs of a job, because Snakemake deletes outputs before a job starts. The
certificate says whether an evaluation can be used again.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from robustlens import arithmetic
from robustlens.console import log
from robustlens.data.prepared import checksum, load
from robustlens.errors import RobustlensError
from robustlens.evaluation.checkpoints import BEST
from robustlens.lock import take

OF_RUN = ("dataset", "recipe", "seed", "architecture", "threat", "batch_size")
OF_ATTACK = ("name", "family", "parameters")
POLL_SECONDS = 1.0
UNREADABLE = (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError)  # what a damaged certificate raises


@dataclass(frozen=True)
class Evaluation:
    """One attack on one checkpoint of a run under one threat.

    parameters: all that decides its rows except the inputs, as in its certificate. file: the Parquet file. weights: of
    this checkpoint, or of several by name.
    """

    parameters: dict
    weights: Path
    sheet: Path
    file: Path
    certificate: Path

    @property
    def name(self) -> str:
        """As messages show it: `seed0 best pgd20`."""
        own = self.parameters
        return f"seed{own['seed']} {own['checkpoint']} {own['attack']['name']}"

    @property
    def within(self) -> str | None:
        """Which of the checkpoints in its file of weights it is; None: the file has one."""
        return None if self.parameters["checkpoint"] == self.weights.stem else self.parameters["checkpoint"]

    @property
    def key(self) -> str:
        """Its name among the evaluations of all runs: no part of it can hold an underscore."""
        run = self.parameters
        place = (run["dataset"], run["recipe"], f"seed{run['seed']}", run["threat"]["name"], run["checkpoint"])
        return "_".join((*place, self.file.stem))


def asked_for(spec: dict, data: Path, weights: Sequence[Path], folder: Path, certificates: Path) -> list[Evaluation]:
    """The evaluations of a suite, in its order: checkpoint by checkpoint, attack by attack.

    spec: of the job; it names each checkpoint and its file of weights, which may have several. data: folder of the
    prepared dataset. weights: those files. folder: where the evaluations of the run under the threat are; certificates:
    where theirs are. Evaluations of a subset of the test images have its size in their file's name.
    """
    of_run = [*OF_RUN, *(["crop"] if "crop" in spec else [])]
    images = load(data, [], spec.get("crop")).sheet["sizes"]["test"]
    files, found = {file.stem: file for file in weights}, []
    for checkpoint, file in spec["checkpoints"]:
        for attack in spec["attacks"]:
            if attack["best_only"] and checkpoint not in BEST:
                continue
            samples = min(attack["samples"] or images, images)
            place = f"{checkpoint}/{attack['name']}" + (f".{samples}" if samples < images else "")
            parameters = {name: spec[name] for name in of_run} | {
                "checkpoint": checkpoint,
                "attack": {name: attack[name] for name in OF_ATTACK} | {"samples": samples},
                "arithmetic": arithmetic.of(spec),
                "code": attack["code"],
            }
            table, certificate = folder / f"{place}.parquet", certificates / f"{place}.json"
            found.append(Evaluation(parameters, files[file], data / "sheet.json", table, certificate))
    return found


def of_each_seed(spec: dict, *inputs: Sequence[Path]) -> list[tuple[dict, list[Path]]]:
    """The specs that jobs for one seed would have, and the inputs of each, of a job for one or several seeds.

    spec: with a `seed` or several `seeds`. inputs: of each kind those of the first seed, then as many of the next, and
    so on.
    """
    seeds = spec["seeds"] if "seeds" in spec else [spec["seed"]]
    of_all = {name: value for name, value in spec.items() if name != "seeds"}
    like = type(spec)  # a `Spec` names what is missing

    def own(number: int) -> list[Path]:
        each = [len(files) // len(seeds) for files in inputs]
        return [file for files, n in zip(inputs, each, strict=True) for file in files[number * n : (number + 1) * n]]

    return [(like(of_all | {"seed": seed}), own(number)) for number, seed in enumerate(seeds)]


def kept(evaluation: Evaluation, inputs: Mapping[str, str]) -> dict | None:
    """The certificate of an evaluation that can be used again; None if it has to be made.

    It can if it has the same parameters, was made from the same files and is still the file that was made. The device
    it was computed on does not matter, as for a finished training; its certificate names it.
    inputs: today's SHA-256 by file.
    Raises RobustlensError for a file that was altered since it was made.
    """
    try:
        record = json.loads(evaluation.certificate.read_bytes())
        today = {file.name: inputs[str(file)] for file in (evaluation.sheet, evaluation.weights)}
        same = (record["parameters"], _by_name(record["inputs"])) == (evaluation.parameters, today)
        made = _by_name(record["outputs"])[evaluation.file.name]
    except UNREADABLE:
        return None
    if not (same and evaluation.file.exists()):
        return None
    if checksum(evaluation.file) != made:
        raise RobustlensError(
            f"{evaluation.file}: not the file that was made (its SHA-256 differs from {evaluation.certificate}); "
            "delete it and run the same command again"
        )
    return record


def _by_name(files: dict[str, str]) -> dict[str, str]:
    """Results that were moved keep their certificates."""
    return {Path(file).name: digest for file, digest in files.items()}


@contextlib.contextmanager
def turn(file: Path, what: str) -> Iterator[None]:
    """Inside, this process alone has that lock file. If another one has it, wait until it is released, and say so.

    The lock is the operating system's: it ends with its process. The file is deleted in the end.
    Raises RobustlensError if it can't be written.
    """
    lock, waiting = _taken(file), False
    while lock is None:
        if not waiting:
            log.warning("%s is being evaluated by another process; waiting for it (lock: %s)", what, file)
            waiting = True
        time.sleep(POLL_SECONDS)
        lock = _taken(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # before the lock is released: see _taken
        lock.close()


def _taken(file: Path) -> TextIO | None:
    """The locked file, None if another process has it, or had it until just now and deleted it: a lock on a file that
    is no longer in the folder would not keep out processes that create it again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = take(file)
    except BlockingIOError:
        return None
    except OSError as error:
        raise RobustlensError(f"{file}: can't be written ({error.strerror}); make it writable") from error
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(file), os.fstat(lock.fileno())):
            return lock
    lock.close()
    return None
