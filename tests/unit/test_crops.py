"""Images larger than networks see: random parts of them in training, their centres everywhere else."""

import ast
import collections
import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from configured import REPOSITORY
from evaluating import House, changed
from test_training_resume import science
from torch import Tensor
from torchvision.transforms import CenterCrop
from torchvision.transforms import functional as torchvision

from robustlens.data.prepared import PreparedDataset, Split, centre, load
from robustlens.data.source import Source, split_positions, write_prepared
from robustlens.energy.measuring import measure
from robustlens.errors import RobustlensError
from robustlens.generation.features import classifier_network
from robustlens.generation.reference import see_reference
from robustlens.generation.sampler import Sampler
from robustlens.generation.samples import generate
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build, save_weights
from robustlens.seeds import generator
from robustlens.training import images as images_module
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.images import Images
from robustlens.training.leave_out import without

HEIGHT, WIDTH, CROP = 11, 12, 6  # the rest is odd above and even beside
CPU = torch.device("cpu")


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image_by_image(x: Tensor, padding: int, flip: bool, random: torch.Generator, size: int | None, mode: str) -> Tensor:
    """Each image padded by NumPy, cut at offsets of its own, mirrored or not."""
    count, _, height, width = x.shape
    kept = (height, width) if size is None else (size, size)
    ends = [side + 2 * padding - part + 1 for side, part in zip((height, width), kept, strict=True)]
    top, left = (torch.randint(0, end, (count, 1), generator=random).flatten().tolist() for end in ends)
    mirrored = (torch.rand(count, 1, generator=random) < 0.5).flatten().tolist() if flip else [False] * count
    found = []
    for image, row, column, mirror in zip(x.numpy(), top, left, mirrored, strict=True):
        around = ((0, 0), (padding, padding), (padding, padding))
        padded = np.pad(image, around, mode={"zero": "constant", "reflect": "reflect"}[mode])
        cut = padded[:, row : row + kept[0], column : column + kept[1]]
        found.append(cut[:, :, ::-1] if mirror else cut)
    return torch.from_numpy(np.stack(found))


# Random crops -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize(("size", "padding"), [(None, 1), (None, 4), *itertools.product((1, 5, 9), (0, 1, 4))])
def test_random_crops_are_those_of_a_loop_over_images(size, padding, mode, flip):
    x, fast, slow = random_images(50, 3, 9, 10), seeded(), seeded()
    found = crop_and_flip(x, padding, flip, fast, size, mode)
    assert torch.equal(found, image_by_image(x, padding, flip, slow, size, mode))
    assert found.shape == (50, 3, size or 9, size or 10)
    assert torch.equal(fast.get_state(), slow.get_state())  # and no other random numbers were drawn


def former(x: Tensor, padding: int, flip: bool, random: torch.Generator) -> Tensor:
    """What there was before images could be larger than their crops; image by image."""
    count, channels, height, width = x.shape
    top, left = (torch.randint(0, 2 * padding + 1, (count, 1), generator=random) for _ in range(2))
    mirrored = torch.rand(count, 1, generator=random) < 0.5 if flip else torch.zeros(count, 1, dtype=torch.bool)
    found = torch.zeros(x.shape)
    for n in range(count):
        padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding)
        padded[:, padding : padding + height, padding : padding + width] = x[n]
        cut = padded[:, int(top[n]) : int(top[n]) + height, int(left[n]) : int(left[n]) + width]
        found[n] = cut.flip(2) if mirrored[n] else cut
    return found


@pytest.mark.parametrize(("padding", "flip"), [(0, True), (1, False), (1, True), (4, True)])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 5)])
def test_crops_of_the_size_of_the_images_are_what_they_were(shape, padding, flip):
    x, today, before = random_images(40, *shape), seeded(), seeded()
    assert torch.equal(crop_and_flip(x, padding, flip, today), former(x, padding, flip, before))
    assert torch.equal(today.get_state(), before.get_state())
    if shape[1] == shape[2]:
        again = crop_and_flip(x, padding, flip, seeded(), size=shape[1])
        assert torch.equal(again, former(x, padding, flip, seeded()))


