"""Learning rate and momentum of every step."""

import numpy as np
import pytest
import tiny
import torch
from configured import own
from plain import one_cycle
from torch import nn

from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.training.descent import Descent
from robustlens.training.schedule import Schedule
from robustlens.training.state import RunState


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return tiny.dataset(tmp_path_factory.mktemp("digits"))


def rates(settings: dict, epochs: int, steps_per_epoch: int) -> list[tuple[float, float]]:
    """Learning rate and momentum of every step."""
    settings = {"schedule": settings, "epochs": epochs, "learning_rate": 0.1, "momentum": 0.9}
    schedule = Schedule(settings, steps_per_epoch)
    return [schedule.rates(step) for step in range(epochs * steps_per_epoch)]


def test_one_cycle_is_two_cosines():
    used = rates(tiny.ONE_CYCLE, 6, 10)
    np.testing.assert_allclose(used, [one_cycle(step, 60, 0.1, 0.25) for step in range(60)], rtol=1e-9)
    assert used[0] == pytest.approx((0.004, 0.95)) and used[14] == pytest.approx((0.1, 0.85))
    assert used[-1] == pytest.approx((4e-7, 0.95))


def one_cycle_of_pytorch(peak: float, steps: int) -> list[float]:
    """The learning rate of every step of a schedule made for that many."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.25)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    return found


def test_schedules_are_those_of_pytorch():
    settings = {
        "one-cycle": tiny.ONE_CYCLE,
        "one-cycle, momentum kept": tiny.ONE_CYCLE | {"cycle_momentum": False},
        "step": {"name": "step", "milestones": [2, 4, 4], "factor": 0.1},
    }
    for name, schedule in settings.items():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        if schedule["name"] == "step":
            theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [6, 12, 12], gamma=0.1)
        else:
            cycle = schedule["cycle_momentum"]
            theirs = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, 0.1, total_steps=18, pct_start=0.25, cycle_momentum=cycle
            )
        expected = []
        for _ in range(18):
            expected.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            optimizer.step()
            theirs.step()
        np.testing.assert_allclose(rates(schedule, 6, 3), expected, rtol=1e-9, err_msg=name)


def test_one_cycle_leaves_momentum_alone_unless_told():
    used = rates(tiny.ONE_CYCLE | {"cycle_momentum": False}, 6, 10)
    assert [rate for rate, _ in used] == pytest.approx([one_cycle(step, 60, 0.1, 0.25)[0] for step in range(60)])
    assert {momentum for _, momentum in used} == {0.9}


def test_a_step_schedule_may_have_a_factor_for_each_milestone():
    """As FAT's code has it: 0.1, 0.01, 0.001 and 0.0005."""
    used = [rate for rate, _ in rates({"name": "step", "milestones": [1, 2, 3], "factor": [0.1, 0.1, 0.5]}, 4, 2)]
    assert used == pytest.approx([0.1] * 2 + [0.01] * 2 + [0.001] * 2 + [0.0005] * 2)


def test_step_schedule_drops_after_each_milestone():
    used = [rate for rate, _ in rates({"name": "step", "milestones": [2, 4], "factor": 0.1}, 5, 3)]
    assert used == pytest.approx([0.1] * 6 + [0.01] * 6 + [0.001] * 3)


@pytest.mark.parametrize("warm", [0, 2])
def test_a_cosine_goes_to_its_final_rate_as_pytorch_s_does(warm):
    warmup = {"warmup": {"epochs": warm, "first_share": 0.1}} if warm else {}
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=18 - 3 * warm, eta_min=0.001)
    theirs = falling
    if warm:
        rising = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=3 * warm)
        theirs = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[3 * warm])
    expected = []
    for _ in range(18):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    used = rates({"name": "cosine", "final_rate": 0.001, **warmup}, 6, 3)
    assert [rate for rate, _ in used] == pytest.approx(expected, rel=1e-9)
    assert {momentum for _, momentum in used} == {0.9}
    assert used[-1][0] > 0.001


def test_a_warm_up_between_epochs_is_that_of_lbgat_and_ar_at():
    """As their scheduler runs: 0.02 in epoch 1, 0.1 to epoch 76, then 0.01 and, from epoch 92 on, 0.001."""
    warmup = {"epochs": 1, "first_share": 0.2, "every": "epoch"}
    schedule = {"name": "step", "milestones": [76, 91], "factor": 0.1, "warmup": warmup}
    used = [rate for rate, _ in rates(schedule, 100, 2)]
    assert used == pytest.approx([0.02] * 2 + [0.1] * 150 + [0.01] * 30 + [0.001] * 18)
    longer = [rate for rate, _ in rates(schedule | {"warmup": warmup | {"epochs": 4}}, 6, 2)]
    assert longer == pytest.approx([0.02, 0.02, 0.04, 0.04, 0.06, 0.06, 0.08, 0.08, 0.1, 0.1, 0.1, 0.1])


