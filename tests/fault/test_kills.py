"""Kills at random moments: of the training, in a checkpoint, between two outputs, of Snakemake with all its jobs."""

import signal
from collections import Counter
from functools import partial

from flow import RESULTS, contents, files
from kills import ATTACKED, BATCHES, EVALUATE, EVALUATION, SCIENCE, die_writing


def test_twenty_kills_at_random_moments_end_in_the_same_weights_metrics_and_tables(survivor, one_run):
    assert survivor.kills == Counter(
        {"training": 5, "checkpoint": 5, "publishing": 5, "Snakemake": 4, "job of Snakemake": 1}
    )
    assert survivor.kills.total() == 20
    assert contents(survivor.study.folder, SCIENCE) == contents(one_run.folder, SCIENCE), survivor.moments


def test_an_evaluation_that_is_killed_while_it_saves_its_batches_ends_in_the_same_bytes(one_run):
    job = one_run.job(EVALUATE)
    job = job._replace(command=f"{job.command} --save-every 0")
    expected = contents(one_run.folder, [EVALUATION, ATTACKED])
    for file in (EVALUATION, ATTACKED):
        (one_run.folder / file).unlink()
    for nth, moment in ((2, "after the rename"), (2, "before the rename"), (1, "after the rename")):
        code, output = one_run.run(job, partial(die_writing, BATCHES, moment, nth, 0.0))
        assert code == -signal.SIGKILL and not (one_run.folder / ATTACKED).exists(), output
    assert one_run.run(job) == (0, "")
    assert "4 batches were done before" in (one_run.folder / RESULTS / f"logs/{EVALUATE}.log").read_text()
    assert contents(one_run.folder, [EVALUATION, ATTACKED]) == expected
    assert not [path for path in files(one_run.results / "state") if "batches" in path.name or ".lock" in path.name]
