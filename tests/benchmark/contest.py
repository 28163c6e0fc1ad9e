"""A contest: contestants in turn, round by round, in this process but for peers that need one of their own."""

import time
from collections.abc import Callable, Collection
from statistics import median

import torch
from contestants import Probe
from rounds import play

OURS = "robustlens"
ROUNDS = 5
MACHINE = "3x3 convolutions"  # a probe of how busy the machine is with other things
Turn = Callable[[], tuple[float, float]]


def here() -> torch.device:
    """The device of all that runs in this process."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def timed(run: Callable[[], object], device: torch.device, calls: int | None = None) -> Turn:
    """What measures `run` once: seconds of a call, and how many processors it kept busy.

    calls: in a turn. None: as many as take about a second, which is tried after one call to warm up.
    """

    def measured(calls: int) -> tuple[float, float]:
        started, worked = time.perf_counter(), time.process_time()
        for _ in range(calls):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return seconds / calls, (time.process_time() - worked) / seconds

    if calls is None:
        measured(1)
        calls = max(1, round(1 / measured(1)[0]))
    return lambda: measured(calls)


def contest(
    turns: dict[str, Turn], device: torch.device, quick: bool, rounds: int = ROUNDS, whole: Collection[str] = ()
) -> dict:
    """rounds: those that count, with the seconds and the processors of each contestant; dropped: why others don't.

    turns: what measures each of them once. rounds: how many have to count; twice as many are tried. whole: those that
    keep all threads busy if nothing else runs, as the probe does, which is one more of them.
    """
    probe = Probe(16, 64, None, device, "float32", "channels-last")
    turns = turns | {MACHINE: timed(probe.step, device, 1 if quick else None)}
    threads = None if quick or device.type == "cuda" else torch.get_num_threads()
    wanted = 1 if quick else rounds
    partly = turns.keys() - {MACHINE, *whole}
    kept, dropped = play(turns, [] if quick else [MACHINE], threads, wanted, most=2 * wanted, partly=partly)
    return {"rounds": [vars(one) for one in kept], "dropped": dropped}


def seconds_of(found: dict, name: str) -> float | None:
    """The median of a contestant's; None without a round that counts."""
    return median(one["seconds"][name] for one in found["rounds"]) if found["rounds"] else None


def times(found: dict, name: str, peer: str) -> float | None:
    """How many times as fast as a peer it is: the median over the rounds of the ratio within a round. None where one of
    them did not take part."""
    ratios = [
        one["seconds"][peer] / one["seconds"][name] for one in found["rounds"] if {name, peer} <= one["seconds"].keys()
    ]
    return median(ratios) if ratios else None


def contest_table(found: dict, columns: dict[str, Callable[[str, float], str]]) -> str:
    """Its contestants, how many times as fast robustlens is, and what kept some of them or some rounds out.

    columns: what each shows of a contestant, by its name and its seconds.
    """
    lines = [
        "| contestant | " + " | ".join(columns) + f" | times as fast {OURS} is |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name in found["rounds"][0]["seconds"] if found["rounds"] else []:
        if name != MACHINE:
            cells = [shown(name, seconds_of(found, name)) for shown in columns.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {times(found, OURS, name):.2f} |")
    return "\n".join([*lines, "", *notes(found)])


def notes(found: dict) -> list[str]:
    """Why rounds and contestants don't count."""
    lines = [f"* round dropped: {reason}" for reason in found["dropped"]]
    for kind in ("skipped", "failed"):
        lines += [f"* {name}: {kind}: {reason}" for name, reason in found.get(kind, {}).items()]
    return lines


def rounds_of(found: dict) -> str:
    return f"{len(found['rounds'])} rounds, {len(found['dropped'])} dropped"