def test_a_warm_up_that_leaves_nothing_is_refused():
    schedule = {"name": "cosine", "final_rate": 0, "warmup": {"epochs": 3, "first_share": 0, "every": "step"}}
    with pytest.raises(RobustlensError, match=r"a warm-up of 3 epochs leaves none of 3; lower `warmup.epochs`"):
        rates(schedule, 3, 5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_descent_is_that_of_pytorch(nesterov):
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)) for _ in range(2))
    descent = Descent(nn.ParameterDict({"w": ours}), 0.01, nesterov, fused=False)
    optimizer = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    for step in range(4):
        for w in (ours, theirs):
            w.grad = torch.tensor([1.0 + step, 0.5], dtype=torch.float64)
        descent.step(0.1, 0.9)
        optimizer.step()
        assert torch.equal(ours, theirs)
    by_hand, velocity = 1.0, 0.0
    for step in range(4):
        g = 1.0 + step + 0.01 * by_hand
        velocity = 0.9 * velocity + g
        by_hand -= 0.1 * (g + 0.9 * velocity if nesterov else velocity)
    assert float(ours[0]) == pytest.approx(by_hand, rel=1e-12)


def test_a_run_without_momentum_is_saved_and_resumed(data, tmp_path):
    settings = tiny.spec(momentum=0.0, schedule=tiny.STEP)
    once, again = tiny.train(settings, data, tmp_path / "a"), tiny.train(settings, data, tmp_path / "b", {2, 4})
    assert all(torch.equal(t, again.last[name]) for name, t in once.last.items())


def test_a_run_descends_as_its_settings_say(data, tmp_path):
    last = {
        nesterov: tiny.train(tiny.spec(nesterov=nesterov), data, tmp_path / str(nesterov)).last["linear.weight"]
        for nesterov in (False, True)
    }
    assert not torch.equal(last[False], last[True])


@pytest.mark.parametrize(("epochs", "steps", "warmup"), [(1, 4, 0.25), (1, 1, 0.25), (1, 20, 0.05)])
def test_a_one_cycle_schedule_without_a_step_to_warm_up_in_is_refused(epochs, steps, warmup):
    with pytest.raises(RobustlensError, match=rf"{epochs * steps} steps .*raise `epochs` or `warmup_fraction`"):
        rates(tiny.ONE_CYCLE | {"warmup_fraction": warmup}, epochs, steps)


@pytest.mark.parametrize(("schedule", "expected"), [
    (tiny.ONE_CYCLE, [one_cycle(step, 6, 0.1, 0.25) for step in range(6)]),
    (tiny.STEP, [(0.1 * 0.1 ** (step // 3), 0.9) for step in range(6)]),
])  # fmt: skip
def test_every_step_has_its_rate_and_the_history_that_of_the_epoch_s_first_step(schedule, expected, data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec("standard", schedule=schedule), data, state)
        used, original = [], run.task.descent.step

        def step(learning_rate, momentum):
            used.append((learning_rate, momentum))
            original(learning_rate, momentum)

        run.task.descent.step = step
        history = run.run().history
    np.testing.assert_allclose(used, expected, rtol=1e-9)
    assert list(history["learning_rate"]) == pytest.approx([expected[3 * (e - 1)][0] for e in history["epoch"]])


# The batch size divides the 40 images, or leaves a last batch of 8. The code of WEAT takes floor(40 / batch) + 1 steps.
@pytest.mark.parametrize(("batch_size", "steps", "steps_of_weat"), [(8, 10, 12), (16, 6, 6)])
def test_one_cycle_ends_with_the_training_even_where_the_batch_size_divides_the_images(
    batch_size, steps, steps_of_weat, data, tmp_path
):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec("standard", batch_size=batch_size), data, state)
        used, original = [], run.task.descent.step

        def step(learning_rate, momentum):
            used.append(learning_rate)
            original(learning_rate, momentum)

        run.task.descent.step = step
        run.run()
    assert used == pytest.approx(one_cycle_of_pytorch(0.1, steps), rel=1e-9)
    assert used[-1] == pytest.approx(0.1 / 250_000)
    ends = used == pytest.approx(one_cycle_of_pytorch(0.1, steps_of_weat)[:steps], rel=1e-9)
    assert ends == (steps == steps_of_weat)


def test_at_the_embedded_scale_one_step_too_many_per_epoch_would_move_the_rate_by_30_percent_of_its_maximum():
    """As docs/fidelity.md says of the code of WEAT."""
    settings = own(scale="embedded")["datasets"]["digits"]
    training, images = settings["training"], settings["splits"]["train"]
    assert images % training["batch_size"] == 0
    steps = images // training["batch_size"]
    ours = [rate for rate, _ in rates(training["schedule"], training["epochs"], steps)]
    theirs = one_cycle_of_pytorch(0.1, training["epochs"] * (steps + 1))[: len(ours)]
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / 0.1 == pytest.approx(0.304, abs=5e-4)
    assert (ours[-1] / 0.1, theirs[-1] / 0.1) == (pytest.approx(4e-6), pytest.approx(0.165, abs=5e-4))
