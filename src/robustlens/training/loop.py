"""The one training loop.

A run is a pure function of its specification and the data: every random number comes from streams derived from the
seed, and everything that changes from step to step is in the saved state. So a run that was stopped anywhere and
resumed gives the same bytes as one that was not.
"""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build
from robustlens.parameters import create, fraction
from robustlens.seeds import derive, generator
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.schedule import build_schedule
from robustlens.training.state import RunState
from robustlens.training.tracking import ENERGIES, Tracker, summarise

SAVE_EVERY_SECONDS = 300.0


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, the parameters ask for no gradient: an attack then costs two forward passes a step, not three."""
    model.requires_grad_(False)
    try:
        yield
    finally:
        model.requires_grad_(True)


class Interrupted(RobustlensError):
    """The run was asked to stop; its state is saved."""


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run leaves.

    best, last: weights of the epoch with the highest robust accuracy on the validation split (the first of equal ones)
        and of the last epoch. A method without an attack is most robust before it has learnt anything: there `best` is
        chosen by clean accuracy. history: two rows an epoch (train subset, validation). energies: per sample, at the
        chosen epochs. timing: seconds and images/s of each epoch, the only part that differs between repeats.
    """

    best: dict[str, Tensor]
    last: dict[str, Tensor]
    best_epoch: int
    history: pd.DataFrame
    energies: pd.DataFrame
    timing: pd.DataFrame


