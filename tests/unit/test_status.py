"""What a person is told about the states of jobs."""

import logging
from pathlib import Path

import pytest
from log_texts import FAILED, KILLED, LAST_STEP, START, STEPS

from robustlens.planning.dry_run import Job
from robustlens.status import FailedJob, FailedJobs, failure_text, status_text, typed_command


@pytest.fixture(autouse=True)
def typed_by_hand(monkeypatch):
    """These tests may themselves have been started by make and uv."""
    for name in ("ROBUSTLENS_COMMAND", "UV"):
        monkeypatch.delenv(name, raising=False)


# `make status` ----------------------------------------------------------------------------------------------------


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> list[Job]:
    """Jobs of seven rules, with their logs."""
    monkeypatch.chdir(tmp_path)
    texts = {
        "train-a": f"{START}\n{STEPS}\n2026-11-21 14:04:10 finished in 0:04:10\n",  # for other parameters
        "train-b": f"2026-11-21 14:00:01 train b: started on node18, process 7\n{STEPS}\n",
        "train-c": "2026-11-21 14:00:01 train c: started on node17, process 8, SLURM job 77\n",
        "train-d": f"2026-11-21 14:00:01 train d: started on node17, process 9\n{FAILED}\n  log: train-d.log\n",
        "make_table-a": f"2026-11-21 14:00:01 table energy/a: started on node17, process 10\n{FAILED}\n",
    }
    for name, text in texts.items():
        Path(f"{name}.log").write_text(text)
    names = ["prepare_data", "train-a", "train-b", "train-c", "train-d", "make_table-a", "make_table-b"]
    names += ["make_figure", "make_animation", "weigh"]  # the last one is a stage that a study brings
    logged = [
        Job(name.partition("-")[0], {"name": name}, (), (), None, 1, log=str(tmp_path / f"{name}.log"))
        for name in names
    ]
    return [*logged, Job("collect_claims", {}, (), (), None, 1)]


def test_a_status_counts_each_stage_and_lists_what_runs_and_what_failed(jobs):
    needed = [job for job in jobs if job.wildcards.get("name") not in ("prepare_data", "make_table-a")]
    assert (
        status_text(jobs, needed, {"77": "RUNNING"}, "make reproduce")
        == f"""\
                   done  running   failed     left
prepare_data          1        -        -        -
train                 -        1        2        1
tables                1        -        -        1
figures               -        -        -        1
animations            -        -        -        1
weigh                 -        -        -        1
collect_claims        -        -        -        1
total                 2        1        2        6

Running:
  train c  has begun

Failed:
  train b
    {KILLED.replace("node17", "node18")}{LAST_STEP}
    log: train-b.log
  train d
    no space
    log: train-d.log

Once nothing runs any more, resume with: make reproduce"""
    )


def test_running_jobs_are_aligned(jobs):
    longer = Path("train-d.log")
    longer.write_text(f"2026-11-21 14:00:01 train d for long: started on node17, process 9, SLURM job 78\n{STEPS}\n")
    text = status_text(jobs, jobs, {"77": "RUNNING", "78": "RUNNING"}, "snakemake")
    assert (
        "  train c           has begun\n  train d for long  epoch 2/50, ETA 0:04:02 (at 2026-11-21 14:00:10)\n" in text
    )


def test_where_nothing_runs_the_status_says_so_and_how_to_go_on(jobs):
    text = status_text(jobs, jobs[:1], {}, "snakemake energy")
    assert text.splitlines()[-3:] == ["Nothing is running.", "", "Resume with: snakemake energy"]
    assert "Failed" not in text


def test_with_everything_done_the_status_names_no_command(jobs):
    assert status_text(jobs, [], {}, "snakemake").splitlines()[-2:] == ["", "Everything is done."]


# The last screen --------------------------------------------------------------------------------------------------


def announce(listener: FailedJobs, **facts) -> None:
    listener.handle(logging.makeLogRecord(facts))


