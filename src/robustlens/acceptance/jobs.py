"""Which jobs of a command Snakemake would run only because the code has changed."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from graphlib import TopologicalSorter
from pathlib import Path

from snakemake.cli import get_argument_parser

from robustlens.acceptance import evaluations
from robustlens.acceptance.certificates import not_fetched, refusal, rewrite
from robustlens.errors import RobustlensError
from robustlens.planning.dry_run import Job, announced_jobs

# What takes seconds is simply made again. All other rules compute, including those that studies bring.
MADE_ANEW = frozenset({
    "make_table", "make_figure", "make_animation", "judge_claims",
    "collect_claims", "make_report", "compile_report", "save_configuration",
})  # fmt: skip
LOCKS = Path(".snakemake/locks")


class State(Enum):
    """Of a computing job."""

    FINISHED = "Snakemake has it as finished"
    ACCEPTED = "its results count as today's"
    REFUSED = "its results differ from what it would make, or are damaged"
    ABSENT = "there are no results of it"
    WAITING = "it reads results that have to be made first"


@dataclass
class Acceptance:
    """The computing jobs in the order of their dependencies, and what there is to say of each.

    reasons: why jobs are refused. evaluations: how many single ones were accepted.
    """

    jobs: list[Job]
    states: dict[tuple, State] = field(default_factory=dict)
    reasons: dict[tuple, str] = field(default_factory=dict)
    evaluations: int = 0

    def having(self, *states: State) -> list[Job]:
        return [job for job in self.jobs if self.states[job.key()] in states]


def name(job: Job) -> str:
    """As messages show it: `train digits/sat/seed0`."""
    place = {key: value for key, value in job.wildcards.items() if key != "scale"}
    return f"{job.rule} {'/'.join(f'seed{value}' if key == 'seed' else value for key, value in place.items())}"


def accept(arguments: list[str], dry_run: bool = False) -> Acceptance:
    """Accept what `snakemake <arguments>` would compute again only because the code has changed.

    Certificates get today's parameters and say what they were accepted from; then Snakemake has their jobs as finished.
    Evaluations of the former layout are split into today's files. dry_run: change nothing.
    Raises RobustlensError while Snakemake runs here, and if it would still run what was accepted.
    """
    if any(LOCKS.glob("*")):
        raise RobustlensError(
            f"{LOCKS.absolute()}: Snakemake is running here; wait for it, or if it was killed: snakemake --unlock"
        )
    with ThreadPoolExecutor() as pool:
        everything = pool.submit(announced_jobs, arguments, everything=True)
        needed = pool.submit(announced_jobs, arguments)
        found = judged(everything.result(), {job.key() for job in needed.result()}, dry_run)
    accepted = found.having(State.ACCEPTED)
    if accepted and not dry_run:
        _touch(arguments, accepted)
        needed_still = {job.key() for job in announced_jobs(arguments)}
        if still := [name(job) for job in accepted if job.key() in needed_still]:
            raise RobustlensError(f"Snakemake would still run what was accepted; snakemake -n says why: {still}")
    return found


def judged(jobs: Sequence[Job], needed: set[tuple], dry_run: bool) -> Acceptance:
    """The states of all computing jobs. The certificates of those that are accepted are rewritten, unless it is a dry
    run. needed: the keys of the jobs that Snakemake would run."""
    makers = {output: job for job in jobs for output in job.outputs}
    by_key = {job.key(): job for job in jobs}
    graph = {key: dict.fromkeys(makers[path].key() for path in job.inputs if path in makers)
             for key, job in by_key.items()}  # fmt: skip
    order = [by_key[key] for key in TopologicalSorter(graph).static_order()]
    found = Acceptance([job for job in order if job.rule not in MADE_ANEW])
    for job in found.jobs:
        key = job.key()
        if key not in needed:
            found.states[key] = State.FINISHED
        elif any(found.states.get(maker) not in (State.FINISHED, State.ACCEPTED) for maker in graph[key]):
            found.states[key] = State.WAITING
        else:
            certified = [path for path in job.inputs if path in makers and makers[path].certificate]
            _judge(job, certified, found, dry_run)
    return found


def _judge(job: Job, inputs: list[str], found: Acceptance, dry_run: bool) -> None:
    """inputs: those of its files that have certificates."""
    if job.rule == "evaluate":
        accepted, missing = evaluations.accept(job, dry_run)
        found.evaluations += accepted
        reason, there = "; ".join(missing), accepted > 0 or evaluations.any_of(job)
    elif job.certificate:
        reason, there = refusal(job, inputs), any(Path(path).exists() for path in job.outputs)
        if not reason and not dry_run:
            rewrite(Path(job.certificate), job.spec)
    else:
        reason, there = not_fetched(job), Path(job.outputs[0]).exists()
    found.states[job.key()] = State.ACCEPTED if not reason else State.REFUSED if there else State.ABSENT
    if there and reason:
        found.reasons[job.key()] = reason


def _touch(arguments: list[str], jobs: Sequence[Job]) -> None:
    """Have Snakemake record today's parameters and code for these jobs. It touches what they read, too, where it would
    run that: accepted jobs read only what is accepted or finished."""
    files = [job.certificate or job.outputs[0] for job in jobs]
    command = [sys.executable, "-m", "snakemake", *without_targets(arguments), "--touch", "--cores", "1"]
    process = subprocess.run(
        [*command, "--quiet", "all", "--", *files],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if process.returncode != 0:
        raise RobustlensError(f"snakemake --touch failed; run the same command again:\n{process.stdout.strip()}")


def without_targets(arguments: list[str]) -> list[str]:
    """The options among the arguments of Snakemake."""
    targets = list(get_argument_parser().parse_known_args(arguments)[0].targets)
    words = [word for word in arguments if word != "--"]
    for start in range(len(words) - len(targets), -1, -1):
        if targets and words[start : start + len(targets)] == targets:
            return words[:start] + words[start + len(targets) :]
    return words


def asks_for_a_dry_run(arguments: list[str]) -> bool:
    """Whether the arguments of Snakemake say so, as `-n` or within others."""
    return bool(get_argument_parser().parse_known_args(arguments)[0].dryrun)
