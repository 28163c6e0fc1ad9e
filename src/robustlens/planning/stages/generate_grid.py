"""Images generated with many settings of the sampler."""

import math

from robustlens.generation.grid import samplers
from robustlens.generation.sampler import Sampler
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.stages.generate_samples import chains
from robustlens.planning.work import Work


def work(job: Job, known: Known) -> Work:
    """The chains of all settings. The features of their ends are few passes compared with them."""
    spec, dataset = job.spec, known.dataset(job)
    images = spec["grid"]["per_class"] * dataset.classes
    batches = math.ceil(images / spec["batch_size"])
    settings = samplers(Sampler(**spec["sampler"]), spec["grid"]["values"])
    steps = sum(sampler.steps for sampler in settings)
    network = Network.of(spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (chains(job, images / batches, (steps + len(settings)) * batches, steps * batches),))
