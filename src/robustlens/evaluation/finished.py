"""What an evaluation has behind it: a job that is killed, or whose results Snakemake deletes with those of its group,
goes on after the last batch that was saved."""

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from robustlens.atomic import replacing
from robustlens.console import log
from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.lock import take
from robustlens.provenance import device_facts

CHECKSUM = hashlib.sha256().digest_size


def evaluation_digest(spec: dict, data: PreparedDataset, weights: dict[str, str], device: torch.device) -> str:
    """Sixteen hexadecimal digits over all that defines an evaluation: its specification (with the digest of the code it
    uses), the checksums of data and weights, and the kind of device (sums of a processor follow its threads)."""
    threads = torch.get_num_threads() if device.type == "cpu" else None
    text = json.dumps([spec, data.sheet["sha256"], weights, device.type, threads], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class FinishedBatches:
    """The batches of one evaluation that are done, in a file that is no output of the job, and that no other process
    has while this object is used as a context manager.

    file: the SHA-256 of a Parquet table, and that table. Its name has the digest of the evaluation: no other one reads
    it. warnings: what the batches gave rise to; those of batches that were done before are added to it. every:
    seconds between two savings, and how much work a job that is killed may lose. devices: what they were computed on
    (`device_facts`), several where the evaluation went on on another machine.
    Raises RobustlensError for a damaged file, and when another process has it.
    """

    def __init__(self, file: Path, warnings: list[str], every: float):
        self.file, self.warnings, self.every = file, warnings, every
        self.saved = time.monotonic()
        self.batches: dict[str, pd.DataFrame] = {}
        self.devices: list[dict] = []

    def __enter__(self) -> "FinishedBatches":
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._lock = take(self.file.with_suffix(".lock"))
        except BlockingIOError:
            raise RobustlensError(
                f"{self.file}: this evaluation is being made by another process; wait for it, or stop it and run again"
            ) from None
        except OSError as error:
            raise RobustlensError(f"{self.file}: can't be written ({error.strerror}); make it writable") from error
        for partial in self.file.parent.glob(f".{self.file.name}.*.part*"):
            partial.unlink()  # of a process that was killed while it saved
        if self.file.exists():
            self._load()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.close()

    def get(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The batch of that name: as it was saved, or as it is computed now."""
        if name not in self.batches:
            self.batches[name] = compute()
            if (here := device_facts()) not in self.devices:
                self.devices.append(here)
            if time.monotonic() - self.saved >= self.every:
                self._save()
        return self.batches[name]

    def _save(self) -> None:
        table = pd.concat(self.batches, names=["batch", "row"])
        table.attrs = {"warnings": self.warnings, "devices": self.devices}
        content = table.to_parquet()
        with replacing(self.file) as path:
            path.write_bytes(hashlib.sha256(content).digest() + content)
        self.saved = time.monotonic()

    def _load(self) -> None:
        whole = self.file.read_bytes()
        checksum, content = whole[:CHECKSUM], whole[CHECKSUM:]
        if hashlib.sha256(content).digest() != checksum:
            raise RobustlensError(
                f"{self.file}: damaged (its contents do not have their checksum); delete it to evaluate from the "
                "beginning"
            )
        table = pd.read_parquet(io.BytesIO(content))
        self.warnings += table.attrs.pop("warnings")
        self.devices = table.attrs.pop("devices")
        self.batches = {name: batch.droplevel("batch") for name, batch in table.groupby(level="batch", sort=False)}
        log.info("%d batches were done before", len(self.batches))
