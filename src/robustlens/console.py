"""What a job says: a log file with everything, and on the terminal what a person wants to see."""

import argparse
import atexit
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from robustlens.errors import RobustlensError

log = logging.getLogger("robustlens")


@contextlib.contextmanager
def job(name: str, log_file: Path) -> Iterator[None]:
    """Run a job's body with logging set up. A failure ends the process with code 1 and one line that says which job,
    why, and which log to open; the log has the traceback of what was not foreseen. A process that runs a file of a
    folder `scripts` ends with its job in any case: nothing may follow it there.

    The log's first line says which job on which machine this is, its last how it ended, and it is locked while the
    process lives: `robustlens.job_log` reads from it how the job stands.
    """
    started = time.monotonic()
    try:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, mode="w")
    except OSError as error:
        sys.exit(f"[{name}] FAILED: {log_file}: can't be written ({error.strerror}); make the folder writable")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"[{name}] %(message)s"))
    terminal.addFilter(_for_the_terminal)
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a disk too full for the log must not bury the reason under tracebacks
    _lock(file)
    log.info("%s: started on %s", name, _place(), extra={"terminal": False})
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            raise  # an end with a code, not a failure with a reason
        foreseen = isinstance(error, RobustlensError | KeyboardInterrupt | SystemExit)
        reason = (str(error) or "interrupted") if foreseen else f"{type(error).__name__}: {error}"
        if not foreseen:
            log.info("%s", traceback.format_exc(), extra={"terminal": False})
        log.error("FAILED: %s\n  log: %s", reason, log_file)
        sys.exit(1)
    log.info("finished in %s", _clock(time.monotonic() - started), extra={"terminal": False})
    if _is_of_a_script():
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):  # an ordinary end tells what can't be written
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def _is_of_a_script() -> bool:
    """Whether nothing is left to do in this process but to take down PyTorch, which takes a fifth of a second.
    Processes that train together end as usual: one may still be sending."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is not None and Path(file).parent.name == "scripts" and "RANK" not in os.environ


def _lock(file: logging.FileHandler) -> None:
    """Lock a log with the operating system's lock, which ends with the process, however that ends. Where a file system
    has no locks, the log has none. A reader holds the lock for no longer than it takes to try it."""
    for _ in range(100):
        try:
            return fcntl.flock(file.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return None


def _place() -> str:
    """Machine, process and, where SLURM gives it, the number of the job."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"{socket.gethostname()}, process {os.getpid()}" + (f", SLURM job {job}" if job else "")


def _for_the_terminal(record: logging.LogRecord) -> bool:
    """What the terminal shows: problems, and records that ask for it. Python's warnings are for the log."""
    return getattr(record, "terminal", record.levelno >= logging.WARNING and record.name != "py.warnings")


class Progress:
    """Progress of a long job: every step into the log, and one line with an ETA on the terminal every ten seconds."""

    def __init__(self, what: str, total: int, every: float = 10.0):
        self.what, self.total, self.every = what, total, every
        self.started = self.shown = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, detail: str = "") -> None:
        """`done` of the total steps are finished; `detail` is appended to the line."""
        now = time.monotonic()
        if self.first is None:
            self.first = done - 1
        left = (now - self.started) / (done - self.first) * (self.total - done)
        show = now - self.shown >= self.every
        if show:
            self.shown = now
        log.info("%s %d/%d, ETA %s  %s", self.what, done, self.total, _clock(left), detail, extra={"terminal": show})


def stop_on_signals() -> list[int]:
    """A list that SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) append their number to; a loop asks whether it is empty. Ctrl-C
    after that ends the process at once."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, stop)
    return received


class Spec(dict[str, Any]):
    """The parameters of a job. One that is missing ends the process with one line that names it."""

    def __missing__(self, key: str) -> NoReturn:
        sys.exit(f"--spec: {key!r} is missing; a certificate of such a job, as --spec @FILE, has every parameter")


def parser(description: str) -> argparse.ArgumentParser:
    """The command line that every script shares: --spec (a `Spec`) and --log.

    Modules are imported by now. What they are made of lives as long as the process: no search for garbage looks at it.
    """
    gc.freeze()
    gc.enable()
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument(
        "--spec",
        required=True,
        type=_spec,
        help="the parameters of this job: JSON text, or @FILE: a file of JSON, or the certificate of a job to start "
        "from (results/<scale>/provenance/...)",
    )
    arguments.add_argument("--log", required=True, type=Path, help="log file to write")
    return arguments


def _spec(given: str) -> Spec:
    """From JSON text or @file. A certificate is told by what it has beside its parameters; what it says of the code is
    not true of the code that runs now."""
    try:
        read = json.loads(Path(given[1:]).read_bytes() if given.startswith("@") else given)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{_shown(given)}: {error}") from error
    if isinstance(read, dict) and {"parameters", "outputs"} <= read.keys():
        read = json.loads(json.dumps(read["parameters"]), object_hook=_of_another_code)
    if not isinstance(read, dict):
        raise argparse.ArgumentTypeError(f"{_shown(given)}: not the parameters of a job, which are a JSON object")
    return Spec(read)


def _of_another_code(parameters: dict[str, Any]) -> dict[str, Any]:
    return parameters | {"code": "by hand"} if "code" in parameters else parameters


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
