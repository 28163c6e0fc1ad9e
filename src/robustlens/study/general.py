"""What every study may have: the tables of accuracies, and a declaration for a study that has no folder."""

from robustlens.study.declaration import Cohort, Files, Input, Published, Study, Table

LIBRARY = "robustlens.report.tables"


def robustness(evaluations: Input, published: bool = False, appendix: bool = False) -> Table:
    """Clean and robust accuracy of every recipe. published: whether the study's published numbers stand beside ours."""
    inputs = {"evaluations": evaluations, **({"published": Published()} if published else {})}
    return Table(
        "robustness",
        "Clean and robust accuracy",
        inputs,
        f"{LIBRARY}.robustness",
        uses=("attacks",),
        appendix=appendix,
    )


def differences(
    evaluations: Input, published: bool = False, baseline: str | None = None, appendix: bool = False
) -> Table:
    """How much more accurate every recipe is than the one that it changes; than `baseline`, if it changes none."""
    return Table(
        "differences",
        "Differences between recipes",
        {"evaluations": evaluations, **({"published": Published()} if published else {})},
        f"{LIBRARY}.differences",
        uses=("attacks", "changes"),
        baseline=baseline,
        appendix=appendix,
    )


def autoattack(evaluations: Input) -> Table:
    """What each stage of AutoAttack leaves, and PGD-20 on the same images."""
    return Table(
        "autoattack",
        "AutoAttack, stage by stage",
        {"evaluations": evaluations},
        f"{LIBRARY}.autoattack",
        uses=("attacks",),
        appendix=True,
    )


def undeclared(name: str, cohorts: dict, suites: dict) -> Study:
    """A study that is in the configuration alone: its cohorts have free names, and it has the tables of this module,
    that of AutoAttack where a suite has it."""
    evaluations = Files("evaluations", *cohorts)
    tables = [robustness(evaluations), differences(evaluations)]
    named = [
        suites[cohort["suite"]] for cohort in cohorts.values() if "suite" in cohort
    ]  # one without is refused later
    if any("autoattack" in suite["attacks"] for suite in named):
        tables.append(autoattack(evaluations))
    return Study(
        title=name,
        paper=name,
        cohorts={cohort: Cohort("") for cohort in cohorts},
        tables=tables,
        name=name,
    )
