"""Birth certificates: where an artefact comes from."""

import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from robustlens.atomic import replacing
from robustlens.data.prepared import checksum

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
    """Made when a job starts, written when its artefacts are in place."""

    def __init__(self, spec: dict):
        self.spec = spec
        self.started = time.monotonic()

    def write(self, path: Path, inputs: list[Path], outputs: list[Path], **facts: object) -> None:
        """Parameters (with code digest and seed), library versions, device, threads, wall time and the SHA-256 of
        every input and output file, as JSON. facts: what else is to be known of this job.
        """
        record = {
            "parameters": self.spec,
            "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
            "device": _device(),
            "wall_seconds": round(time.monotonic() - self.started, 3),
            "inputs": {str(file): checksum(file) for file in sorted(map(Path, inputs))},
            "outputs": {str(file): checksum(file) for file in sorted(map(Path, outputs))},
            **facts,
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2, default=str) + "\n")


def _device() -> dict:
    """The machine's processor and, in a job that uses torch, its threads, capability and accelerator."""
    device = {"machine": platform.machine(), "processor": _processor()}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        device |= {
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        }
    return device


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
