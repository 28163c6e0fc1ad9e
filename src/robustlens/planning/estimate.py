"""What each job takes, from the best source there is: it was measured, it can be tried, or it can be counted."""

from dataclasses import dataclass, field
from functools import partial

import torch

from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.measured import Measurement, by_measurements, measurements
from robustlens.planning.probe import Probe, convolution_rate, start_up
from robustlens.planning.work import Work

# If one core would take more hours than this, the plan is for GPUs.
PROCESSOR_HOURS = 200.0
# What a whole network reaches of the rate of one convolution: 78-84 % (training-and-evaluation-peers.md, 2.4).
NETWORK_SHARE = 0.8


@dataclass(frozen=True)
class Estimate:
    """seconds: of the job on the device that it is planned for, a GPU or (`gpu` False) the processor. flops: by
    precision, of what is planned for a GPU that is not here, and so has no seconds."""

    job: Job
    work: Work | None
    source: str
    seconds: float = 0.0
    gpu: bool = False
    flops: dict[str, float] = field(default_factory=dict)


class Estimator:
    """Estimates of the jobs that are to run: for this machine or, if it has no GPU and its processor would take weeks,
    for others."""

    def __init__(self, known: Known):
        self.known, self.device = known, known.device
        self.works = {job.key(): known.left(job) for job in known.needed}
        self.processor_hours = sum(work.flops for work in self.works.values() if work) / self._rate() / 3600
        self.here = self.device.type == "cuda" or self.processor_hours <= PROCESSOR_HOURS
        self.on_gpu = self.device.type == "cuda" or not self.here
        self.probe = Probe(self.device, known)
        self.measured: list[Measurement] = measurements(known.jobs, known.work, self.on_gpu)

    def _rate(self) -> float:
        return NETWORK_SHARE * convolution_rate(self.device)

    def __call__(self, job: Job) -> Estimate:
        work, others = self.works[job.key()], self.known.seconds(job)
        made = partial(Estimate, job, work)
        if not job.spec and work is None and others == 0:  # a command that is not one of our scripts, such as `cat`
            return made("start-up")
        begin = start_up("network" if work else self.known.start_up(job))
        measured = by_measurements(job, work.flops if work else 0.0, self.measured, begin)
        if measured:
            seconds, exact = measured
            return made("measured" if exact else "alike", seconds, gpu=bool(work) and self.on_gpu)
        if others is None:
            return made("unknown", begin)
        if work is None:
            return made("assumed" if others else "unknown" if job.benchmark else "start-up", begin + others)
        beside = begin + others + work.processor / convolution_rate(torch.device("cpu"))
        if not self.here:
            return made("gpus", beside, flops=work.flops_by("precision"))
        seconds = self.probe.seconds(job, work)
        source = "rate" if seconds is None else "probe"
        seconds = work.flops / self._rate() if seconds is None else seconds
        return made(source, beside + seconds, gpu=self.on_gpu)
