"""Where PGD in the precision of the network steps another way than Temperature-PGD, whose gradient does not vanish."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from robustlens.attacks.temperature_pgd import share_of_other_signs
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.seeds import generator


def other_signs(
    model: nn.Module,
    split: Split,
    attacks: Mapping[str, float],
    threat: Threat,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """One row per attack and image: attack, inverse_temperature, index, share (`share_of_other_signs`, 0..1).

    Measured where the first step of each attack is: at the random start that an evaluation of the whole split with this
    seed and batch size gives it. attacks: name -> 1/T.
    """
    rows = []
    for name, inverse_temperature in attacks.items():
        for start in range(0, len(split.labels), batch_size):
            where = slice(start, start + batch_size)
            x, y = (torch.from_numpy(np.array(part)).to(device) for part in (split.pixels(where), split.labels[where]))
            x_adv = threat.random_point(x, generator(seed, name, start, device=device))
            shares = share_of_other_signs(model, x_adv, y, inverse_temperature).cpu().numpy()
            columns = {"attack": name, "inverse_temperature": inverse_temperature, "index": split.index[where]}
            rows.append(pd.DataFrame(columns | {"share": shares}))
    return pd.concat(rows, ignore_index=True)
