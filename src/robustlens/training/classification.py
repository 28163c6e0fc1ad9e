"""The training of a classifier, on natural or on attacked images: one step, and what is done between epochs."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner, frozen
from robustlens.learning.method import Attacked, Batch, Epoch, Method, batch_of
from robustlens.learning.statistics import ClassCounts, ClassStatistics
from robustlens.parameters import create, fraction
from robustlens.seeds import generator
from robustlens.training import optional
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.descent import Descent
from robustlens.training.following import Deployed, Following
from robustlens.training.images import Images
from robustlens.training.networks import learner_of
from robustlens.training.optional import Part
from robustlens.training.parallel import Processes
from robustlens.training.schedule import Schedule


class Classification:
    """What a run's specification asks for (see `rules/train.smk`): architecture, method, training, threat, tracking.

    pool: generated images, for a recipe with a `mix`. weights: files of the runs that the recipe builds on, by the
    names in its `given`, and "start_from".
    """

    def __init__(
        self,
        spec: dict,
        data: PreparedDataset,
        processes: Processes,
        device: torch.device,
        pool: Split | None = None,
        weights: Mapping[str, Path] = MappingProxyType({}),
    ):
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
        self.tracked_together = spec["tracking"]["batch_size"]
        self.mixture = optional.mixture(spec, pool, self.images, processes)
        self.learner, self.engine = learner_of(spec, self.method, data, device, weights)
        self.network = self.learner.network
        self.trained = (self.network, *self.learner.parts.values())
        self.averaging = optional.averaging(spec, self.network)
        self.perturbation = optional.perturbation(spec, self.learner, processes)
        self.observing = optional.observing(spec, self.learner, processes)
        self.descent = Descent(
            self.learner, self.settings["weight_decay"], self.settings["nesterov"], fused=device.type == "cuda"
        )
        self.steps_per_epoch = math.ceil(self.images / self.settings["batch_size"])
        self._check_batches()
        self.schedule = Schedule(self.settings, self.steps_per_epoch)
        # Each process adds to its own row: a run that resumes goes on with the very numbers.
        self.loss_sum = torch.zeros(processes.count, device=device)
        self.counts = ClassCounts(processes.count, data.classes).to(device)
        self.statistics: dict[str, ClassStatistics] = {}
        followed = {"train": self.train.first(spec["tracking"]["train_samples"]), "validation": self.validation}
        untrained = self._deployed(self.network)
        self.following = Following(spec, followed, self.classes, self.threat, self.attack is not None, untrained)

    def _check_batches(self) -> None:
        """BatchNorm of features (B, d) can't train on a single image; that of maps can, if they have several pixels."""
        real = self.images % self.settings["batch_size"] or self.settings["batch_size"]
        parts = self.mixture.parts(self.train, torch.arange(real), self.steps_per_epoch - 1)
        fewest = sum(len(part.where) // self.processes.count for part in parts)
        if fewest < 2 and any(isinstance(module, nn.BatchNorm1d) for module in self.learner.modules()):
            raise RobustlensError(
                f"training.batch_size: of the last batch of an epoch of {self.images} images, {fewest} is left for a "
                "process, and BatchNorm of features needs two or more; change `batch_size`"
            )

    # Steps ----------------------------------------------------------------------------------------------------------

    def before_epoch(self, epoch: int) -> None:
        self.method.before_epoch(self.learner, self._moment(epoch, "before epoch"))
        self.processes.take_from_first(self.learner)

    def step(self, batch: Tensor, epoch: int, number: int) -> None:
        # The random numbers of this step in this process follow from the seed, so that no state of them is kept.
        random = generator(self.seed, "steps", number, self.processes.rank, device=self.device)
        drawn = self._drawn(self.mixture.parts(self.train, batch, number), random)
        found = self._attacked(self.learner, drawn.x, drawn.y, drawn.whole, random)
        real = None if drawn.real == len(drawn.x) else drawn.real
        seen = batch_of(drawn.x, drawn.y, found, epoch, real, partial(self._mean, drawn))
        self.learner.train()
        with self.perturbation.around_step(lambda: drawn.loss(self._terms(seen)), epoch):
            self.descent.clear_gradients()
            with self.learner.watching(natural=seen.x, adversarial=seen.x_adv) as logits:
                terms = self._terms(seen)
            self.observing.of_step(seen, terms, drawn.weights, number)
            loss = drawn.loss(terms)
            loss.backward()
            self.processes.average_gradients(self.learner)
            for module in self.trained:
                self.processes.average_statistics(module)
            self.descent.step(*self.schedule.rates(number))
        if type(self.method).after_step is not Method.after_step:
            self.method.after_step(self.learner, seen)
            self.processes.take_from_first(self.learner)
        self.averaging.after_step(self.network, epoch, number + 1)
        self.loss_sum[self.processes.rank] += loss.detach() * (len(batch) / self.processes.count)
        counted = {kind: values[: drawn.real] for kind, values in logits.items()}
        self.counts.add(self.processes.rank, counted, drawn.y[: drawn.real])

    def _mean(self, drawn: "Drawn", values: Tensor) -> Tensor:
        """Of numbers (B,) over the whole batch, each source weighed as in the loss."""
        if drawn.alike:
            return self.processes.mean(values)
        return self.processes.sum((values * drawn.weights).sum()) / self.processes.count

    def _drawn(self, parts: list[Part], random: torch.Generator) -> "Drawn":
        """This process's share of each part, one after another."""
        images, labels, weights, real = [], [], [], 0
        for part in parts:
            where = self.processes.share(part.where)
            x = self._augmented(part.images, where, random) if part.augmented else part.images.batch(where)
            images.append(x)
            labels.append(part.images.y[where])
            weights.append(x.new_full((len(where),), part.weight * self.processes.count / len(part.where)))
            real += len(where) if part.real else 0
        whole = torch.cat([part.images.y[part.where] for part in parts])
        return Drawn(torch.cat(images), torch.cat(labels), whole, torch.cat(weights), real, alike=len(parts) == 1)

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        terms = self.method.loss(self.learner, batch)
        return terms if isinstance(terms, dict) else {"loss": terms}

    def _augmented(self, images: Images, where: Tensor, random: torch.Generator) -> Tensor:
        """The images at positions `where`, each cropped and flipped at random."""
        x, chosen = images.whole(where), self.settings["augmentation"]
        return crop_and_flip(
            x, chosen["crop_padding"], chosen["flip"], random, images.crop, chosen.get("padding", "zero")
        )

    def _attacked(
        self, learner: Learner, x: Tensor, y: Tensor, whole: Tensor, random: torch.Generator
    ) -> Tensor | Attacked:
        """What the method's attack makes of a batch. whole: the labels of all of it, in all processes."""
        if self.attack is None:
            return x
        mode = self.settings["attack_batchnorm"]
        learner.train(mode != "eval")
        with frozen(learner), fixed_statistics(learner) if mode == "batch" else contextlib.nullcontext():
            return self.attack(learner, x, y, self.method.threat(self.threat, y, whole, learner.memory), random)

    # Epochs ---------------------------------------------------------------------------------------------------------

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        train_loss = float(self.processes.sum(self.loss_sum).sum()) / self.images
        self._check_finite(epoch, train_loss)
        sums = {name: self.processes.sum(buffer) for name, buffer in self.counts.named_buffers()}
        self.statistics = self.counts.result(sums)
        moment = self._moment(epoch, "after epoch")
        self.method.after_epoch(self.learner, moment)
        self.processes.take_from_first(self.learner)
        self._check_finite(epoch, train_loss)
        self.observing.of_epoch(moment)
        self.loss_sum.zero_()
        self.counts.clear()
        if not self.processes.first:
            return {}
        first_rate, _ = self.schedule.rates((epoch - 1) * self.steps_per_epoch)
        facts = {"learning_rate": first_rate, "train_loss": train_loss, "train_images": self.images}
        return self.following.follow(epoch, self._deployed(self.averaging.followed(self.network)), facts)

    def _deployed(self, network: nn.Module) -> Deployed:
        learner = self.learner if network is self.network else self.learner.with_network(network)
        further = self.method.also_deployed(learner)
        if sorted(further) != sorted(self.method.ALSO):
            raise RobustlensError(
                f"{type(self.method).__name__}.also_deployed: gives {sorted(further)}, but its ALSO names "
                f"{sorted(self.method.ALSO)}; make them agree"
            )
        return Deployed(self.method.deployed(learner), further)

    def _check_finite(self, epoch: int, train_loss: float) -> None:
        finite = all(tensor.isfinite().all() for tensor in self.learner.state_dict().values())
        if not (math.isfinite(train_loss) and finite):
            what = (
                "weights or numbers of the method that are not finite"
                if math.isfinite(train_loss)
                else f"a training loss of {train_loss}"
            )
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
            train=lambda: _in_order(self.train, self.tracked_together),
            validation=lambda: _in_order(self.validation, self.tracked_together),
            augmented=lambda: self._shuffled(generator(self.seed, when, "augmented", epoch, device=self.device)),
        )

    def _shuffled(self, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(self.images, generator=random, device=self.device)
        for where in order.split(self.settings["batch_size"]):
            yield self._augmented(self.train, where, random), self.train.y[where]

    # State ----------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        parts = {
            "learner": self.learner.state_dict(),
            "velocity": self.descent.velocities,
            "average": self.averaging.state(),
            "observers": self.observing.state(),
            "counts": {name: self.processes.sum(t) for name, t in self.counts.named_buffers()},
            "statistics": {f"{kind}.{k}": t for kind, s in self.statistics.items() for k, t in vars(s).items()},
            "loss": {"sum": self.processes.sum(self.loss_sum)},
            **self.following.tensors(),
        }
        return {f"{part}.{name}": t for part, tensors in parts.items() for name, t in tensors.items()}

    def record(self) -> dict[str, Any]:
        return {"following": self.following.record(), "observed": self.observing.record()}

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        on_cpu = ("energies.", "average.n_averaged")
        tensors = {name: t if name.startswith(on_cpu) else t.to(self.device) for name, t in tensors.items()}

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}

        self.learner.load_state_dict(part("learner"))
        self.descent.resume(part("velocity"))
        self.averaging.load(part("average"))
        self.observing.load(part("observers"), record["observed"])
        rank = self.processes.rank
        self.loss_sum[rank] = part("loss")["sum"][rank]
        for name, buffer in self.counts.named_buffers():
            buffer[rank] = part("counts")[name][rank]
        kinds: dict[str, dict[str, Tensor]] = {}
        for name, tensor in part("statistics").items():
            kind, _, key = name.partition(".")
            kinds.setdefault(kind, {})[key] = tensor
        self.statistics = {kind: ClassStatistics(**values) for kind, values in kinds.items()}
        self.following.load({name: part(name) for name in self.following.tensors()}, record["following"])

    # What a finished training leaves --------------------------------------------------------------------------------

    def last(self, batches: tuple[Tensor, ...]) -> Deployed:
        """What the run leaves at its end. The BatchNorm statistics of an SWA average are estimated on the images of
        these batches, attacked as in training (as in the released code of AR-AT); those that the attack itself needs,
        and those of further classifiers, on natural images. A part of the method has statistics of its own."""
        final = self.averaging.final(self.network)
        deployed = self._deployed(final)
        own = any(deployed.tracked is part for part in self.learner.parts.values())
        if self.averaging.name != "swa" or final is self.network or own or not _has_batchnorm(final):
            return deployed
        natural = self.learner.with_network(self._with_statistics(final, batches, None))
        tracked = self._with_statistics(deployed.tracked, batches, natural)
        further = {name: self._with_statistics(network, batches, None) for name, network in deployed.further.items()}
        return Deployed(tracked, further)

    def _with_statistics(self, network: nn.Module, batches: tuple[Tensor, ...], attacked: Learner | None) -> nn.Module:
        """A copy of the network with BatchNorm statistics of images as in training, attacked with a learner or natural:
        their mean over the batches."""
        network = self.averaging.with_fresh_batchnorm(network)
        fast = self.engine.fast(network)
        steps_before = self.settings["epochs"] * self.steps_per_epoch
        for step, batch in enumerate(batches):
            random = generator(self.seed, "statistics", step, self.processes.rank, device=self.device)
            drawn = self._drawn(self.mixture.parts(self.train, batch, steps_before + step), random)
            x = drawn.x
            if attacked is not None:
                found = self._attacked(attacked, x, drawn.y, drawn.whole, random)
                x = found.x_adv if isinstance(found, Attacked) else found
            with torch.no_grad():
                fast.train()(x)
        self.processes.average_statistics(network)
        return network


@dataclass(frozen=True)
class Drawn:
    """This process's part of a batch: images, their labels and their weights in the loss, whose sums over the images,
    averaged over the processes, are 1. whole: the labels of the whole batch. real: so many of these images, the first
    ones, are of the training split. alike: all images weigh the same."""

    x: Tensor
    y: Tensor
    whole: Tensor
    weights: Tensor
    real: int
    alike: bool

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the losses; its average over the processes is the loss of the whole batch."""
        return (sum(terms.values()) * self.weights).sum()


@contextlib.contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm in train mode computes with the statistics of the batch and leaves the running ones alone."""
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _has_batchnorm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _in_order(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for where in torch.arange(len(images), device=images.device).split(batch_size):
        yield images.batch(where), images.y[where]
