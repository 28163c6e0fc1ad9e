"""Real processes that start at once: forked from the test's own, which has imported everything already."""

import contextlib
import multiprocessing
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 - the first optimiser of a process imports it, which takes seconds

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 180.0  # seconds; where they pass, something hangs, however busy the machine is


class Child:
    """`function(*arguments)` in a process of its own, what it prints in the file `output`.

    largest_file: bytes that no file of the process may exceed, as on a disk that is full.
    """

    def __init__(self, output: Path, function: Callable, *arguments: Any, largest_file: int | None = None):
        self.output = output
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=self._run, args=(function, arguments, largest_file), daemon=True)
        self.process.start()
        self.pid = self.process.pid

    def _run(self, function: Callable, arguments: tuple, largest_file: int | None) -> None:
        file = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        function(*arguments)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> tuple[int, str]:
        """Exit code (minus the signal that killed it) and output."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.terminate()
        assert self.process.exitcode is not None, f"process {self.pid} does not end:\n{self.output.read_text()}"
        return self.process.exitcode, self.output.read_text()


def run_script(name: str, arguments: list[str], folder: Path) -> None:
    """What `python scripts/<name>.py <arguments>` runs in `folder`."""
    os.chdir(folder)
    sys.argv = [f"{name}.py", *arguments]
    runpy.run_path(str(REPOSITORY / "scripts" / f"{name}.py"), run_name="__main__")


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Return as soon as `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def processes_with(text: str) -> list[int]:
    """The living processes with that text in their command line or in the environment that they were started with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if text.encode() in said and int(process.name) != os.getpid():
                found.append(int(process.name))
    return found
