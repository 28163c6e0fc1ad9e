"""The plan as readable text."""

import textwrap

from robustlens.planning.estimate import PROCESSOR_HOURS
from robustlens.planning.gpus import GPUS

WIDTH = 110  # of the notes
BUSY = 0.5  # load of a core by other programs, beyond which timings are doubted
SMALL = 0.01  # kinds of jobs that take a smaller share of the time than this are not listed
SOURCES = {
    "measured": "the same job ran before",
    "alike": "similar jobs ran before; in proportion to the FLOPs",
    "probe": "timed just now on random images: some epochs of the training loop, some calls of the networks",
    "rate": "FLOPs at four fifths of the rate of a convolution, timed just now",
    "gpus": "FLOPs at the rates of the GPUs listed below",
    "start-up": "the time Python takes to start, measured just now; the work itself is short",
    "assumed": "at an assumed rate, given in the notes",
    "unknown": "not estimated; only the time Python takes to start is counted",
}


def plan_text(plan: dict) -> str:
    """The plan that `make_plan` made."""
    title = f"PLAN of scale {plan['scale']}: snakemake {' '.join(plan['targets'])}"
    parts = [
        title,
        *_time(plan),
        _jobs(plan),
        *_kinds(plan),
        _sources(plan),
        _disk(plan),
        _downloads(plan),
        _notes(plan),
    ]
    return "\n\n".join(parts) + "\n"


def _time(plan: dict) -> list[str]:
    machine, total = plan["machine"], plan["total"]
    rows = [(study, hours) for study, hours in plan["studies"].items()] + [("in all", total)]
    columns = _columns(plan)
    titles = ["study", "jobs", *columns]
    body = [[name, _integer(hours["jobs"]), *(show(hours) for show in columns.values())] for name, hours in rows]
    parts = [table(titles, body, left=1)]
    if len(plan["studies"]) > 1:
        parts.append("Studies share jobs, so that together they take less than the sum.")
    if machine["gpu"]:
        parts.append(f"GPU-hours are those of this machine's {machine['gpu']}.")
    elif machine["here"]:
        wall = total["processor_hours"] / machine["cores"]
        parts.append(f"On the {machine['cores']} cores of this machine: {duration(wall)} or more.")
    else:
        hours = _integer(machine["processor_hours"])
        parts.append(
            f"This machine has no GPU, and one of its cores would take about {hours} hours.\n"
            f"Beyond {PROCESSOR_HOURS:.0f} hours a plan is made for GPUs: the fewest and the most hours on one."
        )
    return parts


def _columns(plan: dict) -> dict:
    """The columns of hours that this plan needs: by their titles, what makes their texts from `plan.hours`."""
    columns = {}
    if not plan["machine"]["here"]:
        columns["PFLOP"] = lambda hours: number(hours["exaflops"] * 1000)
        for gpu in GPUS:
            columns[f"{gpu.name}-hours"] = lambda hours, name=gpu.name: between(*hours["gpus"][name])
    if plan["total"]["gpu_hours"]:
        columns["GPU-hours" if plan["machine"]["here"] else "GPU-hours by earlier runs"] = lambda hours: number(
            hours["gpu_hours"]
        )
    columns["CPU-hours"] = lambda hours: number(hours["processor_hours"])
    return columns


def _jobs(plan: dict) -> str:
    body = [[rule, _integer(count)] for rule, count in plan["jobs"].items()]
    body.append(["in all", _integer(sum(plan["jobs"].values()))])
    return f"JOBS to run ({_integer(plan['finished_jobs'])} more are done)\n" + table(["rule", "jobs"], body, left=1)


def _kinds(plan: dict) -> list[str]:
    columns, total = _columns(plan), plan["total"]
    amounts = ("exaflops", "gpu_hours", "processor_hours")
    large = [kind for kind in plan["kinds"] if any(kind[name] > SMALL * total[name] for name in amounts)]
    titles = ["rule", "dataset", "suite", "source", "jobs", *columns]
    body = [
        [*(kind[name] for name in titles[:4]), _integer(kind["jobs"]), *(show(kind) for show in columns.values())]
        for kind in large
    ]
    parts = ["WHERE THE TIME GOES\n" + table(titles, body, left=4)]
    if len(large) < len(plan["kinds"]):
        others = sum(kind["jobs"] for kind in plan["kinds"]) - sum(kind["jobs"] for kind in large)
        parts.append(f"  {_integer(others)} more jobs are of kinds that take less than {SMALL:.0%} each.")
    return parts


def _sources(plan: dict) -> str:
    body = [[name, f"{plan['sources'][name]} jobs", text] for name, text in SOURCES.items() if name in plan["sources"]]
    return "SOURCES of the estimates\n" + table(None, body, left=3)


def _disk(plan: dict) -> str:
    amounts = sorted(plan["disk"]["bytes"].items(), key=lambda item: -item[1])
    body = [[what, size(amount)] for what, amount in amounts] + [["in all", size(sum(a for _, a in amounts))]]
    return f"DISK ({size(plan['disk']['free'])} free here)\n" + table(None, body, left=1)


def _downloads(plan: dict) -> str:
    if not plan["downloads"]:
        return "DOWNLOADS: none"
    body = []
    for file in plan["downloads"]:
        amount = "unknown" if file["bytes"] is None else size(file["bytes"])
        by_hand = "  no URL serves it: put it there by hand" if file["by_hand"] else ""
        body.append([f"{file['folder']}/{file['file']}", amount + by_hand])
    unknown = sum(file["bytes"] is None for file in plan["downloads"])
    known = size(sum(file["bytes"] or 0 for file in plan["downloads"]))
    body.append(["in all", known + (f" and {unknown} of unknown size" if unknown else "")])
    return "DOWNLOADS to results/downloads\n" + table(None, body, left=2)


def _notes(plan: dict) -> str:
    notes = [
        "FLOPs: of the passes that the attacks, methods and loops make through the networks, two per multiply-add.",
        *plan["notes"],
        "Not counted: downloads, waiting for a GPU or a cluster, and the work of tables and figures after they start.",
    ]
    machine = plan["machine"]
    if machine["load"] > BUSY * machine["cores"] and {"probe", "rate"} & plan["sources"].keys():
        notes.append(
            f"Other programs kept this machine busy (load {machine['load']:.1f}, {machine['cores']} cores): what was "
            "timed just now would take less time on a quiet one."
        )
    if not machine["here"]:
        notes += [f"{gpu.name}: {gpu.source}." for gpu in GPUS]
    return "NOTES\n" + "\n".join(
        textwrap.fill(note, WIDTH, initial_indent="  ", subsequent_indent="    ") for note in notes
    )


def table(titles: list[str] | None, body: list[list[str]], left: int) -> str:
    """Aligned columns, the first `left` of them on the left."""
    rows = ([titles] if titles else []) + body
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def between(low: float, high: float) -> str:
    """Two numbers, or one where they look the same."""
    return number(low) if number(low) == number(high) else f"{number(low)}-{number(high)}"


def number(value: float) -> str:
    """Two significant digits at least."""
    if value >= 10 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}" if value >= 0.001 else "<0.001"


def _integer(value: float) -> str:
    return f"{value:,.0f}"


def size(amount: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            return f"{amount:.3g} {unit}"
        amount /= 1000
    raise AssertionError


def duration(hours: float) -> str:
    """Hours in words."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{number(hours)} h" if hours < 72 else f"{number(hours / 24)} days"
