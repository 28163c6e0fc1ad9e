"""A small training, evaluation, generation, scoring and pool whose bytes are the same on every processor with AVX2.

    env $(python -m robustlens.arithmetic) python tests/reference.py            prints a digest of each
    env $(python -m robustlens.arithmetic) python tests/reference.py --record   writes them to tests/reference.json

Network, images and batches have the shapes of the embedded scale. tests/unit/test_portable_bytes.py compares
processors, some of them emulated. Those take ten times as long, so that no part may grow much. QEMU 7.2 ended with a
segmentation fault in numpy's argsort for AVX2 (of pandas' groupby in `balanced_subset`), so that all test images are
evaluated here.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import tiny
from torch import nn

from robustlens import arithmetic
from robustlens.analysis import statistics
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.code_digest import code_digest
from robustlens.data.digits import Digits
from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset, load
from robustlens.data.source import split_positions, write_prepared
from robustlens.device import use_device
from robustlens.evaluation.run import attack_split
from robustlens.generation.features import classifier_network
from robustlens.generation.quality import score
from robustlens.generation.reference import see_reference
from robustlens.generation.sampler import Sampler
from robustlens.generators.gaussian import Gaussian
from robustlens.generators.pool import write_pool
from robustlens.generators.work import Work
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build, save_weights
from robustlens.seeds import generator

RECORDED = Path(__file__).with_suffix(".json")
SPEC = tiny.spec("trades", {"beta": 6.0}, epochs=1, batch_size=50, schedule=tiny.STEP) | {
    "architecture": {"family": "resnet", "blocks": [1, 1], "width": 8},
    "tracking": {"every": 1, "train_samples": 20, "attack_steps": 1, "batch_size": 500, "energy_epochs": [1]},
}
SAMPLER = Sampler(init="pca", retained_variance=0.95, sigma=1.0, steps=2, step_size=0.0005, momentum=0.8, noise=0.001)


def digests() -> dict[str, str]:
    """By what was computed: eight hexadecimal digits of its bytes."""
    with tempfile.TemporaryDirectory() as scratch, use_device(1, arithmetic.PORTABLE):
        folder = Path(scratch)
        data = digits(folder / "digits")
        run = tiny.train(SPEC, data, folder / "state")
        network = build(SPEC["architecture"], data.channels, data.classes)
        network.load_state_dict(run.last)
        save_weights(run.last, folder / "weights.safetensors")
        history = run.history.select_dtypes("number").to_numpy(np.float64)
        return {
            "training": digest(*(tensor.numpy() for tensor in run.last.values()), history),
            **evaluated(InferenceModel(network), data),
            **generated(network, folder / "weights.safetensors", data),
            **pooled(data, folder / "pool"),
            **functions(),
        }


def evaluated(model: InferenceModel, data: PreparedDataset) -> dict[str, str]:
    attacked = attack_split(model, data.splits["test"], PGD(steps=2), "pgd2", Threat("linf", 3 / 16, 3 / 64), 0, 50)
    before, after = attacked["joint_natural"].to_numpy(), attacked["joint_adversarial"].to_numpy()
    interval = statistics.crossed_interval((after - before).reshape(2, -1))
    correlation = statistics.correlation_interval(before, after)
    return {
        "evaluation": digest(attacked.select_dtypes("number").to_numpy(np.float64)),
        "statistics": digest(repr((interval, correlation))),
    }


def generated(network: nn.Module, weights: Path, data: PreparedDataset) -> dict[str, str]:
    train, test = data.splits["train"], data.splits["test"]
    random = generator(0, "samples")
    start = SAMPLER.start(train.pixels(), train.labels, 4, random)
    samples = SAMPLER.run(InferenceModel(network), *start, 40, random)
    features = classifier_network(network, weights)
    reference = see_reference(test.pixels(), test.labels, features, "test", 60)
    scores = score(samples.images, samples.labels, reference, features, train.pixels(), splits=2)
    return {
        "samples": digest(samples.images, samples.chain.to_numpy(np.float64)),
        "scores": digest(json.dumps(scores)),
    }


def pooled(data: PreparedDataset, folder: Path) -> dict[str, str]:
    train = data.splits["train"]
    fitted = Gaussian("full", 0.1).fit(train.pixels(), train.labels, data.classes, np.random.default_rng(0), Work())
    write_pool(folder, fitted, train.images.shape[1:], data.classes, 20, seed=0)
    samples = fitted.sample(3, 20, np.random.default_rng(0))  # with the digits that a level does not show
    return {"pool": digest(samples, load_pool(folder, data).images)}


def functions() -> dict[str, str]:
    """Of numpy, whose last digits may be lost in what is above."""
    numbers = np.random.default_rng(0).uniform(0.1, 3.0, 500)
    return {"functions": digest(*(function(numbers) for function in (np.exp, np.log, np.tanh, np.arctan)))}


def digits(folder: Path) -> PreparedDataset:
    """150 training images, which are three batches, 20 validation and 60 test images."""
    source = Digits().read(folder, folder)
    splits = {"train": 150, "validation": 20, "test": 60, "seed": 0}
    write_prepared(source, split_positions(source, splits), folder, {"name": "digits"})
    return load(folder)


def digest(*parts: np.ndarray | str) -> str:
    encoded = (part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes() for part in parts)
    return hashlib.sha256(b"".join(encoded)).hexdigest()[:8]


def code() -> str:
    """A digest of what was run, to tell a change of the code from another processor."""
    loaded = "robustlens.methods.trades", "robustlens.models.resnet", "robustlens.training.run"
    return code_digest(Path(__file__), *loaded)


def main() -> None:
    found = {"code": code(), **digests()}
    if "--record" in sys.argv[1:]:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
