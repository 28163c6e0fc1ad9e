"""A small study whose jobs start at once: the commands that Snakemake would run, in forked processes."""

import importlib
import json
import os
import pkgutil
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml
from flow import RESULTS, Outcome, files, run
from processes import Child, run_script
from safetensors import safe_open

PACKAGES = ("robustlens.report.tables", "studies.energy.tables", "studies.energy.figures", "studies.energy.claims")
for name in PACKAGES:  # so that a forked job need import nothing
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__, f"{name}."):
        importlib.import_module(module.name)

COMMAND = re.compile(r'^Shell command: (python "\$ROBUSTLENS/scripts/(\w+)\.py" .+)$', re.MULTILINE)
PROGRESS = re.compile(r"^\[.+\] \w+ \d+/\d+, ETA .*\n", re.MULTILINE)  # of a job that takes longer than ten seconds
NO_OUTPUTS = ("logs", "state")
TYPESET = ["report-pdf"] if any(map(shutil.which, ("latexmk", "pdflatex", "tectonic"))) else []


class Job(NamedTuple):
    """name: the place of its log, as in train/digits/trades/seed0. inputs, outputs: the files that its command names
    and that were there, and those that it left."""

    name: str
    script: str
    command: str
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command)[2:]


class Study:
    """A checkout with changes to its tiny scale, and the jobs of some targets in an order in which they can run."""

    def __init__(self, folder: Path, scale: dict, *targets: str):
        self.folder, self.results, self.overlay = folder, folder / RESULTS, str(folder / "study.yaml")
        # Jobs are forked from this process, whose libraries have chosen their instructions already.
        tiny = {"arithmetic": "native", **scale}
        Path(self.overlay).write_text(yaml.safe_dump({"scales": {"tiny": tiny}}))
        code, output = run(folder, self.overlay, "-n", "-p", "-c1", *targets)
        assert code == 0, output
        self.jobs = [_job(*found) for found in COMMAND.findall(output)]

    def job(self, name: str) -> Job:
        return next(job for job in self.jobs if job.name == name)

    def start(self, job: Job, prepare: Callable[[], None] = lambda: None, **limits: int) -> Child:
        """The script of a job in a process of its own, after `prepare` in that process."""
        output = self.folder / f".output-{os.urandom(4).hex()}"
        return Child(output, _run_script, job, self.folder, prepare, **limits)

    def run(self, job: Job, prepare: Callable[[], None] = lambda: None, **limits: int) -> Outcome:
        child = self.start(job, prepare, **limits)
        code, output = child.wait()
        child.output.unlink()
        return Outcome(code, PROGRESS.sub("", output))

    def run_all(self) -> None:
        """Every job once, noting what it reads and leaves."""
        for number, job in enumerate(self.jobs):
            before = set(files(self.folder))
            code, output = self.run(job)
            assert code == 0, f"{job.name}: {output}"
            made = [path for path in files(self.folder) if path not in before and path.parts[2] not in NO_OUTPUTS]
            named = {Path(word) for word in job.arguments} | {Path(word, "sheet.json") for word in job.arguments}
            self.jobs[number] = job._replace(inputs=tuple(sorted(named & before)), outputs=tuple(made))


def _job(command: str, script: str) -> Job:
    return Job(re.search(rf"--log '?{RESULTS}/logs/(\S+?)\.log", command)[1], script, command)


def _run_script(job: Job, folder: Path, prepare: Callable[[], None]) -> None:
    prepare()
    run_script(job.script, job.arguments, folder)


def progress(states: Path) -> tuple[int, int]:
    """(finished epochs, steps of the epoch after them) in the only saved state; (0, 0) without one."""
    for file in states.glob("*/state.safetensors"):
        with safe_open(file, framework="np") as state:
            record = json.loads(state.metadata()["record"])["progress"]
        return record["epoch"], record["step"]
    return 0, 0
