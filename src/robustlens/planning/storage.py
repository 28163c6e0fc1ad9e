"""What the jobs will write to disk, and what they will fetch."""

import math
from pathlib import Path

from robustlens.planning.dry_run import Job
from robustlens.planning.networks import INCEPTION_LOGITS
from robustlens.planning.work import WorkOf

FLOAT, DOUBLE = 4, 8
ROW = 40  # bytes of an image in an evaluation file, compressed


def disk(jobs: list[Job], work_of: WorkOf) -> dict[str, float]:
    """Bytes by kind of file, the large ones; tables, figures and logs are small beside them."""
    found: dict[str, float] = {}
    for job in jobs:
        for what, amount in _written(job, work_of).items():
            found[what] = found.get(what, 0.0) + amount
    return found


def _written(job: Job, work_of: WorkOf) -> dict[str, float]:
    dataset, work = work_of.datasets.get(job.wildcards.get("dataset", "")), work_of(job)
    weights = work.network.parameters * FLOAT if work else 0
    if job.rule == "prepare_data":
        return {"prepared datasets": dataset.bytes}
    if job.rule == "train":
        averaged = job.spec["training"]["averaging"]["name"] != "none"
        # The weights, the best ones, the momentum and the average.
        return {"weights of runs": 2 * weights, "training states": (3 + averaged) * weights}
    if job.rule == "evaluate":
        attacked = sum(min(a["samples"] or dataset.sizes["test"], dataset.sizes["test"]) for a in job.spec["attacks"])
        return {"evaluations": sum(path.endswith(".safetensors") for path in job.inputs) * attacked * ROW}
    if job.rule == "generate_samples":
        return {"generated images": job.spec["per_class"] * dataset.classes * math.prod(dataset.shape) * FLOAT}
    if job.rule == "reference_features":
        logits = INCEPTION_LOGITS if job.spec["features"]["kind"] == "inception" else dataset.classes
        images = dataset.sizes[job.spec["features"]["reference"]]
        return {"reference features": images * (work.network.features + logits) * DOUBLE}
    return {}


def downloads(jobs: list[Job]) -> list[dict]:
    """The archives that are not there yet: folder, file, bytes (None: unknown), and whether a URL serves them."""
    found = []
    for job in jobs:
        if job.rule == "download":
            folder = Path("results/downloads", job.wildcards["download"])
            for archive in job.spec.get("archives", []):
                if not (folder / archive["file"]).exists():
                    facts = {"bytes": archive.get("bytes"), "by_hand": not archive.get("urls")}
                    found.append({"folder": folder.name, "file": archive["file"], **facts})
            if "folder" in job.spec and not (folder / job.spec["folder"]["name"]).is_dir():
                found.append(
                    {"folder": folder.name, "file": job.spec["folder"]["name"], "bytes": None, "by_hand": True}
                )
    return found
