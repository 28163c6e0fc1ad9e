"""Generators: what every one of them promises, and the Gaussians against what numpy computes otherwise."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from robustlens.configuration.facts import OF_GENERATOR
from robustlens.errors import RobustlensError
from robustlens.generators.classes import positions_by_class
from robustlens.generators.ddpm import DDPM
from robustlens.generators.fitted import read_fitted, write_fitted
from robustlens.generators.gaussian import Gaussian
from robustlens.generators.gaussian_mixture import GaussianMixture
from robustlens.generators.kde import KDE
from robustlens.generators.work import Work
from robustlens.parameters import component, create, names

SHAPE, CLASSES = (2, 2, 3), 3
MADE = {"dataset": "abc", "generator": "{}", "seed": "0"}


def images(per_class: int = 40, spread: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Correlated float32 images about a grey level of each class, 0.25, 0.5 and 0.75, and their labels, mixed."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(CLASSES), per_class))
    size = int(np.prod(SHAPE))
    noise = random.standard_normal((len(labels), size)) @ random.standard_normal((size, size))
    grey = 0.25 * (1 + labels[:, None])
    return np.clip(grey + spread * noise, 0, 1).astype(np.float32).reshape(-1, *SHAPE), labels


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of_class(label: int) -> np.ndarray:
    pixels, labels = images()
    return pixels[labels == label].astype(np.float64).reshape(-1, int(np.prod(SHAPE)))


# Every generator ------------------------------------------------------------------------------------------------------


# Small enough for a test, where the defaults are not.
SMALL = {
    "kde": {"bandwidth": 0.02},
    "ddpm": {
        "denoiser": "mlp", "width": 64, "depth": 1, "steps": 400, "batch_size": 64, "learning_rate": 0.005,
        "ema_decay": 0.99,
    },
}  # fmt: skip
DENSITIES = [name for name in names("generators") if name != "ddpm"]


@cache
def fitted_to_images(name: str):
    pixels, labels = images()
    return create("generators", name, SMALL.get(name, {})).fit(pixels, labels, CLASSES, seeded(), Work())


@pytest.fixture(params=names("generators"))
def generator(request):
    return create("generators", request.param, SMALL.get(request.param, {}))


@pytest.fixture(params=names("generators"))
def fitted(request):
    return fitted_to_images(request.param)


@pytest.fixture(params=DENSITIES)
def density(request):
    return create("generators", request.param, SMALL.get(request.param, {}))


def test_the_generators_are_those_that_the_documentation_names_and_no_file_beside_them_is_one():
    assert names("generators") == ["ddpm", "gaussian", "gaussian-mixture", "kde"]


def test_samples_are_images_in_0_to_1_of_the_class_that_was_asked_for(fitted):
    for label in (2, 0, 1):
        drawn = fitted.sample(label, 200, seeded())
        assert drawn.shape == (200, *SHAPE) and np.issubdtype(drawn.dtype, np.floating)
        assert drawn.min() >= 0 and drawn.max() <= 1
        assert drawn.mean() == pytest.approx(0.25 * (1 + label), abs=0.05)


def test_samples_depend_on_the_seed_and_on_nothing_that_was_drawn_before(fitted):
    first = fitted.sample(1, 7, seeded(5))
    fitted.sample(0, 3, seeded(6))
    np.random.seed(1)
    torch.manual_seed(1)
    assert first.tobytes() == fitted.sample(1, 7, seeded(5)).tobytes()
    assert first.tobytes() != fitted.sample(1, 7, seeded(6)).tobytes()
    assert len(np.unique(first.reshape(7, -1), axis=0)) == 7


def test_a_fit_depends_on_its_seed_alone(generator):
    pixels, labels = images()
    if isinstance(generator, DDPM):
        generator = replace(generator, steps=30)
    first, again = (generator.fit(pixels, labels, CLASSES, seeded(), Work()).state() for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {k: v.tobytes() for k, v in again.items()}


@pytest.mark.parametrize("name", names("generators"))
def test_what_was_fitted_is_read_again_and_samples_the_same(name, tmp_path):
    fitted, generator = fitted_to_images(name), create("generators", name, SMALL.get(name, {}))
    write_fitted(fitted, tmp_path / "fitted.safetensors", MADE)
    read = read_fitted(tmp_path / "fitted.safetensors", generator, SHAPE, torch.device("cpu"), MADE)
    assert read.sample(1, 5, seeded(3)).tobytes() == fitted.sample(1, 5, seeded(3)).tobytes()


def test_a_class_is_fitted_to_its_own_images_and_these_stay_as_they_are(density):
    pixels, labels = images()
    pixels.flags.writeable = labels.flags.writeable = False
    drawn = density.fit(pixels, labels, CLASSES, seeded(), Work()).sample(1, 5, seeded())
    others = np.where((labels == 1)[:, None, None, None], pixels, 1 - pixels)
    assert drawn.tobytes() == density.fit(others, labels, CLASSES, seeded(), Work()).sample(1, 5, seeded()).tobytes()


def test_a_class_without_training_images_is_an_error_that_says_what_to_do(generator):
    pixels, labels = images()
    with pytest.raises(
        RobustlensError, match=r"^class 1 has no training images, .*raise `splits.train` of the dataset"
    ):
        generator.fit(pixels[labels != 1], labels[labels != 1], CLASSES, seeded(), Work())
    with pytest.raises(RobustlensError, match=r"^class 3 has no training images"):
        generator.fit(pixels, labels, CLASSES + 1, seeded(), Work())


def test_parameters_of_generators_have_other_names_than_the_keys_of_every_generator():
    for name in names("generators"):
        assert not set(component("generators", name, "a test").kinds) & set(OF_GENERATOR)


@pytest.mark.parametrize("what", sorted(MADE))
def test_a_generator_that_was_fitted_to_something_else_is_refused(what, tmp_path):
    file = tmp_path / "fitted.safetensors"
    write_fitted(fitted_to_images("gaussian"), file, MADE | {what: "another"})
    with pytest.raises(RobustlensError, match=rf"^{re.escape(str(file))}: fitted with another {what} \(another, not"):
        read_fitted(file, Gaussian(), SHAPE, torch.device("cpu"), MADE)


@pytest.mark.parametrize("damage", ["cut short", "missing", "of another family"])
def test_a_file_that_is_no_fitted_generator_is_named(damage, tmp_path):
    file = tmp_path / "fitted.safetensors"
    write_fitted(fitted_to_images("gaussian"), file, MADE)
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-1])
    if damage == "missing":
        file.unlink()
    generator = GaussianMixture() if damage == "of another family" else Gaussian()
    with pytest.raises(RobustlensError, match=rf"^{re.escape(str(file))}: not a fitted generator \(.*delete it and"):
        read_fitted(file, generator, SHAPE, torch.device("cpu"), MADE)


# Gaussians ------------------------------------------------------------------------------------------------------------


class Units:
    """In place of normal numbers the unit vectors, one after another: the samples show the factor of the covariance."""

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        return np.eye(shape[1])[: shape[0]]


def covariance(gaussian: Gaussian, label: int = 1) -> np.ndarray:
    """What the samples of a class have, exactly: that of the sum of x_i z_i is the sum of x_i x_i^T."""
    pixels, labels = images()
    fitted = gaussian.fit(pixels, labels, CLASSES, seeded(), Work())
    numbers = 12 + (40 if gaussian.covariance == "full" else 0)
    rows = fitted.sample(label, numbers, Units()).reshape(numbers, -1) - of_class(label).mean(axis=0)
    return rows.T @ rows


def test_without_shrinkage_the_covariances_are_those_of_the_images():
    expected = np.cov(of_class(1).T)
    np.testing.assert_allclose(covariance(Gaussian("full")), expected, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(covariance(Gaussian("diagonal")), np.diag(np.diag(expected)), rtol=1e-10, atol=1e-15)
    assert abs(expected - np.diag(np.diag(expected))).max() > 1e-4


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_full_shrinkage_leaves_the_mean_variance_in_all_directions(kind):
    mean_variance = of_class(1).var(axis=0, ddof=1).mean()
    np.testing.assert_allclose(covariance(Gaussian(kind, 1.0)), mean_variance * np.eye(12), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("shrinkage", [0.1, 0.7])
def test_shrinkage_moves_each_eigenvalue_towards_their_mean(shrinkage):
    eigenvalues = np.linalg.eigvalsh(np.cov(of_class(1).T))
    expected = (1 - shrinkage) * eigenvalues + shrinkage * eigenvalues.mean()
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(Gaussian("full", shrinkage))), expected, rtol=1e-9)


@pytest.mark.parametrize("gaussian", [Gaussian("diagonal"), Gaussian("full"), Gaussian("full", 0.3)], ids=str)
def test_many_samples_have_the_mean_and_the_covariance_of_their_class(gaussian):
    pixels, labels = images()
    drawn = gaussian.fit(pixels, labels, CLASSES, seeded(), Work()).sample(1, 100_000, seeded()).reshape(100_000, -1)
    deviations = np.sqrt(np.diag(covariance(gaussian)))
    assert abs((drawn.mean(axis=0) - of_class(1).mean(axis=0)) / deviations).max() < 5 / np.sqrt(100_000)
    wrong = (np.cov(drawn.T) - covariance(gaussian)) / np.outer(deviations, deviations)
    assert abs(wrong).max() < 0.03  # six standard errors of a variance


def test_two_classes_of_two_pixels_by_hand():
    """Class 0: means 0.5 and 0.4, variances 0.02 and 0.08, covariance 0.04. The same images as class 1, upside down."""
    pixels = np.array([[0.4, 0.2], [0.6, 0.6], [0.2, 0.4], [0.6, 0.6]]).reshape(4, 1, 1, 2)
    labels = np.array([0, 0, 1, 1])
    fitted = Gaussian("diagonal", 0.5).fit(pixels, labels, 2, seeded(), Work())
    variances = 0.5 * np.array([0.02, 0.08]) + 0.5 * 0.05
    expected = np.array([0.5, 0.4]) + np.diag(np.sqrt(variances))
    np.testing.assert_allclose(fitted.sample(0, 2, Units()).reshape(2, 2), expected, rtol=1e-12)
    expected = np.array([0.4, 0.5]) + np.diag(np.sqrt(variances[::-1]))
    np.testing.assert_allclose(fitted.sample(1, 2, Units()).reshape(2, 2), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_what_leaves_0_to_1_is_clipped(kind):
    pixels, labels = images(spread=0.5)
    drawn = Gaussian(kind).fit(pixels, labels, CLASSES, seeded(), Work()).sample(2, 500, seeded())
    assert drawn.min() == 0 and drawn.max() == 1


def test_a_covariance_takes_fewer_images_than_pixels_but_two_at_least():
    pixels, labels = images(per_class=3)
    assert np.isfinite(Gaussian("full").fit(pixels, labels, CLASSES, seeded(), Work()).sample(0, 5, seeded())).all()
    with pytest.raises(RobustlensError, match=r"^class 2 has 1 training image, and the generator needs at least 2"):
        kept = np.sort(np.append(np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[0]))
        Gaussian("full").fit(pixels[kept], labels[kept], CLASSES, seeded(), Work())


def test_positions_are_those_of_each_class_in_order():
    found = positions_by_class(np.array([1, 0, 1, 2]), 3, least=1)
    assert [positions.tolist() for positions in found] == [[1], [0, 2], [3]]


# Kernel density estimates and mixtures --------------------------------------------------------------------------------


def test_a_kernel_density_is_a_training_image_with_noise_of_the_bandwidth():
    pixels, labels = images()
    drawn = KDE(0.01).fit(pixels, labels, CLASSES, seeded(), Work()).sample(1, 4000, seeded()).reshape(4000, -1)
    distances = np.sqrt(np.square(drawn[:, None] - of_class(1)[None]).sum(axis=2))
    nearest = distances.argmin(axis=1)
    residuals = drawn - of_class(1)[nearest]
    inside = (drawn > 0) & (drawn < 1)
    assert residuals[inside].std() == pytest.approx(0.01, rel=0.05)
    assert abs(residuals[inside].mean()) < 0.001
    counts = np.bincount(nearest, minlength=40)
    assert np.square(counts - 100).sum() / 100 < 80  # chi squared of 39 degrees of freedom


def test_a_mixture_of_one_gaussian_is_the_gaussian_of_largest_likelihood():
    pixels, labels = images()
    for covariance in ("diagonal", "full"):
        fitted = GaussianMixture(1, covariance, 1e-9).fit(pixels, labels, CLASSES, seeded(), Work())
        state, expected = fitted.state(), np.cov(of_class(1).T, bias=True)
        np.testing.assert_allclose(state["means"][1, 0], of_class(1).mean(axis=0), rtol=1e-6)
        factor = state["factors"][1, 0]
        if covariance == "full":
            np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-4, atol=1e-7)
        else:
            np.testing.assert_allclose(factor**2, np.diag(expected), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_many_samples_of_a_mixture_have_its_weights_means_and_covariances(covariance):
    """Two groups, three to one, about 0.3 and 0.7."""
    random = np.random.default_rng(1)
    grey = np.repeat([0.3, 0.7], [60, 20])[:, None]
    pixels = (grey + 0.02 * random.standard_normal((80, 12))).astype(np.float32).reshape(-1, *SHAPE)
    fitted = GaussianMixture(2, covariance).fit(pixels, np.zeros(80, int), 1, seeded(), Work())
    drawn = fitted.sample(0, 40_000, seeded()).reshape(40_000, -1)
    dark = drawn.mean(axis=1) < 0.5
    assert dark.mean() == pytest.approx(0.75, abs=0.01)
    for part, values in ((dark, pixels[:60]), (~dark, pixels[60:])):
        flat = values.reshape(len(values), -1).astype(np.float64)
        np.testing.assert_allclose(drawn[part].mean(axis=0), flat.mean(axis=0), atol=0.003)
        expected = np.cov(flat.T, bias=True) + 0.001 * np.eye(12)
        if covariance == "diagonal":
            expected = np.diag(np.diag(expected))
        np.testing.assert_allclose(np.cov(drawn[part].T), expected, atol=1e-4)


def test_a_mixture_needs_an_image_for_each_component():
    pixels, labels = images(per_class=3)
    with pytest.raises(RobustlensError, match=r"^class 0 has 3 training images, and the generator needs at least 4"):
        GaussianMixture(4).fit(pixels, labels, CLASSES, seeded(), Work())
