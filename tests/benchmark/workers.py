"""The processes of the contestants, as the benchmark sees them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from line_up import Contestant, Package, Problem

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"


class Skipped(Exception):
    """The contestant can't take part here; the message says why."""


class Failed(Exception):
    """The contestant broke."""


class Ended(Failed):
    """Without a word of its own."""


class Worker:
    """A contestant in a process that lives until `stop`; `ask` has it do something and gives its answer.

    Raises Skipped where there is no way to start it.
    """

    def __init__(self, contestant: Contestant, problem: Problem, folder: Path):
        self.package = contestant.package
        command = _python_with(self.package) if self.package else [sys.executable]
        job = {"kind": contestant.kind, "options": contestant.options, "folder": str(folder)}
        job |= {"width": problem.width, "batch": problem.batch, "threads": problem.threads}
        path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
        environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(problem.threads)}
        environment["ROBUSTLENS_JOBS_PER_GPU"] = "100"  # they share it, and only one of them computes at a time
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            [*command, str(HERE / "worker.py"), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | environment,
            text=True,
        )

    def ready(self) -> None:
        """Returns once it is built. Raises Skipped, also where it has another torch than this process."""
        try:
            theirs, ours = self._answer()["torch"], version("torch")
        except Ended as error:
            if self.package:
                raise Skipped(f"it could not be installed or started: {error}") from error
            raise
        if theirs.split("+")[0] != ours.split("+")[0]:
            raise Skipped(f"it has torch {theirs}, the others {ours}")

    def ask(self, do: str, **what: object) -> dict:
        with contextlib.suppress(BrokenPipeError):  # what it said last tells why
            self.process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def turn(self, steps: int) -> tuple[float, float]:
        """Seconds of a step, and how many processors it kept busy."""
        answer = self.ask("run", steps=steps)
        return answer["seconds"], answer["processors"]

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()
            raise Ended(said[-1] if said else f"the process ended with code {self.process.wait()}")
        answer = json.loads(line)
        if "skipped" in answer:
            raise Skipped(answer["skipped"])
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer


def _python_with(package: Package) -> list[str]:
    """Python with it and the torch and numpy of this process: this one where it has it, else an environment of uv's."""
    with contextlib.suppress(PackageNotFoundError):
        if version(package.name) == package.version:
            return [sys.executable]
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise Skipped("it is not installed here, and there is no uv to install it with")
    packages = {name: version(name).split("+")[0] for name in ("torch", "torchvision", "numpy")}
    packages[package.name] = package.version
    requirements = [*(f"{name}=={number}" for name, number in packages.items()), *package.undeclared]
    wanted = [argument for requirement in requirements for argument in ("--with", requirement)]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [uv, "run", "--quiet", "--isolated", "--no-project", "--python", python, *wanted, "python"]
