"""How far the features of attacked images are from those of the images themselves."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.learning.learner import PENULTIMATE, Learner
from robustlens.models.inference import InferenceModel
from robustlens.seeds import generator

STEPS = 20


def compared_features(
    model: nn.Module,
    split: Split,
    threat: Threat,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """One row per image: index; cosine, of what the last layer is given for the attacked image z' and for the image
    itself z; distance, ||z' - z||; norm, ||z||.

    model: in eval mode, on the device. It is attacked by PGD-20 on the cross-entropy of the label, with the random
    start that an evaluation of the whole split with this seed and batch size gives it.
    """
    learner, attacked_by, rows = Learner(model), InferenceModel(model), []
    for start in range(0, len(split.labels), batch_size):
        where = slice(start, start + batch_size)
        x, y = (torch.from_numpy(np.array(part)).to(device) for part in (split.pixels(where), split.labels[where]))
        x_adv = PGD(steps=STEPS)(attacked_by, x, y, threat, generator(seed, "pgd20", start, device=device))
        with torch.no_grad():
            (_, (natural,)), (_, (attacked,)) = (learner.features(images, [PENULTIMATE]) for images in (x, x_adv))
        columns = {
            "cosine": F.cosine_similarity(attacked, natural),
            "distance": torch.linalg.vector_norm(attacked - natural, dim=1),
            "norm": torch.linalg.vector_norm(natural, dim=1),
        }
        numbers = {name: values.double().cpu().numpy() for name, values in columns.items()}
        rows.append(pd.DataFrame({"index": split.index[where]} | numbers))
    return pd.concat(rows, ignore_index=True)