@dataclass
class Progress:
    """What changes from step to step besides the network and the optimiser; saved as JSON."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    learning_rate: float = 0.0  # of the epoch's first step, for the history
    history: list[dict] = field(default_factory=list)
    timing: list[dict] = field(default_factory=list)
    seconds: float = 0.0


class Training:
    """One run, ready to go on from wherever its state says.

    spec: the resolved specification of the run (see `rules/train.smk`): seed, architecture, method, training,
        threat, tracking.
    stop: asked after every step; True saves the state and raises Interrupted.
    report: called with (epoch, epochs, latest history row) after every epoch.
    """

    def __init__(
        self,
        spec: dict,
        data: PreparedDataset,
        state: RunState,
        device: torch.device,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, int, dict], None] = lambda *_: None,
    ):
        self.settings, self.seed, self.state, self.device = spec["training"], spec["seed"], state, device
        self.stop, self.report = stop, report
        self.threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
        self.method = create("methods", spec["method"]["name"], spec["method"]["parameters"])
        self.attack = self.method.attack(self.settings["attack_steps"])
        self.x, self.y, _ = self._on_device(data.splits["train"])

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "weights"))
            model = build(spec["architecture"], data.channels, data.classes)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=self.settings["learning_rate"],
            momentum=self.settings["momentum"],
            weight_decay=self.settings["weight_decay"],
        )
        self.steps_per_epoch = math.ceil(len(self.y) / self.settings["batch_size"])
        self.schedule = build_schedule(
            self.settings["schedule"], self.optimizer, self.settings["epochs"], self.steps_per_epoch
        )
        self.random = generator(self.seed, "steps", device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.best = {name: t.clone() for name, t in self.model.state_dict().items()}
        self.energies: dict[str, Tensor] = {}
        self.progress = Progress()

        tracking = spec["tracking"]
        self.trackers = [
            Tracker(
                split,
                *self._on_device(data.splits[split], tracking["train_samples"] if split == "train" else None),
                attack=PGD(steps=tracking["attack_steps"]),
                threat=self.threat,
                seed=self.seed,
                batch_size=tracking["batch_size"],
            )
            for split in ("train", "validation")
        ]
        self.energy_epochs = set(tracking["energy_epochs"])

    def run(self) -> TrainedRun:
        """Train to the end. Raises Interrupted when asked to stop, RobustlensError for a loss that is not finite."""
        self._restore()
        self.saved_at = time.monotonic()
        while self.progress.epoch < self.settings["epochs"]:
            self._epoch()
        return TrainedRun(
            best=self.best,
            last=self.model.state_dict(),
            best_epoch=self.progress.best_epoch,
            history=pd.DataFrame(self.progress.history),
            energies=self._energy_table(),
            timing=pd.DataFrame(self.progress.timing),
        )

    def _epoch(self) -> None:
        now, epoch, started = self.progress, self.progress.epoch + 1, time.monotonic()
        order = torch.randperm(len(self.y), generator=generator(self.seed, "order", epoch)).to(self.device)
        batches = order.split(self.settings["batch_size"])
        if now.step == 0:
            now.learning_rate = self.optimizer.param_groups[0]["lr"]
        while now.step < len(batches):
            self._step(self.x[batches[now.step]], self.y[batches[now.step]], epoch)
            now.step += 1
            if self.stop() or time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS:
                now.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save()
                if self.stop():
                    raise Interrupted(f"asked to stop in epoch {epoch}; the state is saved in {self.state.folder}")

        now.seconds += time.monotonic() - started
        train_loss = float(self.loss_sum) / len(self.y)
        finite = all(tensor.isfinite().all() for tensor in self.model.state_dict().values())
        if not (math.isfinite(train_loss) and finite):
            what = "weights that are not finite" if math.isfinite(train_loss) else f"a training loss of {train_loss}"
            raise RobustlensError(
                f"epoch {epoch} ended with {what}: the run diverged; lower `learning_rate` "
                f"(now {self.settings['learning_rate']}) or the method's weights in config.yaml"
            )
        self._track(epoch, {"learning_rate": now.learning_rate, "train_loss": train_loss})
        now.timing.append({"epoch": epoch, "seconds": now.seconds, "images_per_second": len(self.y) / now.seconds})
        now.epoch, now.step, now.seconds = epoch, 0, 0.0
        self.loss_sum.zero_()
        self._save()
        self.report(epoch, self.settings["epochs"], now.history[-1])

    def _step(self, x: Tensor, y: Tensor, epoch: int) -> None:
        augmentation = self.settings["augmentation"]
        x = crop_and_flip(x, augmentation["crop_padding"], augmentation["flip"], self.random)
        x_adv = x
        if self.attack is not None:
            self.model.train(self.settings["attack_batchnorm"] == "train")
            with frozen(self.model):
                x_adv = self.attack(self.model, x, y, self.threat, self.random)
        self.model.train()
        loss = self.method.loss(self.model, x, x_adv, y, epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.loss_sum += loss.detach() * len(y)

    def _track(self, epoch: int, settings: dict) -> None:
        now = self.progress
        model = InferenceModel(self.model)
        for tracker in self.trackers:
            measured = tracker.measure(model)
            now.history.append({"epoch": epoch, "split": tracker.split, **settings, **summarise(measured)})
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        accuracy = now.history[-1]["robust_accuracy" if self.attack else "clean_accuracy"]
        if accuracy > now.best_accuracy:
            now.best_accuracy, now.best_epoch = accuracy, epoch
            self.best = {name: t.clone() for name, t in self.model.state_dict().items()}

    def _energy_table(self) -> pd.DataFrame:
        """The per-sample energies of the chosen epochs, in the order of epochs, splits and images."""
        tables = []
        for epoch in sorted(self.energy_epochs):
            for tracker in self.trackers:
                table = pd.DataFrame(self.energies[f"{epoch}.{tracker.split}"].numpy(), columns=list(ENERGIES))
                table.insert(0, "label", tracker.y.cpu().numpy())
                table.insert(0, "index", tracker.index.cpu().numpy())
                table.insert(0, "split", tracker.split)
                table.insert(0, "epoch", epoch)
                tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _save(self) -> None:
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        optimizer = self.optimizer.state_dict()
        for number, slots in optimizer["state"].items():
            if slots.get("momentum_buffer") is not None:
                tensors[f"momentum.{number}"] = slots["momentum_buffer"]
        tensors |= {f"energies.{key}": t for key, t in self.energies.items()}
        tensors |= {"random": self.random.get_state(), "loss_sum": self.loss_sum}
        schedule = {k: v for k, v in self.schedule.state_dict().items() if isinstance(v, (int, float, list, bool))}
        record = {"progress": vars(self.progress), "groups": optimizer["param_groups"], "schedule": schedule}
        self.state.save(tensors, record)
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        saved = self.state.load()
        if saved is None:
            return
        tensors, record = saved
        on_cpu = ("random", "energies.")
        tensors = {name: t if name.startswith(on_cpu) else t.to(self.device) for name, t in tensors.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.best, self.energies = part("best."), part("energies.")
        momentum = {int(number): {"momentum_buffer": t} for number, t in part("momentum.").items()}
        self.optimizer.load_state_dict({"state": momentum, "param_groups": record["groups"]})
        self.schedule.load_state_dict(record["schedule"])
        self.random.set_state(tensors["random"])
        self.loss_sum = tensors["loss_sum"]
        self.progress = Progress(**record["progress"])

    def _on_device(self, split: Split, count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        images = torch.from_numpy(split.images[:count].copy()).to(self.device)
        labels, index = (torch.from_numpy(part[:count].copy()).to(self.device) for part in (split.labels, split.index))
        return images, labels, index


def run_digest(spec: dict, data: PreparedDataset) -> str:
    """Sixteen hexadecimal digits over all that defines a run: its specification (with the digest of the code it uses)
    and the checksums of the data."""
    text = json.dumps([spec, data.sheet["sha256"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_folder(root: Path, spec: dict, digest: str) -> Path:
    """`root`/<dataset>-<recipe>-seed<k>-<digest>."""
    return Path(root) / f"{spec['dataset']}-{spec['recipe']}-seed{spec['seed']}-{digest}"
