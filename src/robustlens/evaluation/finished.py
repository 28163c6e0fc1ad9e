"""The batches of an evaluation that are finished, so that a job that is killed resumes after the last one it saved."""

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
from robustlens.provenance import device_facts

CHECKSUM = hashlib.sha256().digest_size


def evaluation_digest(parameters: dict, data: PreparedDataset, weights: str, device: torch.device) -> str:
    """Sixteen hexadecimal digits over all that defines an evaluation: its parameters (with the digest of its code), the
    checksums of data and weights, and the kind of device (sums on a processor depend on its threads)."""
    threads = torch.get_num_threads() if device.type == "cpu" else None
    text = json.dumps([parameters, data.sheet["sha256"], weights, device.type, threads], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class FinishedBatches:
    """The finished batches of one evaluation, in a file that is not an output of the job. Only one process may have it
    at a time: the one that holds the lock of the evaluation.

    file: the SHA-256 of a Parquet table, and that table. Its name has the digest of the evaluation, so that no other
    one reads it. warnings: those that the batches caused; those of batches that were saved earlier are added to it.
    every: seconds between two saves, and so how much work a killed job may lose. devices: what the batches were
    computed on (`device_facts`), several if the evaluation was resumed on another machine.
    Raises RobustlensError for a damaged file.
    """

    def __init__(self, file: Path, warnings: list[str], every: float):
        self.file, self.warnings, self.every = file, warnings, every
        self.saved = time.monotonic()
        self.batches: dict[str, pd.DataFrame] = {}
        self.devices: list[dict] = []
        for partial in file.parent.glob(f".{file.name}.*.part*"):
            partial.unlink()  # of a process that was killed while it saved
        if file.exists():
            self._load()

    def get(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The batch of that name: as it was saved, or as it is computed now."""
        if name not in self.batches:
            self.batches[name] = compute()
            if (here := device_facts()) not in self.devices:
                self.devices.append(here)
            if time.monotonic() - self.saved >= self.every:
                self._save()
        return self.batches[name]

    def add(self, table: pd.DataFrame) -> None:
        """Take over the batches of a table that another `FinishedBatches` made."""
        self.warnings += table.attrs["warnings"]
        self.devices += [device for device in table.attrs["devices"] if device not in self.devices]
        plain = table.copy(deep=False)
        plain.attrs = {}  # they would end up in the file of the evaluation
        self.batches |= {name: batch.droplevel("batch") for name, batch in plain.groupby(level="batch", sort=False)}

    def table(self) -> pd.DataFrame:
        """The batches one below the other, the name of each in the index; as `attrs`, warnings and devices."""
        none = {"": pd.DataFrame(index=pd.Index([], dtype="int64"))}
        table = pd.concat(self.batches or none, names=["batch", "row"])
        table.attrs = {"warnings": self.warnings, "devices": self.devices}
        return table

    def remove(self) -> None:
        """Delete the file, because the whole evaluation is in place."""
        self.file.unlink(missing_ok=True)

    def _save(self) -> None:
        content = self.table().to_parquet()
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
        self.add(pd.read_parquet(io.BytesIO(content)))
        log.info("%d batches were done before", len(self.batches))
