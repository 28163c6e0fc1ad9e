"""Jobs that share the GPUs of a machine: each holds one, or waits for one."""

import contextlib
import ctypes
import logging
import os
import platform
import resource
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock, Timeout
from processes import Child, until

from robustlens import device as devices
from robustlens.device import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory, one_each, one_of, use_device
from robustlens.errors import RobustlensError


def hold(names: list[str], jobs_each: int, taken: Path, release: Path, ranks: tuple[int, int] | None) -> None:
    logging.basicConfig(force=True)  # to the child's output
    if ranks:
        os.environ.update(LOCAL_RANK=str(ranks[0]), LOCAL_WORLD_SIZE=str(ranks[1]))
    with (one_each if ranks else one_of)(names, jobs_each) as number:
        taken.with_suffix(".part").write_text(str(number))
        taken.with_suffix(".part").rename(taken)
        until(release.exists)


class Holder:
    """A job in a process of its own that holds a device until it is let go.

    ranks: of a process of torchrun, its local rank and the number of them.
    """

    def __init__(
        self, folder: Path, name: str, names: list[str], jobs_each: int = 1, ranks: tuple[int, int] | None = None
    ):
        self.taken, self.release = folder / f"{name}.taken", folder / f"{name}.release"
        self.child = Child(folder / f"{name}.txt", hold, names, jobs_each, self.taken, self.release, ranks)

    def waits(self) -> bool:
        return self.child.output.exists() and "waiting for one" in self.child.output.read_text()

    def device(self) -> int:
        until(self.taken.exists)
        return int(self.taken.read_text())

    def let_go(self) -> None:
        self.release.touch()
        code, output = self.child.wait()
        assert code == 0, output


@pytest.fixture
def slots(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)
    return tmp_path


def test_two_jobs_get_different_devices_and_a_third_waits_for_one(slots):
    first, second = Holder(slots, "first", ["gpu-a", "gpu-b"]), Holder(slots, "second", ["gpu-a", "gpu-b"])
    assert {first.device(), second.device()} == {0, 1}
    third = Holder(slots, "third", ["gpu-a", "gpu-b"])
    until(third.waits)
    assert not third.taken.exists()
    second.let_go()
    assert third.device() == second.device()
    third.let_go()
    first.let_go()


def test_the_device_of_a_killed_job_is_free(slots):
    killed = Holder(slots, "killed", ["gpu-a"])
    assert killed.device() == 0
    killed.child.signal(signal.SIGKILL)
    with one_of(["gpu-a"], 1) as number:
        assert number == 0


def test_jobs_that_may_share_devices_go_to_the_emptiest(slots):
    holders = []
    for name in ("first", "second", "third"):
        holders.append(Holder(slots, name, ["gpu-a", "gpu-b"], jobs_each=2))
        holders[-1].device()
    assert [holder.device() for holder in holders] == [0, 1, 0]
    for holder in holders:
        holder.let_go()


def test_a_device_is_free_again_after_a_job_that_failed(slots):
    with pytest.raises(ValueError), one_of(["gpu-a"], 1):
        raise ValueError
    with one_of(["gpu-a"], 1) as number:
        assert number == 0


def test_the_processes_of_torchrun_hold_the_devices_of_their_ranks_against_other_jobs(slots):
    names = ["gpu-b", "gpu-a", "gpu-c"]
    first, second = (Holder(slots, f"rank{rank}", names, ranks=(rank, 2)) for rank in range(2))
    assert (first.device(), second.device()) == (0, 1)
    alone, late = Holder(slots, "alone", names), Holder(slots, "late", names[:2])
    assert alone.device() == 2
    until(late.waits)
    first.let_go()
    assert late.device() == 0
    for holder in (second, alone, late):
        holder.let_go()


def test_jobs_of_torchrun_that_see_the_devices_in_other_orders_do_not_wait_for_each_other(slots):
    """One takes both, and only then the other; each with one of them would wait for ever."""
    alone = Holder(slots, "alone", ["gpu-a"])
    alone.device()
    jobs = [
        Holder(slots, name, names, ranks=(0, 2))
        for name, names in (("ab", ["gpu-a", "gpu-b"]), ("ba", ["gpu-b", "gpu-a"]))
    ]
    until(lambda: all(job.waits() for job in jobs))
    alone.let_go()
    until(lambda: any(job.taken.exists() for job in jobs))
    jobs.sort(key=lambda job: not job.taken.exists())
    assert not jobs[1].taken.exists()
    for job in jobs:
        assert job.device() == 0
        job.let_go()


def test_more_processes_than_devices_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(RobustlensError, match=r"2 processes for 1 GPUs: ask for fewer `processes`"), one_each(["a"], 1):
        pass


@pytest.mark.parametrize("ranks", [None, ("0", "2"), ("1", "2")])
def test_a_job_on_a_gpu_computes_on_the_device_that_it_holds(ranks, slots, monkeypatch):
    """Two GPUs that are not there."""
    chosen, names = [], ["gpu-a", "gpu-b"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=names[number]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "set_deterministic_debug_mode", lambda mode: None)  # not for the tests after this one
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name, value in zip(("LOCAL_RANK", "LOCAL_WORLD_SIZE"), ranks or (None, None), strict=True):
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    with use_device(torch.get_num_threads(), "native") as device:
        assert chosen == [device] == [torch.device("cuda", 1 if ranks == ("1", "2") else 0)]
        held = {None: {0}, ("0", "2"): {0, 1}, ("1", "2"): set()}[ranks]
        for number, name in enumerate(names):
            lock = FileLock(slots / f"robustlens-devices-{os.getuid()}" / f"{name}-0")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
            assert lock.is_locked is (number not in held)
            lock.release()


def count_faults() -> None:
    """Prints how many pages the system hands out for tensors of 16 MB, one after the other: before a job and in it."""

    def pages(tensors: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(tensors):
            torch.ones(2**22)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    for setting in (MMAP_THRESHOLD, TRIM_THRESHOLD):  # as a process begins, whatever tests there were before
        ctypes.CDLL(None).mallopt(setting, 2**17)
    outside = pages(4)
    with use_device(1, "native"):
        pages(16)  # until the heap has room for one beside whatever small blocks lie between
        print(outside, pages(4))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")
def test_a_job_on_the_processor_uses_the_memory_again_that_it_has_freed(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, output = Child(tmp_path / "output", count_faults).wait()
    outside, inside = map(int, output.split())
    assert code == 0 and inside < outside / 10


def print_settings() -> None:
    with use_device(1, "native"):
        print(torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory)


def test_a_job_computes_deterministically_and_does_not_fill_memory_before_it_is_written(tmp_path):
    code, output = Child(tmp_path / "output", print_settings).wait()
    assert (code, output.split()) == (0, ["1", "False"])


def test_without_glibc_memory_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()


@pytest.mark.parametrize("older", [False, True])
def test_the_largest_block_that_glibc_takes_is_kept(older, monkeypatch):
    asked = []

    def mallopt(option: int, value: int) -> int:
        asked.append((option, value))
        return int(not older or value <= 2**25 or option == -1)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory()
    assert asked == [(-3, 2**30), *([(-3, 2**25)] if older else []), (-1, 2**31 - 1)]
