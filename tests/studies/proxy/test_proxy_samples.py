"""Generated images above the training images that they are nearest to."""

import json

import numpy as np
import proxy_results as made
import pytest

from robustlens.report.context import Context, Recipe
from studies.proxy.figures import samples

MIX = {"generator": "ddpm", "label": "DDPM", "per_class": 8, "fit": "ddpm", "gamma": 0.4}
CONTEXT = Context("samples", "proxy", datasets={"digits": "Digits"}, recipes={"p": Recipe("P", mix=MIX)}, uses=("mix",))


@pytest.fixture
def folder(tmp_path):
    made.write_images(tmp_path, "digits", np.random.default_rng(5))
    return tmp_path


def inputs(folder, *generators):
    pools = [folder / "generators" / "digits" / name / "images.npy" for name in generators]
    return {"pools": pools, "data": [folder / "data" / "digits" / "sheet.json"]}


def panels(drawing):
    """Label -> pixels that are drawn."""
    return {axes.get_ylabel(): np.asarray(axes.images[0].get_array()) for axes in drawing.figure.axes}


def tile(pixels, row, column):
    """One image of a panel: they are 4 by 4 with a line of 1 between."""
    return pixels[5 * row : 5 * row + 4, 5 * column : 5 * column + 4]


def test_each_generated_image_stands_above_the_nearest_training_image_of_its_class(folder):
    drawn = panels(samples.build(CONTEXT, **inputs(folder, "ddpm", "full")))
    assert list(drawn) == ["training images", "DDPM", "full"]  # `full` is of no recipe that the context knows
    train, labels = (np.load(folder / "data" / "digits" / f"train_{part}.npy") for part in ("images", "labels"))
    pool, own = (np.load(folder / "generators" / "digits" / "ddpm" / f"{part}.npy") for part in ("images", "labels"))
    each, other_class_nearer = samples.COLUMNS // made.CLASSES, 0
    for label in range(made.CLASSES):
        of_class = np.flatnonzero(own == label)[:each]
        for place, position in enumerate(of_class):
            column = label * len(of_class) + place
            image = pool[position, 0].astype(np.float64) / 255
            distances = [np.sqrt(((train[i, 0] / made.LEVELS - image) ** 2).sum()) for i in range(len(train))]
            nearest = min(np.flatnonzero(labels == label), key=lambda i: distances[i])
            other_class_nearer += distances[nearest] > min(distances)
            np.testing.assert_allclose(tile(drawn["DDPM"], 0, column), image, atol=1e-6)
            np.testing.assert_allclose(tile(drawn["DDPM"], 1, column), train[nearest, 0] / made.LEVELS, atol=1e-6)
    assert other_class_nearer  # else this would not tell whether classes are kept apart


def test_a_copy_stands_above_itself(folder):
    train = np.load(folder / "data" / "digits" / "train_images.npy")
    place = folder / "generators" / "digits" / "ddpm" / "images.npy"
    pool = np.load(place)
    pool[0] = np.round(train[9] / made.LEVELS * 255)  # of class 0, as image 0 of the pool; rounded, as pools are
    np.save(place, pool)
    drawn = panels(samples.build(CONTEXT, **inputs(folder, "ddpm")))["DDPM"]
    np.testing.assert_allclose(tile(drawn, 0, 0), tile(drawn, 1, 0), atol=1 / 255)
    np.testing.assert_allclose(tile(drawn, 1, 0), train[9, 0] / made.LEVELS, atol=1e-6)


def test_blocks_of_training_images_give_the_same_neighbours(folder, monkeypatch):
    whole = panels(samples.build(CONTEXT, **inputs(folder, "ddpm")))["DDPM"]
    monkeypatch.setattr(samples, "VALUES", 33)  # two images at a time
    np.testing.assert_array_equal(panels(samples.build(CONTEXT, **inputs(folder, "ddpm")))["DDPM"], whole)


def test_only_the_first_classes_are_shown_where_there_are_many(folder, monkeypatch):
    monkeypatch.setattr(samples, "MOST_CLASSES", 2)
    monkeypatch.setattr(samples, "COLUMNS", 4)
    drawing = samples.build(CONTEXT, **inputs(folder, "ddpm"))
    assert "the first 2 of each class, the first 2 of 3, not chosen." in drawing.caption
    train, labels = (np.load(folder / "data" / "digits" / f"train_{part}.npy") for part in ("images", "labels"))
    shown = panels(drawing)["training images"]
    first = [np.flatnonzero(labels == label)[:2] for label in (0, 1)]
    for column, position in enumerate(np.concatenate(first)):
        np.testing.assert_allclose(tile(shown, 0, column), train[position, 0] / made.LEVELS, atol=1e-6)


def test_a_pool_of_colour_is_drawn_in_colour(tmp_path, monkeypatch):
    monkeypatch.setattr(made, "SHAPE", (3, 4, 4))
    made.write_images(tmp_path, "digits", np.random.default_rng(6))
    assert json.loads((tmp_path / "data" / "digits" / "sheet.json").read_text())["shape"] == [3, 4, 4]
    drawn = panels(samples.build(CONTEXT, **inputs(tmp_path, "ddpm")))["DDPM"]
    pool = np.load(tmp_path / "generators" / "digits" / "ddpm" / "images.npy")
    np.testing.assert_allclose(tile(drawn, 0, 0), pool[0].transpose(1, 2, 0) / 255, atol=1e-6)
