"""Pools of selected images: what is kept of a pool, by whom it is judged, and the same bytes again."""

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from configured import REPOSITORY
from discriminating import Forgotten
from tiny import StopAfter, dataset

from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.discrimination import discriminator, pool_scores
from robustlens.discrimination.discriminator import Discriminator
from robustlens.discrimination.pool_scores import Scores, score
from robustlens.discrimination.selection import any_share, most_real
from robustlens.discrimination.sides import REAL
from robustlens.errors import RobustlensError
from robustlens.generators import selected
from robustlens.generators.selected import write_selected, write_table
from robustlens.models.weights import build
from robustlens.training.loop import Interrupted
from robustlens.training.state import RunState

pytestmark = pytest.mark.slow

CPU, SHARE = torch.device("cpu"), 0.5
MLP = {"family": "mlp", "inputs": 64, "widths": [64]}
SETTINGS = {"norm": "l2", "epsilons": [0, 0.2], "steps": [40], "batch_size": 16, "attack_steps": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    """40 training and 20 validation digits. The 60 test images are not there: only a pool has copies of them."""
    whole = dataset(tmp_path_factory.mktemp("digits"))
    return PreparedDataset(whole.sheet, {name: whole.splits[name] for name in ("train", "validation")})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Path, Path]:
    """The folder of the dataset, and that of a pool: in each class, noisy copies of the test images alternate with as
    many images of uniform noise."""
    folder, place = tmp_path_factory.mktemp("digits"), tmp_path_factory.mktemp("pool")
    test, random = dataset(folder).splits["test"], np.random.default_rng(0)
    order = np.argsort(test.labels, kind="stable")
    copies = np.clip(test.pixels(order) + random.normal(0, 0.05, test.images.shape), 0, 1)
    both = np.stack([copies, random.random(copies.shape)], axis=1).reshape(-1, 1, 8, 8)
    np.save(place / "images.npy", np.rint(255 * both).astype(np.uint8))
    np.save(place / "labels.npy", np.repeat(test.labels[order], 2))
    return folder, place


@pytest.fixture(scope="module")
def pool(data, mixed) -> Split:
    return load_pool(mixed[1], data)


def fresh():
    return build(MLP, 1, 2)


def scored(data: PreparedDataset, pool: Split, state=None, seed: int = 0, stop=lambda: False, **settings) -> Scores:
    chosen = Discriminator(**{k: tuple(v) if isinstance(v, list) else v for k, v in (SETTINGS | settings).items()})
    return score(chosen, data, pool, fresh, seed, CPU, state or Forgotten(), stop)


@pytest.fixture(scope="module")
def scores(data, pool) -> Scores:
    return scored(data, pool)


# Judging ----------------------------------------------------------------------------------------------------------


def test_images_like_the_training_ones_are_preferred_to_noise(scores, pool):
    copies = np.arange(len(pool.labels)) % 2 == 0
    kept = most_real(scores.realness, pool.labels, SHARE)
    assert copies[kept].mean() > 0.95 and abs(copies[any_share(pool.labels, SHARE, 0)].mean() - 0.5) < 0.2
    assert scores.realness[copies].min() > np.median(scores.realness[~copies])


def test_the_accuracy_is_measured_on_validation_images_and_as_many_of_the_pool(data, pool, monkeypatch):
    """With copies of real images in the pool it can't be high; with noise alone, it is."""
    noise = pool.at(np.arange(1, 120, 2))
    assert scored(data, noise).accuracy > 0.9
    seen = []
    monkeypatch.setattr(pool_scores, "Training", lambda *arguments: seen.append(arguments) or pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception):
        scored(data, pool)
    ((_, epsilons, steps, parts, *_),) = seen
    assert (epsilons, steps) == ((0.2,), 40)
    validation = parts["validation"]
    assert len(validation.generated) == len(validation.real) == 20
    every = torch.arange(20)
    assert torch.equal(validation.real.batch(every), torch.from_numpy(data.splits["validation"].pixels()))
    pixels = {image.tobytes() for image in pool.pixels()}
    assert len({image.numpy().tobytes() for image in validation.generated.batch(every)} & pixels) == 20


