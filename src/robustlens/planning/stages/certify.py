"""Certifications of a run, or one job's share of them."""

import math

from robustlens.certification.run import blocks, evenly_spread, shard
from robustlens.parameters import create
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work

NOTES = ("A certification that was interrupted resumes from its saved state, but is counted as a whole.",)


def work(job: Job, known: Known) -> Work:
    """All draws of every image."""
    dataset, spec, own = known.dataset(job), job.spec, job.spec["certification"]
    smoothing = create("certification", own["family"], own["parameters"])
    of_all = blocks(evenly_spread(dataset.sizes["test"], spec["images"]), smoothing, spec["batch_size"])
    draws = [len(block) * smoothing.per_image for block in shard(of_all, spec["shard"], spec["shards"])]
    forwards = sum(math.ceil(of_block / spec["batch_size"]) for of_block in draws)
    network = Network.of(spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (Calls("draws", sum(draws) / forwards, forwards),) if forwards else ())