@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_with_nothing_to_cut_pad_or_flip_the_images_are_what_is_returned(mode):
    x, random = random_images(4, 1, 6, 6), seeded()
    before = random.get_state()
    assert crop_and_flip(x, 0, False, random, mode=mode) is x
    assert crop_and_flip(x, 0, False, random, 6, mode) is x
    assert torch.equal(random.get_state(), before)
    assert crop_and_flip(random_images(4, 1, 6, 7), 0, False, random, 6, mode).shape == (4, 1, 6, 6)


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("height", "width", "size"), [(7, 6, 4), (5, 5, 5)])
def test_every_offset_and_flip_is_as_likely_as_any_other(height, width, size, padding, mode):
    """The pixels say where they are: two of them, which no padding reaches, say where the crop is and how it lies."""
    count, rows, columns = 40_000, height + 2 * padding - size + 1, width + 2 * padding - size + 1
    x = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width).expand(count, -1, -1, -1)
    cut = crop_and_flip(x, padding, True, seeded(1), size, mode)[:, 0]
    first, last = cut[:, padding, padding].int(), cut[:, padding, size - 1 - padding].int()
    seen = collections.Counter(zip(torch.minimum(first, last).tolist(), (last < first).tolist(), strict=True))
    assert seen.keys() == {(i * width + j, flip) for i in range(rows) for j in range(columns) for flip in (False, True)}
    cells = 2 * rows * columns
    statistic = sum((found - count / cells) ** 2 for found in seen.values()) / (count / cells)
    assert statistic < (cells - 1) + 4 * np.sqrt(2 * (cells - 1))  # mean and standard deviation of chi-square


def test_each_image_has_an_offset_and_a_flip_of_its_own():
    x = torch.arange(63.0).view(1, 1, 7, 9).expand(64, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in crop_and_flip(x, 0, True, seeded(), 4)}) > 30


def test_reflected_padding_is_torchvision_s():
    x, padding, size = random_images(30, 3, 8, 9), 3, 7
    padded = torchvision.pad(x, [padding] * 4, padding_mode="reflect")
    for crop, image in zip(crop_and_flip(x, padding, False, seeded(), size, "reflect"), padded, strict=True):
        windows = [image[:, i : i + size, j : j + size] for i in range(8) for j in range(9)]
        assert any(torch.equal(crop, window) for window in windows)


def test_a_reflection_as_wide_as_the_image_and_a_crop_larger_than_it_are_refused():
    x = random_images(2, 1, 6, 4)
    assert crop_and_flip(x, 3, False, seeded(), mode="reflect").shape == x.shape
    with pytest.raises(
        RobustlensError, match=r"4 pixels of padding can't be mirrored from images of 6x4, which have 3"
    ):
        crop_and_flip(x, 4, False, seeded(), mode="reflect")
    assert crop_and_flip(x, 4, False, seeded()).shape == x.shape
    with pytest.raises(
        RobustlensError, match=r"larger than images of 6x4 pixels padded by 1; lower the dataset's `crop`"
    ):
        crop_and_flip(x, 1, False, seeded(), 7)


# Centres ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [1, 4, 5])
@pytest.mark.parametrize("height", range(5, 11))
@pytest.mark.parametrize("width", range(5, 11))
def test_the_centre_is_torchvision_s_whatever_is_odd(height, width, crop):
    x = random_images(3, 2, height, width)
    assert torch.equal(centre(x, crop), CenterCrop(crop)(x))
    found = centre(x.numpy(), crop)
    assert np.array_equal(found, CenterCrop(crop)(x).numpy()) and np.shares_memory(found, x.numpy())


