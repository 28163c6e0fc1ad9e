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
from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build
from robustlens.parameters import create, fraction
from robustlens.provenance import device_facts
from robustlens.seeds import derive, generator
from robustlens.training import optional
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.descent import Descent
from robustlens.training.engine import Engine, FastNetwork
from robustlens.training.images import Images
from robustlens.training.parallel import Processes, Questions
from robustlens.training.result import TrainedRun
from robustlens.training.schedule import Schedule
from robustlens.training.state import RunState
from robustlens.training.tracking import ENERGIES, Tracker, summarise

SAVE_EVERY_SECONDS = 300.0
# Where several processes train together, they ask each other this often whether to stop; one process checks every step.
SECONDS_BETWEEN_QUESTIONS = 0.25


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, the parameters need no gradient: an attack then costs two forward passes per step, not three."""
    model.requires_grad_(False)
    try:
        yield
    finally:
        model.requires_grad_(True)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, PyTorch's global generators, which dropout draws from, start from `seed`; after it they are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class Interrupted(RobustlensError):
    """The run was asked to stop; its state is saved."""


@dataclass
class Progress:
    """What changes from step to step besides the network and its velocities; saved as JSON."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    history: list[dict] = field(default_factory=list)
    timing: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    devices: list[dict] = field(default_factory=list)


