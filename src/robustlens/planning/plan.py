"""The plan as data: jobs, hours, disk and downloads; what the text of the plan and its JSON file are made of."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable

import torch

from robustlens.planning.dry_run import Job, needed_by
from robustlens.planning.estimate import Estimate, Estimator
from robustlens.planning.gpus import GPUS
from robustlens.planning.known import Known


def make_plan(scale: str, targets: list[str], studies: list[str], known: Known) -> dict:
    """A plan, ready for JSON, of the jobs that are to run."""
    load = os.getloadavg()[0]
    estimator, needed, device = Estimator(known), known.needed, known.device
    estimates = {job.key(): estimator(job) for job in needed}

    def hours_of(jobs: Iterable[Job]) -> dict:
        return hours([estimates[job.key()] for job in jobs])

    per_study = {study: needed_by(needed, study_folder(scale, study)) for study in studies}
    return {
        "scale": scale,
        "targets": targets,
        "jobs": dict(Counter(job.rule for job in needed).most_common()),
        "finished_jobs": len(known.jobs) - len(needed),
        "machine": {
            "here": estimator.here,
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "cores": os.cpu_count(),
            "load": load,
            "processor_hours": round(estimator.processor_hours, 3) if device.type == "cpu" else None,
        },
        "studies": {study: hours_of(jobs) for study, jobs in per_study.items() if jobs},
        "total": hours_of(needed),
        "kinds": kinds(list(estimates.values())),
        "sources": dict(Counter(e.source for e in estimates.values())),
        "disk": {"bytes": disk(needed, known), "free": shutil.disk_usage(".").free},
        "downloads": [file for job in needed for file in known.fetched(job)],
        "notes": known.notes(),
        "estimates": [facts(estimate) for estimate in estimates.values()],
    }


def study_folder(scale: str, study: str) -> str:
    """Where a study's tables, figures and claims are."""
    return f"results/{scale}/studies/{study}/"


def disk(jobs: Iterable[Job], known: Known) -> dict[str, float]:
    """Bytes by kind of file, the large ones; tables, figures and logs are small compared with them."""
    found = Counter()
    for job in jobs:
        found.update(known.written(job))
    return dict(found)


def hours(estimates: list[Estimate]) -> dict:
    """jobs; processor_hours: of one core; gpu_hours: of the GPU that is here, or that was measured; exaflops and
    gpus: the work for a GPU that is not here, and the fewest and the most hours that it takes on some of them."""
    flops = Counter()
    for estimate in estimates:
        flops.update(estimate.flops)
    return {
        "jobs": len(estimates),
        "processor_hours": sum(e.seconds * e.job.threads for e in estimates if not e.gpu) / 3600,
        "gpu_hours": sum(e.seconds for e in estimates if e.gpu) / 3600,
        "exaflops": sum(flops.values()) / 1e18,
        "gpus": {gpu.name: gpu.hours(flops) for gpu in GPUS},
    }


def kinds(estimates: list[Estimate]) -> list[dict]:
    """The jobs by rule, dataset, suite and source of their estimate; those with the most work first."""
    groups: dict[tuple, list[Estimate]] = {}
    for estimate in estimates:
        of = estimate.job.wildcards
        key = (estimate.job.rule, of.get("dataset", ""), of.get("suite", ""), estimate.source)
        groups.setdefault(key, []).append(estimate)
    found = [
        dict(zip(("rule", "dataset", "suite", "source"), key, strict=True)) | hours(group)
        for key, group in groups.items()
    ]
    return sorted(found, key=lambda kind: (-kind["exaflops"], -kind["gpu_hours"], -kind["processor_hours"]))


def facts(estimate: Estimate) -> dict:
    """One job of the plan. seconds: on the GPU (`gpu`) or on the processor. flops: by precision, of its part on a GPU
    that is not here."""
    job = estimate.job
    return {
        "rule": job.rule,
        "wildcards": job.wildcards,
        "source": estimate.source,
        "seconds": round(estimate.seconds, 3),
        "gpu": estimate.gpu,
        "flops": estimate.flops,
    }
