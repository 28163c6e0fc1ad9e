"""The training loop against a plain loop written here, closed forms, and its promise of the same bytes after a stop."""

import copy
import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.models.resnet import ResidualNetwork
from robustlens.seeds import derive
from robustlens.training import loop
from robustlens.training.augmentation import crop_and_flip
from robustlens.training.engine import Engine
from robustlens.training.images import Images
from robustlens.training.loop import Interrupted, Training, run_digest, state_folder
from robustlens.training.result import TrainedRun
from robustlens.training.schedule import Schedule
from robustlens.training.state import RunState
from robustlens.training.tracking import ENERGIES, Tracker, summarise


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return tiny.dataset(tmp_path_factory.mktemp("digits"))


def science(run: TrainedRun) -> dict[str, bytes]:
    """All that a run leaves but its timing, as bytes."""
    weights = {
        f"{part}.{name}": t.numpy().tobytes() for part in ("best", "last") for name, t in getattr(run, part).items()
    }
    tables = {part: getattr(run, part) for part in ("history", "energies")}
    columns = {f"{part}.{name}": table[name].to_numpy() for part, table in tables.items() for name in table}
    return weights | {
        name: values.tobytes() if values.dtype != object else str(list(values)).encode()
        for name, values in columns.items()
    }


# Seeds and order --------------------------------------------------------------------------------------------------


