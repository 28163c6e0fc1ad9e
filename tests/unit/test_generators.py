"""Generators: what every one of them promises, and the Gaussians against what numpy computes otherwise."""

import numpy as np
import pytest

from robustlens.configuration.facts import OF_GENERATOR
from robustlens.errors import RobustlensError
from robustlens.generators.classes import positions_by_class
from robustlens.generators.gaussian import Gaussian
from robustlens.parameters import component, create, names

SHAPE, CLASSES = (2, 2, 3), 3


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


@pytest.fixture(params=names("generators"))
def generator(request):
    return create("generators", request.param, {})


def test_there_are_generators_and_the_files_beside_them_are_none():
    assert "gaussian" in names("generators") and not {"pool", "classes"} & set(names("generators"))


def test_samples_are_images_in_0_to_1_of_the_class_that_was_asked_for(generator):
    pixels, labels = images()
    fitted = generator.fit(pixels, labels, CLASSES, seeded())
    for label in (2, 0, 1):
        drawn = fitted.sample(label, 200, seeded())
        assert drawn.shape == (200, *SHAPE) and np.issubdtype(drawn.dtype, np.floating)
        assert drawn.min() >= 0 and drawn.max() <= 1
        assert drawn.mean() == pytest.approx(0.25 * (1 + label), abs=0.05)


def test_samples_depend_on_the_seed_and_on_nothing_that_was_drawn_before(generator):
    pixels, labels = images()
    fitted = generator.fit(pixels, labels, CLASSES, seeded())
    first = fitted.sample(1, 7, seeded(5))
    fitted.sample(0, 3, seeded(6))
    np.random.seed(1)
    again = generator.fit(pixels, labels, CLASSES, seeded()).sample(1, 7, seeded(5))
    assert first.tobytes() == fitted.sample(1, 7, seeded(5)).tobytes() == again.tobytes()
    assert first.tobytes() != fitted.sample(1, 7, seeded(6)).tobytes()
    assert len(np.unique(first.reshape(7, -1), axis=0)) == 7


def test_a_class_is_fitted_to_its_own_images_and_these_stay_as_they_are(generator):
    pixels, labels = images()
    pixels.flags.writeable = labels.flags.writeable = False
    drawn = generator.fit(pixels, labels, CLASSES, seeded()).sample(1, 5, seeded())
    others = np.where((labels == 1)[:, None, None, None], pixels, 1 - pixels)
    assert drawn.tobytes() == generator.fit(others, labels, CLASSES, seeded()).sample(1, 5, seeded()).tobytes()


def test_a_class_without_training_images_is_an_error_that_says_what_to_do(generator):
    pixels, labels = images()
    with pytest.raises(
        RobustlensError, match=r"^class 1 has no training images, .*raise `splits.train` of the dataset"
    ):
        generator.fit(pixels[labels != 1], labels[labels != 1], CLASSES, seeded())
    with pytest.raises(RobustlensError, match=r"^class 3 has no training images"):
        generator.fit(pixels, labels, CLASSES + 1, seeded())


def test_parameters_of_generators_have_other_names_than_the_keys_of_every_generator():
    for name in names("generators"):
        assert not set(component("generators", name, "a test").kinds) & set(OF_GENERATOR)


# Gaussians ------------------------------------------------------------------------------------------------------------


class Units:
    """In place of normal numbers the unit vectors, one after another: the samples show the factor of the covariance."""

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        return np.eye(shape[1])[: shape[0]]


def covariance(gaussian: Gaussian, label: int = 1) -> np.ndarray:
    """What the samples of a class have, exactly: that of the sum of x_i z_i is the sum of x_i x_i^T."""
    pixels, labels = images()
    fitted = gaussian.fit(pixels, labels, CLASSES, seeded())
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
    drawn = gaussian.fit(pixels, labels, CLASSES, seeded()).sample(1, 100_000, seeded()).reshape(100_000, -1)
    deviations = np.sqrt(np.diag(covariance(gaussian)))
    assert abs((drawn.mean(axis=0) - of_class(1).mean(axis=0)) / deviations).max() < 5 / np.sqrt(100_000)
    wrong = (np.cov(drawn.T) - covariance(gaussian)) / np.outer(deviations, deviations)
    assert abs(wrong).max() < 0.03  # six standard errors of a variance


def test_two_classes_of_two_pixels_by_hand():
    """Class 0: means 0.5 and 0.4, variances 0.02 and 0.08, covariance 0.04. The same images as class 1, upside down."""
    pixels = np.array([[0.4, 0.2], [0.6, 0.6], [0.2, 0.4], [0.6, 0.6]]).reshape(4, 1, 1, 2)
    labels = np.array([0, 0, 1, 1])
    fitted = Gaussian("diagonal", 0.5).fit(pixels, labels, 2, seeded())
    variances = 0.5 * np.array([0.02, 0.08]) + 0.5 * 0.05
    expected = np.array([0.5, 0.4]) + np.diag(np.sqrt(variances))
    np.testing.assert_allclose(fitted.sample(0, 2, Units()).reshape(2, 2), expected, rtol=1e-12)
    expected = np.array([0.4, 0.5]) + np.diag(np.sqrt(variances[::-1]))
    np.testing.assert_allclose(fitted.sample(1, 2, Units()).reshape(2, 2), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_what_leaves_0_to_1_is_clipped(kind):
    pixels, labels = images(spread=0.5)
    drawn = Gaussian(kind).fit(pixels, labels, CLASSES, seeded()).sample(2, 500, seeded())
    assert drawn.min() == 0 and drawn.max() == 1


def test_a_covariance_takes_fewer_images_than_pixels_but_two_at_least():
    pixels, labels = images(per_class=3)
    assert np.isfinite(Gaussian("full").fit(pixels, labels, CLASSES, seeded()).sample(0, 5, seeded())).all()
    with pytest.raises(RobustlensError, match=r"^class 2 has 1 training image, and the generator needs at least 2"):
        kept = np.sort(np.append(np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[0]))
        Gaussian("full").fit(pixels[kept], labels[kept], CLASSES, seeded())


def test_positions_are_those_of_each_class_in_order():
    found = positions_by_class(np.array([1, 0, 1, 2]), 3, least=1)
    assert [positions.tolist() for positions in found] == [[1], [0, 2], [3]]
