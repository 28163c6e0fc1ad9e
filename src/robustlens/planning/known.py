"""What the stages say of their jobs, and what they may ask about other jobs."""

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType

import torch

from robustlens.errors import RobustlensError
from robustlens.planning.datasets import Dataset
from robustlens.planning.dry_run import Job
from robustlens.planning.work import Work


class Known:
    """The jobs of a workflow and the stages that they belong to.

    jobs: all of them, those that have run included. needed: those that are to run. stages: by rule, the dotted name of
    the module that plans it (`planning/stages/__init__.py` says what is in it). device: the one that is planned for.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        needed: Sequence[Job],
        stages: Mapping[str, str],
        device: torch.device | str = "cpu",
    ):
        self.jobs, self.needed, self.device = jobs, needed, torch.device(device)
        self.stages = stages
        self.makers = {path: job for job in jobs for path in job.outputs}
        self.to_run = {job.key() for job in needed}
        self.datasets: dict[tuple, Dataset] = {}  # by the job that prepares it

    # What stages say

    def work(self, job: Job) -> Work | None:
        """All passes through networks; None where no network is at work."""
        return self.stage(job.rule).work(job, self) if self.says(job, "work") else None

    def left(self, job: Job) -> Work | None:
        """Those that are still to be made."""
        return self.stage(job.rule).left(job, self) if self.says(job, "left") else self.work(job)

    def seconds(self, job: Job) -> float | None:
        """What the job takes in addition to them; None: unknown."""
        return self.stage(job.rule).seconds(job, self) if self.says(job, "seconds") else 0.0

    def written(self, job: Job) -> dict[str, float]:
        return self.stage(job.rule).written(job, self) if self.says(job, "written") else {}

    def fetched(self, job: Job) -> list[dict]:
        return self.stage(job.rule).fetched(job) if self.says(job, "fetched") else []

    def start_up(self, job: Job) -> str:
        """Which imports the process of a job without work makes (`planning.probe.IMPORTS`)."""
        return getattr(self.stage(job.rule), "START_UP", "table")

    def stage(self, rule: str) -> ModuleType | None:
        """The module that plans the jobs of a rule, if there is one; it is imported when it is asked for."""
        return _module(rule, self.stages[rule]) if rule in self.stages else None

    def says(self, job: Job, what: str) -> bool:
        return hasattr(self.stage(job.rule), what)

    def notes(self) -> list[str]:
        """Of the stages that are to run."""
        rules = dict.fromkeys(job.rule for job in self.needed)
        return [note for rule in rules for note in getattr(self.stage(rule), "NOTES", ())]

    # What stages ask

    def sources(self, job: Job) -> list[Job]:
        """The jobs that make the inputs of a job, each once."""
        found = {maker.key(): maker for path in job.inputs if (maker := self.makers.get(path))}
        return list(found.values())

    def sources_by(self, rule: str, job: Job) -> list[Job]:
        """Those among them of one rule."""
        return [source for source in self.sources(job) if source.rule == rule]

    def dataset(self, job: Job) -> Dataset:
        """The prepared dataset among a job's inputs, which may have another name than the dataset of its wildcards. Its
        shape is what the job's networks see of the images.

        Raises RobustlensError where there is none.
        """
        for source in self.sources(job):
            if self.says(source, "dataset"):
                if source.key() not in self.datasets:
                    self.datasets[source.key()] = self.stage(source.rule).dataset(source)
                return self.datasets[source.key()].cropped(job.spec.get("crop"))
        raise RobustlensError(
            f"rule {job.rule}: its planning module asks for its dataset, but no prepared dataset is among its inputs "
            f"({', '.join(job.inputs) or 'there are none'}); add the dataset's sheet to them"
        )


def _module(rule: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RobustlensError(
            f"rule {rule}: its planning module {name} can't be imported ({error}); correct PLANNED[{rule!r}] in the "
            ".smk file that declares the rule"
        ) from error
