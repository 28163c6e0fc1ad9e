"""Certifying images: classifiers with a known answer, and what the result does not depend on."""

import itertools
import logging
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from robustlens.attacks.noise import with_noise
from robustlens.certification import counting
from robustlens.certification.counting import class_counts
from robustlens.certification.joining import joined
from robustlens.certification.run import BATCHES, blocks, certificates, certify, evenly_spread, shard
from robustlens.certification.smoothing import Smoothing
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.finished import FinishedBatches
from robustlens.parameters import create
from robustlens.seeds import derive

COLUMNS = ["index", "label", "predicted", "count", "p_lower", "radius", "abstained", "correct", "answer"]
SETTINGS = ["sigma", "draws", "alpha"]


class Halfspace(nn.Module):
    """Class 1 where the mean of the pixels is above 1/2. d equal pixels v have the margin (v - 1/2) sqrt(d)."""

    def __init__(self):
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        score = x.double().flatten(1).mean(1) - 0.5
        return torch.stack([-score, score], dim=1)


def grey(*levels: float) -> Tensor:
    """Images of 4 x 4 equal pixels."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


def network(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, classes)).eval()


_rng = np.random.default_rng(0)
SPLIT = Split(  # the positions in the source are not those in the split
    _rng.integers(0, 256, (23, 1, 4, 4), dtype=np.uint8), _rng.integers(3, size=23), 5 * np.arange(23) + 2, levels=255
)
SMALL = Smoothing(sigma=0.5, first_draws=30, draws=250)


class Kept:
    """What is finished, in memory."""

    def __init__(self):
        self.batches: dict[str, pd.DataFrame] = {}

    def get(self, name, compute):
        if name not in self.batches:
            self.batches[name] = compute()
        return self.batches[name]


def certified(batch_size: int = 64, shards: tuple[int, int] = (1, 1), finished=None, **changes) -> pd.DataFrame:
    chosen = {"model": network(), "positions": np.arange(23), "seed": 7, "smoothing": SMALL} | changes
    of_job = shard(blocks(chosen["positions"], chosen["smoothing"], batch_size), *shards)
    settings = chosen["smoothing"], 3, chosen["seed"], batch_size, "cpu"
    return certify(chosen["model"], SPLIT, of_job, *settings, finished or Kept())


# Known answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.25, 0.5])
def test_a_linear_classifier_has_certificates_of_nearly_its_margin_and_never_above(sigma):
    """d = 16, so a grey level of 1/2 + m/4 has the margin m. Near the boundary the first draws may choose either
    class."""
    margins = [0.3, 0.1, 0.5, 0.02, -0.3]
    smoothing = Smoothing(sigma=sigma, clip=False)
    images = grey(*(0.5 + m / 4 for m in margins))
    split = Split((images.numpy() * 1e6).round().astype(np.uint32), np.ones(5, int), np.arange(5), levels=10**6)
    of_job = blocks(np.arange(5), smoothing, 1_000)
    table = certify(Halfspace().eval(), split, of_job, smoothing, 2, 0, 1_000, "cpu", Kept())
    assert table["predicted"].tolist()[:3] == [1, 1, 1] and table["predicted"][4] == 0
    for row, margin in zip(table.itertuples(), margins, strict=True):
        p = stats.norm.cdf((margin if row.predicted == 1 else -margin) / sigma)
        assert abs(row.count - 10_000 * p) < 4 * math.sqrt(10_000 * p * (1 - p))
        assert row.p_lower == pytest.approx(stats.beta.ppf(0.001, row.count, 10_001 - row.count), rel=1e-12)
        assert row.radius == (0 if row.p_lower < 0.5 else pytest.approx(sigma * stats.norm.ppf(row.p_lower), rel=1e-12))
        assert 0 <= row.radius < abs(margin)
    assert table["radius"][[0, 2, 4]].to_numpy() == pytest.approx(np.abs([0.3, 0.5, -0.3]), abs=0.12 * sigma)
    assert table["correct"].tolist() == [True, True, True, not table["abstained"][3], False]
    assert table["answer"].tolist()[:3] == [1, 1, 1] and table["answer"][4] == 0


def test_a_classifier_without_a_preference_is_never_certified():
    """On the boundary: the first draws choose a class, whose further draws are about one half."""
    smoothing = Smoothing(sigma=0.5, draws=1_000, clip=False)
    first, further = class_counts(Halfspace().eval(), grey(0.5, 0.5), np.arange(2), smoothing, 2, 0, 500)
    table = certificates(np.arange(2), np.zeros(2, int), first, further, smoothing)
    assert table["abstained"].all() and not table["correct"].any() and (table["radius"] == 0).all()
    assert (table["answer"] == -1).all()


def test_clipped_noise_is_a_first_layer_of_the_classifier():
    class Clipped(Halfspace):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.clamp(0, 1))

    images, index = grey(0.52, 0.9), np.arange(2)
    clipped, free = (Smoothing(sigma=0.5, draws=500, clip=clip) for clip in (True, False))
    for ours, theirs in zip(
        class_counts(Halfspace().eval(), images, index, clipped, 2, 0, 100),
        class_counts(Clipped().eval(), images, index, free, 2, 0, 100),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()
    plain = class_counts(Halfspace().eval(), images, index, free, 2, 0, 100)
    assert plain[1].tolist() != class_counts(Halfspace().eval(), images, index, clipped, 2, 0, 100)[1].tolist()


def test_counts_are_those_of_a_plain_loop_over_images_and_draws(monkeypatch):
    """Noise in the pieces that a generator is asked for, from a stream per image and kind of draw."""
    monkeypatch.setattr(counting, "TOGETHER", 8)
    x, index, model = torch.from_numpy(SPLIT.pixels(np.arange(3))), np.array([11, 4, 9]), network()
    found = class_counts(model, x, index, SMALL, 3, 5, 64)
    for counts, stream, draws in zip(found, ("first", "further"), (30, 250), strict=True):
        for position, image in enumerate(index):
            random = torch.Generator().manual_seed(derive(5, "certification", stream, int(image)))
            pieces = [min(8, draws - start) for start in range(0, draws, 8)]
            noise = torch.cat([torch.randn(piece, 1, 4, 4, generator=random) for piece in pieces])
            by_hand = [0, 0, 0]
            for one in noise:
                by_hand[int(model((x[position] + 0.5 * one).clamp(0, 1)[None]).argmax())] += 1
            assert counts[position].tolist() == by_hand and sum(by_hand) == draws


def test_the_first_draws_are_not_used_again():
    """Streams of their own: the further draws are the same however many first ones there are."""
    x, index = torch.from_numpy(SPLIT.pixels(np.arange(4))), np.arange(4)
    few, many = (Smoothing(sigma=0.5, first_draws=n, draws=250) for n in (1, 200))
    first, further = class_counts(network(), x, index, few, 3, 0, 64)
    others, again = class_counts(network(), x, index, many, 3, 0, 64)
    assert further.tolist() == again.tolist() and first.sum() == 4 and others.sum() == 800
    same = Smoothing(sigma=0.5, first_draws=250, draws=250)
    first, further = class_counts(network(), x, index, same, 3, 0, 64)
    assert first.tolist() != further.tolist()


def test_a_table_by_hand():
    first = np.array([[3, 7, 0], [5, 5, 0], [0, 0, 10], [10, 0, 0], [0, 1, 9]])
    further = np.array([[10, 990, 0], [0, 1_000, 0], [300, 149, 551], [1_000, 0, 0], [400, 300, 300]])
    smoothing = Smoothing(sigma=0.5, first_draws=10, draws=1_000)
    table = certificates(np.array([4, 8, 9, 12, 13]), np.array([1, 1, 2, 1, 2]), first, further, smoothing)
    assert table.columns.tolist() == COLUMNS + SETTINGS
    assert table["predicted"].tolist() == [1, 0, 2, 0, 2]
    assert table["count"].tolist() == [990, 0, 551, 1_000, 300]
    p = [0.9760361872, 0, stats.binomtest(551, 1_000, alternative="greater").proportion_ci(0.999, "exact").low]
    assert table["p_lower"].to_numpy()[:3] == pytest.approx(p, abs=1e-10)
    assert table["radius"].to_numpy()[[0, 1, 3, 4]] == pytest.approx([0.989005, 0, 1.2316315, 0], abs=1e-6)
    assert table["abstained"].tolist() == [False, True, False, False, True]
    assert table["correct"].tolist() == [True, False, True, False, False]
    assert table["answer"].tolist() == [1, 1, 2, 0, 0]  # 400 of 700 has a p-value of 0.0002
    assert set(map(tuple, table[SETTINGS].to_numpy())) == {(0.5, 1_000, 0.001)}


# What it does not depend on ---------------------------------------------------------------------------------------


def test_neither_the_batch_nor_the_block_changes_a_certificate():
    table = certified()
    assert len(table) == 23 and table["index"].tolist() == SPLIT.index.tolist()
    assert table["predicted"].nunique() > 1 and 0 < table["abstained"].mean() < 1
    for batch_size in (1, 7, 100, 101, 280, 10_000):
        pd.testing.assert_frame_equal(certified(batch_size), table, check_exact=True)


def test_nor_where_a_generator_gives_other_numbers_to_smaller_requests():
    """On a processor it does so unless 16 divides the numbers that are asked for; images of 3 x 3 pixels have 9."""
    by_hand = [torch.randn(size, generator=torch.Generator().manual_seed(0)) for size in (90, 450)]
    assert not torch.equal(by_hand[0], by_hand[1][:90])
    x = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).eval()
    found = [class_counts(model, x, np.arange(4), SMALL, 3, 0, size)[1].tolist() for size in (7, 10, 64, 100, 1_000)]
    assert all(counts == found[0] for counts in found)


def test_neither_do_the_other_images():
    table = certified()
    chosen = certified(positions=evenly_spread(23, 5))
    expected = table.iloc[[0, 4, 9, 13, 18]].reset_index(drop=True)
    pd.testing.assert_frame_equal(chosen, expected, check_exact=True)


def test_another_seed_draws_other_noise():
    assert certified(seed=8)["count"].tolist() != certified()["count"].tolist()


@pytest.mark.parametrize("shards", [2, 3, 50])
def test_several_jobs_make_the_table_of_one(shards, tmp_path):
    """Also more jobs than there are blocks: some have no images."""
    parts = []
    for number in range(1, shards + 1):
        certified(16, (number, shards)).to_parquet(tmp_path / f"{number}.parquet", index=False)
        parts.append(pd.read_parquet(tmp_path / f"{number}.parquet"))
    assert all(part.dtypes.equals(parts[0].dtypes) for part in parts)
    assert [len(part) > 0 for part in parts] == [True] * min(shards, 23) + [False] * (shards - min(shards, 23))
    whole, again = certified(16), joined(parts)
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    for name, table in (("whole", whole), ("again", again)):
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


class Dies(nn.Module):
    """The network, which a job is killed in after some passes."""

    def __init__(self, passes: float):
        super().__init__()
        self.left, self.network = passes, network()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return self.network(x)


@pytest.mark.parametrize("passes", [3, 40, 60])
def test_a_certification_that_was_killed_anywhere_ends_with_the_same_table(passes, tmp_path):
    whole, file = certified(16), tmp_path / "x.blocks"
    with pytest.raises(KeyboardInterrupt):
        certified(16, model=Dies(passes), finished=FinishedBatches(file, [], every=0))
    there = FinishedBatches(file, [], every=0)
    rest = Dies(math.inf)
    done = len(there.batches)
    table = certified(16, model=rest, finished=there)
    assert done == max(0, passes - 2) // 18  # 280 draws are 18 passes; two passes tell the cost
    pd.testing.assert_frame_equal(table, whole, check_exact=True)


def test_a_block_that_is_finished_is_not_certified_again(tmp_path):
    file = tmp_path / "x.blocks"
    certified(16, finished=FinishedBatches(file, [], every=0))
    table = certified(16, model=Dies(0), finished=FinishedBatches(file, [], every=0))
    pd.testing.assert_frame_equal(table, certified(16), check_exact=True)


# Which images, in which blocks ------------------------------------------------------------------------------------


def test_images_are_evenly_spread_from_the_first_on():
    assert evenly_spread(10_000, 500).tolist() == list(range(0, 10_000, 20))  # every 20th, as Cohen et al.
    assert evenly_spread(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spread(10, None).tolist() == evenly_spread(10, 10).tolist() == evenly_spread(10, 11).tolist()
    for size, images in itertools.product((1, 7, 100, 1397), (1, 3, 64)):
        found = evenly_spread(size, images)
        assert len(set(found)) == min(size, images) and found.max() < size and found[0] == 0


def test_a_block_has_the_draws_of_some_batches_or_of_one_image():
    of_all = blocks(np.arange(0, 60, 2), Smoothing(sigma=1, first_draws=100, draws=1_000), 500)
    assert [block.tolist() for block in of_all[:2]] == [[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]
    assert np.concatenate(of_all).tolist() == list(range(0, 60, 2))
    assert [len(block) for block in blocks(np.arange(3), Smoothing(sigma=1), 100)] == [1, 1, 1]
    assert [len(block) for block in blocks(np.arange(30), SMALL, 56)] == [2] * 15
    assert 2 * SMALL.per_image == BATCHES * 56
    jobs = [shard(of_all, number, 4) for number in (1, 2, 3, 4)]
    assert sorted(int(block[0]) for job in jobs for block in job) == list(range(0, 60, 10))


def test_forward_passes_are_full_but_for_the_last_one_of_a_block():
    model = Halfspace().eval()
    smoothing = Smoothing(sigma=0.5, first_draws=30, draws=250)
    class_counts(model, grey(0.2, 0.7, 0.4), np.arange(3), smoothing, 2, 0, 64)
    assert model.batches == [64] * 13 + [8]  # 840 draws of three images


# What is said -----------------------------------------------------------------------------------------------------


def test_the_cost_is_told_before_the_first_block_and_progress_after_each(caplog):
    caplog.set_level(logging.INFO, "robustlens")
    certified(16, (1, 2))
    first, *rest = [record.getMessage() for record in caplog.records]
    assert first.startswith("12 images x (30 + 250) draws are 3360 forward passes, about ")
    assert "(16 of them take " in first
    assert (
        len(rest) == 12 and rest[0].startswith("block 1/12, ETA ") and rest[-1].startswith("block 12/12, ETA 0:00:00")
    )
    assert rest[-1].endswith(" of 12 images have a certificate of the right class")


def test_what_is_done_costs_nothing(caplog, tmp_path):
    file = tmp_path / "x.blocks"
    certified(16, finished=FinishedBatches(file, [], every=0))
    caplog.set_level(logging.INFO, "robustlens")
    caplog.clear()
    certified(16, finished=FinishedBatches(file, [], every=0))
    assert [record.getMessage() for record in caplog.records] == ["23 batches were done before"]


# What is refused --------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    def __init__(self, *logits: float):
        super().__init__()
        self.logits = torch.tensor(logits)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


@pytest.mark.parametrize(
    ("model", "images", "message"),
    [
        (network().train(), grey(0.5), "in train mode"),
        (network(), grey(1.5), r"values from 1.5 to 1.5, expected \[0, 1\]"),
        (network(), grey(math.nan), "values that are not finite"),
        (Constant(1.0, math.nan, 0.0), grey(0.5), "logits that are not finite"),
        (Constant(0.2, 0.3, 0.5), grey(0.5), "returns probabilities"),
        (network(4), grey(0.5), "the model tells 4 classes apart, the dataset has 3"),
    ],
)
def test_what_is_not_an_image_or_a_classifier_is_refused(model, images, message):
    with pytest.raises(RobustlensError, match=message):
        class_counts(model, images, np.arange(len(images)), SMALL, 3, 0, 64)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma": 0}, r"sigma: must be a number above 0, got 0"),
        ({"sigma": -0.25}, r"sigma: must be a number above 0, got -0.25"),
        ({}, "smoothing needs the parameter 'sigma'"),
        ({"sigma": 1, "alpha": 0}, r"alpha: must be a number above 0, got 0"),
        ({"sigma": 1, "alpha": 0.5}, "smoothing: alpha must be above 0 and below 0.5, got 0.5"),
        ({"sigma": 1, "draws": 99}, "smoothing: 99 draws are fewer than the 100 first_draws"),
        ({"sigma": 1, "first_draws": 0}, r"first_draws: must be a whole number above 0, got 0"),
        (
            {"sigma": 1, "first_draws": 9, "draws": 9},
            "with 9 draws at alpha 0.001 every .* raise `draws` to 10 at least",
        ),
        ({"sigma": 1, "clip": 1}, r"clip: must be true or false, got 1"),
    ],
)
def test_settings_that_certify_nothing_are_refused(parameters, message):
    with pytest.raises(RobustlensError, match=message) as refusal:
        create("certification", "smoothing", parameters)
    assert "\n" not in str(refusal.value)


def test_settings_at_the_limits_are_accepted():
    assert create("certification", "smoothing", {"sigma": 1, "first_draws": 10, "draws": 10}).per_image == 20
    assert create("certification", "smoothing", {"sigma": 1, "alpha": 0.499}).draws == 10_000


def test_an_image_in_two_tables_is_refused():
    table = certified()
    with pytest.raises(RobustlensError, match="image 42 is in two tables; delete the tables and run"):
        joined([table, table[table["index"] == 42]])


def test_noise_is_sigma_times_a_standard_normal_number_cut_to_the_range():
    x = grey(0.1, 0.9)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    free, clipped = (with_noise(x, 0.7, clip, torch.Generator().manual_seed(3)) for clip in (False, True))
    torch.testing.assert_close(free, x + 0.7 * noise, rtol=0, atol=0)
    torch.testing.assert_close(clipped, (x + 0.7 * noise).clamp(0, 1), rtol=0, atol=0)
    assert free.min() < 0 and free.max() > 1 and x.max() == x.double().max()
