"""Evaluations of a run under the attacks of a suite."""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from robustlens.configuration.precision import SEARCHES
from robustlens.evaluation.checkpoints import BEST
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.passes import Passes, attack_passes, training_passes
from robustlens.planning.work import BFLOAT16, FLOAT32, Calls, Work

# The share of attacked images assumed to be robust: AutoAttack spends nearly all of its time on them. Adversarial
# training reaches about a half on CIFAR-10 and SVHN, a quarter on CIFAR-100, less on Tiny ImageNet; other training 0.
ROBUST_SHARE, MANY_CLASSES, ROBUST_SHARE_OF_MANY = 0.5, 10, 0.25
SHARED = "/shards/"  # in the path of what a job has made that shares the images of an attack
ROW = 40  # bytes of one image in an evaluation file, compressed
NOTES = (
    f"Assumed: {ROBUST_SHARE:.0%} of the images that AutoAttack attacks are robust ({ROBUST_SHARE_OF_MANY:.0%} if "
    f"there are more than {MANY_CLASSES} classes, none after training without an attack). They take nearly all of its "
    "time.",
    "Existing evaluations are assumed to be used again, unless their run is trained again; only the job itself checks "
    "that they were made with the same settings.",
)


@dataclass(frozen=True)
class Evaluation:
    """One attack on one checkpoint. file: the Parquet file with one row for each of the images."""

    attack: dict
    images: int
    file: Path


def work(job: Job, known: Known) -> Work:
    """Every attack on its images, from every checkpoint, but for what other jobs share."""
    return work_of(job, known, _unshared(job, evaluations(job, known)))


def left(job: Job, known: Known) -> Work:
    """Those that are not there yet."""
    return work_of(job, known, _unshared(job, _missing(job, known)))


def written(job: Job, known: Known) -> dict[str, float]:
    return {"evaluations": sum(one.images for one in _missing(job, known)) * ROW}


def evaluations(job: Job, known: Known) -> list[Evaluation]:
    """What the suite asks for, of each seed."""
    test = known.dataset(job).sizes["test"]
    found = []
    for part in job.parts():
        folder = Path(next(path for path in part.outputs if path != part.certificate)).parent  # of the suite's index
        for checkpoint, _ in job.spec["checkpoints"]:
            for attack in job.spec["attacks"]:
                if not attack["best_only"] or checkpoint in BEST:
                    images = min(test, attack["samples"] or test)
                    subset = f".{images}" if images < test else ""  # as evaluation/kept.py names them
                    file = folder / checkpoint / f"{attack['name']}{subset}.parquet"
                    found.append(Evaluation(attack, images, file))
    return found


def _missing(job: Job, known: Known) -> list[Evaluation]:
    """Whether a file was made with the same settings is left to the job: a look at the name does for a plan."""
    anew = any(source.key() in known.to_run for source in known.sources(job) if source.rule != "evaluate_shard")
    return [one for one in evaluations(job, known) if anew or not one.file.exists()]


def _unshared(job: Job, asked: list[Evaluation]) -> list[Evaluation]:
    """Those whose images this job attacks itself."""
    shared = [Path(path) for path in job.inputs if SHARED in path]
    places = {
        (*path.parts[-5:-1], path.name.split(".")[0]) for path in shared
    }  # recipe, seed, threat, checkpoint, attack
    return [one for one in asked if (*one.file.parts[-5:-1], one.attack["name"]) not in places]


def work_of(job: Job, known: Known, asked: list[Evaluation]) -> Work:
    """Of these evaluations alone."""
    dataset = known.dataset(job)
    share = ROBUST_SHARE if dataset.classes <= MANY_CLASSES else ROBUST_SHARE_OF_MANY
    share = 0.0 if _fragile(job, known) else share
    calls = []
    for one in asked:
        calls += _calls(one, job.spec["batch_size"], dataset.classes, share, known.device)
    return Work(Network.of(job.spec["architecture"], dataset.shape, dataset.classes), tuple(calls))


def _fragile(job: Job, known: Known) -> bool:
    """Whether the run was trained without an attack, so that hardly an image is robust."""
    methods = [source.spec["method"] for source in known.sources_by("train", job)]
    return any(_attack_of_training(json.dumps(method, sort_keys=True)).forwards == 0 for method in methods)


def _calls(one: Evaluation, batch_size: int, classes: int, share: float, device: torch.device) -> list[Calls]:
    """The attack, and the predictions before and after it. share: of the images, those that are robust.

    An attack that leaves fooled images alone makes its calls on the robust ones only.
    """
    batches = math.ceil(one.images / batch_size)
    batch = one.images / batches
    calls = [Calls("predictions", batch, 2 * batches)]
    family, parameters = one.attack["family"], json.dumps(one.attack["parameters"], sort_keys=True)
    robust, fooled = (_passes(family, parameters, classes, kind, device) for kind in (True, False))
    made = robust if share else fooled
    if made.forwards:
        part = share * robust.forwards / made.forwards + (1 - share) * fooled.forwards / made.forwards
        forwards, gradients = batches * made.forwards, batches * made.gradients
        seconds, precision = batches * made.seconds, BFLOAT16 if family in SEARCHES else FLOAT32
        calls.append(Calls(one.attack["name"], part * batch, forwards, gradients, 0.0, seconds, precision))
    return calls


@cache
def _passes(family: str, parameters: str, classes: int, robust: bool, device: torch.device) -> Passes:
    """parameters: JSON text."""
    return attack_passes(family, json.loads(parameters), classes, robust, device)


@cache
def _attack_of_training(method: str) -> Passes:
    """method: JSON text."""
    chosen = json.loads(method)
    return training_passes(chosen["name"], chosen["parameters"], attack_steps=1)[0]
