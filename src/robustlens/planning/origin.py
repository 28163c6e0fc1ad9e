"""What the numbers of a study come from, told without running anything: the parameters of the jobs that compute them.

Code does not count here: its digests also change where nothing is computed otherwise. That it still computes the same
bytes is what tests/reference.json is for.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from robustlens.planning.dry_run import Job, needed_by


def computing(jobs: Sequence[Job], folder: str) -> list[Job]:
    """Of these jobs, those that train, attack, generate or measure for the files of a study's folder (its name with a
    slash at the end); what draws tables, figures and claims from that is left out."""
    found = [job for job in needed_by(jobs, folder) if job.spec and "study" not in job.wildcards]
    # Which jobs share an evaluation, or several, changes no number.
    return [part for job in found if job.rule != "evaluate_shard" for part in job.parts()]


def parameters_digest(jobs: Sequence[Job]) -> str:
    """Twelve hexadecimal digits over rules, wildcards and parameters, whatever the order of the jobs."""
    texts = sorted(json.dumps([job.key(), without_code(job.spec)], sort_keys=True) for job in jobs)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def without_code(value: Any) -> Any:
    """The same parameters without the digests of code, wherever they are."""
    if isinstance(value, dict):
        return {key: without_code(inner) for key, inner in value.items() if key != "code"}
    return [without_code(inner) for inner in value] if isinstance(value, list) else value
