"""What is compared: torch-fidelity's Fréchet distance. It runs in a worker's process."""

from pathlib import Path

import numpy as np
import torch
from contestants import Unavailable


class TorchFidelityDistance:
    """Of the features in the folder, first.npy and second.npy, float64 (n, d).

    moments_included: of the features at every step, else of moments that are there after the first one. The network's
    width and the batch are those of a problem that has none.
    """

    def __init__(self, width: int, batch: int, folder: Path, device: torch.device, moments_included: bool):
        try:
            from torch_fidelity import metric_fid
        except ImportError as error:
            raise Unavailable(f"torch_fidelity can't be imported ({error})") from error
        self.library, self.moments_included = metric_fid, moments_included
        self.features = [torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("first", "second")]
        self.given = None

    def moments(self) -> list[dict[str, np.ndarray]]:
        return [self.library.fid_features_to_statistics(features) for features in self.features]

    def reset(self, attack_steps: int) -> None:
        """There is no attack here."""

    def step(self) -> None:
        """Leaves the distance as `result`."""
        moments = self.given or self.moments()
        if not self.moments_included:
            self.given = moments
        (self.result,) = self.library.fid_statistics_to_metric(*moments, verbose=False).values()


KINDS = {"torch-fidelity": TorchFidelityDistance}