def test_one_discriminator_is_trained_at_the_radius_on_training_images_against_all_of_the_pool(data, pool, monkeypatch):
    seen, original = [], discriminator.attacked

    def attacked(model, x, y, norm, epsilon, steps, noise):
        seen.append((x, y, norm, epsilon, steps))
        return original(model, x, y, norm, epsilon, steps, noise)

    monkeypatch.setattr(discriminator, "attacked", attacked)
    scored(data, pool, steps=[8], batch_size=15)
    assert [facts for *_, norm, epsilon, steps in seen for facts in [(norm, epsilon, steps)]] == [("l2", 0.2, 3)] * 8
    for label, split, times in ((0, pool, {1}), (1, data.splits["train"], {3})):
        own = dict.fromkeys((image.tobytes() for image in split.pixels()), 0)
        for x, y, *_ in seen:
            for image in x[y == label]:
                own[image.numpy().tobytes()] += 1  # a KeyError: it is no image of that side
        assert set(own.values()) == times and len(own) == len(split.labels)


def test_a_training_of_less_than_one_pass_sees_images_of_all_classes(data, pool, monkeypatch):
    """The pool stands class after class, and the first 64 of its images, which 4 steps of 16 take, are of six."""
    classes = {
        image.numpy().tobytes(): y for image, y in zip(torch.from_numpy(pool.pixels()), pool.labels, strict=True)
    }
    seen = []

    def unmoved(model, x, y, norm, epsilon, steps, noise):
        seen.extend(classes[image.numpy().tobytes()] for image in x[y != REAL])
        return x

    monkeypatch.setattr(discriminator, "attacked", unmoved)
    scored(data, pool, steps=[4])
    assert len(seen) == 64 and len(set(seen)) == 10 > len(set(pool.labels[:64].tolist()))


def test_a_training_that_was_stopped_goes_on_to_the_same_scores(data, pool, scores, tmp_path, monkeypatch):
    stop, step = StopAfter({7, 31}), discriminator.Training.step

    def counted(training, *batch):
        step(training, *batch)
        stop.done += 1

    monkeypatch.setattr(discriminator.Training, "step", counted)
    for interrupted in (True, True, False):
        stop.asked = stop.done
        with RunState(tmp_path, "digest") as state:
            if interrupted:
                with pytest.raises(Interrupted):
                    scored(data, pool, state, stop=stop)
            else:
                found = scored(data, pool, state, stop=stop)
    assert stop.done == 40 and found.realness.tobytes() == scores.realness.tobytes()
    assert found.accuracy == scores.accuracy


def test_another_seed_gives_other_scores(data, pool, scores):
    assert scored(data, pool, seed=1).realness.tolist() != scores.realness.tolist()


def test_what_can_not_be_judged_is_refused(data, pool):
    with pytest.raises(RobustlensError, match=r"^selected.architecture: takes no images of shape \[1, 8, 8\] \(mat1"):
        wrong = {"family": "mlp", "inputs": 65}
        score(Discriminator("l2", (0, 0.1), batch_size=8), data, pool, lambda: build(wrong, 1, 2), 0, CPU, Forgotten())
    with pytest.raises(RobustlensError, match=r"batch_size: a batch has 41 real images, and there are only 40"):
        scored(data, pool, batch_size=41)
    empty = PreparedDataset(data.sheet, data.splits | {"validation": data.splits["validation"].at(np.arange(0))})
    with pytest.raises(RobustlensError, match=r"^selected: the dataset has no validation images; raise `splits.val"):
        scored(empty, pool)


# Writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [64, 200, 2**20])
def test_a_selected_pool_has_the_kept_images_in_the_order_of_the_pool(values, pool, data, tmp_path, monkeypatch):
    monkeypatch.setattr(selected, "CHUNK_VALUES", values)
    kept, told = np.array([70, 3, 4, 119, 0, 55, 9]), []
    write_selected(tmp_path, pool, kept, told.append)
    read = load_pool(tmp_path, data)
    assert read.images.tobytes() == b"".join(pool.images[where].tobytes() for where in (0, 3, 4, 9, 55, 70, 119))
    assert read.labels.tolist() == [pool.labels[where] for where in (0, 3, 4, 9, 55, 70, 119)]
    assert told[-1] == 7 and sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "labels.npy"]


