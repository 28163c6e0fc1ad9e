"""An evaluation that resumes after the batches that were saved."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation import finished
from robustlens.evaluation.finished import FinishedBatches
from robustlens.evaluation.run import attack_split

_rng = np.random.default_rng(0)
SPLIT = Split(
    _rng.integers(0, 256, (23, 1, 4, 4), dtype=np.uint8), _rng.integers(3, size=23), np.arange(23), levels=255
)
THREAT = Threat("linf", 0.1, 0.03)


class Attack:
    """PGD that stops for good after some batches, as a job does that is killed."""

    def __init__(self, batches: int):
        self.left = batches

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return PGD(steps=3)(model, x, y, threat, generator)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()


def evaluate(attack: Attack, done: FinishedBatches | None = None) -> pd.DataFrame:
    def attacked(**remembered) -> pd.DataFrame:
        return attack_split(network(), SPLIT, attack, "pgd", THREAT, seed=0, batch_size=5, **remembered)

    return attacked(remembered=done.get) if done else attacked()


def test_an_evaluation_resumes_after_its_last_batch_and_its_table_has_the_same_bytes(tmp_path):
    file, warnings = tmp_path / "state" / "x.batches", ["a mask"]
    with pytest.raises(KeyboardInterrupt):
        evaluate(Attack(3), FinishedBatches(file, warnings, every=0))

    (half := file.with_name(f".{file.name}.4711.part.parquet")).touch()  # of a process that was killed while it saved
    rest, later = Attack(2), ["another"]  # 23 images in batches of 5: five batches
    table = evaluate(rest, FinishedBatches(file, later, every=0))
    assert rest.left == 0 and later == ["another", "a mask"] and not half.exists()
    whole = evaluate(Attack(5))
    pd.testing.assert_frame_equal(table, whole, check_exact=True)
    table.to_parquet(tmp_path / "resumed.parquet", index=False)
    whole.to_parquet(tmp_path / "whole.parquet", index=False)
    assert (tmp_path / "resumed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_an_evaluation_that_is_resumed_on_another_machine_says_on_which_it_was_computed(tmp_path, monkeypatch):
    file = tmp_path / "x.batches"
    for here in ("one", "one", "other"):
        monkeypatch.setattr(finished, "device_facts", lambda here=here: {"processor": here})
        with pytest.raises(KeyboardInterrupt):
            evaluate(Attack(1), FinishedBatches(file, [], every=0))
    assert FinishedBatches(file, [], every=0).devices == [{"processor": "one"}, {"processor": "other"}]


def test_an_evaluation_that_is_done_attacks_nothing_again(tmp_path):
    file = tmp_path / "x.batches"
    first = evaluate(Attack(5), FinishedBatches(file, [], every=0))
    pd.testing.assert_frame_equal(evaluate(Attack(0), FinishedBatches(file, [], every=0)), first, check_exact=True)


def test_what_takes_less_than_the_time_between_two_savings_is_not_saved(tmp_path):
    file = tmp_path / "x.batches"
    evaluate(Attack(5), FinishedBatches(file, [], every=3600))
    assert not file.exists()


@pytest.mark.parametrize("damage", ["cut short", "altered", "something else"])
def test_a_damaged_file_is_named_and_not_used(damage, tmp_path):
    file = tmp_path / "x.batches"
    evaluate(Attack(5), FinishedBatches(file, [], every=0))
    if damage == "cut short":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "altered":
        content = bytearray(file.read_bytes())
        content[60] ^= 1  # in the first page
        file.write_bytes(content)
    else:
        pd.DataFrame({"a": [1]}).to_parquet(file)
    with pytest.raises(RobustlensError, match=r"x.batches: damaged .*delete it to evaluate from the beginning"):
        FinishedBatches(file, [], every=0)


def test_what_is_removed_is_gone(tmp_path):
    file = tmp_path / "x.batches"
    done = FinishedBatches(file, [], every=0)
    evaluate(Attack(5), done)
    assert file.exists()
    done.remove()
    assert list(tmp_path.iterdir()) == []
    FinishedBatches(file, [], every=3600).remove()  # of an evaluation that took less than the time between two savings
