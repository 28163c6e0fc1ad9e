"""What was measured, as Markdown: tables, and which goals were reached."""

import chain
import plan_of_embedded
import scale
from line_up import PEER

SPEED_GOALS = [  # (row, column, at least, of which problems)
    ("robustlens float32 channels-last", "times_torchattacks", 1.1, None),
    ("robustlens bfloat16 channels-last", "times_torchattacks", 1.9, None),
    ("robustlens float32 channels-last", "share_of_convolution_rate", 0.75, "ResNet-18"),
    ("robustlens bfloat16 channels-last", "share_of_convolution_rate", 0.75, "ResNet-18"),
]
NAMES = {"times_torchattacks": f"times {PEER}", "share_of_convolution_rate": "of the convolution rate"}
EPOCH_SECONDS = 8  # on an H100
PREPARATION_SECONDS, PREPARATION_BYTES = 30, 1e9

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
    lines = [f"{found['name']}, batch {found['batch']}, PGD-10: {len(found['rounds'])} rounds, "
             f"{len(found['dropped'])} dropped", ""]  # fmt: skip
    lines += [" | ".join(["| contestant", *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in found["rows"].items():
        lines.append(" | ".join([f"| {name}", *(shown(row) for shown in columns.values())]) + " |")
    notes = [f"* round dropped: {reason}" for reason in found["dropped"]]
    for kind in ("skipped", "failed"):
        notes += [f"* {name}: {kind}: {reason}" for name, reason in found[kind].items()]
    return "\n".join([*lines, "", *notes])


def goals(problems: list[dict], parts: dict[str, dict], gpu: bool) -> list[dict]:
    """goal: in words; measured: None where there is nothing to judge by; reached.

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
    if "chain" in parts:
        ratio = parts["chain"]["ratios"]["usual loop, E(x)"]
        goal = f"chains: at least {chain.GOAL} times the usual loop"
        judged.append({"goal": goal, "measured": ratio, "reached": ratio >= chain.GOAL})
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
    goal = f"{found['name']}, {name}: at least {least} {NAMES[column]}"
    return {"goal": goal, "measured": measured, "reached": None if measured is None else measured >= least}


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


def _at_most(goal: str, measured: float | None, most: float) -> dict:
    return {"goal": goal, "measured": measured, "reached": None if measured is None else measured <= most}


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