def error(jobid: int, rule: str, *logs: str | None, message: str | None = None, indent: bool = False) -> dict:
    """What Snakemake says of a job that fails."""
    return {"event": "job_error", "jobid": jobid, "rule_name": rule, "rule_msg": message, "log": logs, "indent": indent}


def test_what_snakemake_announces_as_failed_is_collected_unless_it_is_started_again():
    listener = FailedJobs()
    announce(listener, event="job_info", jobid=1)
    announce(listener, **error(1, "train", "a.log"))
    announce(listener, **error(2, "evaluate", "b.log", None, "c.log", message="no"))
    announce(listener, event="job_info", jobid=1)
    announce(listener, event="job_info", jobid=2)
    announce(listener, **error(2, "evaluate", "b.log", None, "d.log", message="no"))
    announce(listener, msg="something else")
    assert list(listener.found.values()) == [FailedJob("evaluate", ("b.log", "d.log"), "no")]


def test_of_a_group_of_jobs_those_are_named_whose_logs_say_that_they_failed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(f"{START}\n{STEPS}\n2026-11-21 14:04:10 finished in 0:04:10\n")
    Path("b.log").write_text(
        "2026-11-21 14:00:00 b: started on node17, process 1\n2026-11-21 14:00:11 FAILED: no space; free some\n"
    )
    Path("slurm.log").write_text("srun: error: task 0: Exited with exit code 1\n")
    listener = FailedJobs()
    members = [
        {"jobid": number, "rule_name": "evaluate", "log": [f"{letter}.log"]} for number, letter in enumerate("abc")
    ]
    announce(listener, event="group_error", groupid="g", aux_logs=["slurm.log"], job_error_info=members)
    for member in members:
        announce(listener, **error(member["jobid"], "evaluate", *member["log"], indent=True))
    text = failure_text(list(listener.found.values()), "snakemake")
    assert text.startswith("1 job failed:\n  b\n    no space; free some\n    log: b.log\n\nResume")

    Path("b.log").unlink()  # and so it is not known which one
    text = failure_text(list(listener.found.values()), "snakemake")
    assert text.startswith(
        "3 jobs failed:\n  train digits/sat/seed0\n    its log says that it finished\n    log: a.log\n"
    )
    assert text.count("    log: slurm.log\n") == 3


def test_the_last_screen_says_for_each_job_which_why_where_and_then_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(f"{START}\n2026-11-21 14:00:11 FAILED: no space; free some\n  log: a.log\n")
    Path("b.log").write_text(f"{START}\n{STEPS}\n")
    Path("c.log").write_text("sh: x.json: No such file or directory\n")
    Path("slurm.log").write_text("srun: error: node17: task 0: Out Of Memory\n")
    word = "SLURM-job '77' failed, SLURM status is: 'OUT_OF_MEMORY'. For further error details see the log."
    failed = [
        FailedJob("train", ("a.log", "slurm.log"), word),
        FailedJob("train", ("b.log", "slurm.log"), word),
        FailedJob("save_configuration", ("c.log",), ""),
        FailedJob("evaluate", ("d.log", "slurm.log"), word),
        FailedJob("evaluate", (), ""),
    ]
    nothing = "ended before it wrote a log; Snakemake's words above say more"
    assert (
        failure_text(failed, "make reproduce")
        == f"""\
5 jobs failed:
  train digits/sat/seed0
    no space; free some
    log: a.log
  train digits/sat/seed0
    SLURM says OUT_OF_MEMORY; {KILLED}{LAST_STEP}
    log: b.log
    log: slurm.log
  rule save_configuration
    sh: x.json: No such file or directory
    log: c.log
  rule evaluate
    SLURM says OUT_OF_MEMORY; {nothing}
    log: slurm.log
  rule evaluate
    {nothing}

Resume with the same command: make reproduce"""
    )


