"""The state of a run of the workflow in words: for `make status`, and for the last screen of a run that failed."""

import logging
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustlens.job_log import JobLog, read_log
from robustlens.planning.dry_run import Job

STATES = ("done", "running", "failed", "left")
# What the rules that all studies share are called; any other rule by its own name.
STAGES = {"make_table": "tables", "make_figure": "figures", "make_animation": "animations"}
FAILURES_SHOWN = 10
# What the SLURM plugin says of a job that it could not submit.
REFUSED = re.compile(
    r"sbatch failed\. The error message was '(?P<sbatch>.*?)'\.|submission failed with exception: (?P<plugin>[^\n]+)",
    re.DOTALL,
)


# What there is -----------------------------------------------------------------------------------------------------


def status_text(
    everything: Sequence[Job], needed: Sequence[Job], slurm: Mapping[str, str], command: str, driven: bool = False
) -> str:
    """The counts of each stage, what runs, what failed, and how to resume.

    everything, needed: the jobs of the workflow, and those of them that are to run. slurm: by `slurm_states`.
    command: what was typed to run the workflow. driven: Snakemake runs, or was killed and left its lock.
    """
    waiting = {job.key() for job in needed}
    logs = {job.key(): read_log(Path(job.log), slurm) for job in everything if job.key() in waiting and job.log}
    states = {job.key(): _state(logs.get(job.key())) if job.key() in waiting else "done" for job in everything}
    counts: dict[str, Counter] = {}
    for job in everything:
        counts.setdefault(STAGES.get(job.rule, job.rule), Counter())[states[job.key()]] += 1
    running = [(logs[job.key()], job) for job in everything if states[job.key()] == "running"]
    failed = [(logs[job.key()], job) for job in everything if states[job.key()] == "failed"]

    lines = [*_table(counts), ""]
    if not waiting:
        return "\n".join([*lines, "Everything is done."])
    width = max((len(log.name) for log, _ in running), default=0)
    lines += ["Running:" if running else "Nothing is running."]
    lines += [f"  {log.name:{width}}  {log.says}" for log, _ in running]
    again = " (so far; Snakemake may start them again)" if driven else ""
    lines += ["", f"Failed{again}:"] if failed else []
    lines += [line for log, job in failed for line in _failure(log.name, log.says, [job.log])]
    when = "Once nothing runs any more, resume" if running else "Resume"
    return "\n".join([*lines, "", f"{'Once no Snakemake is running, resume' if driven else when} with: {command}"])


def _state(log: JobLog | None) -> str:
    """Of a job that is to run: one that has finished, but with other parameters, is `left`, too."""
    known = {"running": "running", "failed": "failed", "killed": "failed"}
    return known.get(log.state, "left") if log else "left"


def _table(counts: Mapping[str, Counter]) -> list[str]:
    rows = [*counts.items(), ("total", sum(counts.values(), Counter()))]
    width = max(len(stage) for stage, _ in rows)
    lines = [f"{'':{width}}" + "".join(f"{state:>9}" for state in STATES)]
    return lines + [
        f"{stage:{width}}" + "".join(f"{count[state] or '-':>9}" for state in STATES) for stage, count in rows
    ]


# What failed -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FailedJob:
    """What Snakemake announces about a job that failed. logs: the rule's own first, then those of SLURM. group: the
    name of the jobs that were submitted together with it; Snakemake does not say which of them failed."""

    rule: str
    logs: tuple[str, ...]
    message: str = ""
    group: str = ""
    begun: bool = True  # else an existing log is that of an earlier run

    def own_log(self) -> JobLog | None:
        return read_log(Path(self.logs[0])) if self.logs and self.begun else None

    def ended_badly(self) -> bool:
        log = self.own_log()
        return log is not None and log.state in ("failed", "killed")


class FailedJobs(logging.Handler):
    """A handler for Snakemake's logger that collects the jobs that fail, and forgets those that are started again. It
    also receives what `--quiet` keeps from the terminal and from Snakemake's log file."""

    def __init__(self):
        super().__init__()
        self.found: dict[int, FailedJob] = {}
        self.earlier: dict[str, tuple] = {}  # the logs that existed when a job was submitted

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == "job_info":
            self.found.pop(record.jobid, None)
            self.earlier |= {path: _written(path) for path in getattr(record, "log", None) or []}
        elif event == "job_error" and not record.indent:  # indented: of a group, which was announced before
            logs = _files(record.log)
            begun = not logs or _written(logs[0]) is None or _written(logs[0]) != self.earlier.get(logs[0])
            self.found[record.jobid] = FailedJob(record.rule_name, logs, record.rule_msg or "", begun=begun)
        elif event == "group_error":
            for job in record.job_error_info:
                logs = _files([*job["log"], *record.aux_logs])
                self.found[job["jobid"]] = FailedJob(job["rule_name"], logs, group=str(record.groupid))


