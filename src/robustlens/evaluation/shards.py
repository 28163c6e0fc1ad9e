"""An evaluation whose images several jobs share: what each of them attacks, and how that becomes one evaluation."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.console import Progress, log
from robustlens.data.prepared import load
from robustlens.device import use_device
from robustlens.errors import RobustlensError
from robustlens.evaluation.finished import FinishedBatches, evaluation_digest
from robustlens.evaluation.kept import Evaluation, kept, turn
from robustlens.evaluation.run import collected_warnings
from robustlens.evaluation.suite import LOGGERS, attack
from robustlens.provenance import Certificate


def attack_shard(
    evaluation: Evaluation,
    job: Certificate,
    data: Path,
    state: Path,
    threads: int,
    shard: tuple[int, int],
    save_every: float,
    file: Path,
    certificate: Path,
) -> None:
    """Write the batches of one of several jobs, none if the evaluation is there already, and the file's certificate.

    shard: the number of the job, from 1, and of how many. file: Parquet, as `FinishedBatches.table` has them; what they
    are of is among its `attrs`: `key` and `parameters` of the evaluation, and the SHA-256 of its `inputs` by name. The
    other arguments and the errors are those of `evaluate_suite`. A job that was killed resumes after the last batches
    that it saved.
    """
    name = f"{evaluation.key}.{shard[0]}-of-{shard[1]}"
    with use_device(threads, arithmetic.of(job.spec)) as device, turn(state / f"{name}.lock", evaluation.name):
        images = load(data, ["test"], job.spec.get("crop"))
        digest = evaluation_digest(evaluation.parameters, images, job.inputs[str(evaluation.weights)], device)
        with collected_warnings(LOGGERS) as warnings:
            finished = FinishedBatches(state / f"{name}.{digest}.batches", warnings, save_every)
            if kept(evaluation, job.inputs) is None:
                attack(evaluation, images, device, _followed(finished, evaluation, shard), shard)
            else:
                log.info("%s is there already", evaluation.name)
        table = finished.table()
        table.attrs |= {"key": evaluation.key, "parameters": evaluation.parameters, "inputs": _inputs(evaluation, job)}
        with replacing(file) as path:
            table.to_parquet(path)
        job.write(certificate, [file], warnings=sorted(set(warnings)), devices=finished.devices)
        finished.remove()


def _inputs(evaluation: Evaluation, job: Certificate) -> dict[str, str]:
    """The SHA-256 of what an evaluation is made from, by the names of the files."""
    return {path.name: job.inputs[str(path)] for path in (evaluation.sheet, evaluation.weights)}


def _followed(finished: FinishedBatches, evaluation: Evaluation, shard: tuple[int, int]) -> Callable:
    """`finished.get`, which says how far it is."""
    (number, shards), own = shard, evaluation.parameters
    batches = len(range(0, own["attack"]["samples"], own["batch_size"])[number - 1 :: shards])
    progress, tables = Progress("batch", max(batches, 1)), []

    def get(name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        tables.append(finished.get(name, compute))
        so_far = pd.concat(tables)
        accuracy = (so_far["prediction_adversarial"] == so_far["label"]).mean()
        progress(len(tables), f"{evaluation.name}: accuracy {accuracy:.3f} on {len(so_far)} images")
        return tables[-1]

    return get


def read(files: Iterable[Path], evaluations: Sequence[Evaluation], job: Certificate) -> dict[str, list[pd.DataFrame]]:
    """What the jobs that share the images of these evaluations have attacked, by the keys of the evaluations.

    job: with the inputs of all evaluations. Raises RobustlensError for batches of an evaluation with other parameters
    or of other files. Another digest of the code does not count: Snakemake has made these batches again, or they were
    accepted.
    """
    asked = {one.key: (_without_code(one.parameters), _inputs(one, job)) for one in evaluations}
    found: dict[str, list[pd.DataFrame]] = {}
    others = []
    for file in files:
        table = pd.read_parquet(file)
        key, made_with = table.attrs["key"], (_without_code(table.attrs["parameters"]), table.attrs["inputs"])
        found.setdefault(key, []).append(table)
        others += [str(file)] * (asked.get(key) != made_with)
    if others:
        raise RobustlensError(
            f"{', '.join(others)}: of an evaluation with other parameters or files; delete what is named here and run "
            "the same command again"
        )
    return found


def _without_code(parameters: dict) -> dict:
    return {name: value for name, value in parameters.items() if name != "code"}