def test_the_table_says_of_every_image_whether_it_was_kept(pool, tmp_path):
    kept, values = np.array([5, 2]), np.linspace(0, 1, 120)
    for path, given in ((tmp_path / "scored", values), (tmp_path / "any", None)):
        write_table(path, pool, kept, given)
        table = pd.read_parquet(path)
        assert list(table) == ["index", "label", "score", "kept"]
        assert table["index"].tolist() == list(range(120)) and table["label"].tolist() == pool.labels.tolist()
        assert table["index"][table["kept"]].tolist() == [2, 5] and table["kept"].dtype == bool
        assert table["score"].tolist() == values.tolist() if given is not None else table["score"].isna().all()


def test_a_pool_that_is_selected_from_is_never_in_memory_as_a_whole(tmp_path):
    count, shape = 4000, (3, 32, 32)  # 12 MB
    values = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, (count, *shape))
    big = Split(values, np.arange(count) % 2, np.arange(count), 255)
    tracemalloc.start()
    write_selected(tmp_path, big, np.arange(0, count, 2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "images.npy").stat().st_size == 128 + 2000 * 3072 and peak < 3e6


# The script -------------------------------------------------------------------------------------------------------


def selection(mixed: tuple[Path, Path], folder: Path, **spec: object) -> None:
    """What the job of a generator `some` does."""
    (sheet, place), spec = mixed, {"dataset": "digits", "generator": "some", "from": "all", "share": SHARE} | spec
    arguments = {"--spec": json.dumps(spec | {"seed": 0}), "--data": sheet, "--state": folder / "state"}
    arguments |= {"--folder": folder / "pool", "--certificate": folder / "some.json", "--log": folder / "some.log"}
    words = [str(word) for pair in arguments.items() for word in pair]
    pools = ["--pool", str(place / "images.npy"), str(place / "labels.npy")]
    script = REPOSITORY / "scripts" / "select_pool.py"
    done = subprocess.run([sys.executable, str(script), *words, *pools], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_script_keeps_the_same_bytes_as_this_process_and_as_many_by_chance(mixed, data, pool, scores, tmp_path):
    ours = tmp_path / "ours"
    kept = most_real(scores.realness, pool.labels, SHARE)
    write_selected(ours, pool, kept)
    write_table(ours / "selection.parquet", pool, kept, scores.realness)
    selection(mixed, tmp_path / "top", by="realness", architecture=MLP, discriminator=SETTINGS)
    selection(mixed, tmp_path / "any", by="chance")
    names = ["images.npy", "labels.npy", "selection.parquet"]
    assert {name: (tmp_path / "top/pool" / name).read_bytes() for name in names} == {
        name: (ours / name).read_bytes() for name in names
    }
    assert (
        f"discriminator 1/1, ETA 0:00:00  epsilon 0.2  accuracy {scores.accuracy:.3g}"
        in (tmp_path / "top/some.log").read_text()
    )
    certificate = json.loads((tmp_path / "top/some.json").read_text())
    assert certificate["accuracy"] == scores.accuracy
    assert sorted(Path(file).name for file in certificate["outputs"]) == names
    assert sorted(Path(file).name for file in certificate["inputs"]) == ["images.npy", "labels.npy", "sheet.json"]
    top, chance = (load_pool(tmp_path / name / "pool", data) for name in ("top", "any"))
    assert top.labels.tolist() == chance.labels.tolist() and not np.array_equal(top.images, chance.images)
    for label in range(10):
        assert (top.labels == label).sum() * 2 == (pool.labels == label).sum()
    table = pd.read_parquet(tmp_path / "any/pool/selection.parquet")
    assert table["score"].isna().all() and not (tmp_path / "any/state").exists()
    assert table["index"][table["kept"]].tolist() == sorted(any_share(pool.labels, SHARE, 0).tolist())
    table = pd.read_parquet(tmp_path / "top/pool/selection.parquet")
    for _, of_class in table.groupby("label"):
        assert of_class["score"][of_class["kept"]].min() >= of_class["score"][~of_class["kept"]].max()


def test_a_pool_whose_labels_leave_a_class_with_too_few_images_is_refused(pool):
    few = replace(pool, labels=np.where(np.arange(120) == 0, 9, 8))
    with pytest.raises(RobustlensError, match=r"leaves none of the 1 images of class 9; raise it, or generate more"):
        any_share(few.labels, 0.4, 0)
