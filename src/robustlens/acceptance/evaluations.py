"""Finished evaluations: those of the former layout, one file per suite, are split into files of one attack each."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from robustlens import arithmetic
from robustlens.acceptance.certificates import (
    altered,
    comparable,
    differences,
    parameters_that_differ,
    read,
    rewrite,
    sha256,
    write,
)
from robustlens.atomic import replacing
from robustlens.data.prepared import checksum, load
from robustlens.errors import RobustlensError
from robustlens.evaluation.kept import OF_ATTACK, OF_RUN, UNREADABLE, Evaluation, asked_for, kept
from robustlens.evaluation.suite import facts, index
from robustlens.planning.dry_run import Job
from robustlens.provenance import Certificate

LISTED_BY_FORMER_SUITES = ("checkpoint", "attack")  # columns that are in a file's place now


@dataclass(frozen=True)
class Suite:
    """A suite of the former layout: the rows of all its attacks on all its checkpoints in one file."""

    file: Path
    certificate: Path
    record: dict
    parts: dict[tuple[str, str], dict] = field(default_factory=dict)  # by checkpoint and attack: its parameters

    @cached_property
    def damage(self) -> str:
        return altered(str(self.file), self.record, self.certificate)

    @cached_property
    def rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.file)

    def of(self, evaluation: Evaluation) -> dict | None:
        return self.parts.get((evaluation.parameters["checkpoint"], evaluation.parameters["attack"]["name"]))


def any_of(job: Job) -> bool:
    """Whether there are evaluations of a job's runs in either layout."""
    return any(file for part in job.parts() for file in _of_run(Path(_index(part))).rglob("[!.]*.parquet"))


def _of_run(file: Path) -> Path:
    """The folder of a run, in which each threat has one."""
    return file.parent.parent


def _former(job: Job, images: int) -> list[Suite]:
    """The suites of the former layout of a job's run. images: of the test split."""
    found = []
    for file in sorted(_of_run(Path(_index(job))).glob("[!.]*.parquet")):
        certificate = _of_run(Path(job.certificate)) / f"{file.stem}.json"
        if record := read(certificate):
            with contextlib.suppress(*UNREADABLE):
                found.append(Suite(file, certificate, record, _parts(record, images)))
    return found


def _parts(record: dict, images: int) -> dict[tuple[str, str], dict]:
    """The parameters of a former suite's evaluations in today's form, without the name of the threat and the digest of
    the code."""
    had, parts = record["parameters"], {}
    for checkpoint in (Path(path).stem for path in record["inputs"] if path.endswith(".safetensors")):
        for attack in had.get("attacks", []):
            if not (attack["best_only"] and checkpoint == "last"):
                samples = min(attack["samples"] or images, images)
                of_attack = {name: attack[name] for name in OF_ATTACK} | {"samples": samples}
                of_run = {name: had.get(name) for name in OF_RUN} | {"arithmetic": arithmetic.of(had)}
                parts[checkpoint, attack["name"]] = of_run | {"checkpoint": checkpoint, "attack": of_attack}
    return parts


def accept(job: Job, dry_run: bool) -> tuple[int, list[str]]:
    """How many evaluations of a job were accepted, and why others were not. With all of a seed there its index and
    the certificate of that are written, too. Inputs must be finished or accepted. dry_run: write nothing."""
    found = [_accept_seed(part, dry_run) for part in job.parts()]
    return sum(taken for taken, _ in found), [words for _, missing in found for words in missing]


def _accept_seed(job: Job, dry_run: bool) -> tuple[int, list[str]]:
    sheet = next(Path(path) for path in job.inputs if path.endswith("/sheet.json"))
    weights = [Path(path) for path in job.inputs if path.endswith(".safetensors")]
    inputs = {path: sha256(path) for path in job.inputs}
    folder, certificates = Path(_index(job)).parent, Path(job.certificate).parent
    asked = asked_for(job.spec, sheet.parent, weights, folder, certificates)
    suites = _former(job, load(sheet.parent, []).sheet["sizes"]["test"])
    taken, missing = 0, {}
    for evaluation in asked:
        try:
            if kept(evaluation, inputs) is None:
                if reason := _accept(evaluation, suites, inputs, dry_run):
                    missing.setdefault(reason, []).append(evaluation.name)
                else:
                    taken += 1
        except RobustlensError as error:
            missing.setdefault(str(error), []).append(evaluation.name)
    if not missing and not dry_run:
        _write_index(job, asked)
    return taken, [f"{', '.join(names)}: {reason}" for reason, names in missing.items()]