def test_a_job_that_slurm_refuses_is_named_with_slurm_s_words_and_without_the_log_of_an_earlier_run(tmp_path):
    (log := tmp_path / "results/tiny/logs/train/digits/sat/seed0.log").parent.mkdir(parents=True)
    word = (
        "SLURM sbatch failed. The error message was 'sbatch: error: Too much\nsbatch: error: Not available'.\n call: x"
    )
    job = FailedJob("train", (str(log), "slurm.log"), word)
    words = "sbatch: error: Too much sbatch: error: Not available"
    why = f"    SLURM does not take what profiles/slurm asks for: {words}\n\nResume"
    assert f"  train/digits/sat/seed0\n{why}" in failure_text([job], "snakemake")
    log.write_text(f"{START}\n2026-11-21 14:00:11 finished in 0:00:02\n")
    assert f"  train digits/sat/seed0\n{why}" in failure_text([job], "snakemake")


def test_the_log_of_an_earlier_run_is_not_taken_for_that_of_a_job_that_never_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(f"{START}\n2026-11-21 14:00:11 FAILED: last week something else\n")
    listener = FailedJobs()
    announce(listener, event="job_info", jobid=1, log=["a.log"])
    word = "Job submission failed with exception: The given account nobody appears to be invalid. Available:\nscience"
    announce(listener, **error(1, "train", "a.log", message=word))
    announce(listener, event="job_info", jobid=3, log=["a.log"])
    announce(listener, **error(3, "train", "a.log", message="the node failed"))
    announce(listener, event="job_info", jobid=2, log=["b.log"])
    Path("b.log").write_text(f"{START}\n2026-11-21 14:00:11 FAILED: no space\n")
    announce(listener, **error(2, "train", "b.log", message="no"))
    text = failure_text(list(listener.found.values()), "snakemake")
    assert "last week" not in text and "a.log" not in text and "    no space\n" in text
    assert "ended before it wrote a log" in text
    assert "profiles/slurm asks for: The given account nobody appears to be invalid. Available:\n" in text


def test_of_many_failed_jobs_the_first_ten_fit_on_the_last_screen():
    text = failure_text([FailedJob(f"rule{number}", (), "") for number in range(12)], "snakemake")
    assert text.startswith("12 jobs failed:\n  rule rule0\n")
    assert text.count("\n  rule ") == 10 and "\n  and 2 more: `make status` lists all\n" in text


def test_where_no_job_failed_only_the_way_on_is_said():
    text = failure_text([], "snakemake -c2")
    assert text == "Not everything was done.\n\nResume with the same command: snakemake -c2"
    assert failure_text([FailedJob("a", (), "")], "").startswith("1 job failed:\n")


@pytest.mark.parametrize(("environment", "words", "expected"), [
    ({}, ["/opt/bin/snakemake", "-c2", "--config", "title=a b"], "/opt/bin/snakemake -c2 --config 'title=a b'"),
    ({}, ["{here}/.venv/bin/snakemake", "energy"], ".venv/bin/snakemake energy"),
    ({}, [".venv/bin/snakemake"], ".venv/bin/snakemake"),
    ({}, ["/lib/snakemake/__main__.py", "-c1"], "python -m snakemake -c1"),
    ({"UV": "/opt/uv"}, ["{here}/.venv/bin/snakemake", "energy"], "uv run snakemake energy"),
    ({"UV": "/opt/uv"}, ["/lib/snakemake/__main__.py"], "uv run python -m snakemake"),
    ({"UV": "/opt/uv", "ROBUSTLENS_COMMAND": "make reproduce"}, ["snakemake", "--quiet"], "make reproduce"),
])  # fmt: skip
def test_the_command_is_named_as_it_was_typed(environment, words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert typed_command([word.format(here=tmp_path) for word in words]) == expected


def test_while_snakemake_runs_what_failed_may_be_started_again(tmp_path):
    (log := tmp_path / "a.log").write_text(f"{START}\n2026-11-21 14:00:11 FAILED: no space\n")
    failed = Job("train", {}, (), (), None, 1, log=str(log))
    text = status_text([failed], [failed], {}, "snakemake", driven=True)
    assert "\nFailed (so far; Snakemake may start them again):\n" in text
    assert text.endswith("Once no Snakemake is running, resume with: snakemake")
