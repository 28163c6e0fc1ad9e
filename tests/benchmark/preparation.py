"""Preparing CIFAR-10, from its archive to the arrays of a prepared dataset: time and memory of the real script."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from memory import watched

ROOT = Path(__file__).parents[2]
ARCHIVE = "cifar-10-python.tar.gz"


def write_archive(path: Path, per_batch: int) -> None:
    """The official archive with noise in it, which compresses about as badly as photographs do: 184 MB to 170 or so."""
    sys.path.append(str(ROOT / "tests"))
    from archives import python2_pickle, tarred

    random = np.random.default_rng(0)
    inside = "cifar-10-batches-py"
    classes = [f"class {number}" for number in range(10)]
    members = [(f"{inside}/batches.meta", python2_pickle({"label_names": classes}))]
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        rows = random.integers(0, 256, (per_batch, 3072), dtype=np.uint8)
        labels = [number % 10 for number in range(per_batch)]
        members.append((f"{inside}/{name}", python2_pickle({"labels": labels, "data": rows})))
    path.write_bytes(tarred(members))


def measure(folder: Path, quick: bool, say: Callable[[str], None]) -> dict:
    """Seconds and peak memory of one run, and how large the archive was."""
    per_batch, validation = (100, 50) if quick else (10_000, 1_000)
    downloads = folder / "downloads"
    downloads.mkdir()
    say(f"making an archive of {6 * per_batch:,} images")
    write_archive(downloads / ARCHIVE, per_batch)
    with open(downloads / ARCHIVE, "rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()
    spec = {
        "reader": {"family": "cifar10"},
        "archives": [{"file": ARCHIVE, "sha256": digits}],
        "splits": {"train": None, "validation": validation, "test": None, "seed": 0},
        "facts": {"name": "cifar10"},
    }
    say("preparing it")
    command = [sys.executable, str(ROOT / "scripts" / "prepare_data.py"), "--spec", json.dumps(spec)]
    command += ["--downloads", str(downloads), "--folder", str(folder / "prepared")]
    command += ["--certificate", str(folder / "certificate.json"), "--log", str(folder / "log")]
    process = subprocess.Popen(command)
    seconds, most = watched(process)
    if process.returncode:
        raise SystemExit(f"preparing CIFAR-10 failed:\n{(folder / 'log').read_text()}")
    sizes = json.loads((folder / "prepared" / "sheet.json").read_text())["sizes"]
    archive_bytes = (downloads / ARCHIVE).stat().st_size
    return {"sizes": sizes, "archive_bytes": archive_bytes, "seconds": seconds, "memory_bytes": most}


def table(found: dict) -> str:
    images, archive = sum(found["sizes"].values()), found["archive_bytes"] / 1e6
    memory = "-" if found["memory_bytes"] is None else f"{found['memory_bytes'] / 1e6:.0f}"
    return (
        f"Preparing CIFAR-10: {images:,} images from an archive of {archive:.0f} MB\n\n"
        f"| seconds | peak memory, MB |\n|---|---|\n| {found['seconds']:.1f} | {memory} |\n"
    )