def seed_by_hand(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2


def test_seeds_are_the_first_63_bits_of_a_hash_of_seed_and_purpose():
    assert derive(3, "order", 7) == seed_by_hand("3/order/7")
    assert 0 <= derive(3, "order", 7) < 2**63
    assert len({derive(seed, purpose, n) for seed in range(3) for purpose in ("a", "b") for n in range(3)}) == 18


def batches_of(spec: dict, data: PreparedDataset, folder: Path) -> list[tuple[int, Tensor, Tensor]]:
    """(epoch, x, y) of every step."""
    seen = []
    with RunState(folder, "digest") as state:
        run = tiny.training(spec, data, state)
        run._step = lambda batch, epoch: seen.append((epoch, run.images.batch(batch), run.images.y[batch]))
        run.run()
    return seen


def test_every_epoch_visits_all_images_in_an_order_of_its_own_given_by_seed_and_epoch(data, tmp_path):
    split = data.splits["train"]
    orders = {}
    for seed in (0, 1):
        seen = batches_of(tiny.spec() | {"seed": seed}, data, tmp_path / str(seed))
        assert [(epoch, len(y)) for epoch, _, y in seen] == [(e, n) for e in (1, 2) for n in (16, 16, 8)]
        for epoch in (1, 2):
            order = torch.randperm(40, generator=torch.Generator().manual_seed(seed_by_hand(f"{seed}/order/{epoch}")))
            for part, array in ((1, split.pixels()), (2, split.labels)):
                visited = torch.cat([step[part] for step in seen if step[0] == epoch])
                assert torch.equal(visited, torch.from_numpy(array[order.numpy()]))
            orders[seed, epoch] = tuple(order.tolist())
    assert len(set(orders.values())) == 4


# Determinism and resume -------------------------------------------------------------------------------------------

AUGMENTED = "sat, step schedule, train-mode attack, augmented"
CASES = {
    "sat": tiny.spec(),
    "standard": tiny.spec("standard"),
    "trades, step schedule": tiny.spec("trades", schedule=tiny.STEP),
    "weat, wider": tiny.spec("weat") | {"architecture": {"family": "resnet", "blocks": [1, 1], "width": 8}},
    "mart, train-mode attack": tiny.spec("mart", attack_batchnorm="train"),
    AUGMENTED: tiny.spec(schedule=tiny.STEP, attack_batchnorm="train", augmentation={"crop_padding": 1, "flip": True}),
    "gairat over its start epoch": tiny.spec("gairat", {"start_epoch": 1}),
    "mail-at, awp": tiny.spec(
        "mail-at", {"start_epoch": 1}, weight_perturbation={"name": "awp", "gamma": 0.01, "start_epoch": 1}
    ),
    "mail-trades over its start epoch": tiny.spec("mail-trades", {"start_epoch": 1}),
    "one-cycle without momentum, l2": tiny.spec(schedule=tiny.ONE_CYCLE | {"cycle_momentum": False})
    | {"threat": {"norm": "l2", "epsilon": 1.0, "step_size": 0.4}},
}


@pytest.fixture(scope="module")
def once(data, tmp_path_factory) -> Callable[[str], TrainedRun]:
    """The run of a case that nothing disturbed."""
    return cache(lambda case: tiny.train(CASES[case], data, tmp_path_factory.mktemp("once")))


@pytest.mark.parametrize("case", CASES)
def test_a_run_resumed_after_every_single_step_gives_the_same_bytes(case, once, data, tmp_path):
    resumed = tiny.train(CASES[case], data, tmp_path, stop_after=set(range(1, tiny.STEPS + 1)))
    assert science(once(case)) == science(resumed)
    assert once(case).best_epoch == resumed.best_epoch
    assert list(resumed.timing["epoch"]) == [1, 2]


@pytest.mark.parametrize("stop", range(1, tiny.STEPS + 1))
def test_a_run_stopped_at_one_step_gives_the_same_bytes(stop, once, data, tmp_path):
    resumed = tiny.train(CASES[AUGMENTED], data, tmp_path, stop_after={stop})
    assert science(once(AUGMENTED)) == science(resumed)


def test_the_state_that_is_saved_while_nobody_asks_to_stop_is_as_good(once, data, tmp_path, monkeypatch):
    """The periodic save, then a death without warning right after the second step of the second epoch."""
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", 0.0)

    class Death(BaseException):
        pass

    with RunState(tmp_path / "killed", "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        original, steps = run._step, []

        def step(*batch):
            if len(steps) == 5:
                raise Death
            steps.append(original(*batch))

        run._step = step
        with pytest.raises(Death):
            run.run()
        assert state.load()[1]["progress"]["step"] == 2
    assert science(tiny.train(CASES["sat"], data, tmp_path / "killed")) == science(once("sat"))


def test_a_finished_run_is_not_trained_again(data, tmp_path):
    first = tiny.train(tiny.spec(), data, tmp_path)
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        run._step = None  # calling it would fail
        assert science(run.run()) == science(first)


def test_a_run_that_goes_on_on_another_machine_says_on_which_it_was_computed(data, tmp_path, monkeypatch):
    machines = [{"processor": "one", "threads": 1}, {"processor": "one", "threads": 1}, {"processor": "other"}]
    for here in machines[:2]:
        monkeypatch.setattr(loop, "device_facts", lambda here=here: here)
        with RunState(tmp_path, "digest") as state, pytest.raises(Interrupted):
            tiny.training(tiny.spec(), data, state, stop=lambda: True).run()
    monkeypatch.setattr(loop, "device_facts", lambda: machines[2])
    assert tiny.train(tiny.spec(), data, tmp_path).devices == machines[1:]


def test_interrupted_says_when_and_where_and_leaves_the_network_as_it_was_after_that_step(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state, stop=lambda: True)
        with pytest.raises(Interrupted, match=f"epoch 1.*{tmp_path}"):
            run.run()
        tensors, record = state.load()
    assert (record["progress"]["epoch"], record["progress"]["step"]) == (0, 1)
    for name, value in run.model.state_dict().items():
        assert torch.equal(tensors[f"model.{name}"], value)


def test_runs_repeat_and_differ_between_seeds_whatever_the_global_generator_says(once, data, tmp_path):
    torch.manual_seed(2)
    before = torch.get_rng_state()
    first, again = science(once("sat")), science(tiny.train(CASES["sat"], data, tmp_path / "again"))
    assert torch.equal(before, torch.get_rng_state())
    other = science(tiny.train(CASES["sat"] | {"seed": 1}, data, tmp_path / "other"))
    assert first == again
    for part in ("last.conv1.weight", "last.linear.weight", "history.train_loss", "energies.marginal_adversarial"):
        assert first[part] != other[part]


def test_the_test_split_is_never_read(once, data, tmp_path):
    test = data.splits["test"]
    poison = Split(np.full_like(test.images, 255), np.full_like(test.labels, -1), np.full_like(test.index, -1), 1)
    poisoned = PreparedDataset(data.sheet, data.splits | {"test": poison})
    assert science(once("sat")) == science(tiny.train(CASES["sat"], poisoned, tmp_path))


def test_run_digest_follows_everything_that_defines_a_run(data):
    plain = Engine("float32", "channels-last", compile=False)
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    base = run_digest(tiny.spec(), data, plain, 1, cpu)
    assert run_digest(tiny.spec(), data, plain, 1, cpu) == base and len(base) == 16
    assert run_digest(dict(reversed(tiny.spec().items())), data, plain, 1, cpu) == base
    other_data = PreparedDataset({"sha256": data.sheet["sha256"] | {"train_images.npy": "0"}}, data.splits)
    on_gpu = run_digest(tiny.spec(), data, plain, 1, gpu)
    changed = [
        run_digest(tiny.spec() | {"seed": 1}, data, plain, 1, cpu),
        run_digest(tiny.spec() | {"code": "x"}, data, plain, 1, cpu),
        run_digest(tiny.spec(epochs=4), data, plain, 1, cpu),
        run_digest(tiny.spec(), other_data, plain, 1, cpu),
        run_digest(tiny.spec(), data, Engine("bfloat16", "channels-last", compile=False), 1, cpu),
        run_digest(tiny.spec(), data, plain, 2, cpu),
        on_gpu,
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        changed.append(run_digest(tiny.spec(), data, plain, 1, cpu))
        assert run_digest(tiny.spec(), data, plain, 1, torch.device("cuda", 1)) == on_gpu  # threads are nothing to it
    finally:
        torch.set_num_threads(threads)
    assert len({base, *changed}) == 9
    assert state_folder(Path("s"), tiny.spec(), base) == Path(f"s/digits-tiny-seed0-{base}")


# A plain loop -----------------------------------------------------------------------------------------------------


def cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def one_cycle(step: int, steps: int, peak: float, warmup: float) -> tuple[float, float]:
    """Rate and momentum of a step (from 0): one cosine up to warmup * steps - 1, another one down to the last step."""
    top, last = warmup * steps - 1, steps - 1
    if step <= top:
        return cosine(peak / 25, peak, step / top), cosine(0.95, 0.85, step / top)
    part = (step - top) / (last - top)
    return cosine(peak, peak / 25 / 1e4, part), cosine(0.85, 0.95, part)


def project(delta: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Image by image: shrink the perturbation to the L2 ball, then cut the image with [0, 1]."""
    images = []
    for one, image in zip(delta, x, strict=True):
        length = one.square().sum().sqrt().item()
        images.append((image + one * min(1.0, epsilon / max(length, 1e-12))).clamp(0, 1))
    return torch.stack(images)


def plain_attack(model: nn.Module, x: Tensor, y: Tensor, method: str, random: torch.Generator) -> Tensor:
    """PGD in an L2 ball of radius 1, two steps of 0.4."""
    if method == "sat":
        noise = torch.rand(x.shape, generator=random) * 2 - 1
        direction = torch.randn(x.shape, generator=random)
        start = []
        for u, d in zip(noise, direction, strict=True):
            radius = float(u.flatten()[0].abs()) ** (1 / 64)
            start.append(radius * d / d.square().sum().sqrt())
        x_adv = (x + torch.stack(start)).clamp(0, 1)
    else:
        x_adv = x + 0.001 * torch.randn(x.shape, generator=random)
        with torch.no_grad():
            p = model(x).softmax(1)
    for _ in range(2):
        x_adv = x_adv.detach().requires_grad_(True)
        logits = model(x_adv)
        if method == "sat":
            loss = F.cross_entropy(logits, y, reduction="sum")
        else:
            loss = F.kl_div(logits.log_softmax(1), p, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x_adv)
        stepped = [
            one + 0.4 * g / g.square().sum().sqrt().clamp_min(1e-12)
            for one, g in zip(x_adv.detach(), gradient, strict=True)
        ]
        x_adv = project(torch.stack(stepped) - x, x, 1.0)
    return x_adv.detach()


def plain_augmentation(x: Tensor, random: torch.Generator) -> Tensor:
    """Each image by itself: padded with one black pixel, cropped somewhere, mirrored or not."""
    top = torch.randint(0, 3, (len(x), 1), generator=random).flatten().tolist()
    left = torch.randint(0, 3, (len(x), 1), generator=random).flatten().tolist()
    mirrored = (torch.rand(len(x), 1, generator=random) < 0.5).flatten().tolist()
    images = []
    for image, row, column, mirror in zip(x, top, left, mirrored, strict=True):
        padded = torch.zeros(1, 10, 10)
        padded[:, 1:9, 1:9] = image
        crop = padded[:, row : row + 8, column : column + 8]
        images.append(crop.flip(2) if mirror else crop)
    return torch.stack(images)


def plain_loss(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, method: str) -> Tensor:
    if method == "sat":
        return F.cross_entropy(model(x_adv), y)
    natural, adversarial = model(x), model(x_adv)
    kl = (natural.softmax(1) * (natural.log_softmax(1) - adversarial.log_softmax(1))).sum(1)
    return F.cross_entropy(natural, y) + 6 * kl.mean()


def plain_perturbation(model: nn.Module, loss: Tensor, gamma: float) -> dict[str, Tensor]:
    """AWP as its released code does it: a step of SGD up the loss, rescaled to gamma times the norm of the weights."""
    names = [name for name, w in model.named_parameters() if w.dim() > 1]
    weights = dict(model.named_parameters())
    found = {}
    for name, gradient in zip(names, torch.autograd.grad(loss, [weights[name] for name in names]), strict=True):
        moved = weights[name].detach() + 0.01 * gradient
        difference = (moved - weights[name].detach()).double()
        norm = weights[name].detach().double().square().sum().sqrt()
        found[name] = (gamma * norm * difference / difference.square().sum().sqrt()).float()
    return found


def plain_run(data: PreparedDataset, spec: dict, steps: int) -> tuple[dict[str, Tensor], float]:
    """Weights after so many steps, and the mean loss of the images of the first epoch."""
    method, settings = spec["method"]["name"], spec["training"]
    torch.manual_seed(seed_by_hand("0/weights"))
    model = ResidualNetwork((1,), 4, 1, 10)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    images, labels = (
        torch.from_numpy(a) for a in (data.splits["train"].images / 16, np.array(data.splits["train"].labels))
    )
    images = images.float()
    first_epoch = 0.0
    for step in range(steps):
        epoch, batch = step // 3 + 1, step % 3
        order = torch.randperm(40, generator=torch.Generator().manual_seed(seed_by_hand(f"0/order/{epoch}")))
        where = order[16 * batch : 16 * batch + 16]
        x, y = images[where], labels[where]
        random = torch.Generator().manual_seed(seed_by_hand(f"0/steps/{step}/0"))
        if settings["augmentation"]["flip"]:
            x = plain_augmentation(x, random)
        if settings["attack_batchnorm"] == "train":
            model.train()
        else:
            model.eval()
        x_adv = plain_attack(model, x, y, method, random)
        model.train()
        awp = settings["weight_perturbation"]
        perturbation = {}
        if awp["name"] == "awp" and epoch > awp["start_epoch"]:
            proxy = copy.deepcopy(model)
            perturbation = plain_perturbation(proxy, plain_loss(proxy, x, x_adv, y, method), awp["gamma"])
        with torch.no_grad():
            for name, w in model.named_parameters():
                w += perturbation.get(name, 0.0)
        loss = plain_loss(model, x, x_adv, y, method)
        if epoch == 1:
            first_epoch += loss.item() * len(y) / 40
        rate, momentum = one_cycle(step, 6, 0.1, 0.25)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for n, (p, g) in enumerate(zip(model.parameters(), gradients, strict=True)):
                velocity[n] = momentum * velocity[n] + g + 0.0005 * p
                p -= rate * velocity[n]
            for name, w in model.named_parameters():
                w -= perturbation.get(name, 0.0)
    return model.state_dict(), first_epoch


PLAIN = {
    "sat": tiny.spec(),
    "trades": tiny.spec("trades"),
    "train-mode attack": tiny.spec(attack_batchnorm="train"),
    "augmented": tiny.spec(augmentation={"crop_padding": 1, "flip": True}),
    "sat with AWP": tiny.spec(weight_perturbation={"name": "awp", "gamma": 0.01, "start_epoch": 0}),
    "trades with AWP from epoch 2": tiny.spec(
        "trades", weight_perturbation={"name": "awp", "gamma": 0.05, "start_epoch": 1}
    ),
}


@pytest.mark.parametrize("case", PLAIN)
def test_the_loop_does_what_a_plain_loop_does(case, data, tmp_path):
    spec = PLAIN[case] | {"threat": {"norm": "l2", "epsilon": 1.0, "step_size": 0.4}}
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(spec, data, state)
        done, original = [], run._step
        run._step = lambda *batch: done.append(original(*batch))
        run.stop = lambda: len(done) == 5
        with pytest.raises(Interrupted):
            run.run()
    expected, first_epoch = plain_run(data, spec, 5)
    for name, value in run.model.state_dict().items():
        # The gradient of a KL of almost equal distributions is itself rounded to three digits.
        tolerance = 5e-4 if case.startswith("trades") else 2e-5
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")
    for row in run.progress.history:
        assert row["train_loss"] == pytest.approx(first_epoch, rel=1e-4)


def test_crops_and_flips_are_those_of_a_loop_over_images():
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    fast = crop_and_flip(x, 1, True, torch.Generator().manual_seed(5))
    assert torch.equal(fast, plain_augmentation(x, torch.Generator().manual_seed(5)))
    assert crop_and_flip(x, 0, False, torch.Generator()) is x


def test_flips_alone_and_crops_alone_keep_every_channel_together():
    x = torch.rand(60, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    flipped = crop_and_flip(x, 0, True, torch.Generator().manual_seed(1))
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, x, strict=True)]
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, flipped, x, strict=True))
    assert 15 < sum(mirrored) < 45
    padded = F.pad(x, (2, 2, 2, 2))
    offsets = set()
    for crop, image in zip(crop_and_flip(x, 2, False, torch.Generator().manual_seed(1)), padded, strict=True):
        found = [(i, j) for i in range(5) for j in range(5) if torch.equal(crop, image[:, i : i + 4, j : j + 5])]
        assert found
        offsets.add(found[0])
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(5))


# What a step leaves behind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "mode", "forwards"), [
    ("standard", "eval", 1),  # the loss alone
    ("sat", "eval", 1),
    ("sat", "train", 3),  # two attack steps and the loss
    ("trades", "eval", 2),  # natural and adversarial logits of the loss
    ("trades", "train", 5),  # natural logits and two steps of the attack, two of the loss
])  # fmt: skip
def test_only_a_train_mode_attack_touches_batch_statistics(method, mode, forwards, data, tmp_path):
    run = tiny.train(tiny.spec(method, attack_batchnorm=mode), data, tmp_path)
    assert run.last["bn1.num_batches_tracked"] == forwards * tiny.STEPS


def test_an_eval_mode_attack_sees_running_statistics_and_parameters_without_gradient(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        attack, seen = run.attack, []

        def spy(model, *rest):
            before = {name: t.clone() for name, t in model.state_dict().items()}
            x_adv = attack(model, *rest)
            unchanged = all(torch.equal(before[name], t) for name, t in model.state_dict().items())
            seen.append((model.training, any(p.requires_grad for p in model.parameters()), unchanged))
            return x_adv

        object.__setattr__(run, "attack", spy)
        run.run()
    assert seen == [(False, False, True)] * tiny.STEPS
    assert all(p.requires_grad for p in run.model.parameters())


def test_parameters_want_gradients_again_after_an_attack_that_fails(data, tmp_path):
    def broken(*_):
        raise ValueError("broken attack")

    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        run.attack = broken
        with pytest.raises(ValueError, match="broken attack"):
            run.run()
    assert all(p.requires_grad for p in run.model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run_before_anything_is_saved(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(learning_rate=1e30), data, state)
        with pytest.raises(RobustlensError, match=r"epoch 1.*lower `learning_rate` \(now 1e\+30\)"):
            run.run()
        assert state.load() is None
    assert not run.progress.history


def test_a_later_loss_that_is_not_finite_keeps_the_state_of_the_epoch_before(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        loss = run.method.loss

        class Diverging:
            def loss(self, *rest):
                return loss(*rest) * (float("nan") if rest[-1] == 2 else 1.0)

        run.method = Diverging()
        with pytest.raises(RobustlensError, match="epoch 2"):
            run.run()
        progress = state.load()[1]["progress"]
    assert progress["epoch"] == 1 and {row["epoch"] for row in progress["history"]} == {1}


# Schedules --------------------------------------------------------------------------------------------------------


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


def test_step_schedule_drops_after_each_milestone():
    used = [rate for rate, _ in rates({"name": "step", "milestones": [2, 4], "factor": 0.1}, 5, 3)]
    assert used == pytest.approx([0.1] * 6 + [0.01] * 6 + [0.001] * 3)


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
        used, original = [], run.descent.step

        def step(learning_rate, momentum):
            used.append((learning_rate, momentum))
            original(learning_rate, momentum)

        run.descent.step = step
        history = run.run().history
    np.testing.assert_allclose(used, expected, rtol=1e-9)
    assert list(history["learning_rate"]) == pytest.approx([expected[3 * (e - 1)][0] for e in history["epoch"]])


# Tracking ---------------------------------------------------------------------------------------------------------


def in_float64(logits: np.ndarray, attacked: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """All that is tracked, one image at a time."""
    rows = []
    for f, g, label in zip(logits.astype(np.float64), attacked.astype(np.float64), y, strict=True):
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


def test_tracked_values_are_those_of_float64_loops(data):
    split, network = data.splits["validation"], trained_network()
    measured = tracker(data, invert).measure(InferenceModel(network.train()))
    reference, x = trained_network().double().eval(), torch.from_numpy(split.images / 16)
    with torch.no_grad():
        expected = in_float64(reference(x).numpy(), reference(invert(None, x, None, None, None)).numpy(), split.labels)
    assert np.array_equal(measured["index"], split.index) and np.array_equal(measured["label"], split.labels)
    assert list(measured.columns[2:]) == list(expected.columns)
    for name in expected:
        np.testing.assert_allclose(measured[name], expected[name], rtol=2e-4, atol=2e-4, err_msg=name)
    assert expected["clean_accuracy"].mean() not in (0, 1) and expected["kl"].mean() > 0.01
    np.testing.assert_allclose(measured["kl"], measured["conditional_term"] + measured["marginal_term"], atol=1e-4)


def test_a_summary_has_means_deltas_and_deviations():
    measured = in_float64(np.random.default_rng(0).normal(size=(9, 5)), np.random.default_rng(1).normal(size=(9, 5)),
                          np.arange(9) % 5)  # fmt: skip
    measured.insert(0, "label", 0)
    measured.insert(0, "index", 0)
    row = summarise(measured)
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
    assert row.keys() == expected.keys()
    assert row == pytest.approx(expected, rel=1e-12)


def test_delta_is_negative_when_the_attack_raises_the_energy():
    logits, attacked = np.array([[3.0, 0.0], [2.0, 1.0]]), np.array([[1.0, 0.0], [0.5, 0.2]])
    row = summarise(in_float64(logits, attacked, np.array([0, 0])))
    assert row["delta_marginal"] < 0 and row["delta_joint"] == pytest.approx((-3 + 1 - 2 + 0.5) / 2)


def test_tracking_repeats_depends_on_its_seed_and_leaves_the_network_alone(data):
    from robustlens.attacks.pgd import PGD

    network = trained_network().train()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    first, again = (tracker(data, PGD(steps=2)).measure(InferenceModel(network)) for _ in range(2))
    other = tracker(data, PGD(steps=2), seed=1).measure(InferenceModel(network))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first["marginal_adversarial"].equals(other["marginal_adversarial"])
    assert first["marginal_natural"].equals(other["marginal_natural"])
    assert network.training and all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


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
            assert summary[name] == pytest.approx(rows[name].astype(float).mean(), abs=1e-9)
            assert summary[f"{name}_std"] == pytest.approx(np.std(rows[name].astype(float), ddof=1), abs=1e-9)
    network = ResidualNetwork((1,), 4, 1, 10).double()
    network.load_state_dict(run.last)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(data.splits["validation"].images / 16))
    last = energies[(energies["epoch"] == 2) & (energies["split"] == "validation")]
    np.testing.assert_allclose(last["marginal_natural"], -np.log(np.exp(logits.numpy()).sum(1)), atol=1e-4)


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
            after.append({name: t.clone() for name, t in run.model.state_dict().items()})

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
