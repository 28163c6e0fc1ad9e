"""Downloads: which archives are still missing. How long they take is unknown."""

from pathlib import Path

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known


def seconds(job: Job, known: Known) -> None:
    return None


def fetched(job: Job) -> list[dict]:
    """The archives that are not there yet, and the folder that has to be put there by hand."""
    folder = Path("results/downloads", job.wildcards["download"])
    found = [
        {
            "folder": folder.name,
            "file": archive["file"],
            "bytes": archive.get("bytes"),
            "by_hand": not archive.get("urls"),
        }
        for archive in job.spec.get("archives", [])
        if not (folder / archive["file"]).exists()
    ]
    if "folder" in job.spec and not (folder / job.spec["folder"]["name"]).is_dir():
        found.append({"folder": folder.name, "file": job.spec["folder"]["name"], "bytes": None, "by_hand": True})
    return found
