"""Birth certificates: where an artefact comes from, so that a later job can check that it is still what was made.

The certificate of results/<scale>/a/b/file is results/<scale>/provenance/a/b.json or one of
results/<scale>/provenance/a/b/*.json: the one that lists the file among its outputs.
"""

import copy
import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from robustlens import arithmetic
from robustlens.atomic import replacing
from robustlens.data.prepared import checksum
from robustlens.errors import RobustlensError

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "matplotlib",
    "pyautoattack",
    "snakemake",
)


class Certificate:
    """Made when a job starts, before it reads anything; written when its artefacts are in place.

    inputs: the files that the job reads. Each is hashed, and where there is a certificate of the job that made it, must
        have the SHA-256 given there.
    Raises RobustlensError naming an input that is missing, altered or cut short, and where this process computes with
    another arithmetic than the parameters say.
    """

    def __init__(self, spec: dict, inputs: Iterable[Path]):
        arithmetic.check(arithmetic.of(spec))
        self.spec = spec
        self.started = time.monotonic()
        self.inputs = {str(file): _verified(file) for file in sorted(map(Path, inputs))}

    def part(self, spec: dict, inputs: Iterable[Path]) -> "Certificate":
        """The certificate of one of several artefacts that the job makes, with parameters of its own and some of the
        job's inputs, which are not read again. Its time starts now."""
        part = copy.copy(self)
        part.spec, part.started = spec, time.monotonic()
        part.inputs = {str(file): self.inputs[str(file)] for file in sorted(map(Path, inputs))}
        return part

    def write(self, path: Path, outputs: list[Path], **facts: object) -> dict:
        """Parameters (with code digest and seed), library versions, device, threads, wall time and the SHA-256 of
        every input (at the start) and output file, as JSON; of GPUs also which of them the job was allowed to see
        (`visible`; None: all). facts: what else is to be known of this job. Returns what was written.
        """
        record = {
            "parameters": self.spec,
            "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
            "device": device_facts() | {"visible": os.environ.get("CUDA_VISIBLE_DEVICES")},
            "wall_seconds": round(time.monotonic() - self.started, 3),
            "inputs": self.inputs,
            "outputs": {str(file): checksum(file) for file in sorted(map(Path, outputs))},
            **facts,
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2, default=str) + "\n")
        return record


def _verified(file: Path) -> str:
    """Its SHA-256, which must be that of its certificate."""
    try:
        found = checksum(file)
    except OSError as error:
        raise RobustlensError(
            f"{file}: can't be read ({error.strerror}); delete what else the job that makes it left, and run the same "
            "command again"
        ) from error
    made, certificate = _made_in(file.parent).get(file.name, (found, None))
    if made != found:
        raise RobustlensError(
            f"{file}: not the file that was made (its SHA-256 differs from {certificate}); delete it and run the same "
            "command again"
        )
    return found


@cache
def _made_in(folder: Path) -> dict[str, tuple[str, Path]]:
    """By the name of every file of a folder that has a certificate: its SHA-256 there, and that certificate."""
    made = {}
    for root in (folder, *folder.parents):
        place = root / "provenance" / folder.relative_to(root)
        for certificate in (place.with_name(f"{place.name}.json"), *place.glob("[!.]*.json")):
            made |= {Path(file).name: (digest, certificate) for file, digest in _outputs(certificate).items()}
    return made


def _outputs(certificate: Path) -> dict[str, str]:
    try:
        return dict(json.loads(certificate.read_bytes()).get("outputs", {}))
    except (FileNotFoundError, NotADirectoryError):
        return {}  # there is none, or no longer: its job is about to run again
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RobustlensError(
            f"{certificate}: damaged ({error}), and nothing is read unverified; delete it with the files that it is of "
            "and run the same command again"
        ) from error


def device_facts() -> dict:
    """What results may depend on: the machine's processor and, in a job that uses torch, its threads, its vector
    instructions (`capability`) and the GPU (None: none)."""
    device = {"machine": platform.machine(), "processor": _processor()}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        gpu = torch.cuda.is_available() and not arithmetic.is_prepared()
        device |= {
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "accelerator": torch.cuda.get_device_name() if gpu else None,
        }
    return device


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
