"""The training of a classifier, on natural or on attacked images: one step, and what is measured after each epoch."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner, frozen
from robustlens.learning.method import Attacked, Batch, Epoch, Method, batch_of
from robustlens.learning.statistics import ClassCounts, ClassStatistics
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build
from robustlens.parameters import create, fraction
from robustlens.seeds import derive, generator
from robustlens.training import optional
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.descent import Descent
from robustlens.training.engine import Engine
from robustlens.training.images import Images
from robustlens.training.parallel import Processes
from robustlens.training.schedule import Schedule
from robustlens.training.tracking import ENERGIES, Tracker, summarise

NATURAL_BATCH = 500  # images that hooks between epochs look at at once


class Classification:
    """What a run's specification asks for (see `rules/train.smk`): architecture, method, training, threat, tracking."""

    def __init__(self, spec: dict, data: PreparedDataset, processes: Processes, device: torch.device):
        self.settings, self.seed, self.device, self.processes = spec["training"], spec["seed"], device, processes
        self.threat = Threat(spec["threat"]["norm"], *(fraction(spec["threat"][k]) for k in ("epsilon", "step_size")))
        self.method = create("methods", spec["method"]["name"], spec["method"]["parameters"])
        self.attack = self.method.attack(self.settings["attack_steps"])
        self.train, self.validation = (Images(data.splits[name], device) for name in ("train", "validation"))
        if not (len(self.train) and len(self.validation)):
            raise RobustlensError(
                f"{spec['dataset']} is prepared without training or validation images; raise `splits.train` and "
                "`splits.validation` in config.yaml"
            )
        self.images, self.classes = len(self.train), data.classes
        self.learner, self.engine = self._learner(spec, data)
        self.network = self.learner.network
        self.trained = (self.network, self.learner.parts)
        self.averaging = optional.averaging(spec, self.network)
        self.perturbation = optional.perturbation(spec, self.learner, processes)
        self.descent = Descent(self.learner, self.settings["weight_decay"], fused=device.type == "cuda")
        self.steps_per_epoch = math.ceil(self.images / self.settings["batch_size"])
        self.schedule = Schedule(self.settings, self.steps_per_epoch)
        # Each process adds to its own row: a run that resumes goes on with the very numbers.
        self.loss_sum = torch.zeros(processes.count, device=device)
        self.counts = ClassCounts(processes.count, data.classes).to(device)
        self.statistics: dict[str, ClassStatistics] = {}
        self.history: list[dict[str, Any]] = []
        self.energies: dict[str, Tensor] = {}
        self.best, self.best_epoch, self.best_accuracy = self._weights(self.network), 0, -1.0

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

    def _learner(self, spec: dict, data: PreparedDataset) -> tuple[Learner, Engine]:
        network, parts, engine = fresh(spec, self.method, data, self.device)
        placed = {name: engine.place(part, self.device) for name, part in parts.items()}
        memory = self.method.memory(data.classes).to(self.device)
        return Learner(engine.place(network, self.device), placed, memory, runner=engine.fast), engine

    # Steps ----------------------------------------------------------------------------------------------------------

    def before_epoch(self, epoch: int) -> None:
        self.method.before_epoch(self.learner, self._moment(epoch, "before epoch"))
        self.processes.take_from_first(self.learner)

    def step(self, batch: Tensor, epoch: int, number: int) -> None:
        where = self.processes.share(batch)
        # The random numbers of this step in this process follow from the seed, so that no state of them is kept.
        random = generator(self.seed, "steps", number, self.processes.rank, device=self.device)
        x, y = self._augmented(where, random), self.train.y[where]
        found = self._attacked(self.learner, x, y, self.train.y[batch], random)
        seen = batch_of(x, y, found, epoch, self.processes.mean)
        self.learner.train()
        with self.perturbation.around_step(lambda: self._loss(seen, len(batch)).sum(), epoch):
            self.descent.clear_gradients()
            with self.learner.watching(natural=seen.x, adversarial=seen.x_adv) as logits:
                losses = self._loss(seen, len(batch))
            losses.sum().backward()
            self.processes.average_gradients(self.learner)
            for module in self.trained:
                self.processes.average_statistics(module)
            self.descent.step(*self.schedule.rates(number))
        self.method.after_step(self.learner, seen)
        self.averaging.after_step(self.network, epoch, number + 1)
        self.loss_sum[self.processes.rank] += losses.detach().sum() * (len(batch) / self.processes.count)
        self.counts.add(self.processes.rank, logits, y)

    def _loss(self, batch: Batch, whole: int) -> Tensor:
        """(B,): its sum, averaged over the processes, is the mean loss of the whole batch of so many images."""
        terms = self.method.loss(self.learner, batch)
        losses = sum(terms.values()) if isinstance(terms, dict) else terms
        return losses * (self.processes.count / whole)

    def _augmented(self, where: Tensor, random: torch.Generator) -> Tensor:
        """The training images at positions `where`, each cropped and flipped at random."""
        x, chosen = self.train.whole(where), self.settings["augmentation"]
        mode = chosen.get("padding", "zero")
        return crop_and_flip(x, chosen["crop_padding"], chosen["flip"], random, self.train.crop, mode)

    def _attacked(
        self, learner: Learner, x: Tensor, y: Tensor, whole: Tensor, random: torch.Generator
    ) -> Tensor | Attacked:
        """What the method's attack makes of a batch. whole: the labels of all of it, in all processes."""
        if self.attack is None:
            return x
        learner.train(self.settings["attack_batchnorm"] == "train")
        with frozen(learner):
            return self.attack(learner, x, y, self.method.threat(self.threat, y, whole, learner.memory), random)

    # Epochs ---------------------------------------------------------------------------------------------------------

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        train_loss = float(self.processes.sum(self.loss_sum).sum()) / self.images
        self._check_finite(epoch, train_loss)
        sums = {name: self.processes.sum(buffer) for name, buffer in self.counts.named_buffers()}
        self.statistics = self.counts.result(sums)
        self.method.after_epoch(self.learner, self._moment(epoch, "after epoch"))
        self.processes.take_from_first(self.learner)
        self._check_finite(epoch, train_loss)
        if self.processes.first:
            first_rate, _ = self.schedule.rates((epoch - 1) * self.steps_per_epoch)
            self._track(epoch, {"learning_rate": first_rate, "train_loss": train_loss, "train_images": self.images})
        self.loss_sum.zero_()
        self.counts.clear()
        return self.history[-1] if self.processes.first else {}

    def _check_finite(self, epoch: int, train_loss: float) -> None:
        finite = all(tensor.isfinite().all() for module in self.trained for tensor in module.state_dict().values())
        if not (math.isfinite(train_loss) and finite):
            what = "weights that are not finite" if math.isfinite(train_loss) else f"a training loss of {train_loss}"
            raise RobustlensError(
                f"epoch {epoch} ended with {what}: the run diverged; lower `learning_rate` "
                f"(now {self.settings['learning_rate']}) or the method's weights in config.yaml"
            )

    def _moment(self, epoch: int, when: str) -> Epoch:
        return Epoch(
            epoch,
            self.threat,
            generator(self.seed, when, epoch, device=self.device),
            self.statistics,
            train=lambda: _in_order(self.train),
            validation=lambda: _in_order(self.validation),
            augmented=lambda: self._shuffled(generator(self.seed, when, "augmented", epoch, device=self.device)),
        )

    def _shuffled(self, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(self.images, generator=random, device=self.device)
        for where in order.split(self.settings["batch_size"]):
            yield self._augmented(where, random), self.train.y[where]

    def _track(self, epoch: int, settings: dict) -> None:
        followed = self.averaging.followed(self.network)
        model = InferenceModel(self.method.deployed(followed))
        for tracker in self.trackers:
            measured = tracker.measure(model)
            self.history.append(
                {"epoch": epoch, "split": tracker.split, **settings, **summarise(measured, self.classes)}
            )
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        accuracy = self.history[-1]["robust_accuracy" if self.attack else "clean_accuracy"]
        if accuracy > self.best_accuracy:
            self.best, self.best_epoch, self.best_accuracy = self._weights(followed), epoch, accuracy

    def _weights(self, network: nn.Module) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in self.method.deployed(network).state_dict().items()}

    # State ----------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        parts = {
            "learner": self.learner.state_dict(),
            "best": self.best,
            "velocity": self.descent.velocities,
            "energies": self.energies,
            "average": self.averaging.state(),
            "counts": {name: self.processes.sum(t) for name, t in self.counts.named_buffers()},
            "statistics": {f"{kind}.{k}": t for kind, s in self.statistics.items() for k, t in vars(s).items()},
            "loss": {"sum": self.processes.sum(self.loss_sum)},
        }
        return {f"{part}.{name}": t for part, tensors in parts.items() for name, t in tensors.items()}

    def record(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_accuracy": self.best_accuracy, "history": self.history}

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        on_cpu = ("energies.", "average.n_averaged")
        tensors = {name: t if name.startswith(on_cpu) else t.to(self.device) for name, t in tensors.items()}

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}

        self.learner.load_state_dict(part("learner"))
        self.best, self.energies, self.descent.velocities = part("best"), part("energies"), part("velocity")
        self.averaging.load(part("average"))
        rank = self.processes.rank
        self.loss_sum[rank] = part("loss")["sum"][rank]
        for name, buffer in self.counts.named_buffers():
            buffer[rank] = part("counts")[name][rank]
        kinds: dict[str, dict[str, Tensor]] = {}
        for name, tensor in part("statistics").items():
            kind, _, key = name.partition(".")
            kinds.setdefault(kind, {})[key] = tensor
        self.statistics = {kind: ClassStatistics(**values) for kind, values in kinds.items()}
        self.best_epoch, self.best_accuracy, self.history = (
            record[key] for key in ("best_epoch", "best_accuracy", "history")
        )

    # What a finished training leaves --------------------------------------------------------------------------------

    def last(self, batches: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The weights at the end. The BatchNorm statistics of an SWA average are estimated on the training images of
        these batches, attacked as in training (as in the released code of AR-AT); those that the attack itself needs,
        on natural images."""
        final = self.averaging.final(self.network)
        if self.averaging.name == "swa" and final is not self.network:
            natural = self._with_statistics(final, batches, None)
            natural = Learner(natural, dict(self.learner.parts), self.learner.memory, runner=self.engine.fast)
            final = self._with_statistics(final, batches, natural)
        return self.method.deployed(final).state_dict()

    def _with_statistics(self, network: nn.Module, batches: tuple[Tensor, ...], attacked: Learner | None) -> nn.Module:
        """A copy of the network with BatchNorm statistics of training images, attacked with a learner or natural: their
        mean over the batches."""
        network = self.averaging.with_fresh_batchnorm(network)
        fast = self.engine.fast(network)
        for step, batch in enumerate(batches):
            where = self.processes.share(batch)
            random = generator(self.seed, "statistics", step, self.processes.rank, device=self.device)
            x, y = self._augmented(where, random), self.train.y[where]
            if attacked is not None:
                found = self._attacked(attacked, x, y, self.train.y[batch], random)
                x = found.x_adv if isinstance(found, Attacked) else found
            with torch.no_grad():
                fast.train()(x)
        self.processes.average_statistics(network)
        return network

    def energy_table(self) -> pd.DataFrame:
        """The energies of each image at the chosen epochs, in the order of epochs, splits and images."""
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


def fresh(
    spec: dict, method: Method, data: PreparedDataset, device: torch.device
) -> tuple[nn.Module, dict[str, nn.Module], Engine]:
    """The classifier of a run and what is trained with it, with fresh weights, and how they are run."""

    def built(architecture: dict = spec["architecture"]) -> nn.Module:
        return build(architecture, data.channels, data.classes)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(spec["seed"], "weights"))
        network = method.network(built)
        parts = method.parts(network, built)
    return network, parts, Engine.choose(spec["training"], device, nn.ModuleList([network, *parts.values()]))


def _in_order(images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    for where in torch.arange(len(images), device=images.device).split(NATURAL_BATCH):
        yield images.batch(where), images.y[where]
