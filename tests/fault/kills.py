"""A study of one run that is killed twenty times, at moments drawn at random."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from flow import ENERGY, RESULTS, THREAT, files, run, snakemake_process
from processes import Child, processes_with, until
from study import Study, progress

SEED = int(os.environ.get("FAULT_SEED", "0"))  # another one: other moments
EPOCHS = 100  # enough for all the kills below on a machine of any speed
ONE_RUN = {
    "datasets": {
        "digits": {
            **{"training": {"epochs": EPOCHS}, "tracking": {"energy_epochs": [1, EPOCHS]}},
            "evaluation": {"batch_size": 25},  # so that an attack on 100 images has four batches
        }
    },
    "studies": {
        "energy": {
            "seeds": [0],
            "cohorts": {
                **{"main": {"recipes": ["trades"]}, "attack-energies": {"recipes": ["trades"]}},
                **{"further": None, "subsets": None},
            },
        }
    },
}
TRAIN, EVALUATE = "train/digits/trades/seed0", f"evaluate/digits/trades/seed0/{THREAT}/robustness"
RUN = RESULTS / "runs/digits/trades/seed0"
WEIGHTS = [RUN / name for name in ("best.safetensors", "last.safetensors")]
METRICS = [RUN / name for name in ("history.parquet", "energies.parquet")]
EVALUATION = RESULTS / f"evaluations/digits/trades/seed0/{THREAT}/robustness.json"
TABLE = [ENERGY / f"tables/robustness.{suffix}" for suffix in ("tex", "csv", "html")]
ATTACKED = EVALUATION.parent / "best/pgd20.100.parquet"
BATCHES = "*_best_pgd20.100.*.batches"  # what of that evaluation is finished while the rest is not
SCIENCE = [*WEIGHTS, *METRICS, EVALUATION, ATTACKED, *TABLE]
TRAINING = ["--", *map(str, METRICS)]
TARGETS = [*TRAINING, str(TABLE[0])]


class Victim:
    """The study and how often it was killed, by kind."""

    def __init__(self, study: Study):
        self.study, self.random, self.kills = study, random.Random(SEED), Counter()
        self.train, self.states = study.job(TRAIN), study.results / "state"

    @property
    def moments(self) -> str:
        return f"The moments are those of FAULT_SEED={SEED}; kills: {dict(self.kills)}"

    def suffer(self) -> None:
        """All twenty: while it trains in any order, then while it publishes, then Snakemake at its later jobs."""
        kills = [self.training] * 5 + [self.checkpoint] * 5 + [self.job_of_snakemake] + [self.snakemake_that_trains] * 2
        self.random.shuffle(kills)
        for kill in kills:
            kill()
            assert progress(self.states)[0] < EPOCHS and files(self.study.folder / RUN) == []
        for _ in range(5):
            self.publishing()
        shutil.rmtree(self.study.folder / RUN)  # as Snakemake does with what a failed job left
        self.snakemake_after(WEIGHTS[0], 0.05)
        self.snakemake_after(RESULTS / f"logs/{EVALUATE}.log", 1.5)

    def training(self) -> None:
        """A training, at any moment after it has finished an epoch more than ever before."""
        before, child = progress(self.states), self.study.start(self.train)
        self._until_after(before, child.process.is_alive)
        time.sleep(self.random.uniform(0, 0.1))
        child.signal(signal.SIGKILL)
        self._died("training", child)

    def checkpoint(self) -> None:
        """A training in `RunState.save`."""
        moment = self.random.choice(["in the middle", "before the rename", "after the rename"])
        self._died("checkpoint", self._dying("state.safetensors", moment, self.random.randint(1, 3)))

    def publishing(self) -> None:
        """A training at its end, between two of its outputs or in one of them."""
        name = self.random.choice([*(path.name for path in [*WEIGHTS, *METRICS]), "timing.parquet", "seed0.json"])
        moments = ["before the rename", "after the rename"] + ["in the middle"] * name.endswith(".safetensors")
        self._died("publishing", self._dying(name, self.random.choice(moments)))

    def job_of_snakemake(self) -> None:
        """A training of Snakemake, which sees a failed job."""
        driver = self._snakemake_that_trains()
        (owner,) = self.states.glob("*/owner.json")
        os.kill(json.loads(owner.read_text())["pid"], signal.SIGKILL)
        output, _ = driver.communicate()
        assert driver.returncode == 1 and f"log: {RESULTS}/logs/{TRAIN}.log" in output, output
        self.kills["job of Snakemake"] += 1

    def snakemake_that_trains(self) -> None:
        self._killed(self._snakemake_that_trains(), 0.2)

    def snakemake_after(self, path: Path, seconds: float) -> None:
        """Snakemake with its job, up to so many seconds after a file was made."""
        driver = self._snakemake()
        until(lambda: (self.study.folder / path).exists() or driver.poll() is not None)
        self._killed(driver, seconds)

    def _dying(self, name: str, moment: str, nth: int = 1) -> Child:
        return self.study.start(self.train, partial(die_writing, name, moment, nth, self.random.random()))

    def _died(self, kind: str, child: Child) -> None:
        code, output = child.wait()
        assert code == -signal.SIGKILL, output
        self.kills[kind] += 1

    def _snakemake(self) -> subprocess.Popen:
        return snakemake_process(self.study.folder, self.study.overlay, "-c1", *TARGETS)

    def _snakemake_that_trains(self) -> subprocess.Popen:
        before, driver = progress(self.states), self._snakemake()
        self._until_after(before, lambda: driver.poll() is None)
        return driver

    def _until_after(self, before: tuple[int, int], alive: Callable[[], bool]) -> None:
        until(lambda: progress(self.states)[0] > before[0] or not alive())

    def _killed(self, driver: subprocess.Popen, seconds: float) -> None:
        """It and all its jobs at once. It leaves a lock, and says what to do about that."""
        time.sleep(self.random.uniform(0, seconds))
        os.killpg(driver.pid, signal.SIGKILL)
        output, _ = driver.communicate()
        assert driver.returncode == -signal.SIGKILL, output
        until(lambda: not processes_with(str(self.study.folder)))
        code, output = run(self.study.folder, self.study.overlay, "-c1", *TARGETS)
        assert code == 1 and "--unlock" in output, output
        code, output = run(self.study.folder, "--unlock")
        assert code == 0, output
        self.kills["Snakemake"] += 1


def die_writing(name: str, moment: str, nth: int, share: float) -> None:
    """From now on this process kills itself when it writes a file of that name (or pattern) for the nth time: with that
    share of its bytes written, all of them but not renamed, or just renamed."""
    write, rename, counted = Path.write_bytes, os.replace, itertools.count(1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_write(path: Path, content: bytes) -> int:
        if moment == "in the middle" and fnmatch(path.name, f".{name}.*") and next(counted) == nth:
            write(path, content[: int(share * len(content))])
            die()
        return write(path, content)

    def dying_rename(old: Path, new: Path) -> None:
        now = moment != "in the middle" and fnmatch(Path(new).name, name) and next(counted) == nth
        if now and moment == "before the rename":
            die()
        rename(old, new)
        if now:
            die()

    Path.write_bytes, os.replace = dying_write, dying_rename