def prepare(folder: Path, images: np.ndarray) -> Path:
    """40 training, 20 validation and 30 test images of three classes, prepared in `folder`."""
    source = Source(images, np.arange(len(images)) % 3, ["a", "b", "c"], test=30)
    splits = {"train": 40, "validation": 20, "test": None, "seed": 0}
    write_prepared(source, split_positions(source, splits), folder, {"name": "made-up"})
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The prepared images, HEIGHT x WIDTH pixels; all are different."""
    images = np.random.default_rng(0).integers(0, 256, (90, 2, HEIGHT, WIDTH), dtype=np.uint8)
    return prepare(tmp_path_factory.mktemp("large"), images)


@pytest.fixture(scope="module")
def cropped(large) -> PreparedDataset:
    return load(large, crop=CROP)


@pytest.fixture(scope="module")
def cut(large, tmp_path_factory) -> PreparedDataset:
    """The same images, of which nothing but the centres, as torchvision has them, is there."""
    images = np.random.default_rng(0).integers(0, 256, (90, 2, HEIGHT, WIDTH), dtype=np.uint8)
    cut = CenterCrop(CROP)(torch.from_numpy(images)).numpy()
    return load(prepare(tmp_path_factory.mktemp("cut"), np.ascontiguousarray(cut)))


def test_all_splits_of_a_cropped_dataset_are_centres_and_only_training_images_are_whole_too(large, cropped, cut):
    whole = load(large)
    for name, split in cropped.splits.items():
        assert np.array_equal(split.images, cut.splits[name].images), name
        assert np.array_equal(split.pixels(), cut.splits[name].pixels()) and split.pixels().flags.c_contiguous
        assert np.array_equal(split.pixels(slice(3, 8)), cut.splits[name].pixels(slice(3, 8)))
        assert isinstance(split.images, np.memmap) and split.images.base is not None  # a view, no copy
        assert whole.splits[name].whole is None and whole.splits[name].images.shape[2:] == (HEIGHT, WIDTH)
    assert cropped.splits["train"].whole is cropped.splits["train"].images.base
    assert np.array_equal(cropped.splits["train"].whole, whole.splits["train"].images)
    assert cropped.splits["validation"].whole is None and cropped.splits["test"].whole is None
    assert cropped.sheet["shape"] == [2, CROP, CROP] and whole.sheet["shape"] == [2, HEIGHT, WIDTH]
    assert cropped.channels == 2 and cropped.sheet["sha256"] == whole.sheet["sha256"]


def test_a_crop_that_is_larger_than_the_images_is_refused_before_anything_is_read(large, tmp_path):
    assert load(large, ["test"], HEIGHT).splits["test"].images.shape[2:] == (HEIGHT, HEIGHT)
    shutil.copy(large / "sheet.json", tmp_path)  # without the arrays
    with pytest.raises(
        RobustlensError, match=rf"a crop of 12x12 pixels is larger than .* {HEIGHT}x{WIDTH}; lower .*crop"
    ):
        load(tmp_path, ["train"], HEIGHT + 1)
    with pytest.raises(RobustlensError, match="larger than its images"):
        load(tmp_path, [], HEIGHT + 1)


def test_images_that_are_left_out_leave_the_others_whole(cropped, cut):
    positions = np.array([0, 7, 39])
    fewer, expected_images = without(cropped, positions).splits["train"], without(cut, positions).splits["train"]
    assert np.array_equal(fewer.images, expected_images.images) and len(fewer.whole) == 37
    assert np.array_equal(fewer.whole, np.delete(cropped.splits["train"].whole, positions, axis=0))
    assert np.array_equal(fewer.labels, expected_images.labels) and np.array_equal(fewer.index, expected_images.index)
    assert expected_images.whole is None


@pytest.mark.parametrize(("free", "share", "expected"), [(1000, 0.4, True), (999, 0.4, False), (1999, 0.2, False)])
def test_images_are_resident_that_fit_into_their_share_of_a_gpu(free, share, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**6))
    assert images_module._fits(400, torch.device("cuda"), share) is expected
    assert not images_module._fits(400, CPU, share)


def test_the_first_images_are_views_of_them_all():
    split = Split(np.zeros((5, 1, 2, 2), np.uint8), np.arange(5), np.arange(5), levels=255)
    images = Images(split, CPU)
    first = images.first(3)
    assert (len(images), len(first), first.y.tolist()) == (5, 3, [0, 1, 2])
    assert np.shares_memory(images.host, first.host) and first.y.data_ptr() == images.y.data_ptr()


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("count", [None, 12])
def test_batches_are_centres_wherever_the_images_are(count, resident, cropped, cut, monkeypatch):
    monkeypatch.setattr(images_module, "_fits", lambda size, device, share: resident)
    ours, theirs = (Images(data.splits["train"], CPU).first(count or 40) for data in (cropped, cut))
    assert (ours.resident is not None) == resident and len(ours) == (count or 40)
    where = torch.tensor([5, 0, 11, 5])
    whole = torch.from_numpy(cropped.splits["train"].whole[where.numpy()]).float().div_(255)
    assert torch.equal(ours.batch(where), theirs.batch(where)) and torch.equal(ours.whole(where), whole)
    assert torch.equal(theirs.whole(where), theirs.batch(where)) and (ours.crop, theirs.crop) == (CROP, None)
    assert ours.batch(where).is_contiguous() and ours.whole(where).is_contiguous()


# Training ---------------------------------------------------------------------------------------------------------

AUGMENTED = {"crop_padding": 2, "flip": True, "padding": "reflect"}


def spec(method: str = "sat", **settings: object) -> dict:
    return tiny.spec(method, **{"augmentation": AUGMENTED} | settings) | {"crop": CROP}


def parts(data: PreparedDataset, where: Tensor, random: torch.Generator, augmentation: dict = AUGMENTED) -> Tensor:
    """What training makes of the images at these positions."""
    whole = torch.from_numpy(data.splits["train"].whole[where.numpy()].astype(np.float32)) / 255
    mode = augmentation.get("padding", "zero")
    return image_by_image(whole, augmentation["crop_padding"], augmentation["flip"], random, CROP, mode)


@pytest.mark.parametrize("augmentation", [AUGMENTED, {"crop_padding": 0, "flip": False}], ids=["augmented", "cropped"])
def test_training_sees_random_parts_of_the_whole_images(augmentation, cropped, tmp_path):
    run, attacked = tiny.made(spec(augmentation=augmentation), cropped, tmp_path), []
    task = run.task
    original = task._attacked
    task._attacked = lambda learner, x, *rest: (attacked.append(x), original(learner, x, *rest))[1]
    where = torch.tensor([3, 1, 30, 12, 39])
    task.step(where, 1, 7)
    random = generator(0, "steps", 7, 0, device=CPU)
    assert torch.equal(attacked[0], parts(cropped, where, random, augmentation)) and len(attacked) == 1


def test_hooks_see_the_centres_in_order_and_random_parts_where_images_are_augmented(cropped, cut, tmp_path):
    task = tiny.made(spec(), cropped, tmp_path).task
    epoch = task._moment(1, "before epoch")
    for name, seen_images in (("train", epoch.train()), ("validation", epoch.validation())):
        x, y = (torch.cat(part) for part in zip(*seen_images, strict=True))
        assert torch.equal(x, torch.from_numpy(cut.splits[name].pixels())), name
        assert torch.equal(y, torch.from_numpy(np.array(cut.splits[name].labels)))
    random = generator(0, "before epoch", "augmented", 1, device=CPU)
    order = torch.randperm(40, generator=random)
    for where, (x, _) in zip(order.split(16), epoch.augmented(), strict=True):
        assert torch.equal(x, parts(cropped, where, random))


def test_the_statistics_of_averaged_weights_are_of_random_parts(cropped, tmp_path):
    task = tiny.made(spec("standard", averaging=tiny.SWA), cropped, tmp_path).task
    where, looked_at = torch.arange(10), []
    task.averaging.with_fresh_batchnorm = lambda network: network
    task.engine = type("Engine", (), {"fast": lambda _, network: Looking(network, looked_at)})()
    task._with_statistics(task.network, (where,), None)
    assert torch.equal(looked_at[0], parts(cropped, where, generator(0, "statistics", 0, 0, device=CPU)))


class Looking:
    def __init__(self, network, looked_at: list):
        self.network, self.looked_at = network, looked_at

    def train(self) -> "Looking":
        return self

    def __call__(self, x: Tensor) -> Tensor:
        self.looked_at.append(x)
        return self.network(x)


def test_tracking_sees_the_centres(cropped, cut, tmp_path):
    ours, theirs = (tiny.made(spec(), data, tmp_path / str(n)).task for n, data in enumerate((cropped, cut)))
    network = InferenceModel(ours.network)
    for one, other in zip(ours.following.trackers, theirs.following.trackers, strict=True):
        assert one.measure(network).equals(other.measure(network)), one.split


@pytest.mark.parametrize("method", ["sat", "trades"])
def test_a_run_on_crops_that_is_resumed_gives_the_same_bytes(method, cropped, tmp_path):
    whole = tiny.train(spec(method, learning_rate=0.05), cropped, tmp_path / "whole")
    resumed = tiny.train(spec(method, learning_rate=0.05), cropped, tmp_path / "resumed", stop_after={1, 2, 4})
    assert science(whole) == science(resumed)
    other = tiny.train(spec(method, learning_rate=0.05), load_centres(cropped), tmp_path / "centres")
    assert science(whole) != science(other)


def load_centres(data: PreparedDataset) -> PreparedDataset:
    """Without the whole images: crops are cut from the padded centres."""
    train = dataclasses.replace(data.splits["train"], whole=None)
    return dataclasses.replace(data, splits=data.splits | {"train": train})


def test_too_much_reflected_padding_ends_a_training_at_its_first_step(cropped, tmp_path):
    too_much = spec(augmentation={"crop_padding": HEIGHT, "flip": False, "padding": "reflect"})
    with pytest.raises(RobustlensError, match=rf"{HEIGHT} pixels of padding can't be mirrored.*lower `crop_padding`"):
        tiny.train(too_much, cropped, tmp_path)


# What else looks at images ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> InferenceModel:
    torch.manual_seed(0)
    return InferenceModel(build(tiny.SPEC["architecture"], 2, 3))


def test_energies_of_training_images_are_those_of_their_centres(network, cropped, cut):
    ours, theirs = (measure(network, data.splits["train"], 16) for data in (cropped, cut))
    assert ours.equals(theirs)


def test_images_are_generated_from_and_compared_with_centres(network, cropped, cut, tmp_path):
    sampler = Sampler(init="pca", retained_variance=0.9, sigma=1.0, steps=2, step_size=0.01)
    ours, theirs = (
        generate(network, data.splits["train"].pixels(), data.splits["train"].labels, sampler, 3, 0, 5)
        for data in (cropped, cut)
    )
    assert np.array_equal(ours.images, theirs.images) and ours.images.shape == (9, 2, CROP, CROP)
    torch.manual_seed(1)
    classifier = build(tiny.SPEC["architecture"], 2, 3)
    save_weights(classifier.state_dict(), tmp_path / "weights.safetensors")
    found = classifier_network(classifier, tmp_path / "weights.safetensors")
    ours, theirs = (
        see_reference(data.splits["test"].pixels(), data.splits["test"].labels, found, "test", 16)
        for data in (cropped, cut)
    )
    assert np.array_equal(ours.features, theirs.features) and np.array_equal(ours.logits, theirs.logits)


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    return House(tmp_path, monkeypatch)


def test_evaluations_are_of_the_centres_and_those_of_other_crops_are_not_used_again(house, monkeypatch):
    seen_shapes, attack_split = [], house._attack_split

    def noted(model, split: Split, *rest):
        seen_shapes.append(split.images.shape[1:])
        return attack_split(model, split, *rest)

    house._attack_split = noted
    house.evaluate()
    whole = house.contents()
    assert set(seen_shapes) == {(1, 8, 8)}
    smaller = changed(lambda spec: spec.update(crop=6))
    seen_shapes.clear()
    house.evaluate(smaller)
    assert len(house.attacked) == 5 and set(seen_shapes) == {(1, 6, 6)}
    assert house.contents().keys() == whole.keys() and all(house.contents()[name] != whole[name] for name in whole)
    house.evaluate(smaller)
    assert house.attacked == []
    house.evaluate()
    assert len(house.attacked) == 5 and house.contents() == whole


def test_an_evaluation_with_too_large_a_crop_ends_before_anything_else(house):
    with pytest.raises(RobustlensError, match="a crop of 9x9 pixels is larger than its images, which have 8x8"):
        house.evaluate(changed(lambda spec: spec.update(crop=9)))
    assert house.attacked == [] and house.devices == 0


def test_no_job_that_reads_images_forgets_the_crop():
    """Every call that loads a split says which crop: the one of its job's specification."""
    files = [*(REPOSITORY / "scripts").glob("*.py"), *(REPOSITORY / "src").rglob("*.py")]
    files += (REPOSITORY / "studies").rglob("*.py")
    calls = []
    for file in files:
        code = ast.parse(file.read_text())
        imported = [node for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
        if any(
            node.module == "robustlens.data.prepared" and "load" in {a.name for a in node.names} for node in imported
        ):
            loads = [node for node in ast.walk(code) if isinstance(node, ast.Call) and ast.unparse(node.func) == "load"]
            assert loads, file
            calls += [(file.name, call) for call in loads if ast.unparse(call.args[1]) != "[]"]
    assert len(calls) >= 7
    for name, call in calls:
        if name in ("fit_generator.py", "select_pool.py", "samples.py"):  # generated images are shared, whole
            assert len(call.args) == 2
        else:
            assert len(call.args) == 3 and ast.unparse(call.args[2]).endswith("spec.get('crop')"), name
