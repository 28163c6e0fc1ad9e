"""Observers: what they find, and that a training does not notice them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
from test_training_processes import two_processes
from torch import nn

import robustlens.training.observing as observing
from robustlens.errors import RobustlensError
from robustlens.learning.observer import Observer
from robustlens.methods.trades import Trades
from robustlens.parameters import component, create, names
from robustlens.training.result import TrainedRun, statistics_table

pytestmark = pytest.mark.slow

DATA = tiny.random_images((3, 8, 8))
BOTH = {"loss-terms": {"every": 1}, "gradient-conflict": {"every": 2}}


def spec(observers: dict | None = None, **settings: object) -> dict:
    return tiny.colour_spec("trades", **settings) | ({"observers": observers} if observers else {})


def same(one: TrainedRun, other: TrainedRun) -> bool:
    weights = all(torch.equal(t, other.last[name]) and torch.equal(one.best[name], other.best[name])
                  for name, t in one.last.items())  # fmt: skip
    return weights and one.history.equals(other.history) and one.energies.equals(other.energies)


@dataclasses.dataclass(frozen=True)
class Meddling(Observer):
    """Does all that an observer may: further passes in train mode, random numbers, gradients, and a memory."""

    every: int = 1

    def of_step(self, step, memory):
        step.learner.eval()
        step.learner.train()(torch.rand_like(step.batch.x))
        F.cross_entropy(step.learner(step.batch.x_adv), step.batch.y).backward()
        memory["calls"] = memory.get("calls", torch.zeros(())) + 1
        return {"calls": memory["calls"], "random": torch.rand(())}

    def of_epoch(self, learner, epoch, memory):
        x, _ = next(epoch.train())
        logits = learner.train()(x)
        drift = (logits - memory["logits"]).norm() if "logits" in memory else torch.zeros(())
        memory["logits"] = logits.detach()
        return {"drift": drift, "drawn": torch.rand(1, generator=epoch.random)[0]}


@pytest.fixture
def meddling(monkeypatch):
    def made(group, name, parameters):
        return Meddling() if name.startswith("meddling") else create(group, name, parameters)

    monkeypatch.setattr(observing, "create", made)


@pytest.mark.parametrize("averaging", [{"name": "none"}, tiny.EMA])
def test_a_training_has_the_same_bytes_with_and_without_observers(averaging, meddling, tmp_path):
    dropout = tiny.SMALL_CNN  # draws random numbers in every pass
    images = tiny.random_images((1, 28, 28))
    settings = {"averaging": averaging, "weight_perturbation": tiny.AWP}
    plain = tiny.train(spec(**settings) | dropout, images, tmp_path / "plain")
    watched = tiny.train(spec(BOTH | {"meddling": {}}, **settings) | dropout, images, tmp_path / "watched")
    assert same(plain, watched) and len(plain.statistics) == 0 and len(watched.statistics) > 50
    plain, watched = (
        tiny.train(spec(o, **settings), DATA, tmp_path / f"bn{n}")
        for n, o in enumerate((None, BOTH | {"meddling": {}}))
    )
    assert same(plain, watched)


def test_gradients_of_a_compiled_network_are_theirs_as_well(monkeypatch, tmp_path):
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compile(network, backend="aot_eager"))
    monkeypatch.setattr(torch._functorch.config, "donated_buffer", True)  # and as it was afterwards
    found = {
        switch: tiny.train(spec(BOTH, compile=switch, epochs=1), DATA, tmp_path / switch).statistics
        for switch in ("off", "on")
    }
    assert found["off"].drop(columns="value").equals(found["on"].drop(columns="value")) and len(found["on"]) > 5
    np.testing.assert_allclose(found["on"]["value"], found["off"]["value"], rtol=1e-4, atol=1e-4)


def test_what_they_keep_and_have_found_resumes_with_the_run(meddling, tmp_path):
    settings = spec(BOTH | {"meddling": {}})
    once = tiny.train(settings, DATA, tmp_path / "once")
    again = tiny.train(settings, DATA, tmp_path / "again", set(range(1, 7)))
    assert same(once, again) and once.statistics.equals(again.statistics)
    calls = once.statistics.query("observer == 'meddling' and statistic == 'calls'")
    assert calls["value"].tolist() == [1, 2, 3, 4, 5, 6] and calls["step"].tolist() == [1, 2, 3, 4, 5, 6]
    drift = once.statistics.query("statistic == 'drift'")
    assert drift["step"].tolist() == [0, 0] and drift["value"].tolist()[0] == 0 < drift["value"].tolist()[1]


def test_what_one_draws_is_the_same_whatever_another_has_drawn(meddling, tmp_path):
    found = tiny.train(spec({"meddling": {}, "meddling-too": {}}), DATA, tmp_path).statistics
    drawn = found.query("statistic == 'random'").pivot(index="step", columns="observer", values="value")
    assert len(drawn) == 6 and (drawn["meddling"] == drawn["meddling-too"]).all() and drawn["meddling"].nunique() == 6


@tiny.in_float64()
def test_terms_and_conflicts_are_those_of_gradients_computed_apart(tmp_path):
    run = tiny.made(spec({"loss-terms": {"every": 3}, "gradient-conflict": {"every": 3}}), DATA, tmp_path)
    seen, original = {}, run.task.observing.of_step

    def of_step(batch, terms, weights, number):
        seen.setdefault(number, (batch, {k: t.clone() for k, t in run.task.learner.state_dict().items()}))
        original(batch, terms, weights, number)

    run.task.observing.of_step = of_step
    for _ in tiny.after_each_step(run, epochs=2):
        pass
    found = statistics_table(run.task.observing.rows)
    assert sorted(found["step"].unique()) == [1, 4]  # of six
    assert found.query("step == 4")["epoch"].unique().tolist() == [2]
    for number in (0, 3):
        batch, weights = seen[number]
        # The state was taken after the loss's passes: BatchNorm in train mode does not read it.
        run.task.learner.load_state_dict(weights)
        network = run.task.network.train()
        layers = {n: m.weight for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
        gradients, everything, means = {}, {}, {}
        for term in ("natural", "robust"):
            z, a = network(batch.x), network(batch.x_adv)
            p = z.softmax(1)
            kl = (p * (p.log() - a.log_softmax(1))).sum(1).mean()
            loss = F.cross_entropy(z, batch.y) if term == "natural" else Trades().beta * kl
            network.zero_grad()
            loss.backward()
            zero = {n: torch.zeros_like(w) if w.grad is None else w.grad.clone() for n, w in layers.items()}
            gradients[term], means[term] = zero, loss.item()
            everything[term] = sum(float((w.grad**2).sum()) for w in network.parameters() if w.grad is not None) ** 0.5
        rows = found.query(f"step == {number + 1}").set_index(["observer", "statistic"])["value"]
        for term in ("natural", "robust"):
            assert rows["loss-terms", term] == pytest.approx(means[term], rel=1e-9)
            assert rows["loss-terms", f"{term}/gradient"] == pytest.approx(everything[term], rel=1e-9)
        whole = [np.concatenate([g.numpy().ravel() for g in gradients[t].values()]) for t in ("natural", "robust")]
        pairs = {"": whole} | {
            f"/{n}": [gradients[t][n].numpy().ravel() for t in ("natural", "robust")] for n in layers
        }
        assert len(rows["gradient-conflict"]) == 2 * len(pairs)
        for place, (g1, g2) in pairs.items():
            cosine = g1 @ g2 / np.sqrt((g1 @ g1) * (g2 @ g2))
            assert rows["gradient-conflict", f"natural-robust/cosine{place}"] == pytest.approx(cosine, abs=1e-9)
            conflict = sum(a * b < 0 for a, b in zip(g1, g2, strict=True)) / len(g1)
            assert rows["gradient-conflict", f"natural-robust/conflict{place}"] == pytest.approx(conflict)


def test_the_conflict_of_the_sheet_s_example():
    """g1 (1, -2, 0, 3), g2 (-1, -1, 5, 0.5): cosine 0.127995, one entry of four in conflict."""
    network = nn.Sequential(nn.Linear(4, 1, bias=False))
    found = create("observers", "gradient-conflict", {}).of_step(
        observing.Step(
            learner=type("Learner", (), {"network": network})(),
            batch=None,
            terms={"a": torch.tensor([1.0, -2, 0, 3]), "b": torch.tensor([-1, -1, 5, 0.5])},
            gradients=lambda term, parameters: [term.view(1, 4)],
        ),
        {},
    )
    assert float(found["a-b/cosine"]) == pytest.approx(0.127995, abs=1e-6)
    assert float(found["a-b/conflict"]) == 0.25
    assert float(found["a-b/cosine/0"]) == pytest.approx(0.127995, abs=1e-6)


def conflict(gradients: dict[str, list[float]]) -> dict[str, float]:
    """What is found of terms that have these gradients of the four weights of a network."""
    found = create("observers", "gradient-conflict", {}).of_step(
        observing.Step(
            learner=type("Learner", (), {"network": nn.Sequential(nn.Linear(4, 1, bias=False))})(),
            batch=None,
            terms={name: torch.tensor(g) for name, g in gradients.items()},
            gradients=lambda term, parameters: [term.view(1, 4)],
        ),
        {},
    )
    return {name: float(value) for name, value in found.items()}


def test_each_of_three_terms_is_compared_with_the_sum_of_the_others_as_well():
    """a (1, -2, 0, 3), b (1, 1, 1, 0), c (-2, -2, 4, 0.5): b + c is g2 of the example above."""
    gradients = {"a": [1.0, -2, 0, 3], "b": [1.0, 1, 1, 0], "c": [-2.0, -2, 4, 0.5]}
    found = conflict(gradients)
    pairs, others = ["a-b", "a-c", "b-c"], ["a-others", "b-others", "c-others"]
    kinds = ("cosine", "conflict", "cosine/0", "conflict/0")
    assert set(found) == {f"{names}/{kind}" for names in pairs + others for kind in kinds}
    assert found["a-others/cosine"] == pytest.approx(0.127995, abs=1e-6) and found["a-others/conflict"] == 0.25
    c, rest = gradients["c"], [2.0, -1, 1, 3]
    cosine = (
        sum(u * v for u, v in zip(c, rest, strict=True)) / (sum(u * u for u in c) * sum(v * v for v in rest)) ** 0.5
    )
    assert found["c-others/cosine/0"] == pytest.approx(cosine, rel=1e-6) and found["c-others/conflict"] == 0.25
    assert found["a-b/cosine"] == pytest.approx(-1 / (14 * 3) ** 0.5, rel=1e-6)
    two = conflict({name: gradients[name] for name in "ab"})
    assert set(two) == {f"a-b/{kind}" for kind in kinds} and two["a-b/cosine"] == found["a-b/cosine"]


@tiny.in_float64()
def test_two_processes_find_what_one_does(tmp_path):
    data = tiny.random_images((1, 28, 28))
    settings = tiny.colour_spec("standard", augmentation={"crop_padding": 0, "flip": False})
    settings |= {"architecture": {"family": "small-cnn", "dropout": 0.0}, "observers": {"loss-terms": {"every": 1}}}
    alone = tiny.train(settings, data, tmp_path / "alone")
    two_processes(settings, data, tmp_path / "two")
    together = pd.read_parquet(tmp_path / "two" / "statistics.parquet")
    pd.testing.assert_frame_equal(together, alone.statistics, rtol=1e-9)


@pytest.mark.parametrize("name", names("observers"))
def test_every_observer_runs_on_a_method_with_one_loss_and_on_one_with_terms(name, tmp_path):
    rarely = {"every": 2} if "every" in component("observers", name, "here").kinds else {}
    for method in ("sat", "trades") if name != "gradient-conflict" else ("trades",):
        settings = tiny.colour_spec(method) | {"observers": {name: rarely}}
        plain = tiny.train(tiny.colour_spec(method), DATA, tmp_path / f"{method}-plain")
        run = tiny.train(settings, DATA, tmp_path / method)
        assert same(plain, run) and run.statistics["value"].map(np.isfinite).all()
        assert set(run.statistics["observer"]) <= {name}


def test_a_conflict_needs_two_terms(tmp_path):
    settings = tiny.colour_spec("sat") | {"observers": {"gradient-conflict": {"every": 2}}}
    with pytest.raises(RobustlensError, match=r"gradient-conflict: the method's loss has one term \(loss\)"):
        tiny.train(settings, DATA, tmp_path)


def test_what_is_frozen_or_not_reached_has_no_gradient_and_stops_nothing(tmp_path):
    run = tiny.made(spec(BOTH), DATA, tmp_path)
    run.task.network.conv1.weight.requires_grad_(False)
    unused = nn.Linear(2, 2)
    run.task.network.add_module("unused", unused)
    for _ in tiny.after_each_step(run):
        pass
    found = statistics_table(run.task.observing.rows).set_index("statistic")["value"]
    assert (found.filter(regex="cosine/(conv1|unused)") == 0).all() and len(found.filter(regex="cosine/unused")) == 2
    assert (found.filter(regex="natural/gradient") > 0).all()


def test_what_an_observer_remembers_is_a_copy_of_it(meddling, tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Keeping(Observer):
        every: int = 1

        def of_epoch(self, learner, epoch, memory):
            old = memory.get("weight")
            memory["weight"] = learner.network.linear.weight  # which training changes in place
            return {"moved": 0.0 if old is None else (old - memory["weight"]).norm()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observing, "create", lambda *_: Keeping())
        run = tiny.train(spec({"keeping": {}}), DATA, tmp_path, {4})
    first, second = run.statistics["value"]
    assert first == 0 < second


def test_rows_are_saved_as_numbers_with_each_name_once(tmp_path):
    """As text they would not fit into the head of a state file."""
    run = tiny.made(spec({"loss-terms": {"every": 1}}), DATA, tmp_path)
    for _ in tiny.after_each_step(run, epochs=2):
        pass
    assert run.task.tensors()["observers.found"].shape == (6 * 4, 4) and len(run.task.record()["observed"]) == 4


def test_a_run_without_observers_has_a_table_without_rows_and_with_the_same_types():
    empty = statistics_table([])
    full = statistics_table([[1, 1, "a", "b", 0.5]])
    assert len(empty) == 0 and list(empty.columns) == ["epoch", "step", "observer", "statistic", "value"]
    assert empty.dtypes.equals(full.dtypes)
