"""The grid of sampler settings: its settings against a list by hand, its rows against single runs of the sampler."""

import numpy as np
import pytest
import torch

from robustlens.generation import grid as grid_module
from robustlens.generation.grid import run_grid, samplers, scorer
from robustlens.generation.sampler import Sampler, Samples
from robustlens.generation.samples import generate
from robustlens.models.resnet import ResidualNetwork

BASE = Sampler(init="pca", retained_variance=0.9, sigma=1.0, steps=3, step_size=0.1, momentum=0.5, noise=0.01)


def test_settings_are_all_combinations_but_starting_points_without_pca_come_once():
    values = {"init": ["noise", "pca"], "retained_variance": [0.8, 0.95], "sigma": [0.5, 2.0], "momentum": [0.0, 0.8]}
    found = [(s.init, s.retained_variance, s.sigma, s.momentum) for s in samplers(BASE, values)]
    by_hand = [("noise", 0.9, 1.0, 0.0), ("noise", 0.9, 1.0, 0.8)]
    by_hand += [("pca", v, sigma, m) for v in (0.8, 0.95) for sigma in (0.5, 2.0) for m in (0.0, 0.8)]
    assert sorted(found) == sorted(by_hand)
    assert {(s.steps, s.step_size, s.noise) for s in samplers(BASE, values)} == {(3, 0.1, 0.01)}


def test_every_row_is_a_run_of_the_sampler_alone():
    torch.manual_seed(0)
    model = ResidualNetwork((1,), 4, 1, 3).eval()
    images = np.random.default_rng(0).random((30, 1, 6, 6), dtype=np.float32)
    labels = np.arange(30) % 3
    settings = samplers(BASE, {"init": ["noise", "pca"], "steps": [0, 2]})
    seen = []

    def score(samples):
        seen.append(samples)
        return {"frechet": float(samples.images.sum())}

    done = []
    grid = run_grid(settings, model, images, labels, 4, 11, 5, score, lambda number, text: done.append((number, text)))
    assert [number for number, _ in done] == [1, 2, 3, 4]
    assert grid.images.shape == (4, 3, 2, 1, 6, 6)
    for number, sampler in enumerate(settings):
        alone = generate(model, images, labels, sampler, 4, 11, 5)
        row = grid.settings.iloc[number]
        assert (row["init"], row["steps"], row["setting"]) == (sampler.init, sampler.steps, number)
        assert row["frechet"] == float(alone.images.sum())
        np.testing.assert_array_equal(seen[number].images, alone.images)
        for position, label in enumerate((0, 1, 2)):
            np.testing.assert_array_equal(grid.images[number, position], alone.images[alone.labels == label][:2])
        chain = grid.chains[grid.chains["setting"] == number]
        assert list(chain["step"]) == list(range(sampler.steps + 1))
        for step in chain["step"]:
            ours = chain[chain["step"] == step]["joint"].item()
            mean = alone.chain[alone.chain["step"] == step]["joint"].to_numpy().mean()  # classes are equally many
            assert ours == pytest.approx(mean, rel=1e-12)


def test_a_grid_keeps_the_scores_that_its_tables_show(monkeypatch):
    calls = []

    def score(*arguments, **settings):
        calls.append((arguments, settings))
        numbers = {name: number for number, name in enumerate(grid_module.KEPT)}
        return numbers | {"kid_per_class": None, "names": {"frechet": "FID", "kid": "KID"}}

    monkeypatch.setattr(grid_module, "score", score)
    samples = Samples(np.zeros((2, 1, 6, 6)), np.array([0, 1]), chain=None)
    scores = scorer("reference", "network", "training images", 7)(samples)
    ((images, labels, *rest), settings), *more = calls
    assert more == [] and settings == {"batch_size": 7} and rest == ["reference", "network", "training images"]
    assert images is samples.images and labels is samples.labels
    assert scores.pop("frechet_name") == "FID"
    assert list(scores) == list(grid_module.KEPT) and list(scores.values()) == list(range(len(scores)))
