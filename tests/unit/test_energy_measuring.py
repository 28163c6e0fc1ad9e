"""The energies of all images of a split, against a loop over images."""

import numpy as np
import pytest
import torch
from torch import nn

from robustlens.data.prepared import Split
from robustlens.energy.measuring import measure


class Float64(Split):
    """Its images are float64, so that rounding hides nothing."""

    def pixels(self, where: slice) -> np.ndarray:
        return self.images[where] / self.levels


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_row_is_what_a_loop_over_images_finds(batch_size):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 17, (11, 1, 3, 3), dtype=np.uint8), random.integers(3, size=11)
    split = Float64(images, labels, np.sort(random.choice(100, 11, replace=False)), levels=16)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).double().eval()
    table = measure(model, split, batch_size)
    assert list(table.columns) == ["index", "label", "prediction", "marginal", "joint"]
    assert table["index"].tolist() == split.index.tolist() and table["label"].tolist() == labels.tolist()
    weight, bias = (parameter.detach().numpy() for parameter in model[1].parameters())
    for row, image, label in zip(table.to_dict("records"), images, labels, strict=True):
        logits = weight @ (image.ravel() / 16) + bias
        assert row["prediction"] == np.argmax(logits)
        assert row["marginal"] == pytest.approx(-np.log(np.exp(logits).sum()), abs=1e-12)
        assert row["joint"] == pytest.approx(-logits[label], abs=1e-12)
