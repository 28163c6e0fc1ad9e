"""What certificates say of finished results, compared with what a job would be told today."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.data.prepared import checksum
from robustlens.data.verification import ALGORITHMS
from robustlens.planning.dry_run import Job
from robustlens.planning.origin import without_code

OF_A_CERTIFICATE = {"parameters": dict, "inputs": dict, "outputs": dict}


def refusal(job: Job, inputs: Iterable[str]) -> str:
    """Why the results of a job are not what it would make today; nothing if they are.

    inputs: those of its files that have certificates themselves.
    """
    certificate = Path(job.certificate)
    if (record := read(certificate)) is None:
        return f"{certificate}: missing or damaged"
    if different := differences(_comparable(job, record["parameters"]), _comparable(job, job.spec)):
        return parameters_that_differ(different)
    for path in inputs:
        if record["inputs"].get(path) != sha256(path):
            return f"made from another {path}"
    reasons = (altered(path, record, certificate) for path in job.outputs if path != job.certificate)
    return next(filter(None, reasons), "")


def _comparable(job: Job, parameters: dict) -> dict:
    """Without the digest of the code. Former versions had title, citation and the like among the facts of a prepared
    dataset; now reports have them from the catalogue, and no array depends on them."""
    kept = comparable(parameters)
    if job.rule == "prepare_data":
        kept["facts"] = {"name": kept.get("facts", {}).get("name")}
    return kept


def comparable(parameters: dict) -> dict:
    """Without the digests of code, and with the arithmetic, which was native before there was another one."""
    return without_code(parameters) | {"arithmetic": arithmetic.of(parameters)}


def differences(former: Any, today: Any, place: str = "") -> list[str]:
    """The places where two trees of parameters differ, each with both values."""
    if isinstance(former, Mapping) and isinstance(today, Mapping):
        keys = sorted({*former, *today})
        below = (differences(former.get(k), today.get(k), f"{place}.{k}" if place else k) for k in keys)
        return [words for found in below for words in found]
    return [] if former == today else [f"{place} (was {json.dumps(former)}, now {json.dumps(today)})"]


def parameters_that_differ(places: Sequence[str]) -> str:
    return f"parameters that differ: {', '.join(places)}"


def altered(path: str, record: dict, certificate: Path) -> str:
    """Why a file is not the one that its certificate describes; nothing if it is."""
    if path not in record["outputs"]:
        return f"{path}: not among the files of {certificate}"
    if (found := sha256(path)) is None:
        return f"{path}: missing"
    return "" if found == record["outputs"][path] else f"{path}: damaged (its SHA-256 differs from {certificate})"


def not_fetched(job: Job) -> str:
    """Why a download is not the one that is asked for today; nothing if it is. It has a receipt, not a certificate."""
    (path,) = job.outputs
    if (receipt := read(Path(path), {"archives": list})) is None:
        return f"{path}: missing or damaged"
    had = {archive["file"]: _digests(archive) for archive in receipt["archives"]}
    wanted = {archive["file"]: _digests(archive) for archive in job.spec.get("archives", [])}
    missing = [file for file, digests in wanted.items() if not digests & had.get(file, set())]
    return f"{path}: no receipt of {', '.join(missing)}" if missing else ""


def _digests(archive: dict) -> set[str]:
    return {archive[kind].lower() for kind in ALGORITHMS if archive.get(kind)}


def sha256(path: str) -> str | None:
    """None if there is no such file. The files that are read here do not change meanwhile."""
    return _sha256(Path(path).absolute())


@cache
def _sha256(path: Path) -> str | None:
    return checksum(path) if path.is_file() else None


def read(path: Path, entries: Mapping[str, type] = OF_A_CERTIFICATE) -> dict | None:
    """A certificate, or another JSON file with these entries; None if it is missing or damaged."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in entries.items())
    return record if whole else None


def rewrite(certificate: Path, parameters: dict) -> None:
    """Give a certificate today's parameters, and say which code it was accepted from. One that has them stays: an
    earlier acceptance was killed before Snakemake knew of it."""
    record = read(certificate)
    if record["parameters"] != parameters:
        write(certificate, record, parameters)


def write(certificate: Path, record: dict, parameters: dict, **origin: str) -> dict:
    """Write a certificate with today's parameters. origin: where else its results were accepted from.
    What was accepted before keeps the code that made it. Returns what was written."""
    accepted = record.get("accepted") or {"code": record["parameters"].get("code"), **origin}
    record = record | {"parameters": parameters, "accepted": accepted}
    with replacing(certificate) as path:
        path.write_text(json.dumps(record, indent=2) + "\n")
    return record
