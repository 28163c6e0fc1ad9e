"""Evaluations that are killed and resumed, and two processes that make the same ones."""

import contextlib
import logging
import os
import signal

import pytest
from evaluating import SPEC, House, changed
from processes import Child, until

from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.evaluation import kept as kept_module
from robustlens.evaluation import suite as suite_module


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    return House(tmp_path, monkeypatch)


# Interruptions ----------------------------------------------------------------------------------------------------


class Stopping:
    """PGD that stops for good after some batches, as a job does that is killed."""

    def __init__(self, batches: int):
        self.left = batches

    def __call__(self, model, x, y, threat, generator):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return PGD(steps=2)(model, x, y, threat, generator)


def test_a_suite_that_is_killed_resumes_after_its_last_batch_and_ends_in_the_same_bytes(house, monkeypatch):
    house.evaluate()
    expected, create = house.contents(), suite_module.create
    for file in house.place(SPEC).rglob("*.parquet"):
        file.unlink()
    attempts = []
    for batches in (2, 1):  # 60 images in batches of 25: three
        attempts.append(Stopping(batches))
        monkeypatch.setattr(
            suite_module, "create", lambda _, family, p: attempts[-1] if family == "pgd" else create(_, family, p)
        )
        with contextlib.suppress(KeyboardInterrupt):
            house.evaluate(changed(lambda spec: spec["attacks"].pop()))
    monkeypatch.setattr(suite_module, "create", create)
    assert [one.left for one in attempts] == [0, 0]
    assert sorted(house.contents()) == ["best/clean.parquet", "best/pgd2.parquet", "last/clean.parquet"]
    house.evaluate()
    assert house.attacked == ["pgd3", "pgd2"] and house.contents() == expected
    assert list(house.state.iterdir()) == []


def test_batches_of_another_digest_are_not_used(house, monkeypatch):
    monkeypatch.setattr(suite_module, "create", lambda *_: Stopping(2))
    with pytest.raises(KeyboardInterrupt):
        house.evaluate()
    (left,) = house.state.iterdir()
    assert left.name.startswith("digits_tiny_seed0_linf-4-16_best_clean.") and left.suffix == ".batches"
    stopping = Stopping(2)
    monkeypatch.setattr(suite_module, "create", lambda *_: stopping)
    with pytest.raises(KeyboardInterrupt):
        house.evaluate(changed(lambda spec: spec["attacks"][0].update(code="b")))
    assert stopping.left == 0 and len(list(house.state.iterdir())) == 2


# Two at once ------------------------------------------------------------------------------------------------------


def test_of_two_processes_the_second_waits_and_uses_what_the_first_made(house, monkeypatch):
    """The first stops in the middle of an attack until the second says that it waits."""
    go, calls, create = house.folder / "go", house.folder / "calls", suite_module.create

    class Slow:
        def __call__(self, *arguments):
            with open(calls, "a") as file:
                file.write(f"{os.getpid()}\n")
            until(go.exists)
            return PGD(steps=2)(*arguments)

    monkeypatch.setattr(
        suite_module, "create", lambda _, family, p: Slow() if family == "pgd" else create(_, family, p)
    )

    def job(suite: str) -> None:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
        house.evaluate(changed(lambda spec: spec.update(suite=suite)))

    first = Child(house.folder / "first.txt", job, "robustness")
    until(calls.exists)
    second = Child(house.folder / "second.txt", job, "brief")
    until(lambda: second.output.exists() and second.output.read_text().endswith("\n"))
    lock = house.state / "digits_tiny_seed0_linf-4-16_best_pgd2.lock"
    message = f"seed0 best pgd2 is being evaluated by another process; waiting for it (lock: {lock})\n"
    assert second.output.read_text() == message
    go.touch()
    assert (first.wait()[0], second.wait()[0]) == (0, 0)
    pids = calls.read_text().split()
    assert len(pids) == 7 and pids[:3] == [str(first.pid)] * 3  # nothing twice: 3 batches, 1, 3
    assert list(house.state.iterdir()) == []
    house.evaluate()
    assert house.attacked == []


def test_the_lock_of_a_process_that_was_killed_keeps_nobody_out(house):
    lock = house.state / "x.lock"

    def die() -> None:
        with kept_module.turn(lock, "x"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert Child(house.folder / "out.txt", die).wait() == (-signal.SIGKILL, "")
    assert lock.exists()
    with kept_module.turn(lock, "x"):
        pass
    assert not lock.exists()


def test_a_lock_is_never_had_by_two(house, monkeypatch):
    """Each deletes the file in the end, while others wait for it."""
    lock, inside, seen = house.state / "x.lock", house.folder / "inside", house.folder / "seen"

    def often() -> None:
        for _ in range(30):
            with kept_module.turn(lock, "x"):
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if another one is inside
                with open(seen, "a") as file:
                    file.write(".")
                inside.unlink()

    monkeypatch.setattr(kept_module, "POLL_SECONDS", 0.0005)
    assert [child.wait()[0] for child in [Child(house.folder / f"{n}.txt", often) for n in range(4)]] == [0] * 4
    assert len(seen.read_text()) == 120


def test_a_lock_on_a_file_that_was_deleted_meanwhile_is_none(house, monkeypatch):
    """The other process had it until just now; this one had opened the file already."""
    lock, take, taken = house.state / "x.lock", kept_module.take, []

    def late(file):
        taken.append(take(file))
        if len(taken) == 1:
            file.unlink()
        return taken[-1]

    monkeypatch.setattr(kept_module, "take", late)
    with kept_module.turn(lock, "x"):
        assert len(taken) == 2 and taken[0].closed and lock.exists()
        with pytest.raises(BlockingIOError):
            take(lock)


def test_a_folder_that_can_not_be_written_is_named(house):
    house.state.write_text("no folder")
    with pytest.raises(RobustlensError, match=r"state/.*best_clean\.lock: can't be written \(.+\); make it writable"):
        house.evaluate()