def _written(log: str) -> tuple | None:
    """What changes when a file is written anew; None if there is no file."""
    try:
        facts = os.stat(log)
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _files(logs: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(filter(None, logs))


def failure_text(failed: Sequence[FailedJob], command: str) -> str:
    """For each job that failed: which, why, and the log to open; then the command to resume with. Only the first of
    many jobs are listed, so that everything fits on one screen."""
    guilty = {job.group for job in failed if job.group and job.ended_badly()}
    failed = [job for job in failed if job.group not in guilty or job.ended_badly()]
    lines = [f"{len(failed)} job{'s' if len(failed) > 1 else ''} failed:"] if failed else ["Not everything was done."]
    for job in failed[:FAILURES_SHOWN]:
        lines += _failure(*_explained(job))
    if len(failed) > FAILURES_SHOWN:
        lines.append(f"  and {len(failed) - FAILURES_SHOWN} more: `make status` lists all")
    return "\n".join([*lines, "", f"Resume with the same command: {command}"])


def _explained(job: FailedJob) -> tuple[str, str, list[str]]:
    """Its name, the reason in one line, and the logs to open: that of SLURM, too, unless our own says why."""
    log = job.own_log()
    name = (log.name if log else "") or _place(job)
    if refused := REFUSED.search(job.message):
        words = " ".join((refused["sbatch"] or refused["plugin"]).split())
        return name, f"SLURM does not take what profiles/slurm asks for: {words}", []
    if log and log.state == "failed":
        return name, log.says, [job.logs[0]]
    reason = log.says if log else "ended before it wrote a log; Snakemake's words above say more"
    slurm = re.search(r"SLURM status is: '(\w+)'", job.message)
    logs = job.logs if job.begun else job.logs[1:]
    return name, f"SLURM says {slurm[1]}; {reason}" if slurm else reason, list(filter(os.path.exists, logs))


def _place(job: FailedJob) -> str:
    """A job that wrote no log, by the path of the log, as in train/digits/sat/seed0."""
    _, folder, place = (job.logs[0] if job.logs else "").rpartition("/logs/")
    return place.removesuffix(".log") if folder else f"rule {job.rule}"


def _failure(name: str, reason: str, logs: Sequence[str]) -> list[str]:
    return [f"  {name}", f"    {reason}", *(f"    log: {os.path.relpath(log)}" for log in logs)]


def closing_text(folder: Path, typesets: bool) -> str:
    """Where the report of a finished run is; nothing where none was asked for.

    folder: of the scale's results. typesets: whether this machine has a LaTeX engine.
    """
    made = [str(path) for name in ("report.pdf", "report.html") if (path := folder / name).exists()]
    if not made:
        return ""
    words = f"\nThe report: {' and '.join(made)}"
    if typesets:
        return words
    return (
        f"{words}\nreport.pdf was not made: this machine has no LaTeX engine. Install texlive-latex-extra and "
        "latexmk (Debian, Ubuntu), or tectonic, and run the same command again."
    )


def made_text(asked: Sequence[str]) -> str:
    """Where the targets of a finished run are, for one that was asked for some alone."""
    return f"\nMade: {', '.join(asked)}"


def typed_command(words: Sequence[str]) -> str:
    """The command line that started Snakemake (words: its `sys.argv`), for a person to type again: with `make` or
    `uv run` if they started it."""
    if given := os.environ.get("ROBUSTLENS_COMMAND"):
        return given
    program, *arguments = words
    beside = os.path.relpath(program)
    if Path(program).name == "__main__.py":
        start = ["python", "-m", "snakemake"]
    elif "UV" in os.environ:
        start = [Path(program).name]
    else:
        start = [program if beside.startswith("..") else beside]
    return shlex.join([*(["uv", "run"] if "UV" in os.environ else []), *start, *arguments])
