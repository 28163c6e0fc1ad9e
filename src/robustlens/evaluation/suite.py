"""All evaluations of a suite: those that are kept from earlier are used again, the others are made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import torch

from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.attacks.threat import Threat
from robustlens.console import Progress, log
from robustlens.data.prepared import PreparedDataset, load
from robustlens.device import use_device
from robustlens.evaluation.finished import FinishedBatches, evaluation_digest
from robustlens.evaluation.kept import Evaluation, kept, turn
from robustlens.evaluation.run import attack_split, collected_warnings
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model
from robustlens.parameters import create, fraction
from robustlens.provenance import Certificate

LOGGERS = ("auto-attack", "py.warnings")  # their warnings belong to the certificates


def evaluate_suite(
    evaluations: Sequence[Evaluation],
    job: Certificate,
    data: Path,
    state: Path,
    threads: int,
    save_every: float = 60.0,
    shared: Mapping[str, Sequence[pd.DataFrame]] = MappingProxyType({}),
) -> list[dict]:
    """The certificates of all evaluations, in their order; what is missing is made first.

    A job needs a GPU, the images and the models only if something is missing. An evaluation that another process is
    making is waited for and then used. job: with the sheet of the dataset and all weights among its inputs. data:
    folder of the prepared dataset. state: folder for locks and for finished batches, which are saved every so many
    seconds. shared: by the key of an evaluation, batches that other jobs have finished (`shards.read`).
    Raises RobustlensError for an evaluation that was altered, and for all that `attack_split` refuses.
    """
    records = [kept(evaluation, job.inputs) for evaluation in evaluations]
    missing = [number for number, record in enumerate(records) if record is None]
    log.info("%d of %d evaluations are there already", len(records) - len(missing), len(records))
    if not missing:
        return records
    # The GPU before any lock: two jobs must not wait for what the other has.
    with use_device(threads, arithmetic.of(job.spec)) as device:
        images, progress = load(data, ["test"], job.spec.get("crop")), Progress("attack", len(missing))
        for done, number in enumerate(missing, 1):
            evaluation = evaluations[number]
            with turn(state / f"{evaluation.key}.lock", evaluation.name):
                records[number] = kept(evaluation, job.inputs)
                detail = "made by another process"
                if records[number] is None:
                    records[number], detail = _make(evaluation, job, images, device, state, save_every, shared)
            progress(done, f"{evaluation.name}: {detail}")
    return records


def _make(
    evaluation: Evaluation,
    job: Certificate,
    data: PreparedDataset,
    device: torch.device,
    state: Path,
    save_every: float,
    shared: Mapping[str, Sequence[pd.DataFrame]],
) -> tuple[dict, str]:
    """Its certificate, and its result in words. The caller holds the lock of the evaluation."""
    own = evaluation.parameters
    certificate = job.part(own, [evaluation.sheet, evaluation.weights])
    digest = evaluation_digest(own, data, job.inputs[str(evaluation.weights)], device)
    with collected_warnings(LOGGERS) as warnings:
        finished = FinishedBatches(state / f"{evaluation.key}.{digest}.batches", warnings, save_every)
        for batches in shared.get(evaluation.key, ()):
            finished.add(batches)
        table = attack(evaluation, data, device, finished.get)
    evaluation.certificate.unlink(missing_ok=True)  # no certificate of an earlier file beside the new one
    with replacing(evaluation.file) as path:
        table.to_parquet(path, index=False)
    facts = {"warnings": sorted(set(warnings)), "devices": finished.devices}
    record = certificate.write(evaluation.certificate, [evaluation.file], **facts)
    finished.remove()
    accuracy = (table["prediction_adversarial"] == table["label"]).mean()
    return record, f"accuracy {accuracy:.3f} on {len(table)} images"


def attack(
    evaluation: Evaluation,
    data: PreparedDataset,
    device: torch.device,
    remembered: Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame],
    shard: tuple[int, int] = (1, 1),
) -> pd.DataFrame:
    """Its rows, or those of one of several jobs: remembered, shard as `attack_split` has them."""
    own, chosen = evaluation.parameters, evaluation.parameters["attack"]
    model = load_model(evaluation.weights, own["architecture"], data.channels, data.classes, evaluation.within)
    return attack_split(
        InferenceModel(model).to(device),
        data.splits["test"],
        create("attacks", chosen["family"], chosen["parameters"]),
        chosen["name"],
        Threat(own["threat"]["norm"], *(fraction(own["threat"][key]) for key in ("epsilon", "step_size"))),
        own["seed"],
        own["batch_size"],
        chosen["samples"],
        device,
        remembered,
        shard,
    )


def index(spec: dict, evaluations: Sequence[Evaluation], records: Sequence[dict], folder: Path) -> dict:
    """Where the evaluations of a suite are; ready for JSON.

    run, threat, suite: what was evaluated, under what. evaluations: in the order of the suite, each with its
    checkpoint, attack, samples (images), file (relative to `folder`, where the index will be) and sha256.
    """
    return {
        "run": {name: spec[name] for name in ("dataset", "recipe", "seed")},
        "threat": spec["threat"],
        "suite": spec["suite"],
        "evaluations": [
            {
                "checkpoint": evaluation.parameters["checkpoint"],
                "attack": evaluation.parameters["attack"]["name"],
                "samples": evaluation.parameters["attack"]["samples"],
                "file": evaluation.file.relative_to(folder).as_posix(),
                "sha256": next(iter(record["outputs"].values())),
            }
            for evaluation, record in zip(evaluations, records, strict=True)
        ],
    }


def facts(records: Sequence[dict]) -> dict:
    """What the certificate of a suite says of its evaluations, whichever job made them: their warnings, the devices
    that they were made on, and the seconds that they took together (from which `snakemake plan` estimates)."""
    devices = []
    for device in (device for record in records for device in record["devices"]):
        if device not in devices:
            devices.append(device)
    return {
        "warnings": sorted({warning for record in records for warning in record["warnings"]}),
        "devices": devices,
        "wall_seconds": round(sum(record["wall_seconds"] for record in records), 3),
    }
