"""Networks in bfloat16: what they compute, where they are refused, and chains of generated images on them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from networks import NORMALISATION, SMALL, images, small
from processes import Child, run_script
from tiny import SPEC as RUN
from tiny import dataset
from torch import Tensor, nn

from robustlens.errors import RobustlensError
from robustlens.generation.sampler import Sampler
from robustlens.generation.samples import load_samples
from robustlens.models import bfloat16
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build, save_weights


@pytest.fixture(autouse=True)
def emulated(monkeypatch) -> None:
    """Also on a processor without bfloat16."""
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)


def reduced(model: nn.Module) -> Bfloat16Model:
    return Bfloat16Model(model, "a test", "float32")


def rounded(value: float) -> float:
    """To the nearest number of eight significant bits."""
    mantissa, exponent = np.frexp(value)
    return float(np.ldexp(np.round(mantissa * 2**8), exponent - 8))


# The network ----------------------------------------------------------------------------------------------------------


def test_weights_images_and_logits_are_rounded_to_eight_bits_and_the_original_is_left_alone():
    linear = nn.Linear(1, 1, bias=False).requires_grad_(False).eval()
    for weight, x in np.random.default_rng(0).uniform(0.1, 1.0, (50, 2)).astype(np.float32):
        linear.weight.fill_(float(weight))
        image = torch.tensor([[float(x)]], requires_grad=True)
        logits = reduced(linear)(image)
        (gradient,) = torch.autograd.grad(logits.sum(), image)
        assert logits.dtype == gradient.dtype == torch.float32
        assert logits.item() == rounded(rounded(float(weight)) * rounded(float(x))) != linear(image).item()
        assert gradient.item() == rounded(float(weight))
        assert linear.weight.dtype == torch.float32 and linear.weight.item() == weight


@pytest.mark.parametrize("more", [{}, {"normalisation": NORMALISATION}], ids=["plain", "normalised"])
@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_computes_in_bfloat16_nearly_what_it_does_in_float32(name, more):
    exact = InferenceModel(small(name, **more))
    model, x = reduced(exact), images(name).requires_grad_(True)
    dtypes = set()
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda layer, inputs, output: dtypes.update((inputs[0].dtype, output.dtype)))
            assert layer.weight.dim() == 2 or layer.weight.is_contiguous(memory_format=torch.channels_last)
    (logits, gradient), (expected, slope) = (
        (f(x), torch.autograd.grad(f(x)[:, 0].sum(), x)[0]) for f in (model, exact)
    )
    assert dtypes == {torch.bfloat16}
    assert gradient.is_contiguous() and gradient.dtype == logits.dtype == torch.float32
    assert 0 < (logits - expected).norm() < 0.03 * expected.norm()
    assert 0 < (gradient - slope).norm() < 0.4 * slope.norm()  # max-pooling takes other pixels


def test_a_device_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: False)
    with pytest.raises(RobustlensError, match=r"^a test: bfloat16 is not supported by this cpu.*; use float32$"):
        reduced(nn.Linear(1, 1))


# Chains ---------------------------------------------------------------------------------------------------------------


class Signs(nn.Module):
    """Each class adds some pixels and subtracts the others: the gradients of the joint energy are 1 and -1, which
    bfloat16 has exactly."""

    def __init__(self):
        super().__init__()
        signs = torch.randint(2, (3, 12), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        self.weight = nn.Parameter(signs, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


def chain(model: nn.Module, **settings: float) -> tuple[np.ndarray, pd.DataFrame]:
    sampler, random = Sampler(init="noise", **{"steps": 9, "noise": 0.001} | settings), torch.Generator().manual_seed(1)
    x, y = torch.rand(5, 1, 3, 4, generator=random), torch.tensor([0, 0, 1, 2, 2])
    samples = sampler.run(model, x, y, 5, random)
    return samples.images, samples.chain


def test_images_momentum_and_noise_of_a_chain_are_float32():
    """Steps of 1e-5, which bfloat16 would lose next to a pixel, arrive, and the noise is that of the same generator."""
    (exact, energies), (found, recorded) = (chain(f, step_size=2e-5) for f in (Signs(), reduced(Signs())))
    assert found.tobytes() == exact.tobytes() and found.dtype == np.float32
    random = torch.Generator().manual_seed(1)
    x, velocity = torch.rand(5, 1, 3, 4, generator=random).double(), 0.0
    for _ in range(9):  # Eq. 7 with the gradient that is known
        velocity = 0.8 * velocity + 1e-5 * Signs().weight[[0, 0, 1, 2, 2]].view(5, 1, 3, 4).double()
        x = (x + velocity + 0.001 * torch.randn(x.shape, generator=random)).clamp(0, 1)
    np.testing.assert_allclose(found, x.numpy(), rtol=0, atol=1e-6)
    assert 0 < (recorded["joint"] - energies["joint"]).abs().max() < 0.1  # of the network in bfloat16


# The jobs -------------------------------------------------------------------------------------------------------------

SPEC = {name: RUN[name] for name in ("dataset", "recipe", "seed", "architecture")} | {
    "sampler": {"init": "noise", "steps": 3, "step_size": 2.0, "noise": 0.0},
    "per_class": 2,
    "batch_size": 7,
    "code": "0123456789ab",
}


def generated(folder, **changes) -> tuple[int, str]:
    given = ["--spec", json.dumps(SPEC | changes), "--log", "log", "--data", "data", "--weights", "w.safetensors"]
    given += ["--samples", "samples.npz", "--certificate", "samples.json"]
    return Child(folder / "out", run_script, "generate_samples", given, folder).wait()


def test_a_job_generates_images_in_the_precision_that_it_is_told(tmp_path, monkeypatch):
    dataset(tmp_path / "data")
    torch.manual_seed(0)
    save_weights(build(SPEC["architecture"], 1, 10).state_dict(), tmp_path / "w.safetensors")
    made = []
    for changes in ({}, {"precision": "bfloat16"}):
        code, said = generated(tmp_path, **changes)
        assert code == 0, said
        made.append(load_samples(tmp_path / "samples.npz").images)
    exact, found = made
    assert 0 < np.abs(found - exact).max() < 0.05 and np.abs(found - exact).mean() < 0.001
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: False)
    code, said = generated(tmp_path, precision="bfloat16")
    assert code == 1 and "generation.precision: bfloat16 is not supported by this" in said.replace("\n", " ")
