"""The state of a training run: one file, one owner, one meaning.

The state lives in a folder that Snakemake does not know as an output (it deletes outputs before a job starts and
after it fails). The folder's digest stands for everything that defines the run, so that a state can be resumed
only by the very run that wrote it.
"""

import hashlib
import json
import os
import socket
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.lock import take


class RunState:
    """The state folder of one run, locked while this object is used as a context manager.

    The lock is the operating system's: it ends with its process, however that ends, so that none is ever stale.
    Raises RobustlensError when another process holds it, naming that process.
    """

    def __init__(self, folder: Path, digest: str):
        self.folder = Path(folder)
        self.digest = digest
        self.file = self.folder / "state.safetensors"
        self.owner = self.folder / "owner.json"

    def __enter__(self) -> "RunState":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = take(self.folder / "lock")
        except BlockingIOError:
            owner = self.owner.read_text().strip() if self.owner.exists() else "unknown"
            raise RobustlensError(
                f"{self.folder}: this run is being trained by another process ({owner}); "
                "wait for it, or stop it and run again: training resumes where it stopped"
            ) from None
        except OSError as error:
            raise RobustlensError(f"{self.folder}: can't be written ({error.strerror}); make it writable") from error
        for partial in self.folder.glob(f".{self.file.name}.*.part*"):
            partial.unlink()  # of a process that was killed while it saved
        job = os.environ.get("SLURM_JOB_ID")
        with replacing(self.owner) as path:
            path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": job}) + "\n")
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def save(self, tensors: dict[str, Tensor], record: dict) -> None:
        """Replace the state by `tensors` and the JSON-able `record`, in one rename."""
        # A copy of each: two modules may share one, which a safetensors file can't say.
        tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
        text = json.dumps(record)
        metadata = {"digest": self.digest, "record": text, "sha256": _checksum(tensors, text)}
        with replacing(self.file) as path:
            path.write_bytes(save(tensors, metadata))

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """The saved tensors (on the CPU) and record, or None when there is no state yet.

        Raises RobustlensError for a state of another digest or a damaged file.
        """
        if not self.file.exists():
            return None
        try:
            with safe_open(self.file, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError as error:
            raise self._damaged(str(error)) from error
        if metadata.get("digest") != self.digest:
            raise RobustlensError(
                f"{self.file}: the state of another run (digest {metadata.get('digest')}, expected {self.digest}); "
                f"delete {self.folder} to train this run from the beginning"
            )
        record = metadata.get("record", "")
        if metadata.get("sha256") != _checksum(tensors, record):
            raise self._damaged("its contents do not have their checksum")
        return tensors, json.loads(record)

    def _damaged(self, why: str) -> RobustlensError:
        return RobustlensError(
            f"{self.file}: damaged ({why}); delete {self.folder} to train this run from the beginning"
        )


def _checksum(tensors: dict[str, Tensor], record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
