"""Preparing CIFAR-10, from its archive to the arrays, and evaluating a ResNet-18 on it: time and memory."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from memory import watched

from robustlens.models.weights import build, save_weights

ROOT = Path(__file__).parents[2]
ARCHIVE = "cifar-10-python.tar.gz"
BATCH = 100  # of the evaluation, as at the pilot scale
IMAGES = 200  # two batches that are attacked: more take longer, not more memory


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
    """Seconds and peak memory of one run of each script, and how large the archive was."""
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
    prepared = ["--downloads", str(downloads), "--folder", str(folder / "prepared")]
    seconds, most = _run(folder, "prepare_data", spec, *prepared, "--certificate", str(folder / "certificate.json"))
    sizes = json.loads((folder / "prepared" / "sheet.json").read_text())["sizes"]
    say("evaluating a ResNet-18 on it")
    _, of_evaluation = _evaluated(
        folder, {"blocks": [1], "width": 4} if quick else {"blocks": [2, 2, 2, 2], "width": 64}
    )
    return {
        "sizes": sizes,
        "archive_bytes": (downloads / ARCHIVE).stat().st_size,
        "seconds": seconds,
        "memory_bytes": most,
        "evaluation_memory_bytes": of_evaluation,
    }


def _evaluated(folder: Path, network: dict) -> tuple[float, int | None]:
    """Of the evaluation of an untrained network: clean accuracy, and PGD, on some images of the test split."""
    architecture, weights = {"family": "resnet", **network}, folder / "best.safetensors"
    save_weights(build(architecture, 3, 10).state_dict(), weights)
    attacks = [("clean", {}), ("pgd", {"steps": 2})]
    spec = {
        **{"dataset": "cifar10", "recipe": "sat", "seed": 0, "suite": "robustness", "architecture": architecture},
        "threat": {"name": "linf-8-255", "norm": "linf", "epsilon": "8/255", "step_size": "2/255"},
        "batch_size": BATCH,
        "checkpoints": [["best", "best"]],
        "attacks": [
            {"name": name, "family": name, "parameters": own, "samples": IMAGES, "best_only": False, "code": ""}
            for name, own in attacks
        ],
    }
    made = ["--index", str(folder / "evaluations" / "index.json"), "--certificate", str(folder / "index.json")]
    read = ["--data", str(folder / "prepared"), "--weights", str(weights), "--state", str(folder / "state")]
    return _run(folder, "evaluate", spec, *read, *made, "--threads", "2")


def _run(folder: Path, script: str, spec: dict, *arguments: str) -> tuple[float, int | None]:
    """Seconds and peak memory of a script of a job."""
    log = folder / f"{script}.log"
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--spec", json.dumps(spec), "--log", str(log)]
    process = subprocess.Popen([*command, *arguments])
    found = watched(process)
    if process.returncode:
        raise SystemExit(f"{script} failed:\n{log.read_text()}")
    return found


def table(found: dict) -> str:
    images, archive = sum(found["sizes"].values()), found["archive_bytes"] / 1e6
    return (
        f"Preparing CIFAR-10: {images:,} images from an archive of {archive:.0f} MB; evaluating a ResNet-18 on it, in "
        f"batches of {BATCH}\n\n| | seconds | peak memory, MB |\n|---|---|---|\n"
        f"| preparing | {found['seconds']:.1f} | {_megabytes(found['memory_bytes'])} |\n"
        f"| evaluating, clean and PGD | | {_megabytes(found['evaluation_memory_bytes'])} |\n"
    )


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f}"
