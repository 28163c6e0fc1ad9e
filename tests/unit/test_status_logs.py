"""The states of jobs, from their logs."""

import fcntl
import os
import signal
from pathlib import Path

import pytest
from log_texts import KILLED, LAST_STEP, START, STEPS
from processes import Child, until

from robustlens import job_log
from robustlens.console import Progress, job
from robustlens.errors import RobustlensError
from robustlens.job_log import JobLog, read_log, slurm_states


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "job.log"


# One log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), [
    (f"{START}\n{STEPS}\n2026-11-21 14:04:10 finished in 0:04:10\n", JobLog("finished", "its log says that it finished",
                                                                  "train digits/sat/seed0")),
    (f"{START}\n{STEPS}\n2026-11-21 14:00:11 FAILED: no space; free some\n  log: job.log\n",
     JobLog("failed", "no space; free some", "train digits/sat/seed0")),
    (f"{START}\n2026-11-21 14:00:11 FAILED: a.tex does not compile\n! Undefined control sequence.\n  log: job.log\n",
     JobLog("failed", "a.tex does not compile", "train digits/sat/seed0")),
    (f"{START}\n{STEPS}\n", JobLog("killed", KILLED + LAST_STEP, "train digits/sat/seed0")),
    (f"{START}\n", JobLog("killed", KILLED + START, "train digits/sat/seed0")),
    (f"{START}, SLURM job 77\n", JobLog("killed", f"{KILLED}{START}, SLURM job 77", "train digits/sat/seed0")),
    ("cat: a.csv: No such file or directory\n\n", JobLog("unknown", "cat: a.csv: No such file or directory")),
    ("", JobLog("unknown", "its log is empty")),
    ("14:00:00 a: started on node17, process 1", JobLog("unknown", "14:00:00 a: started on node17, process 1")),
], ids=["finished", "failed", "failed at length", "killed", "killed at once", "killed in SLURM", "other", "empty",
        "without dates"]
)  # fmt: skip
def test_a_log_that_nobody_writes_any_more_tells_how_its_job_ended(text, expected, file):
    file.write_text(text)
    assert read_log(file) == expected


def test_a_job_without_a_log_has_none(file):
    assert read_log(file) is None


def test_a_log_that_is_not_text_is_read_all_the_same(file):
    file.write_bytes(START.encode() + b"\n2026-11-21 14:00:01 \xff\xfe odd\n")
    assert read_log(file).state == "killed" and "odd" in read_log(file).says


@pytest.mark.parametrize(("text", "says"), [
    (f"{START}\n{STEPS}\n", "epoch 2/50, ETA 0:04:02 (at 2026-11-21 14:00:10)"),
    (f"{START}\n{STEPS}\n2026-11-21 14:00:12 something else\n", "epoch 2/50, ETA 0:04:02 (at 2026-11-21 14:00:10)"),
    (f"{START}\n", "has begun"),
])  # fmt: skip
def test_a_log_that_is_locked_is_that_of_a_job_that_runs(text, says, file):
    file.write_text(text)
    with open(file) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert read_log(file) == JobLog("running", says, "train digits/sat/seed0")
    assert read_log(file).state == "killed"


def test_a_job_that_begins_while_its_log_is_read_is_not_taken_for_killed(file, monkeypatch):
    file.write_text(f"{START}\n")
    looks = iter([False, True])
    monkeypatch.setattr(job_log, "_locked", lambda _file: next(looks))
    assert read_log(file).state == "running"


def test_a_job_has_ended_as_it_says_although_its_process_is_not_yet_gone(file):
    file.write_text(f"{START}\n2026-11-21 14:00:11 FAILED: no space\n")
    with open(file) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert read_log(file).state == "failed"


def test_reading_a_log_leaves_no_lock_behind(file):
    file.write_text(f"{START}\n")
    read_log(file)
    with open(file) as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(("state", "expected"), [
    ("RUNNING", JobLog("running", "epoch 2/50, ETA 0:04:02 (at 2026-11-21 14:00:10)", "train digits/sat/seed0")),
    ("PENDING", JobLog("waiting", KILLED + LAST_STEP, "train digits/sat/seed0")),
    ("COMPLETING", JobLog("killed", KILLED + LAST_STEP, "train digits/sat/seed0")),
])  # fmt: skip
def test_where_locks_are_not_seen_from_other_machines_slurm_tells_what_runs(state, expected, file):
    file.write_text(f"{START}, SLURM job 77\n{STEPS}\n")
    assert read_log(file, {"78": "RUNNING", "77": state}) == expected
    assert read_log(file, {"78": "RUNNING"}).state == "killed"


def test_the_states_of_slurm_are_those_that_squeue_lists(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\n[ "$*" = "--me --noheader --format=%A %T" ] && printf "77 RUNNING\\n78 PENDING\\n"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert slurm_states() == {"77": "RUNNING", "78": "PENDING"}
    squeue.write_text("#!/bin/sh\necho squeue: error: no controller >&2\nexit 1\n")
    assert slurm_states() == {}
    squeue.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_states() == {}


# What `console.job` writes ----------------------------------------------------------------------------------------


def work(file: Path, steps: int, reason: str = "", forever: bool = False) -> None:
    """A job that reports its steps, and then fails, ends well, or waits to be killed."""
    with job("train digits/sat/seed0", file):
        progress = Progress("epoch", 50)
        for step in range(1, steps + 1):
            progress(step)
        while forever:
            signal.pause()
        if reason:
            raise RobustlensError(reason)


def test_the_logs_that_jobs_write_are_understood(file, tmp_path):
    assert Child(tmp_path / "1", work, file, 3).wait()[0] == 0
    assert read_log(file) == JobLog("finished", "its log says that it finished", "train digits/sat/seed0")
    assert Child(tmp_path / "2", work, file, 3, "x: broken; mend it").wait()[0] == 1
    assert read_log(file) == JobLog("failed", "x: broken; mend it", "train digits/sat/seed0")


def test_a_job_runs_until_its_process_is_killed(file, tmp_path):
    child = Child(tmp_path / "output", work, file, 3, "", True)
    until(lambda: file.exists() and "epoch 3/50" in file.read_text())
    running = read_log(file)
    assert (running.state, running.name) == ("running", "train digits/sat/seed0")
    assert running.says.startswith("epoch 3/50, ETA 0:00:0")
    assert f"process {child.pid}" in file.read_text()
    child.signal(signal.SIGKILL)
    child.wait()
    killed = read_log(file)
    assert killed.state == "killed" and " epoch 3/50, ETA 0:00:0" in killed.says


def test_a_job_names_its_number_in_slurm(file, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    child = Child(tmp_path / "output", work, file, 1, "", True)
    until(lambda: file.exists() and "epoch 1/50" in file.read_text())
    child.signal(signal.SIGKILL)
    child.wait()
    assert read_log(file).state == "killed" and read_log(file, {"77": "RUNNING"}).state == "running"
