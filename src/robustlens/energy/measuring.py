"""The energies of all images of a split under one classifier."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from robustlens.data.prepared import Split
from robustlens.energy.energies import joint_energy, marginal_energy


def measure(model: nn.Module, split: Split, batch_size: int, device: torch.device | str = "cpu") -> pd.DataFrame:
    """One row per image: index, label, prediction, marginal = E(x), joint = E(x, y).

    model: a classifier in eval mode, on `device`.
    """
    batches = []
    for start in range(0, len(split.labels), batch_size):
        where = slice(start, start + batch_size)
        x, y = (torch.from_numpy(np.array(part)).to(device) for part in (split.pixels(where), split.labels[where]))
        with torch.no_grad():
            logits = model(x)
        columns = {
            "label": y,
            "prediction": logits.argmax(1),
            "marginal": marginal_energy(logits),
            "joint": joint_energy(logits, y),
        }
        batches.append(pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()}))
    table = pd.concat(batches, ignore_index=True)
    table.insert(0, "index", np.array(split.index))
    return table
