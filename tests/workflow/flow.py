"""Snakemake as a user runs it, in copies of this repository."""

import atexit
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
import snakemake.cli
import snakemake.report.html_reporter  # and what it imports: else every process of `run` does that
from processes import Child

REPOSITORY = Path(__file__).parent.parent.parent
TINY = ("--configfile", "tests/tiny.yaml")
RESULTS = Path("results/tiny")
ENERGY = RESULTS / "studies/energy"
THREAT = "linf-12-16"  # of the tiny scale
NOTHING = "Nothing to be done"
LONGEST_RUN = 570.0  # seconds; pytest gives up after 600


class Outcome(NamedTuple):
    """Exit code, and what the terminal showed."""

    code: int
    output: str


def snakemake_process(folder: Path, *arguments: str) -> subprocess.Popen:
    """`snakemake --configfile tests/tiny.yaml <arguments>` in `folder`, with a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *TINY, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> Outcome:
    """What the same command does in a process that is forked from this one, which has imported Snakemake already."""
    output = folder / f".output-{os.urandom(4).hex()}"
    code, text = Child(output, command_line, folder, [*TINY, *arguments]).wait(LONGEST_RUN)
    output.unlink()
    return Outcome(code, text)


def command_line(folder: Path, arguments: list[str]) -> None:
    """`snakemake <arguments>` in `folder`, in this process, which it ends."""
    os.chdir(folder)
    atexit._clear()  # the handlers of the process that it was forked from
    for name in [name for name in sys.modules if name.partition(".")[0] in ("robustlens", "studies")]:
        del sys.modules[name]  # the checkout in `folder` has its own
    try:
        sys.argv = ["snakemake", *arguments]
        # Jobs print where this process does, not where the module (`snakemake.shell` is the class in it) was imported.
        sys.modules["snakemake.shell"].STDOUT = None
        snakemake.cli.main(arguments)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def jobs(output: str) -> set[str]:
    """The jobs of a run or dry run with -p, each as the place of its log under logs/: it names what the rule does and
    every wildcard, as in `train/digits/sat/seed0`."""
    return set(re.findall(rf"(?:--log|2>) '?{RESULTS}/logs/(\S+?)\.log", output))


def pending(folder: Path, *arguments: str) -> set[str]:
    """The jobs that `snakemake <arguments>` would run now."""
    code, output = run(folder, "-n", "-p", "-c2", *arguments)
    assert code == 0, output
    return jobs(output)


def copy_of(folder: Path, to: Path) -> Path:
    """A copy with the times of the files, from which Snakemake tells what is up to date."""
    return shutil.copytree(folder, to, symlinks=True)


def copy_sources(to: Path) -> Path:
    """This repository as a clone of it with the changes that are not committed would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():  # a file that was deleted is listed until that is committed
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, to / name)
    return to


def edit(file: Path, old: str, new: str) -> None:
    """Replace the only occurrence of `old`."""
    text = file.read_text()
    assert text.count(old) == 1, f"{text.count(old)} times in {file}: {old}"
    file.write_text(text.replace(old, new))


def files(folder: Path) -> list[Path]:
    """All files below, relative to it."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def contents(folder: Path, names: Iterable[Path | str]) -> dict[str, str]:
    return {str(name): sha256(folder / name) for name in names}


def untouched(folder: Path) -> dict[Path, tuple[int, str]]:
    """What changes when a file is written again, even with the same bytes."""
    return {name: ((folder / name).stat().st_mtime_ns, sha256(folder / name)) for name in files(folder)}


# Disks ----------------------------------------------------------------------------------------------------------------

own_mounts = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    reason="no file systems can be mounted here (unshare -rm)",
)


def with_mounts(folder: Path, script: str, *arguments: str) -> Outcome:
    """A bash script in `folder` whose mounts nobody else sees and end with it; "$@" is `snakemake <arguments>`."""
    command = ["unshare", "-rm", "bash", "-euc", script, "bash", sys.executable, "-m", "snakemake", *TINY, *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Outcome(done.returncode, done.stdout)
