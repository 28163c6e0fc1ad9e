"""What was measured, as Markdown: tables, and which goals were reached."""

from dataclasses import dataclass

import certification
import chain
import evaluation
import frechet
import plan_of_embedded
import scale
import steps
from contest import OURS, notes, rounds_of, times
from line_up import PEER

SPEED_GOALS = [  # (row, column, at least, of which problems)
    ("robustlens float32 channels-last", "times_torchattacks", 1.1, None),
    ("robustlens bfloat16 channels-last", "times_torchattacks", 1.9, None),
    ("robustlens float32 channels-last", "share_of_convolution_rate", 0.75, "ResNet-18"),
    ("robustlens bfloat16 channels-last", "share_of_convolution_rate", 0.75, "ResNet-18"),
]
NAMES = {"times_torchattacks": f"times {PEER}", "share_of_convolution_rate": "of the convolution rate"}
EPOCH_SECONDS = 8  # on an H100
PREPARATION_SECONDS, PREPARATION_BYTES, EVALUATION_BYTES = 30, 1e9, 2e9
ABOVE_FLOPS = 1.1  # times what a method's passes cost by floating-point operations, at most
OF_FORWARD_RATE = 0.75  # at least


@dataclass(frozen=True)
class Comparison:
    """A goal: `ours` is at least so many times as fast as `peer`. part, where: whose contest they are in."""

    what: str
    ours: str
    peer: str
    least: float
    part: str
    where: str | None = None

    def measured(self, parts: dict[str, dict]) -> float | None:
        """None where one of the two did not take part."""
        found = parts[self.part]
        return times(found[self.where] if self.where else found, self.ours, self.peer)


COMPARISONS = [
    Comparison("PGD-20, float32", OURS, PEER, 1.9, "evaluation", "pgd20"),
    Comparison("PGD-20, bfloat16", evaluation.REDUCED, PEER, 3.0, "evaluation", "pgd20"),
    Comparison("PGD-20, early-stopped (peer: all steps), float32", evaluation.EARLY, PEER, 1.9, "evaluation", "pgd20"),
    Comparison(
        "PGD-20, early-stopped (peer: all steps), bfloat16", evaluation.EARLY_REDUCED, PEER, 3.0, "evaluation", "pgd20"
    ),
    Comparison("AutoAttack, float32", OURS, evaluation.PUBLISHED, 1.5, "evaluation", "autoattack"),
    Comparison("the screen, bfloat16", evaluation.SCREEN, evaluation.PUBLISHED, 2.2, "evaluation", "autoattack"),
    Comparison("a step of TRADES, float32", "TRADES", steps.USUAL, 1.5, "steps"),
    Comparison("a step of WEAT, float32", "WEAT-adv", steps.USUAL, 1.5, "steps"),
    Comparison("chains, float32", OURS, chain.MARGINAL, 2.2, "chain"),
    Comparison("chains, bfloat16", chain.REDUCED, chain.MARGINAL, 3.5, "chain"),
    *(
        Comparison(f"Fréchet distance{more}", OURS + more, frechet.PEER + more, 5.0, "frechet", frechet.OF_INCEPTION)
        for more in ("", frechet.FROM_FEATURES)
    ),
    *(Comparison("certification, float32", OURS, usual, 2.0, "certification") for usual in certification.USUAL),
]

COLUMNS = {
    "img/s, median": lambda row: f"{row['images_per_second']:.1f}",
    "img/s, best": lambda row: f"{row['best_images_per_second']:.1f}",
    "times torchattacks": lambda row: _times(row["times_torchattacks"]),
    "times plain loop": lambda row: _times(row["times_plain_loop"]),
    "GFLOP/s": lambda row: f"{row['useful_flops_per_second'] / 1e9:.0f}",
    "of convolution rate": lambda row: _share(row.get("share_of_convolution_rate")),
    "memory, MB": lambda row: "-" if row["memory_bytes"] is None else f"{row['memory_bytes'] / 1e6:.0f}",
    "s/epoch": lambda row: f"{row['epoch_seconds']:.1f}" if "epoch_seconds" in row else "-",
}


