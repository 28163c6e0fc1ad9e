"""The starting images and the sampler against closed forms and loops, and the files of samples."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from robustlens.errors import RobustlensError
from robustlens.generation.initialisation import ClassPCA, initial_images
from robustlens.generation.sampler import Sampler, Samples
from robustlens.generation.samples import generate, load_samples, save_samples
from robustlens.parameters import create, resolve

# Four standard errors of a covariance of 20,000 draws, each at most sqrt(2 / 20,000) = 1 % of the largest variance.
COVARIANCE_ERROR = 0.04


def class_images(n, seed, spread=0.03):
    """Images (n, 1, 3, 4) around 0.5, of five strong directions and weak noise, that nothing clips."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(5, 12)) * np.array([[3.0], [2.0], [1.0], [0.5], [0.25]])
    flat = 0.5 + spread * (rng.normal(size=(n, 5)) @ directions / 3.0 + 0.02 * rng.normal(size=(n, 12)))
    return flat.astype(np.float32).reshape(n, 1, 3, 4)


class Bowls(nn.Module):
    """f(x)[k] = -||x - centre_k||^2 / 2, so that grad_x E(x, y) = x - centre_y."""

    def __init__(self, centres):
        super().__init__()
        self.centres = nn.Parameter(centres)

    def forward(self, x):
        return -0.5 * (x.flatten(1).unsqueeze(1) - self.centres).square().sum(dim=2)


def bowls(classes=3, seed=0):
    return Bowls(torch.rand(classes, 12, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.3)


def training_set(classes=3, n=6):
    images = np.concatenate([class_images(n, seed=10 + y) for y in range(classes)])
    return images, np.arange(classes).repeat(n)


# ---------------------------------------------------------------- initialisation


def test_pca_keeps_the_smallest_number_of_components_that_reaches_the_variance():
    images = class_images(40, seed=1)
    centred = images.reshape(40, 12).astype(np.float64) - images.reshape(40, 12).mean(axis=0, dtype=np.float64)
    singular = np.linalg.svd(centred, compute_uv=False)
    shares = np.cumsum(singular**2) / np.sum(singular**2)
    for retained in (0.5, 0.9, 0.95, 0.999, 1.0):
        kept = next(k for k in range(1, 13) if shares[k - 1] >= retained - 1e-12)
        pca = ClassPCA(images, retained)
        assert len(pca.std) == len(pca.components) == kept
        np.testing.assert_allclose(pca.std, singular[:kept] / math.sqrt(39), rtol=1e-6)  # lambda_i of the release


@pytest.mark.parametrize("n", [8, 40])
def test_pca_samples_have_the_mean_and_the_scaled_covariance_of_the_kept_components(n):
    images = class_images(n, seed=2)
    flat = images.reshape(n, 12).astype(np.float64)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    pca = ClassPCA(images, 0.9)
    top = slice(12 - len(pca.std), 12)
    expected = 0.25 * (eigenvectors[:, top] * eigenvalues[top]) @ eigenvectors[:, top].T

    x = pca.sample(20_000, sigma=0.5, generator=torch.Generator().manual_seed(0))
    assert x.shape == (20_000, 1, 3, 4)
    assert x.dtype == torch.float32
    drawn = x.flatten(1).double().numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), flat.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=COVARIANCE_ERROR * expected.max())


def test_gaussian_start_has_the_full_class_covariance():
    images = class_images(30, seed=3)
    x = initial_images("gaussian", images, 20_000, 0.1, 99.0, torch.Generator().manual_seed(1))
    expected = np.cov(images.reshape(30, 12).astype(np.float64), rowvar=False)
    drawn = x.flatten(1).double().numpy()
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=COVARIANCE_ERROR * expected.max())


def test_noise_start_is_uniform():
    x = initial_images("noise", class_images(3, seed=4), 5000, 0.9, 1.0, torch.Generator().manual_seed(2))
    assert x.shape == (5000, 1, 3, 4)
    counts, _ = np.histogram(x.numpy(), bins=10, range=(0, 1))
    np.testing.assert_allclose(counts / x.numel(), 0.1, atol=0.01)


def test_starts_are_clipped():
    x = ClassPCA(class_images(20, seed=5, spread=0.5), 1.0).sample(50, 1.0, torch.Generator().manual_seed(3))
    assert x.min() == 0.0
    assert x.max() == 1.0