class Training:
    """One run, ready to start, or to resume where its saved state ends.

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
        self.processes = Processes(device)  # before anything is put on a GPU: it may still be another job's
        self.images = Images(data.splits["train"], device)
        if not (len(self.images) and len(data.splits["validation"].labels)):
            raise RobustlensError(
                f"{spec['dataset']} is prepared without training or validation images; raise `splits.train` and "
                "`splits.validation` in config.yaml"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "weights"))
            model = build(spec["architecture"], data.channels, data.classes)
        self.engine = Engine.choose(self.settings, device, model)
        self.model = self.engine.place(model, device)
        self.fast = self.engine.fast(self.model)
        self.averaging = optional.averaging(spec, self.model)
        self.perturbation = optional.perturbation(spec, self.model, self.processes)
        self.descent = Descent(self.model, self.settings["weight_decay"], fused=device.type == "cuda")
        last_batch = len(self.images) % self.settings["batch_size"] or self.settings["batch_size"]
        if last_batch < self.processes.count:
            raise RobustlensError(
                f"the last batch of an epoch has {last_batch} images for {self.processes.count} processes; "
                "change `batch_size` or the size of the training split"
            )
        self.steps_per_epoch = math.ceil(len(self.images) / self.settings["batch_size"])
        self.schedule = Schedule(self.settings, self.steps_per_epoch)
        self.loss_sum = torch.zeros(self.processes.count, device=device)  # each process adds to its own number
        self.best = {name: t.clone() for name, t in self.model.state_dict().items()}
        self.energies: dict[str, Tensor] = {}
        self.progress = Progress()

        tracking = spec["tracking"]
        self.trackers = [
            Tracker(
                split,
                Images(data.splits[split], device, tracking["train_samples"] if split == "train" else None),
                attack=PGD(steps=tracking["attack_steps"]),
                threat=self.threat,
                seed=self.seed,
                batch_size=tracking["batch_size"],
            )
            for split in ("train", "validation")
        ]
        epochs = self.settings["epochs"]  # a recipe may have fewer than its dataset's protocol
        self.energy_epochs = {epoch for epoch in tracking["energy_epochs"] if epoch <= epochs} or {epochs}

    def run(self) -> TrainedRun:
        """Train to the end. Where several processes train together, only the first measures; the others return only the
        last weights.

        Raises Interrupted when asked to stop, RobustlensError for a loss that is not finite.
        """
        self._restore()
        self.processes.wait()
        self.saved_at, self.questions = time.monotonic(), Questions(self.processes, SECONDS_BETWEEN_QUESTIONS)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            while self.progress.epoch < self.settings["epochs"]:
                self._epoch()
        return TrainedRun(
            best=self.best,
            last=self._last(),
            best_epoch=self.progress.best_epoch,
            history=pd.DataFrame(self.progress.history),
            energies=self._energy_table() if self.processes.first else pd.DataFrame(),
            timing=pd.DataFrame(self.progress.timing),
            devices=self.progress.devices,
        )

    def _epoch(self) -> None:
        now, epoch, started = self.progress, self.progress.epoch + 1, time.monotonic()
        if (here := device_facts()) not in now.devices:
            now.devices.append(here)
        batches = self._batches(epoch)
        while now.step < len(batches):
            with seeded(derive(self.seed, "dropout", self._steps_done(epoch), self.processes.rank), self.device):
                self._step(batches[now.step], epoch)
            now.step += 1
            if self._interrupted():
                now.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save()
                if self._stop_asked():
                    raise Interrupted(f"asked to stop in epoch {epoch}; the state is saved in {self.state.folder}")

        train_loss = float(self.processes.sum(self.loss_sum).sum()) / len(self.images)
        now.seconds += time.monotonic() - started
        finite = all(tensor.isfinite().all() for tensor in self.model.state_dict().values())
        if not (math.isfinite(train_loss) and finite):
            what = "weights that are not finite" if math.isfinite(train_loss) else f"a training loss of {train_loss}"
            raise RobustlensError(
                f"epoch {epoch} ended with {what}: the run diverged; lower `learning_rate` "
                f"(now {self.settings['learning_rate']}) or the method's weights in config.yaml"
            )
        if self.processes.first:
            first_rate, _ = self.schedule.rates((epoch - 1) * self.steps_per_epoch)
            facts = {"learning_rate": first_rate, "train_loss": train_loss, "train_images": len(self.images)}
            self._track(epoch, facts)
        speed = len(self.images) / now.seconds
        now.timing.append({"epoch": epoch, "seconds": now.seconds, "images_per_second": speed})
        now.epoch, now.step, now.seconds = epoch, 0, 0.0
        self.loss_sum.zero_()
        self._save()
        if self.processes.first:
            self.report(epoch, self.settings["epochs"], now.history[-1])

    def _batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Positions of the epoch's batches; the same in every process."""
        order = torch.randperm(len(self.images), generator=generator(self.seed, "order", epoch))
        return order.to(self.device).split(self.settings["batch_size"])

    def _step(self, batch: Tensor, epoch: int) -> None:
        where = self.processes.share(batch)
        x, y, random = self.images.batch(where), self.images.y[where], self._random(epoch)
        x = self._augmented(x, random)
        attacked = self._attacked(self.fast, x, y, random)
        self.fast.train()

        def batch_loss() -> Tensor:
            return self.method.loss(self.fast, x, attacked, y, epoch) * self.processes.loss_weight(
                len(where), len(batch)
            )

        with self.perturbation.around_step(batch_loss, epoch):
            self.descent.clear_gradients()
            loss = batch_loss()
            loss.backward()
            self.processes.average_gradients(self.model)
            self.processes.average_statistics(self.model)
            self.descent.step(*self.schedule.rates(self._steps_done(epoch)))
        self.averaging.after_step(self.model, epoch, self._steps_done(epoch) + 1)
        self.loss_sum[self.processes.rank] += loss.detach() * len(batch) / self.processes.count

    def _steps_done(self, epoch: int) -> int:
        return (epoch - 1) * self.steps_per_epoch + self.progress.step

    def _random(self, epoch: int) -> torch.Generator:
        """The random numbers of this step in this process: they follow from the seed, so that no state need be kept."""
        return generator(self.seed, "steps", self._steps_done(epoch), self.processes.rank, device=self.device)

    def _augmented(self, x: Tensor, random: torch.Generator) -> Tensor:
        augmentation = self.settings["augmentation"]
        return crop_and_flip(x, augmentation["crop_padding"], augmentation["flip"], random)

    def _attacked(
        self, network: FastNetwork, x: Tensor, y: Tensor, random: torch.Generator
    ) -> Tensor | tuple[Tensor, ...]:
        """What the method's attack makes of a batch: adversarial images, perhaps with more that its loss needs."""
        if self.attack is None:
            return x
        network.train(self.settings["attack_batchnorm"] == "train")
        with frozen(network):
            return self.attack(network, x, y, self.threat, random)

    def _interrupted(self) -> bool:
        """Whether it is time to save: when asked to stop, and every few minutes."""
        if not self.questions.due():
            return False
        return self._stop_asked() or self.processes.any(time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS)

    def _stop_asked(self) -> bool:
        return self.processes.any(self.stop())

    def _last(self) -> dict[str, Tensor]:
        """The weights at the end. The BatchNorm statistics of an SWA average are estimated on the training images,
        attacked as in training (as in the released code of AR-AT); those that the attack itself needs,
        on natural images."""
        final = self.averaging.final(self.model)
        if self.averaging.name == "swa" and final is not self.model:
            attacked = self.engine.fast(self._with_statistics(final, lambda x, y, random: x))

            def adversarial(x: Tensor, y: Tensor, random: torch.Generator) -> Tensor:
                found = self._attacked(attacked, x, y, random)
                return found[0] if isinstance(found, tuple) else found

            final = self._with_statistics(final, adversarial)
        return final.state_dict()

    def _with_statistics(
        self, network: nn.Module, seen: Callable[[Tensor, Tensor, torch.Generator], Tensor]
    ) -> nn.Module:
        """A copy of the network with BatchNorm statistics of `seen` training images: their mean over one epoch."""
        network = self.averaging.with_fresh_batchnorm(network)
        fast = self.engine.fast(network)
        for step, batch in enumerate(self._batches(self.settings["epochs"] + 1)):
            where = self.processes.share(batch)
            random = generator(self.seed, "statistics", step, self.processes.rank, device=self.device)
            x = seen(self._augmented(self.images.batch(where), random), self.images.y[where], random)
            with torch.no_grad():
                fast.train()(x)
        self.processes.average_statistics(network)
        return network

    def _track(self, epoch: int, settings: dict) -> None:
        now = self.progress
        followed = self.averaging.followed(self.model)
        model = InferenceModel(followed)
        for tracker in self.trackers:
            measured = tracker.measure(model)
            now.history.append({"epoch": epoch, "split": tracker.split, **settings, **summarise(measured)})
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        accuracy = now.history[-1]["robust_accuracy" if self.attack else "clean_accuracy"]
        if accuracy > now.best_accuracy:
            now.best_accuracy, now.best_epoch = accuracy, epoch
            self.best = {name: t.clone() for name, t in followed.state_dict().items()}

    def _energy_table(self) -> pd.DataFrame:
        """The per-sample energies of the chosen epochs, in the order of epochs, splits and images."""
        tables = []
        for epoch in sorted(self.energy_epochs):
            for tracker in self.trackers:
                table = pd.DataFrame(self.energies[f"{epoch}.{tracker.split}"].numpy(), columns=list(ENERGIES))
                table.insert(0, "label", tracker.images.y.cpu().numpy())
                table.insert(0, "index", tracker.images.index.cpu().numpy())
                table.insert(0, "split", tracker.split)
                table.insert(0, "epoch", epoch)
                tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _save(self) -> None:
        losses = self.processes.sum(self.loss_sum)
        if self.processes.first:
            self._write_state(losses)
        self.processes.wait()
        self.saved_at = time.monotonic()

    def _write_state(self, losses: Tensor) -> None:
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        tensors |= {f"velocity.{name}": t for name, t in self.descent.velocities.items()}
        tensors |= {f"energies.{key}": t for key, t in self.energies.items()}
        tensors |= {f"average.{name}": t for name, t in self.averaging.state().items()}
        tensors["loss_sum"] = losses
        self.state.save(tensors, {"progress": vars(self.progress)})

    def _restore(self) -> None:
        saved = self.state.load()
        if saved is None:
            return
        tensors, record = saved
        on_cpu = ("energies.", "average.n_averaged")
        tensors = {name: t if name.startswith(on_cpu) else t.to(self.device) for name, t in tensors.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.best, self.energies = part("best."), part("energies.")
        self.descent.velocities = part("velocity.")
        self.averaging.load(part("average."))
        self.loss_sum[self.processes.rank] = tensors["loss_sum"][self.processes.rank]
        self.progress = Progress(**record["progress"])


def run_digest(spec: dict, data: PreparedDataset, engine: Engine, processes: int, device: torch.device) -> str:
    """Sixteen hexadecimal digits over all that defines a run: its specification (with the digest of the code it uses),
    how and on what kind of device it is computed (sums on a processor depend on its threads), and the checksums of the
    data."""
    threads = torch.get_num_threads() if device.type == "cpu" else None
    facts = [spec, engine.facts(), processes, device.type, threads, data.sheet["sha256"]]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_folder(root: Path, spec: dict, digest: str) -> Path:
    """`root`/<dataset>-<recipe>-seed<k>-<digest>."""
    return Path(root) / f"{spec['dataset']}-{spec['recipe']}-seed{spec['seed']}-{digest}"
