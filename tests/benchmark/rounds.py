"""Contestants in turn, round by round; rounds in which the machine was busy otherwise do not count."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from statistics import median

BUSY = 0.85  # of its threads' processor time, at least, that a contestant gets in a round that counts
SLOWER = 1.15  # times its best, at most, that a probe takes in a round that counts


@dataclass(frozen=True)
class Round:
    """seconds: of a step of each contestant and probe. processors: how many of them each kept busy."""

    seconds: dict[str, float]
    processors: dict[str, float]


def disturbed(
    rounds: list[Round], probes: list[str], threads: int | None, partly: Collection[str] = ()
) -> list[str | None]:
    """For each round why it does not count, or None. threads: None where processors say nothing, as on a GPU. partly:
    those that don't keep all threads busy, whatever else runs; of them as many processors as in their best round are
    expected."""
    best = {probe: min(r.seconds[probe] for r in rounds) for probe in probes}
    most = {name: max(r.processors[name] for r in rounds) for name in partly}
    reasons = []
    for one in rounds:
        starved = [name for name, busy in one.processors.items() if threads and busy < BUSY * most.get(name, threads)]
        slow = [name for name in probes if one.seconds[name] > SLOWER * best[name]]
        reason = None
        if starved:
            got, expected = one.processors[starved[0]], most.get(starved[0], threads)
            reason = f"{starved[0]} got {got:.2f} of {expected:.3g} processors"
        if slow and not reason:
            reason = f"{slow[0]} took {one.seconds[slow[0]] / best[slow[0]]:.2f} times its best"
        reasons.append(reason)
    return reasons


def play(
    run: dict[str, Callable[[], tuple[float, float]]],
    probes: list[str],
    threads: int | None,
    wanted: int,
    most: int,
    partly: Collection[str] = (),
) -> tuple[list[Round], list[str]]:
    """(rounds that count, why the others don't): rounds until `wanted` of them count, `most` at most.

    run: what measures a contestant or a probe once; gives seconds and processors. The rest: see `disturbed`.
    """
    rounds: list[Round] = []
    while True:
        measured = {name: measure() for name, measure in run.items()}
        rounds.append(Round(*({name: pair[n] for name, pair in measured.items()} for n in (0, 1))))
        reasons = disturbed(rounds, probes, threads, partly)
        if reasons.count(None) >= wanted or len(rounds) >= most:
            kept = [one for one, reason in zip(rounds, reasons, strict=True) if reason is None]
            return kept, [reason for reason in reasons if reason]


def summary(rounds: list[Round], name: str, base: str | None) -> dict:
    """Least and median seconds of a step, and the median over the rounds of how many times as fast as `base` it was."""
    seconds = [one.seconds[name] for one in rounds]
    ratios = [one.seconds[base] / one.seconds[name] for one in rounds] if base else None
    return {"least": min(seconds), "median": median(seconds), "ratio": median(ratios) if ratios else None}
