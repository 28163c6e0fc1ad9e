"""What each job takes, from the best source there is: it was measured, it can be tried, or it can be counted."""

from dataclasses import dataclass, field
from functools import partial

import torch

from robustlens.planning.dry_run import Job
from robustlens.planning.measured import Measurement, by_measurements, measurements
from robustlens.planning.probe import Probe, convolution_rate, start_up
from robustlens.planning.work import Work, WorkOf

# More hours than this of one core, and a plan is for GPUs.
PROCESSOR_HOURS = 200.0
# What a whole network reaches of the rate of one convolution: 78-84 % (training-and-evaluation-peers.md, 2.4).
NETWORK_SHARE = 0.8
# Bytes of prepared images a second: decoding, writing, checksums. Assumed.
PREPARATION_RATE = 20e6


@dataclass(frozen=True)
class Estimate:
    """seconds: of the job on the device it is planned for, which is a GPU or (`gpu` False) the processor. flops: by
    precision, of what is planned for a GPU that is not here, and so without seconds."""

    job: Job
    work: Work | None
    source: str
    seconds: float = 0.0
    gpu: bool = False
    flops: dict[str, float] = field(default_factory=dict)


class Estimator:
    """Estimates of jobs, for this machine or, where its processor would take weeks and it has no GPU, for others.

    everything: all jobs of the workflow, those that have run among them. needed: those that are to run.
    """

    def __init__(self, everything: list[Job], needed: list[Job], device: torch.device):
        self.device, self.work_of = device, WorkOf.jobs(everything, device)
        self.works = {job.key(): self.work_of(job) for job in needed}
        self.processor_hours = sum(work.flops for work in self.works.values() if work) / self._rate(device) / 3600
        self.here = device.type == "cuda" or self.processor_hours <= PROCESSOR_HOURS
        self.on_gpu = device.type == "cuda" or not self.here
        self.probe = Probe(device, self.work_of)
        self.measured: list[Measurement] = measurements(everything, self.work_of, self.on_gpu) if needed else []

    @staticmethod
    def _rate(device: torch.device) -> float:
        return NETWORK_SHARE * convolution_rate(device)

    def __call__(self, job: Job) -> Estimate:
        work = self.works[job.key()]
        made = partial(Estimate, job, work)
        if job.rule == "download":
            return made("unknown")
        if not job.spec:
            return made("start-up")
        begin = start_up("network" if work or job.rule == "import_model" else "table")
        known = by_measurements(job, work.flops if work else 0.0, self.measured, begin)
        if known:
            seconds, exact = known
            return made("measured" if exact else "alike", seconds, gpu=bool(work) and self.on_gpu)
        if job.rule == "prepare_data":
            return made("assumed", begin + self.work_of.datasets[job.wildcards["dataset"]].bytes / PREPARATION_RATE)
        if work is None:
            return made("unknown" if job.benchmark else "start-up", begin)
        statistics = work.processor / convolution_rate(torch.device("cpu"))
        if not self.here:
            return made("gpus", begin + statistics, flops=work.flops_by("precision"))
        seconds = self.probe.seconds(job, work)
        source = "rate" if seconds is None else "probe"
        seconds = work.flops / self._rate(self.device) if seconds is None else seconds
        return made(source, begin + statistics + seconds, gpu=self.on_gpu)
