"""The functions of a method that the loop calls besides its loss, by a method that uses all of them."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, Batch, Epoch, Method
from robustlens.training import classification

CALLS: list[tuple] = []


class Doubled(nn.Module):
    """The classifier in a wrapper that only the training knows."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.inner(x)


class Radii(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.register_buffer("radii", torch.full((classes,), 0.05))


@dataclasses.dataclass(frozen=True)
class Everything(Method):
    """A teacher is trained with the classifier; radii follow the last epoch's accuracies of the classes."""

    def network(self, build):
        return Doubled(build())

    def deployed(self, learner):
        return learner.network.inner

    def parts(self, network, build):
        return {"teacher": build("teacher")}

    def memory(self, classes):
        return Radii(classes)

    def attack(self, steps):
        def attacked(model, x, y, threat, random):
            noised = threat.random_point(x, random)
            return Attacked(
                PGD(steps=steps)(model, x, y, threat, random), noised, {"noise": (noised - x).abs().amax((1, 2, 3))}
            )

        return attacked

    def threat(self, threat, y, whole, memory):
        assert len(whole) >= len(y)
        return dataclasses.replace(threat, epsilon=memory.radii[y].view(-1, 1, 1, 1))

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        CALLS.append(("before", epoch.number, dict(epoch.statistics), count(epoch.train()), count(epoch.validation())))
        drawn = torch.rand(1), torch.rand(1, generator=epoch.random)  # of the global generator, and of the hook's own
        x, y = next(iter(epoch.augmented()))
        CALLS.append(("drawn", epoch.number, *drawn, x, y, epoch.threat.epsilon))
        if epoch.statistics:
            seen = epoch.statistics["adversarial"]
            learner.memory.radii.copy_(0.05 + 0.05 * seen.right / seen.total)

    def after_step(self, learner: Learner, batch: Batch) -> None:
        CALLS.append(("step",))
        assert batch.x.shape == batch.x_adv.shape and batch.x is not batch.x_adv
        with torch.no_grad():
            rows = learner.network.inner.linear.weight
            rows /= rows.norm(dim=1, keepdim=True)

    def after_epoch(self, learner: Learner, epoch: Epoch) -> None:
        CALLS.append(("after", epoch.number, epoch.statistics))

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        logits, teacher = learner(batch.x_adv), learner.run("teacher", batch.x)
        assert bool((batch.found["noise"] <= learner.memory.radii[batch.y] + 1e-6).all())
        return {
            "student": F.cross_entropy(logits, batch.y, reduction="none"),
            "teacher": F.cross_entropy(teacher, batch.y, reduction="none"),
            "distance": (logits - teacher).square().mean(1),
        }


def count(batches: Iterator[tuple[Tensor, Tensor]]) -> int:
    return sum(len(y) for _, y in batches)


@pytest.fixture
def everything(monkeypatch):
    monkeypatch.setattr(classification, "create", lambda *_: Everything())
    CALLS.clear()


TEACHER = {"family": "resnet", "blocks": [1], "width": 2}
SPEC = tiny.colour_spec(epochs=3) | {"parts": {"teacher": TEACHER}}
DATA = tiny.random_images((3, 8, 8))


def test_hooks_are_called_in_order_with_what_the_epoch_before_was_trained_on(everything, tmp_path):
    run = tiny.made(SPEC, DATA, tmp_path)
    with run.loop.state:
        run.run()
    kinds = [call[0] for call in CALLS if call[0] != "drawn"]
    assert kinds == ["before", "step", "step", "step", "after"] * 3
    before, after = ([call for call in CALLS if call[0] == name] for name in ("before", "after"))
    assert [call[1] for call in before] == [call[1] for call in after] == [1, 2, 3]
    assert before[0][2] == {} and all(call[3:] == (25, 12) for call in before)
    labels = np.bincount(DATA.splits["train"].labels)
    for left, entered in zip(after, before[1:], strict=False):
        seen = entered[2]["adversarial"]
        assert torch.equal(seen.right, left[2]["adversarial"].right)
        assert seen.total.tolist() == labels.tolist() and bool((seen.right <= seen.total).all())
        torch.testing.assert_close(seen.softmax.sum(1), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
        assert entered[2]["natural"].total.tolist() == [0, 0, 0]  # the classifier never saw them


def test_all_of_it_is_trained_and_its_state_resumes_to_the_same_bytes(everything, tmp_path):
    once = tiny.train(SPEC, DATA, tmp_path / "once")
    again = tiny.train(SPEC, DATA, tmp_path / "again", set(range(1, 10)))
    for weights in ("best", "last"):
        for name, value in getattr(once, weights).items():
            assert torch.equal(value, getattr(again, weights)[name]), name
    assert once.history.equals(again.history)
    assert not any(name.startswith("inner.") for name in once.last)  # an ordinary network
    rows = once.last["linear.weight"].norm(dim=1)
    torch.testing.assert_close(rows, torch.ones(3))


def test_the_teacher_learns_and_the_radii_are_those_of_the_statistics(everything, tmp_path):
    run = tiny.made(SPEC, DATA, tmp_path)
    teacher = {name: t.clone() for name, t in run.task.learner.parts["teacher"].state_dict().items()}
    with run.loop.state:
        run.run()
    moved = run.task.learner.parts["teacher"].state_dict()
    assert not torch.equal(teacher["conv1.weight"], moved["conv1.weight"])
    last = [call for call in CALLS if call[0] == "before"][-1][2]["adversarial"]
    expected = (0.05 + 0.05 * last.right / last.total).float()
    torch.testing.assert_close(run.task.learner.memory.radii, expected)


def test_what_hooks_draw_is_the_same_in_a_run_that_was_resumed(everything, tmp_path):
    tiny.train(SPEC, DATA, tmp_path / "once")
    once = [call for call in CALLS if call[0] == "drawn"]
    CALLS.clear()
    torch.manual_seed(5)
    tiny.train(SPEC, DATA, tmp_path / "again", set(range(1, 10)))
    again = [call for call in CALLS if call[0] == "drawn"]
    assert [call[1] for call in once] == [call[1] for call in again] == [1, 2, 3]
    for first, second in zip(once, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first[2:6], second[2:6], strict=True))
        assert first[6] == second[6] == 16 / 255 and len(first[5]) == tiny.BATCH
    for number in range(2, 5):  # other numbers, another order and other crops in every epoch
        assert not torch.equal(once[0][number], once[1][number])
