"""The work of each kind of job, as passes through a network."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from robustlens.generation.grid import samplers
from robustlens.generation.sampler import Sampler
from robustlens.planning.datasets import Dataset, expected
from robustlens.planning.dry_run import Job
from robustlens.planning.networks import INCEPTION, INCEPTION_LOGITS, Network
from robustlens.planning.passes import Passes, attack_passes, training_passes

# Of the attacked images, how many are taken to be robust: AutoAttack spends nearly all of its time on them. Adversarial
# training reaches about a half on CIFAR-10 and SVHN, a quarter on CIFAR-100, less on Tiny ImageNet; others nothing.
ROBUST_SHARE, MANY_CLASSES, ROBUST_SHARE_OF_MANY = 0.5, 10, 0.25
BFLOAT16, FLOAT32 = "bfloat16", "float32"


@dataclass(frozen=True)
class Calls:
    """Calls of a network on batches of `batch` images (a mean).

    forwards, gradients: forward passes and, among them, those that are followed by a gradient of the images. trained:
    more calls, followed by a gradient of the parameters. seconds: what the code around them takes. precision: on a GPU
    that has bfloat16.
    """

    name: str
    batch: float
    forwards: float
    gradients: float = 0.0
    trained: float = 0.0
    seconds: float = 0.0
    precision: str = FLOAT32

    @property
    def passes(self) -> float:
        """In forward passes of one image."""
        return self.batch * (self.forwards + self.gradients + 3 * self.trained)


@dataclass(frozen=True)
class Work:
    """What a job does with a network. processor: FLOPs of statistics, which a GPU does not take over."""

    network: Network
    calls: tuple[Calls, ...]
    processor: float = 0.0

    @property
    def flops(self) -> float:
        return sum(self.flops_by("precision").values())

    def flops_by(self, what: str) -> dict[str, float]:
        """By the `name` or the `precision` of the calls."""
        found: dict[str, float] = {}
        for calls in self.calls:
            key = getattr(calls, what)
            found[key] = found.get(key, 0.0) + calls.passes * self.network.flops
        return found


class WorkOf:
    """The work of any job on these datasets.

    per_class: images of each class that are generated from a dataset's runs. fragile: recipes without an attack.
    device: where the passes of attacks are counted, which matters for their `seconds` alone.
    """

    def __init__(
        self,
        datasets: dict[str, Dataset],
        per_class: dict[str, int] | None = None,
        fragile: set[str] | None = None,
        device: torch.device | str = "cpu",
    ):
        self.datasets, self.per_class, self.fragile, self.device = datasets, per_class or {}, fragile or set(), device
        self.counted: dict[str, Passes] = {}
        self.kinds = {
            "train": self.training,
            "evaluate": self.evaluation,
            "measure_energies": self.measuring,
            "generate_samples": self.generation,
            "generate_grid": self.grid,
            "reference_features": self.reference,
            "score_samples": self.scores,
            "score_real_images": self.scores,
        }

    @classmethod
    def jobs(cls, jobs: list[Job], device: torch.device | str = "cpu") -> "WorkOf":
        """Datasets, runs and generated images as those of the jobs say that make them."""
        datasets = {job.wildcards["dataset"]: expected(job.spec) for job in jobs if job.rule == "prepare_data"}
        per_class = {job.spec["dataset"]: job.spec["per_class"] for job in jobs if job.rule == "generate_samples"}
        methods = {job.spec["recipe"]: job.spec["method"] for job in jobs if job.rule == "train"}
        fragile = {
            recipe
            for recipe, method in methods.items()
            if training_passes(method["name"], method["parameters"], attack_steps=1)[0].forwards == 0
        }
        return cls(datasets, per_class, fragile, device)

    def __call__(self, job: Job) -> Work | None:
        """None where no network is at work."""
        return self.kinds[job.rule](job) if job.rule in self.kinds else None

    def training(self, job: Job) -> Work:
        """Epochs of steps (attack and loss), each followed by the tracking attack on some training images and on all
        validation images. The BatchNorm statistics of an SWA average are estimated twice, in one epoch each."""
        spec, sizes = job.spec, self.datasets[job.spec["dataset"]].sizes
        settings, tracking, epochs = spec["training"], spec["tracking"], spec["training"]["epochs"]
        attack, losses = training_passes(spec["method"]["name"], spec["method"]["parameters"], settings["attack_steps"])
        steps = math.ceil(sizes["train"] / settings["batch_size"])
        batch, in_all = sizes["train"] / steps, attack * (epochs * steps)
        reduced = FLOAT32 if settings["precision"] == "float32" else BFLOAT16
        perturbed = settings["weight_perturbation"]
        twice = max(0, epochs - perturbed["start_epoch"]) if perturbed["name"] != "none" else 0
        trained = (epochs + twice) * steps * losses
        calls = [Calls("training", batch, in_all.forwards, in_all.gradients, trained, precision=reduced)]
        if settings["averaging"]["name"] == "swa":
            forwards, gradients = steps * (attack.forwards + 2), steps * attack.gradients
            calls.append(Calls("training", batch, forwards, gradients, precision=reduced))
        for size in (min(sizes["train"], tracking["train_samples"]), sizes["validation"]):
            batches = math.ceil(size / tracking["batch_size"])
            gradients = epochs * batches * tracking["attack_steps"]
            calls.append(Calls("tracking", size / batches, gradients + 2 * epochs * batches, gradients))
        return Work(self.network(spec), tuple(calls))

    def evaluation(self, job: Job) -> Work:
        """Every attack on its images, from every checkpoint."""
        dataset, calls = self.datasets[job.spec["dataset"]], []
        share = ROBUST_SHARE if dataset.classes <= MANY_CLASSES else ROBUST_SHARE_OF_MANY
        share = 0.0 if job.spec["recipe"] in self.fragile else share
        for weights in (Path(path) for path in job.inputs if path.endswith(".safetensors")):
            for attack in job.spec["attacks"]:
                if not (attack["best_only"] and weights.stem == "last"):
                    images = min(dataset.sizes["test"], attack["samples"] or dataset.sizes["test"])
                    calls += self.attack(attack, images, job.spec["batch_size"], dataset.classes, share)
        return Work(self.network(job.spec), tuple(calls))

    def attack(self, attack: dict, images: int, batch_size: int, classes: int, share: float) -> list[Calls]:
        """The attack, and the predictions before and after it. share: of the images, those that are robust.

        An attack that leaves fooled images alone makes its calls on the robust ones only.
        """
        batches = math.ceil(images / batch_size)
        batch = images / batches
        calls = [Calls("predictions", batch, 2 * batches)]
        robust, fooled = self.passes(attack, classes, True), self.passes(attack, classes, False)
        made = robust if share else fooled
        if made.forwards:
            part = share * robust.forwards / made.forwards + (1 - share) * fooled.forwards / made.forwards
            forwards, gradients = batches * made.forwards, batches * made.gradients
            calls.append(Calls(attack["name"], part * batch, forwards, gradients, seconds=batches * made.seconds))
        return calls

    def passes(self, attack: dict, classes: int, robust: bool) -> Passes:
        key = repr((attack["family"], attack["parameters"], classes, robust))
        if key not in self.counted:
            self.counted[key] = attack_passes(attack["family"], attack["parameters"], classes, robust, self.device)
        return self.counted[key]

    def generation(self, job: Job) -> Work:
        """A gradient of every image in every step, and the energies of the last."""
        images = job.spec["per_class"] * self.datasets[job.spec["dataset"]].classes
        batches, steps = math.ceil(images / job.spec["batch_size"]), job.spec["sampler"]["steps"]
        calls = Calls("generation", images / batches, (steps + 1) * batches, steps * batches)
        return Work(self.network(job.spec), (calls,))

    def measuring(self, job: Job) -> Work:
        images = self.datasets[job.spec["dataset"]].sizes["train"]
        batches = math.ceil(images / job.spec["batch_size"])
        return Work(self.network(job.spec), (Calls("predictions", images / batches, batches),))

    def grid(self, job: Job) -> Work:
        """The chains of all settings; the features of their ends are few passes beside them."""
        spec, dataset = job.spec, self.datasets[job.spec["dataset"]]
        images = spec["grid"]["per_class"] * dataset.classes
        batches = math.ceil(images / spec["batch_size"])
        settings = samplers(Sampler(**spec["sampler"]), spec["grid"]["values"])
        steps = sum(sampler.steps for sampler in settings)
        calls = Calls("generation", images / batches, (steps + len(settings)) * batches, steps * batches)
        return Work(self.network(spec), (calls,))

    def reference(self, job: Job) -> Work:
        images = self.datasets[job.spec["dataset"]].sizes[job.spec["features"]["reference"]]
        return Work(self.feature_network(job.spec), self.features(images, job.spec["batch_size"]))

    def scores(self, job: Job) -> Work:
        """Features of the images; their statistics and the nearest training image of each, on the processor."""
        dataset, split = self.datasets[job.spec["dataset"]], job.spec["features"]["reference"]
        if job.rule == "score_samples":
            images = self.per_class[job.spec["dataset"]] * dataset.classes
        else:
            images = dataset.sizes["validation" if split == "test" else "test"]
        network, reference = self.feature_network(job.spec), dataset.sizes[split]
        subset = min(1000, images, reference)
        nearest = 2.0 * images * dataset.sizes["train"] * math.prod(dataset.shape)
        covariances = 2.0 * (2 * images + reference) * network.features**2
        frechet = 3 * 13.0 * network.features**3  # of all images and of two halves; 13 d^3 each
        kernel = 100 * 3 * 2.0 * subset**2 * network.features
        features = self.features(images, job.spec["batch_size"])
        return Work(network, features, processor=nearest + covariances + frechet + kernel)

    @staticmethod
    def features(images: int, batch_size: int) -> tuple[Calls, ...]:
        batches = math.ceil(images / batch_size)
        return (Calls("features", images / batches, batches),)

    def network(self, spec: dict) -> Network:
        dataset = self.datasets[spec["dataset"]]
        return Network.of(spec["architecture"], dataset.shape, dataset.classes)

    def feature_network(self, spec: dict) -> Network:
        if spec["features"]["kind"] == "inception":
            return Network(INCEPTION, (3, 299, 299), INCEPTION_LOGITS)
        return self.network(spec)