def test_pca_refuses_what_it_cannot_fit():
    with pytest.raises(RobustlensError, match="two different training images"):
        ClassPCA(class_images(1, seed=6), 0.9)
    with pytest.raises(RobustlensError, match="two different training images"):
        ClassPCA(np.full((5, 1, 3, 4), 0.5, dtype=np.float32), 0.9)
    with pytest.raises(RobustlensError, match=r"retained_variance.*got 0"):
        ClassPCA(class_images(5, seed=6), 0.0)


# ---------------------------------------------------------------- sampler


def equation_7_by_loops(sampler, centres, x, y):
    """Pixel by pixel in Python floats, without noise: the samples and E(x, y), E(x) after each step."""
    x = [[float(v) for v in image] for image in x.reshape(len(x), -1)]
    velocity = [[0.0] * len(image) for image in x]
    joint, marginal = [], []
    for step in range(sampler.steps + 1):
        logits = [[-0.5 * sum((v - c) ** 2 for v, c in zip(i, k, strict=True)) for k in centres.tolist()] for i in x]
        joint.append([-row[label] for row, label in zip(logits, y, strict=True)])
        marginal.append([-math.log(sum(math.exp(v) for v in row)) for row in logits])
        if step < sampler.steps:
            for i, label in enumerate(y):
                for j in range(len(x[i])):
                    gradient = x[i][j] - float(centres[label][j])
                    velocity[i][j] = sampler.momentum * velocity[i][j] - sampler.step_size / 2 * gradient
                    x[i][j] = min(max(x[i][j] + velocity[i][j], 0.0), 1.0)
    return np.array(x), np.array(joint), np.array(marginal)


