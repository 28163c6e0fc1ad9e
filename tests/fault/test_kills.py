"""Kills at random moments: of the training, in a checkpoint, between two outputs, of Snakemake with all its jobs."""

from collections import Counter

from flow import contents
from kills import SCIENCE


def test_twenty_kills_at_random_moments_end_in_the_same_weights_metrics_and_tables(survivor, one_run):
    assert survivor.kills == Counter(
        {"training": 5, "checkpoint": 5, "publishing": 5, "Snakemake": 4, "job of Snakemake": 1}
    )
    assert survivor.kills.total() == 20
    assert contents(survivor.study.folder, SCIENCE) == contents(one_run.folder, SCIENCE), survivor.moments
