"""Ctrl-C at a terminal: everything ends, nothing is lost, no lock stays."""

import fcntl
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

from flow import RESULTS, TINY, contents, copy_of, run
from kills import EPOCHS, METRICS, ONE_RUN, TRAIN, TRAINING, WEIGHTS
from processes import REPOSITORY, processes_with, until
from study import Study, progress

TRAINED = [*WEIGHTS, *METRICS]


class Terminal:
    """A command in the foreground of a terminal of its own; what it prints is in a file."""

    def __init__(self, folder: Path, *command: str):
        self.keyboard, screen = pty.openpty()
        self.output = folder / ".screen"

        def sit_down() -> None:
            fcntl.ioctl(screen, termios.TIOCSCTTY, 0)

        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | {"PWD": str(folder)},
                stdin=screen,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=sit_down,
                pass_fds=[screen],
            )
        os.close(screen)

    def press_ctrl_c(self) -> str:
        """The kernel sends SIGINT to every process in the foreground. What was printed by the end."""
        os.write(self.keyboard, b"\x03")
        self.process.wait(180)
        os.close(self.keyboard)
        return self.output.read_text()


def untrained(checkout: Path, folder: Path) -> Study:
    study = Study(copy_of(checkout, folder), ONE_RUN, *TRAINING)
    assert study.run(study.job("data/digits")).code == 0
    return study


def test_ctrl_c_leaves_no_process_and_no_lock_and_the_same_command_goes_on(checkout, one_run, tmp_path):
    study = untrained(checkout, tmp_path / "checkout")
    command = ["-m", "snakemake", *TINY, study.overlay, "-c1", *TRAINING]
    terminal = Terminal(study.folder, sys.executable, *command)
    until(lambda: progress(study.results / "state")[0] > 0 or terminal.process.poll() is not None)
    assert len(processes_with(str(study.folder))) >= 2  # Snakemake and the training
    output = terminal.press_ctrl_c()
    assert terminal.process.returncode == 1, output
    until(lambda: not processes_with(str(study.folder)))
    reached, _ = progress(study.results / "state")
    assert reached > 0 and not (study.folder / TRAINED[0]).exists()

    code, output = run(study.folder, study.overlay, "-c1", *TRAINING)
    assert code == 0, output
    log = (study.folder / RESULTS / f"logs/{TRAIN}.log").read_text()
    assert f" epoch {reached + 1}/" in log and f" epoch {reached}/" not in log
    assert contents(study.folder, TRAINED) == contents(one_run.folder, TRAINED)


def test_ctrl_c_ends_all_processes_of_a_training_in_two(checkout, tmp_path):
    study = untrained(checkout, tmp_path / "checkout")
    script = [sys.executable, str(REPOSITORY / "scripts/train.py"), *study.job(TRAIN).arguments, "--processes", "2"]
    terminal = Terminal(study.folder, *script)
    until(lambda: progress(study.results / "state")[0] > 0 or terminal.process.poll() is not None)
    assert len(processes_with(str(study.folder))) >= 3  # torchrun and the two
    output = terminal.press_ctrl_c()
    assert terminal.process.returncode != 0, output
    until(lambda: not processes_with(str(study.folder)))
    assert 0 < progress(study.results / "state")[0] < EPOCHS
