"""The jobs that Snakemake would run, with all their parameters: what a dry run in a process of its own announces."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robustlens.errors import RobustlensError

SOURCE = Path(__file__).parent.parent.parent
PLUGIN = Path(__file__).parent / "logger"
EVALUATE = "evaluate"
OF_SEEDS = re.compile(rf"^{EVALUATE}_seeds(_\d+)+$")  # the rules of jobs for several seeds


@dataclass(frozen=True)
class Job:
    """One job as Snakemake announces it.

    spec: the parameters that the job's script gets, empty for a command that is not one of our scripts.
    benchmark: the file that Snakemake will write its time to. certificate: the file that the script will write its
    parameters and its machine to, the first of several. log: the absolute path of the file of its messages. Each may be
    None. threads: of the processor.
    """

    rule: str
    wildcards: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    benchmark: str | None
    threads: int
    spec: dict[str, Any] = field(default_factory=dict)
    certificate: str | None = None
    log: str | None = None

    def key(self) -> tuple:
        return (self.rule, *sorted(self.wildcards.items()))

    def parts(self) -> list["Job"]:
        """What an evaluation of several seeds does for each of them, as jobs for one; of any other job, itself."""
        shared = self.rule == EVALUATE and "seeds" in self.spec
        return [self._of_seed(seed) for seed in self.spec["seeds"]] if shared else [self]

    def _of_seed(self, seed: int) -> "Job":
        def own(paths: Sequence[str]) -> tuple[str, ...]:
            return tuple(path for path in paths if f"/seed{seed}/" in path or not re.search(r"/seed\d+/", path))

        outputs = own(self.outputs)
        return replace(
            self,
            wildcards=self.wildcards | {"seed": str(seed)},
            inputs=own(self.inputs),
            outputs=outputs,
            spec={key: value for key, value in self.spec.items() if key != "seeds"} | {"seed": seed},
            certificate=next(path for path in outputs if "/provenance/" in path),
        )


def dry_run(
    snakefile: str,
    configfiles: Sequence[str],
    entries: Mapping[str, Any],
    targets: Sequence[str],
    everything: bool = False,
) -> list[Job]:
    """The jobs that `snakemake <targets>` would run in this folder now, those without a command (`all`) left out.

    configfiles, entries: what Snakemake read from `--configfile` and `--config`. everything: also the jobs whose
    results are there.
    Raises RobustlensError if Snakemake fails, with its message, and for a job that can't be read.
    """
    arguments = ["--cores", "all", "--snakefile", snakefile]
    arguments += ["--configfile", *configfiles] if configfiles else []
    arguments += ["--config", *(f"{key}={_entry(value)}" for key, value in entries.items())] if entries else []
    return announced_jobs(arguments, targets, everything)


def _entry(value: Any) -> str:
    """A value as `--config` reads it: all that is in a mapping, in a list or in quotes is text. The spaces keep it from
    taking the quotes off the ends."""
    if value is None:
        return ""
    return str(value) if isinstance(value, (bool, int, float)) else f" {json.dumps(value, ensure_ascii=False)} "


def announced_jobs(arguments: list[str], targets: Sequence[str] = (), everything: bool = False) -> list[Job]:
    """The same for `snakemake <arguments> -- <targets>`. Snakemake may be running meanwhile."""
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch, "jobs.jsonl")
        command = [sys.executable, "-m", "snakemake", *arguments, "--dry-run", "--nolock", "--quiet", "host"]
        command += ["--logger", "jobs", "--logger-jobs-file", str(found)]
        command += ["--forceall"] if everything else []
        command += ["--", *targets] if targets else []
        path = f"{PLUGIN}{os.pathsep}{SOURCE}"
        process = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if process.returncode != 0:
            asked = shlex.join(["snakemake", *(targets or arguments)])
            raise RobustlensError(f"{asked} can't be planned:\n{process.stdout.strip()}")
        return read_jobs(found.read_text().splitlines() if found.exists() else [])


def read_jobs(lines: list[str]) -> list[Job]:
    """The jobs from what the logger plugin wrote.

    Raises RobustlensError if there are fewer or more than Snakemake counts, and for a job that can't be read.
    """
    records = [json.loads(line) for line in lines]
    announced = [record for record in records if "rule" in record]
    counted = next((record["counts"]["total"] for record in records if "counts" in record), 0)
    if len(announced) != counted:
        raise RobustlensError(f"Snakemake counts {counted} jobs, but announced {len(announced)}; plan again")
    return [read_job(job) for job in announced if job["command"]]


def read_job(announced: dict[str, Any]) -> Job:
    """A job from the record that the logger plugin wrote.

    Raises RobustlensError for a script of ours whose parameters can't be read from its command.
    """
    command = announced["command"]
    try:
        words = shlex.split(command)
        ours = len(words) > 1 and re.fullmatch(r"\$ROBUSTLENS/(studies/\w+/)?scripts/\w+\.py", words[1])
        spec = json.loads(words[words.index("--spec") + 1]) if ours else {}
        certificate = words[words.index("--certificate") + 1] if "--certificate" in words else None
    except (ValueError, IndexError) as error:
        raise RobustlensError(
            f"rule {announced['rule']}: its command can't be read ({error}); a script of this project is called as "
            f"python \"$ROBUSTLENS/scripts/NAME.py\" --spec 'JSON' ...: {command[:200]}"
        ) from error
    return Job(
        rule=OF_SEEDS.sub(EVALUATE, announced["rule"]),
        wildcards=announced["wildcards"],
        inputs=tuple(announced["inputs"]),
        outputs=tuple(announced["outputs"]),
        benchmark=announced["benchmark"],
        threads=announced["threads"],
        spec=spec,
        certificate=certificate,
        log=announced.get("log"),
    )


def needed_by(jobs: Sequence[Job], folder: str) -> list[Job]:
    """The jobs that the files in a folder (its name with a slash at the end) need, directly or not."""
    makers = {output: job for job in jobs for output in job.outputs}
    waiting = [job for job in jobs if any(output.startswith(folder) for output in job.outputs)]
    found: dict[tuple, Job] = {}
    while waiting:
        job = waiting.pop()
        if job.key() not in found:
            found[job.key()] = job
            waiting += [makers[path] for path in job.inputs if path in makers]
    return list(found.values())
