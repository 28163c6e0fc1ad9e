"""A dataset of sixty test images and two checkpoints of a run on it, whose evaluations take a fraction of a second."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SPEC as RUN
from tiny import dataset

from robustlens.evaluation import kept, suite
from robustlens.evaluation.kept import asked_for
from robustlens.evaluation.suite import evaluate_suite, index
from robustlens.models.weights import build, save_weights
from robustlens.provenance import Certificate

IMAGES = 60
CHECKPOINTS = ("best", "last")


def an_attack(name: str, steps: int, samples: int | None = None, best_only: bool = False, code: str = "a") -> dict:
    parameters = {"steps": steps} if steps else {}
    own = {"name": name, "family": "pgd" if steps else "clean", "parameters": parameters, "code": code}
    return own | {"samples": samples, "best_only": best_only}


SPEC = {name: RUN[name] for name in ("dataset", "recipe", "seed", "architecture")} | {
    "suite": "robustness",
    "threat": {"name": "linf-4-16", **RUN["threat"]},
    "batch_size": 25,
    "checkpoints": [[name, name] for name in CHECKPOINTS],
    "attacks": [an_attack("clean", 0), an_attack("pgd2", 2), an_attack("pgd3", 3, samples=12, best_only=True)],
    "code": "0123456789ab",
}
FILES = ["best/clean", "best/pgd2", "best/pgd3.12", "last/clean", "last/pgd2"]


class House:
    """A dataset, two checkpoints of a run, and what is computed in the evaluations below."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.data, self.state = folder, folder / "data", folder / "state"
        dataset(self.data)
        for number, name in enumerate(CHECKPOINTS):
            self.weights(name, number)
        self.attacked: list[str] = []
        self.devices = 0
        self._attack_split = suite.attack_split
        monkeypatch.setattr(suite, "attack_split", self._counted)
        monkeypatch.setattr(suite, "use_device", self._use_device)
        monkeypatch.setattr(kept, "POLL_SECONDS", 0.01)

    def _counted(self, model: Any, split: Any, attack: Any, name: str, *rest: Any) -> Any:
        self.attacked.append(name)
        return self._attack_split(model, split, attack, name, *rest)

    @contextlib.contextmanager
    def _use_device(self, threads: int, arithmetic: str) -> Iterator[torch.device]:
        self.devices += 1
        yield torch.device("cpu")

    def weights(self, name: str, seed: int) -> None:
        torch.manual_seed(seed)
        save_weights(build(SPEC["architecture"], 1, 10).state_dict(), self.folder / f"run/{name}.safetensors")

    def place(self, spec: dict) -> Path:
        return self.folder / "evaluations" / spec["threat"]["name"]

    def evaluate(self, spec: dict = SPEC, threads: int = 1) -> dict:
        """The index; `attacked` has what was computed for it."""
        self.attacked.clear()
        weights = [self.folder / f"run/{file}.safetensors" for file in dict.fromkeys(f for _, f in spec["checkpoints"])]
        job = Certificate(spec, [self.data / "sheet.json", *weights])
        certificates = self.folder / "provenance/evaluations" / spec["threat"]["name"]
        evaluations = asked_for(spec, self.data, weights, self.place(spec), certificates)
        self.records = evaluate_suite(evaluations, job, self.data, self.state, threads, save_every=0)
        return index(spec, evaluations, self.records, self.place(spec))

    def contents(self) -> dict[str, bytes]:
        folder = self.place(SPEC)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def changed(change: Callable[[dict], object]) -> dict:
    """The specification above after a change."""
    spec = copy.deepcopy(SPEC)
    change(spec)
    return spec
