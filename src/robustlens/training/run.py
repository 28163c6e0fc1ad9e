"""One run of the workflow: a classifier trained from its specification."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import torch

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.training.classification import Classification
from robustlens.training.engine import Engine
from robustlens.training.loop import Loop
from robustlens.training.parallel import Processes
from robustlens.training.result import TrainedRun, statistics_table
from robustlens.training.state import RunState


class Training:
    """One run, ready to start, or to resume where its saved state ends.

    spec: the resolved specification of the run (see `rules/train.smk`): seed, architecture, method, training,
        threat, tracking.
    stop: asked after every step; True saves the state and raises Interrupted.
    report: called with (epoch, epochs, its last row of the history, or that row's facts where it isn't measured) after
        every epoch.
    pool, weights: see `Classification`.
    """

    def __init__(
        self,
        spec: dict,
        data: PreparedDataset,
        state: RunState,
        device: torch.device,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, int, dict], None] = lambda *_: None,
        pool: Split | None = None,
        weights: Mapping[str, Path] = MappingProxyType({}),
    ):
        processes = Processes(device)  # before anything is put on a GPU: it may still be another job's
        settings = spec["training"]
        self.task = Classification(spec, data, processes, device, pool, weights)
        self.loop = Loop(
            self.task, settings["epochs"], settings["batch_size"], spec["seed"], state, processes, stop, report
        )

    def run(self) -> TrainedRun:
        """Train to the end. Where several processes train together, only the first measures; the others return only the
        last weights.

        Raises Interrupted when asked to stop, RobustlensError for a loss that is not finite.
        """
        task, loop = self.task, self.loop
        loop.run()
        with torch.random.fork_rng(devices=[loop.device] if loop.device.type == "cuda" else []):
            last = task.last(loop.batches(loop.epochs + 1))
        followed = task.following
        for name, network in last.further.items():
            followed.keep(f"last-{name}", network)
        return TrainedRun(
            best=followed.best,
            last=last.tracked.state_dict(),
            checkpoints=followed.checkpoints,
            chosen=followed.chosen,
            history=pd.DataFrame(followed.history),
            energies=followed.energy_table() if loop.processes.first else pd.DataFrame(),
            statistics=statistics_table(task.observing.rows),
            timing=pd.DataFrame(loop.progress.timing),
            devices=loop.progress.devices,
        )


def run_digest(
    spec: dict,
    data: PreparedDataset,
    engine: Engine,
    processes: int,
    device: torch.device,
    others: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Sixteen hexadecimal digits over all that defines a run: its specification (with the digest of the code it uses),
    how and on what kind of device it is computed (sums on a processor depend on its threads), and the checksums of the
    data.

    others: the SHA-256 of what else it is made from, by name: weights of other runs, a pool of generated images.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else None
    facts = [spec, engine.facts(), processes, device.type, threads, data.sheet["sha256"], dict(others)]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_folder(root: Path, spec: dict, digest: str) -> Path:
    """`root`/<dataset>-<recipe>-seed<k>-<digest>."""
    return Path(root) / f"{spec['dataset']}-{spec['recipe']}-seed{spec['seed']}-{digest}"
