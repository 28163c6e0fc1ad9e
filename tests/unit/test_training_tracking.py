"""What is measured of a network after each epoch, and which epoch is the best."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset
from robustlens.models.inference import InferenceModel
from robustlens.models.resnet import ResidualNetwork
from robustlens.training.images import Images
from robustlens.training.run import Training
from robustlens.training.state import RunState
from robustlens.training.tracking import ENERGIES, Tracker, summarise


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return tiny.dataset(tmp_path_factory.mktemp("digits"))


def image_by_image(logits: np.ndarray, attacked: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """All that is tracked, one image at a time."""
    rows = []
    for f, g, label in zip(logits, attacked, y, strict=True):
        energy, energy_attacked = -np.log(np.exp(f).sum()), -np.log(np.exp(g).sum())
        p, q = np.exp(f) / np.exp(f).sum(), np.exp(g) / np.exp(g).sum()
        rows.append({
            "marginal_natural": energy,
            "joint_natural": -f[label],
            "marginal_adversarial": energy_attacked,
            "joint_adversarial": -g[label],
            "loss_natural": -np.log(p[label]),
            "loss_adversarial": -np.log(q[label]),
            "kl": float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))),
            "conditional_term": float(sum(a * (u - v) for a, u, v in zip(p, f, g, strict=True))),
            "marginal_term": energy - energy_attacked,
            "clean_accuracy": float(np.argmax(f) == label),
            "robust_accuracy": float(np.argmax(g) == label),
        })  # fmt: skip
    return pd.DataFrame(rows)


def invert(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
    """An attack whose result does not depend on the model."""
    return 1 - x


def trained_network(seed: int = 0) -> ResidualNetwork:
    """With statistics and weights far from those of a fresh network."""
    torch.manual_seed(seed)
    network = ResidualNetwork((1,), 4, 1, 10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.02, 0.2)
            nn.init.normal_(module.weight, 1.0, 0.5)
            nn.init.normal_(module.bias)
    nn.init.normal_(network.linear.weight, std=3.0)
    return network


def tracker(data: PreparedDataset, attack: Callable, seed: int = 0) -> Tracker:
    images = Images(data.splits["validation"], torch.device("cpu"))
    return Tracker("validation", images, attack, Threat("linf", 0.25, 0.0625), seed, batch_size=8)


def test_tracked_values_are_those_of_loops_over_images(data):
    split, network = data.splits["validation"], trained_network().double()
    with tiny.in_float64():
        measured = tracker(data, invert).measure(InferenceModel(network.train()))
    x = torch.from_numpy(split.images / 16)
    with torch.no_grad():
        natural, attacked = (network.eval()(images).numpy() for images in (x, 1 - x))
    expected = image_by_image(natural, attacked, split.labels)
    assert np.array_equal(measured["index"], split.index) and np.array_equal(measured["label"], split.labels)
    assert list(measured.columns[2:]) == list(expected.columns)
    for name in expected:
        np.testing.assert_allclose(measured[name], expected[name], **tiny.EQUAL, err_msg=name)
    assert expected["clean_accuracy"].mean() not in (0, 1) and expected["kl"].mean() > 0.01
    np.testing.assert_allclose(measured["kl"], measured["conditional_term"] + measured["marginal_term"], **tiny.EQUAL)


def test_a_summary_has_means_deltas_and_deviations():
    logits, attacked = (np.random.default_rng(seed).normal(size=(9, 5)) for seed in (0, 1))
    measured = image_by_image(logits, attacked, np.arange(9) % 5)
    measured.insert(0, "label", np.arange(9) % 5)
    measured.insert(0, "index", 0)
    row = summarise(measured, classes=6)
    values = {name: [float(v) for v in measured[name]] for name in measured}
    values["delta_marginal"] = [
        a - b for a, b in zip(values["marginal_natural"], values["marginal_adversarial"], strict=True)
    ]
    values["delta_joint"] = [a - b for a, b in zip(values["joint_natural"], values["joint_adversarial"], strict=True)]
    energies = [*ENERGIES, "delta_marginal", "delta_joint"]
    expected = {name: math.fsum(v) / 9 for name, v in values.items() if name not in ("index", "label")}
    for name in energies:
        deviations = [(v - expected[name]) ** 2 for v in values[name]]
        expected[f"{name}_std"] = math.sqrt(math.fsum(deviations) / 8)
    by_class = {name: row.pop(name) for name in ("class_total", "class_clean", "class_robust")}
    assert row.keys() == expected.keys()
    assert row == pytest.approx(expected, rel=1e-12)
    assert by_class["class_total"] == [2, 2, 2, 2, 1, 0]
    for name, right in (("class_clean", logits), ("class_robust", attacked)):
        found = [sum(right[i].argmax() == i % 5 for i in range(9) if i % 5 == k) for k in range(6)]
        assert by_class[name] == found


def test_delta_is_negative_when_the_attack_raises_the_energy():
    logits, attacked = np.array([[3.0, 0.0], [2.0, 1.0]]), np.array([[1.0, 0.0], [0.5, 0.2]])
    row = summarise(image_by_image(logits, attacked, np.array([0, 0])).assign(label=0), classes=2)
    assert row["delta_marginal"] < 0 and row["delta_joint"] == pytest.approx((-3 + 1 - 2 + 0.5) / 2)


def test_tracking_repeats_depends_on_its_seed_and_leaves_the_network_alone(data):
    network = trained_network().train()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    first, again = (tracker(data, PGD(steps=2)).measure(InferenceModel(network)) for _ in range(2))
    other = tracker(data, PGD(steps=2), seed=1).measure(InferenceModel(network))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first["marginal_adversarial"].equals(other["marginal_adversarial"])
    assert first["marginal_natural"].equals(other["marginal_natural"])
    assert network.training and all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


@tiny.in_float64()
def test_history_and_energies_are_of_the_right_images_epochs_and_network(data, tmp_path):
    run = tiny.train(tiny.spec("trades"), data, tmp_path)
    history, energies = run.history, run.energies
    assert list(zip(history["epoch"], history["split"], strict=True)) == [
        (epoch, split) for epoch in (1, 2) for split in ("train", "validation")
    ]
    chosen = {"train": data.splits["train"].index[:16], "validation": data.splits["validation"].index}
    assert list(energies["epoch"].unique()) == [1, 2]
    for (epoch, split), rows in energies.groupby(["epoch", "split"]):
        assert np.array_equal(rows["index"], chosen[split])
        assert np.array_equal(rows["label"], data.splits[split].labels[: len(rows)])
        (summary,) = history[(history["epoch"] == epoch) & (history["split"] == split)].to_dict("records")
        for name in ENERGIES:
            assert summary[name] == pytest.approx(rows[name].astype(float).mean(), rel=1e-12)
            assert summary[f"{name}_std"] == pytest.approx(np.std(rows[name].astype(float), ddof=1), rel=1e-12)
    network = ResidualNetwork((1,), 4, 1, 10)
    network.load_state_dict(run.last)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(data.splits["validation"].images / 16))
    last = energies[(energies["epoch"] == 2) & (energies["split"] == "validation")]
    np.testing.assert_allclose(last["marginal_natural"], -np.log(np.exp(logits.numpy()).sum(1)), **tiny.EQUAL)


def every(spec: dict, epochs: int, energy_epochs: list[int]) -> dict:
    return spec | {"tracking": spec["tracking"] | {"every": epochs, "energy_epochs": energy_epochs}}


def test_epochs_between_measurements_train_alike_and_are_in_no_table(data, tmp_path):
    spec = tiny.spec(epochs=8, checkpoints=[4, 7])
    always = tiny.train(every(spec, 1, [1, 2, 3]), data, tmp_path / "1")
    said: list[dict] = []
    with RunState(tmp_path / "3", "digest") as state:
        run = tiny.training(every(spec, 3, [2]), data, state, report=lambda *told: said.append(told[-1]))
        sometimes = run.run()
    measured = [2, 3, 6, 8]  # one with energies, every third one, and the last one
    right = always.history[always.history["epoch"].isin(measured)].reset_index(drop=True)
    pd.testing.assert_frame_equal(sometimes.history, right, check_exact=True)
    assert list(sometimes.energies["epoch"].unique()) == [2]
    for name, value in always.last.items():
        assert torch.equal(sometimes.last[name], value)
    kept = {name for name in always.checkpoints if name[0].isdigit()}
    assert kept == {name for name in sometimes.checkpoints if name[0].isdigit()} and {"4", "7"} == {k[0] for k in kept}
    assert all(torch.equal(always.checkpoints[name], sometimes.checkpoints[name]) for name in kept)
    assert [("robust_accuracy" in row, math.isfinite(row["train_loss"])) for row in said] == [
        (epoch in measured, True) for epoch in range(1, 9)
    ]
    of_validation = right[right["split"] == "validation"]
    assert sometimes.best_epoch == of_validation.loc[of_validation["robust_accuracy"].idxmax(), "epoch"]


def test_a_run_stopped_before_its_first_measurement_resumes_to_the_same_bytes(data, tmp_path):
    spec = every(tiny.spec(epochs=4), 4, [4])
    whole = tiny.train(spec, data, tmp_path / "whole")
    resumed = tiny.train(spec, data, tmp_path / "stopped", stop_after={7})  # in the third epoch
    pd.testing.assert_frame_equal(whole.history, resumed.history, check_exact=True)
    assert list(whole.history["epoch"].unique()) == [4] and whole.best_epoch == resumed.best_epoch == 4
    assert all(torch.equal(value, resumed.best[name]) for name, value in whole.best.items())


# The best checkpoint ----------------------------------------------------------------------------------------------


def test_best_is_the_first_epoch_of_the_highest_validation_robust_accuracy(data, tmp_path, monkeypatch):
    original = Tracker.measure
    robust = {"validation": [0.25, 0.5, 0.5, 0.375], "train": [0.75, 0.125, 0.125, 1.0]}
    calls = {"validation": 0, "train": 0}

    def measure(self: Tracker, model: nn.Module) -> pd.DataFrame:
        table = original(self, model)
        table["robust_accuracy"] = robust[self.split][calls[self.split]]
        calls[self.split] += 1
        return table

    monkeypatch.setattr(Tracker, "measure", measure)
    after: list[dict[str, Tensor]] = []
    with RunState(tmp_path, "digest") as state:
        run: Training

        def report(epoch: int, epochs: int, row: dict) -> None:
            assert (epochs, row["split"]) == (4, "validation")
            assert row["robust_accuracy"] == pytest.approx(robust["validation"][epoch - 1])
            after.append({name: t.clone() for name, t in run.task.network.state_dict().items()})

        run = tiny.training(tiny.spec(epochs=4), data, state, report=report)
        result = run.run()
    assert result.best_epoch == 2
    for name, value in result.best.items():
        assert torch.equal(value, after[1][name])
        assert torch.equal(result.last[name], after[3][name])
    assert not torch.equal(after[1]["conv1.weight"], after[2]["conv1.weight"])


def test_a_network_that_is_never_robust_has_a_best_checkpoint_too(data, tmp_path, monkeypatch):
    original = Tracker.measure
    monkeypatch.setattr(Tracker, "measure", lambda self, model: original(self, model).assign(robust_accuracy=0.0))
    assert tiny.train(tiny.spec(), data, tmp_path).best_epoch == 1


def test_standard_training_is_selected_by_clean_accuracy(data, tmp_path, monkeypatch):
    original = Tracker.measure
    clean, calls = [0.5, 0.75, 0.25], []

    def measure(self: Tracker, model: nn.Module) -> pd.DataFrame:
        table = original(self, model)
        table["robust_accuracy"] = 1.0 - len(calls) / 10
        if self.split == "validation":
            table["clean_accuracy"] = clean[len(calls)]
            calls.append(self.split)
        return table

    monkeypatch.setattr(Tracker, "measure", measure)
    with RunState(tmp_path, "digest") as state:
        result = tiny.training(tiny.spec("standard", epochs=3), data, state).run()
    assert result.best_epoch == 2