def speed_table(found: dict, gpu: bool) -> str:
    """A problem's contestants, and what kept some of them or some rounds out."""
    columns = {name: shown for name, shown in COLUMNS.items() if gpu or name != "s/epoch"}
    lines = [f"{found['name']}, batch {found['batch']}, PGD-10: {rounds_of(found)}", ""]
    lines += [" | ".join(["| contestant", *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in found["rows"].items():
        lines.append(" | ".join([f"| {name}", *(shown(row) for shown in columns.values())]) + " |")
    return "\n".join([*lines, "", *notes(found)])


def goals(problems: list[dict], parts: dict[str, dict], gpu: bool) -> list[dict]:
    """goal: in words; measured: None where there is nothing to judge by; reached. Of what is compared with a peer also
    what it is, and the least times as fast that it should be.

    parts: what `measure` of the other parts found, by their names.
    """
    judged = [] if gpu else [_speed_goal(found, *goal) for found in problems for goal in SPEED_GOALS
                             if goal[3] in (None, found["name"])]  # fmt: skip
    if gpu:
        epochs = [
            row["epoch_seconds"] for found in problems for row in found["rows"].values() if "epoch_seconds" in row
        ]
        judged.append(
            _at_most(f"an epoch of CIFAR-10 in {EPOCH_SECONDS} s on an H100", min(epochs, default=None), EPOCH_SECONDS)
        )
    if "preparation" in parts:
        seconds, memory = (parts["preparation"][key] for key in ("seconds", "memory_bytes"))
        judged.append(_at_most("CIFAR-10 prepared in 30 s", seconds, PREPARATION_SECONDS))
        judged.append(_at_most("CIFAR-10 prepared in 1 GB", memory, PREPARATION_BYTES))
        memory = parts["preparation"]["evaluation_memory_bytes"]
        judged.append(_at_most("a ResNet-18 evaluated on CIFAR-10 in 2 GB", memory, EVALUATION_BYTES))
    judged += [_compared(comparison, parts) for comparison in COMPARISONS if comparison.part in parts]
    if "steps" in parts:
        for name in ("AR-AT", "SAT with AWP"):
            above = steps.above_flops(parts["steps"], name)
            judged.append(_at_most(f"a step of {name}: at most {ABOVE_FLOPS} times its FLOPs", above, ABOVE_FLOPS))
    if "certification" in parts:
        share, goal = times(parts["certification"], OURS, certification.FORWARD), "of the forward rate"
        judged.append(_at_least(f"certification: at least {OF_FORWARD_RATE:.0%} {goal}", share, OF_FORWARD_RATE))
    if "scale" in parts:
        judged += _scale_goals(parts["scale"])
    if "plan" in parts:
        ratio, limit = parts["plan"]["planned"] / parts["plan"]["took"], plan_of_embedded.LIMIT
        goal = f"the plan of the embedded scale is right by a factor of {limit}"
        judged.append({"goal": goal, "measured": ratio, "reached": 1 / limit <= ratio <= limit})
    return judged


def goals_list(judged: list[dict]) -> str:
    shown = {True: "reached", False: "MISSED", None: "not measured"}
    lines = []
    for goal in judged:
        measured = "" if goal["measured"] is None else f" ({goal['measured']:.3g})"
        lines.append(f"* {goal['goal']}: {shown[goal['reached']]}{measured}")
    return "\n".join(lines)


def _speed_goal(found: dict, name: str, column: str, least: float, _: str | None) -> dict:
    measured = found["rows"].get(name, {}).get(column)
    judged = _at_least(f"{found['name']}, {name}: at least {least} {NAMES[column]}", measured, least)
    is_times = column == "times_torchattacks"
    return judged | (_bar(f"a step of SAT, {found['name']}, {name.split()[1]}", PEER) if is_times else {})


def _scale_goals(found: dict) -> list[dict]:
    steps = ("dry run", "no-op")
    slowest = max(ms for step in steps for ms in scale.ms_a_job(found, step))
    grown = [scale.growth(found, step) for step in steps]
    return [
        _at_most(f"dry run and no-op: at most {scale.MOST_MS} ms per job", slowest, scale.MOST_MS),
        _at_most(
            f"dry run and no-op are linear: a further job takes at most {scale.MOST_GROWTH} times as much",
            None if None in grown else max(grown),
            scale.MOST_GROWTH,
        ),
    ]


def _compared(goal: Comparison, parts: dict[str, dict]) -> dict:
    words = f"{goal.what}: at least {goal.least} times {goal.peer}"
    return _at_least(words, goal.measured(parts), goal.least) | _bar(
        goal.what, goal.peer.removesuffix(frechet.FROM_FEATURES)
    )


def _bar(what: str, peer: str) -> dict:
    """Of a goal that picture.py draws."""
    return {"what": what, "peer": peer}


def _at_least(goal: str, measured: float | None, least: float) -> dict:
    return {
        "goal": goal,
        "measured": measured,
        "least": least,
        "reached": None if measured is None else measured >= least,
    }


def _at_most(goal: str, measured: float | None, most: float) -> dict:
    return {"goal": goal, "measured": measured, "reached": None if measured is None else measured <= most}


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