def _accept(evaluation: Evaluation, suites: list[Suite], inputs: Mapping[str, str], dry_run: bool) -> str:
    """Accept an evaluation by its own certificate or from a suite of the former layout. Why not; nothing if it is."""
    needed = {str(path): inputs[str(path)] for path in (evaluation.sheet, evaluation.weights)}
    today = _comparable(evaluation.parameters)
    refused = []
    if record := read(evaluation.certificate):
        different = differences(comparable(record["parameters"]), comparable(evaluation.parameters))
        reason = _refusal(different, record, needed) or altered(str(evaluation.file), record, evaluation.certificate)
        if not reason:
            if not dry_run:
                rewrite(evaluation.certificate, evaluation.parameters)
            return ""
        refused.append((len(different), reason))
    for suite in suites:
        if (parameters := suite.of(evaluation)) is None:
            continue
        different = differences(_comparable(parameters), today)
        reason = _refusal(different, suite.record, needed) or suite.damage
        if not reason:
            reason = _split(evaluation, suite, needed, dry_run)
        if not reason:
            return ""
        refused.append((len(different), reason))
    return min(refused, default=(0, "not evaluated yet"))[1]  # of several, the one that differs least


def _refusal(different: list[str], record: dict, needed: Mapping[str, str]) -> str:
    if different:
        return parameters_that_differ(different)
    other = next((path for path, digest in needed.items() if record["inputs"].get(path) != digest), None)
    return f"made from another {other}" if other else ""


def _comparable(parameters: dict) -> dict:
    """What suites of the former layout and today's evaluations have in common: threats had no names then."""
    threat = parameters["threat"]
    unnamed = {key: value for key, value in threat.items() if key != "name"} if isinstance(threat, dict) else threat
    return comparable(parameters) | {"threat": unnamed}


def _split(evaluation: Evaluation, suite: Suite, inputs: dict[str, str], dry_run: bool) -> str:
    """Write the rows of one evaluation, and its certificate. Why not; nothing if they were written."""
    own = evaluation.parameters
    rows = suite.rows
    chosen = (rows["checkpoint"] == own["checkpoint"]) & (rows["attack"] == own["attack"]["name"])
    rows = rows[chosen].drop(columns=[*LISTED_BY_FORMER_SUITES]).reset_index(drop=True)
    if len(rows) != own["attack"]["samples"]:
        return f"{suite.file}: {len(rows)} rows of it, expected {own['attack']['samples']}"
    if dry_run:
        return ""
    evaluation.certificate.unlink(missing_ok=True)  # no certificate of an earlier file beside the new one
    with replacing(evaluation.file) as path:
        rows.to_parquet(path, index=False)
    # How long each attack took is not known: an equal part, so that they add up to what the suite took.
    record = suite.record | {
        "wall_seconds": round(suite.record.get("wall_seconds", 0) / len(suite.parts), 3),
        "inputs": inputs,
        "outputs": {str(evaluation.file): checksum(evaluation.file)},
    }
    write(evaluation.certificate, record, own, file=str(suite.file))
    return ""


def _write_index(job: Job, asked: list[Evaluation]) -> None:
    """As scripts/evaluate.py does with nothing left to evaluate."""
    inputs = list(map(Path, job.inputs))
    certificate = Certificate({}, inputs).part(job.spec, inputs)  # of an arithmetic that this process need not have
    records = [kept(evaluation, certificate.inputs) for evaluation in asked]
    path = Path(_index(job))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(index(job.spec, asked, records, path.parent), indent=2) + "\n")
    certificate.write(Path(job.certificate), [path], **facts(records))


def _index(job: Job) -> str:
    return next(path for path in job.outputs if path != job.certificate)
