"""What a single step sees and what it leaves behind."""

import pytest
import tiny
import torch

from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.learning.method import Method
from robustlens.seeds import derive
from robustlens.training.state import RunState


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedDataset:
    return tiny.dataset(tmp_path_factory.mktemp("digits"))


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


def test_an_attack_may_use_batch_statistics_and_update_nothing(data, tmp_path):
    images = {}
    for mode in ("eval", "train", "batch"):
        run = tiny.made(tiny.spec(attack_batchnorm=mode), data, tmp_path / mode)
        attack, network = run.task.attack, run.task.network

        def spy(model, *rest, attack=attack, network=network, mode=mode):
            before = {name: t.clone() for name, t in network.named_buffers()}
            images[mode] = attack(model, *rest)
            unmoved = all(torch.equal(before[name], t) for name, t in network.named_buffers())
            assert network.training is (mode != "eval") and unmoved is (mode != "train")
            return images[mode]

        run.task.attack = spy
        _, weights = next(tiny.after_each_step(run))
        assert weights["bn1.num_batches_tracked"] == (3 if mode == "train" else 1)  # the loss's own pass
        assert all(m.track_running_stats for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert torch.equal(images["batch"], images["train"]) and not torch.equal(images["batch"], images["eval"])


def test_an_eval_mode_attack_sees_running_statistics_and_parameters_without_gradient(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        attack, seen = run.task.attack, []

        def spy(model, *rest):
            before = {name: t.clone() for name, t in model.state_dict().items()}
            x_adv = attack(model, *rest)
            unchanged = all(torch.equal(before[name], t) for name, t in model.state_dict().items())
            seen.append((model.training, any(p.requires_grad for p in model.parameters()), unchanged))
            return x_adv

        run.task.attack = spy
        run.run()
    assert seen == [(False, False, True)] * tiny.STEPS
    assert all(p.requires_grad for p in run.task.network.parameters())


def test_parameters_want_gradients_again_after_an_attack_that_fails(data, tmp_path):
    def broken(*_):
        raise ValueError("broken attack")

    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        run.task.attack = broken
        with pytest.raises(ValueError, match="broken attack"):
            run.run()
    assert all(p.requires_grad for p in run.task.network.parameters())


def test_a_loss_that_is_not_finite_stops_the_run_before_anything_is_saved(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(learning_rate=1e30), data, state)
        with pytest.raises(RobustlensError, match=r"epoch 1.*lower `learning_rate` \(now 1e\+30\)"):
            run.run()
        assert state.load() is None
    assert not run.task.following.history


def test_a_later_loss_that_is_not_finite_keeps_the_state_of_the_epoch_before(data, tmp_path):
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(tiny.spec(), data, state)
        loss = run.task.method.loss

        class Diverging(Method):
            def loss(self, learner, batch):
                return loss(learner, batch) * (float("nan") if batch.epoch == 2 else 1.0)

        run.task.method = Diverging()
        with pytest.raises(RobustlensError, match="epoch 2"):
            run.run()
        record = state.load()[1]
    assert record["progress"]["epoch"] == 1 and {row["epoch"] for row in record["task"]["following"]["history"]} == {1}


def test_dropout_draws_from_a_stream_of_its_own_in_every_step(tmp_path):
    data, spec = tiny.random_images((1, 28, 28)), tiny.colour_spec() | tiny.SMALL_CNN
    with RunState(tmp_path, "digest") as state:
        run = tiny.training(spec, data, state)
        layer, passes = run.task.network.classifier.drop, []
        layer.register_forward_hook(lambda layer, x, out: passes.append((x[0], out)) if layer.training else None)
        run.run()
    assert [len(x) for x, _ in passes] == 2 * [10, 10, 5]
    for step, (x, out) in enumerate(passes):
        torch.manual_seed(derive(0, "dropout", step, 0))
        assert torch.equal(out, x * 2 * torch.empty_like(x).bernoulli_(0.5)) and out.any()
