"""Hypersphere embedding: its losses by the authors' values, its attack, and class rows that keep the length 1."""

import pytest
import tiny
import torch
from configured import loaded

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import batch_of
from robustlens.methods.he import He
from robustlens.models.weights import build
from robustlens.seeds import generator

COSINES = torch.tensor([[0.6, 0.5, -0.2], [0.1, 0.7, 0.3]], dtype=torch.float64)
ARCHITECTURE = tiny.colour_spec()["architecture"] | {"head": "cosine"}
DATA = tiny.random_images((3, 8, 8))


@pytest.mark.parametrize(
    ("row", "y", "scale", "margin", "expected"),
    [
        (0, 0, 15, 0.2, 1.701436),
        (0, 0, 15, 0.0, 0.201418),
        (0, 0, 10, 0.2, 1.313928),
        (1, 2, 15, 0.2, 9.000247),
        (1, 2, 15, 0.0, 6.002599),
    ],
)
def test_losses_are_those_of_the_authors_code(row, y, scale, margin, expected):
    seen = batch_of(torch.zeros(1, 1, 1, 1), torch.tensor([y]), torch.ones(1, 1, 1, 1), epoch=1)
    learner = Learner(torch.nn.Identity())
    learner.forward = lambda x: COSINES[row : row + 1]
    found = He(scale=scale, margin=margin).loss(learner, seen)
    assert float(found) == pytest.approx(expected, abs=5e-7)


def test_the_attack_climbs_the_scaled_cosines_without_the_margin():
    torch.manual_seed(0)
    network = build(ARCHITECTURE, 3, 3).eval()
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    threat = Threat("linf", 8 / 255, 2 / 255)
    for base, loss in (("sat", "ce"), ("trades", "kl")):
        found = He(base, scale=7.0).attack(3)(Learner(network).eval(), x, y, threat, generator(0))
        expected = PGD(3, loss, "gaussian")(lambda v: 7.0 * network(v), x, y, threat, generator(0))
        assert torch.equal(found, expected)
        assert not torch.equal(found, PGD(3, loss, "gaussian")(network, x, y, threat, generator(0)))


def lengths(weights: dict) -> torch.Tensor:
    return weights["linear.weight"].norm(dim=1)


def test_class_rows_have_length_1_after_every_step_and_logits_are_cosines_in_averages_too(tmp_path):
    ones = torch.ones(3)
    run = tiny.made(tiny.colour_spec("he") | {"architecture": ARCHITECTURE}, DATA, tmp_path / "steps")
    torch.testing.assert_close(lengths(run.task.network.state_dict()), ones)
    for _, weights in tiny.after_each_step(run):
        torch.testing.assert_close(lengths(weights), ones)
    averaged = tiny.colour_spec("he", averaging=tiny.EMA) | {"architecture": ARCHITECTURE}
    last = tiny.train(averaged, DATA, tmp_path / "ema").last
    assert (lengths(last) < 1 - 1e-6).any()
    network = build(ARCHITECTURE, 3, 3).eval()
    network.load_state_dict(last)
    with torch.no_grad():
        assert float(network(torch.rand(9, 3, 8, 8)).abs().max()) <= 1 + 1e-6


def test_without_its_head_it_is_refused_before_any_job():
    def added(head: dict) -> dict:
        def change(raw: dict) -> None:
            raw["recipes"]["he"] = {"method": "he"} | head
            raw["scales"]["small"]["studies"]["mine"]["cohorts"]["main"]["recipes"] += ["he"]

        return loaded(change)

    with pytest.raises(RobustlensError, match=r"config.recipes.he: he needs another last layer; add `head: cosine`"):
        added({})
    added({"head": "cosine"})
