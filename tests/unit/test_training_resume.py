"""The same seed gives the same bytes, also after a stop at any step."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import plain
import pytest
import tiny
import torch
from torch import Tensor

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.seeds import derive
from robustlens.training import loop
from robustlens.training.engine import Engine
from robustlens.training.loop import Interrupted
from robustlens.training.result import TrainedRun
from robustlens.training.run import run_digest, state_folder
from robustlens.training.state import RunState


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


def test_seeds_are_the_first_63_bits_of_a_hash_of_seed_and_purpose():
    assert derive(3, "order", 7) == plain.seed("3/order/7")
    assert 0 <= derive(3, "order", 7) < 2**63
    assert len({derive(seed, purpose, n) for seed in range(3) for purpose in ("a", "b") for n in range(3)}) == 18


def batches_of(spec: dict, data: PreparedDataset, folder: Path) -> list[tuple[int, Tensor, Tensor]]:
    """(epoch, x, y) of every step."""
    seen = []
    with RunState(folder, "digest") as state:
        run = tiny.training(spec, data, state)
        images = run.task.train
        run.task.step = lambda batch, epoch, _: seen.append((epoch, images.batch(batch), images.y[batch]))
        run.run()
    return seen


def test_every_epoch_visits_all_images_in_an_order_of_its_own_given_by_seed_and_epoch(data, tmp_path):
    split = data.splits["train"]
    orders = {}
    for seed in (0, 1):
        seen = batches_of(tiny.spec() | {"seed": seed}, data, tmp_path / str(seed))
        assert [(epoch, len(y)) for epoch, _, y in seen] == [(e, n) for e in (1, 2) for n in (16, 16, 8)]
        for epoch in (1, 2):
            order = torch.randperm(40, generator=plain.stream(f"{seed}/order/{epoch}"))
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
    "mail-at, awp": tiny.spec("mail-at", {"start_epoch": 1}, weight_perturbation=tiny.AWP),
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
        original, steps = run.task.step, []

        def step(*batch):
            if len(steps) == 5:
                raise Death
            steps.append(original(*batch))

        run.task.step = step
        with pytest.raises(Death):
            run.run()
        assert state.load()[1]["progress"]["step"] == 2
    assert science(tiny.train(CASES["sat"], data, tmp_path / "killed")) == science(once("sat"))


def test_what_a_run_goes_on_with_is_laid_out_as_its_weights(data, tmp_path):
    """On a GPU the fused step takes weights, gradients and velocities of one memory format alone."""
    with RunState(tmp_path, "digest") as state:
        with pytest.raises(Interrupted):
            tiny.training(tiny.spec(), data, state, stop=lambda: True).run()
        task = tiny.training(tiny.spec(), data, state).task
        tensors, record = state.load()
        task.load(tensors, record["task"])
    weights = dict(task.network.named_parameters())
    assert any(not weight.is_contiguous() for weight in weights.values())
    for name, weight in weights.items():
        velocity = task.descent.velocities[f"network.{name}"]
        assert velocity.stride() == weight.stride(), name
        assert torch.equal(velocity, tensors[f"velocity.network.{name}"])


def test_a_finished_run_is_not_trained_again(data, tmp_path):
    first = tiny.train(tiny.spec(), data, tmp_path)
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        run.task.step = None  # calling it would fail
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
    for name, value in run.task.network.state_dict().items():
        assert torch.equal(tensors[f"learner.network.{name}"], value)


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


RESUMED = {
    "ema": (tiny.colour_spec(averaging=tiny.EMA), (3, 8, 8)),
    "swa": (tiny.colour_spec(averaging=tiny.SWA), (3, 8, 8)),
    "dropout": (tiny.colour_spec(attack_steps=1, attack_batchnorm="train") | tiny.SMALL_CNN, (1, 28, 28)),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_resumed_after_every_step_gives_the_same_bytes(case, tmp_path):
    spec, data = RESUMED[case][0], tiny.random_images(RESUMED[case][1])
    torch.manual_seed(1)
    once = tiny.train(spec, data, tmp_path / "once")
    torch.manual_seed(2)
    resumed = tiny.train(spec, data, tmp_path / "resumed", stop_after=set(range(1, 2 * tiny.STEPS_PER_EPOCH + 1)))
    for part in ("best", "last"):
        for name, value in getattr(once, part).items():
            assert torch.equal(value, getattr(resumed, part)[name]), f"{part} {name}"
    assert once.history.equals(resumed.history) and once.energies.equals(resumed.energies)
