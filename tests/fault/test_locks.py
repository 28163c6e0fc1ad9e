"""Two at once: Snakemake's lock, the training's own, and those that a process left when it died."""

import json
import os
import signal

import pytest
from flow import RESULTS, contents, copy_of, run, snakemake_process
from kills import METRICS, ONE_RUN, SCIENCE, TARGETS, TRAIN, TRAINING, WEIGHTS
from processes import until
from study import Study, progress


@pytest.fixture
def study(checkout, tmp_path) -> Study:
    """With its data, untrained."""
    study = Study(copy_of(checkout, tmp_path / "checkout"), ONE_RUN, *TARGETS)
    assert study.run(study.job("data/digits")).code == 0
    return study


def test_a_second_snakemake_is_refused_and_without_its_lock_the_training_s_own_holds(study, one_run):
    first = snakemake_process(study.folder, study.overlay, "-c1", *TRAINING)
    until(lambda: progress(study.results / "state")[0] > 0 or first.poll() is not None)
    (owner,) = study.results.glob("state/*/owner.json")
    pid = json.loads(owner.read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped_at = progress(study.results / "state")

    code, output = run(study.folder, study.overlay, "-c1", *TRAINING)
    assert code == 1 and "Directory cannot be locked" in output and "--unlock" in output and "Traceback" not in output
    code, output = run(study.folder, study.overlay, "-c1", "--nolock", *TRAINING)
    refusal = f"FAILED: {owner.parent.relative_to(study.folder)}: this run is being trained by another process"
    assert code == 1 and refusal in output and f'"pid": {pid}' in output and "wait for it, or stop it" in output
    assert progress(study.results / "state") == stopped_at

    os.kill(pid, signal.SIGCONT)
    output, _ = first.communicate()
    assert first.returncode == 0, output
    trained = [*WEIGHTS, *METRICS]
    assert contents(study.folder, trained) == contents(one_run.folder, trained)


def test_the_state_of_a_process_that_is_dead_is_taken_over(study, one_run):
    """Whatever its owner.json says: of a process that ended, of one of another machine, nothing."""
    dead = study.start(study.job(TRAIN))
    until(lambda: progress(study.results / "state")[0] > 0 or not dead.process.is_alive())
    dead.signal(signal.SIGKILL)
    assert dead.wait()[0] == -signal.SIGKILL
    (owner,) = study.results.glob("state/*/owner.json")
    assert json.loads(owner.read_text())["pid"] == dead.pid and (owner.parent / "lock").exists()
    for said in (owner.read_text(), '{"host": "elsewhere", "pid": 1, "slurm_job": "4711"}', "", "{"):
        owner.write_text(said)
        reached = progress(study.results / "state")
        heir = study.start(study.job(TRAIN))
        until(lambda: progress(study.results / "state") > reached or not heir.process.is_alive())  # noqa: B023 - at once
        assert json.loads(owner.read_text())["pid"] == heir.pid
        heir.signal(signal.SIGKILL)
        assert heir.wait()[0] == -signal.SIGKILL
    assert study.run(study.job(TRAIN)) == (0, "")
    assert contents(study.folder, WEIGHTS) == contents(one_run.folder, WEIGHTS)


def test_a_living_process_is_respected_whatever_its_owner_file_says(study):
    alive = study.start(study.job(TRAIN))
    until(lambda: progress(study.results / "state")[0] > 0 or not alive.process.is_alive())
    alive.signal(signal.SIGSTOP)
    (owner,) = study.results.glob("state/*/owner.json")
    for said in ('{"host": "elsewhere", "pid": 999999999, "slurm_job": null}', None):
        owner.write_text(said) if said else owner.unlink()
        code, output = study.run(study.job(TRAIN))
        assert code == 1 and f"is being trained by another process ({said or 'unknown'})" in output
    alive.signal(signal.SIGKILL)
    assert alive.wait()[0] == -signal.SIGKILL


def test_two_publish_the_same_table_at_once_and_it_is_whole(one_run):
    """With --nolock nothing of ours keeps two jobs apart that are not trainings: each renames a whole file."""
    job = one_run.job("studies/energy/tables/robustness")
    expected = contents(one_run.folder, SCIENCE)
    for child in [one_run.start(job) for _ in range(4)]:
        assert child.wait() == (0, "")
    assert contents(one_run.folder, SCIENCE) == expected
    assert not [path for path in (one_run.folder / RESULTS).rglob("*") if ".part" in path.name]