def test_sampler_follows_equation_7():
    sampler = Sampler(steps=7, step_size=0.4, momentum=0.8, noise=0.0)
    model = bowls().double()
    x = torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 2, 2])
    expected, joint, marginal = equation_7_by_loops(sampler, model.centres.detach(), x.numpy(), y.tolist())

    samples = sampler.run(model, x, y, batch_size=2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(samples.images.reshape(5, 12), expected, rtol=0, atol=1e-12)
    assert samples.images.min() == 0.0  # clipping took place
    assert samples.labels.tolist() == y.tolist()
    rows = [
        {
            "step": step,
            "label": label,
            "joint": np.mean([joint[step][i] for i in range(5) if y[i] == label]),
            "marginal": np.mean([marginal[step][i] for i in range(5) if y[i] == label]),
        }
        for step in range(8)
        for label in range(3)
    ]
    pd.testing.assert_frame_equal(samples.chain, pd.DataFrame(rows), rtol=1e-12)


def test_noise_has_the_given_standard_deviation():
    """Around the middle, with no gradient to speak of, 25 steps of noise add up to sqrt(25) times one."""
    sampler = Sampler(steps=25, step_size=1e-9, noise=0.01)
    x = torch.full((400, 1, 3, 4), 0.5)
    samples = sampler.run(bowls(), x, torch.zeros(400).long(), 400, torch.Generator().manual_seed(5))
    assert samples.images.std() == pytest.approx(0.05, rel=0.03)
    assert samples.images.mean() == pytest.approx(0.5, abs=0.003)


def test_generation_labels_seed_and_progress():
    images, labels = training_set()
    sampler = Sampler(steps=3, noise=0.01)
    calls = []
    first = generate(
        bowls(), images, labels, sampler, per_class=4, seed=7, batch_size=5, progress=lambda *a: calls.append(a)
    )
    assert first.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (first.images.dtype, first.labels.dtype) == (np.float32, np.int64)
    assert first.images.shape == (12, 1, 3, 4)
    assert calls == [(done, 9) for done in range(1, 10)]

    again = generate(bowls(), images, labels, sampler, per_class=4, seed=7, batch_size=5)
    assert again.images.tobytes() == first.images.tobytes()
    pd.testing.assert_frame_equal(again.chain, first.chain)
    other = generate(bowls(), images, labels, sampler, per_class=4, seed=8, batch_size=5)
    assert not np.isclose(other.images, first.images, atol=1e-4).all(axis=(1, 2, 3)).any()


def test_noise_does_not_repeat_the_start():
    """Both come from one seed; were their streams one and the same, the first noise would be the start again."""
    images = np.random.default_rng(0).random((2, 1, 30, 40)).astype(np.float32)
    sampler = {"init": "noise", "step_size": 1e-9, "momentum": 0.0, "noise": 0.01}
    start, moved = (
        generate(Bowls(torch.zeros(2, 1200)), images, np.array([0, 1]), Sampler(steps=n, **sampler), 20, 3, 40).images
        for n in (0, 1)
    )
    inside = (moved > 0) & (moved < 1)
    correlation = np.corrcoef(start[inside], (moved - start)[inside])[0, 1]
    assert abs(correlation) < 0.03


def test_generation_without_steps_gives_the_starting_points():
    images, labels = training_set()
    samples = generate(bowls(), images, labels, Sampler(steps=0, sigma=0.0), per_class=2, seed=0, batch_size=6)
    for y in range(3):
        mean = images[labels == y].mean(axis=0, dtype=np.float64)
        # Rounded to float32 once, below 1.
        np.testing.assert_allclose(samples.images[samples.labels == y], np.stack([mean, mean]), rtol=0, atol=2**-24)
    assert samples.chain["step"].tolist() == [0, 0, 0]


def test_the_model_is_used_in_eval_mode_and_left_as_it_was():
    torch.manual_seed(0)
    model = create("models", "resnet", {"blocks": [1, 1], "width": 4}).build(1, 3).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = np.random.default_rng(1).random((6, 1, 8, 8)).astype(np.float32)
    sampler, random = Sampler(steps=2, noise=0.0, step_size=5.0), torch.Generator().manual_seed(0)
    x, y = sampler.start(images, np.arange(3).repeat(2), 2, random)

    in_one, one_by_one = (sampler.run(model, x.double(), y, batch_size, random).images for batch_size in (6, 1))
    np.testing.assert_allclose(in_one, one_by_one, rtol=0, atol=1e-12)  # no statistics of the batch
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_sampler_parameters_are_checked_by_the_configuration():
    assert resolve("generation", "sampler", {"steps": 40}, "x")["momentum"] == 0.8
    with pytest.raises(RobustlensError, match="did you mean 'sigma'"):
        resolve("generation", "sampler", {"sigmma": 1}, "x")
    with pytest.raises(RobustlensError, match="one of pca, gaussian, noise"):
        resolve("generation", "sampler", {"init": "center"}, "x")


# ---------------------------------------------------------------- files


@pytest.fixture
def samples():
    chain = pd.DataFrame(
        {"step": [0, 0, 1, 1], "label": [0, 1, 0, 1], "joint": [-1.0, -2, -3, -4], "marginal": [-1.5] * 4}
    )
    images = np.random.default_rng(6).random((5, 1, 8, 8)).astype(np.float32)
    return Samples(images, np.array([0, 0, 0, 1, 1]), chain)


def test_samples_survive_the_disk(tmp_path, samples):
    save_samples(tmp_path / "samples.npz", samples)
    back = load_samples(tmp_path / "samples.npz")
    assert back.images.dtype == np.float32
    assert back.images.tobytes() == samples.images.tobytes()
    assert back.labels.tolist() == samples.labels.tolist()
    pd.testing.assert_frame_equal(back.chain, samples.chain)

    save_samples(tmp_path / "again.npz", samples)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "samples.npz").read_bytes()


def test_an_interrupted_write_leaves_the_old_file(tmp_path, samples, monkeypatch):
    path = tmp_path / "samples.npz"
    save_samples(path, samples)
    before = path.read_bytes()

    def half_a_write(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", half_a_write)
    with pytest.raises(RobustlensError, match="disk full"):
        save_samples(path, samples)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["samples.npz"]


def test_samples_that_are_missing_or_damaged(tmp_path, samples):
    path = tmp_path / "samples.npz"
    with pytest.raises(RobustlensError, match="no samples here"):
        load_samples(path)
    save_samples(path, samples)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RobustlensError, match="not a file of samples"):
        load_samples(path)
    np.savez(path, images=np.array([{}], dtype=object), labels=np.zeros(1))
    with pytest.raises(RobustlensError, match="not a file of samples"):
        load_samples(path)
