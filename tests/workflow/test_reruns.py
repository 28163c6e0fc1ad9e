"""A change re-runs what depends on it, and nothing else."""

import ast
import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flow import NOTHING, RESULTS, ask, contents, edit, files, jobs, pending, run, untouched

SEEDS = ("seed0", "seed1")
RECIPES = ("sat", "trades", "weat-adv")
REPORT = {"report", "report-pdf"} if any(map(shutil.which, ("latexmk", "pdflatex", "tectonic"))) else {"report"}


def of(place: str, *recipes: str, seeds: tuple[str, ...] = SEEDS, file: str = "") -> set[str]:
    """The jobs of these recipes and seeds, as `flow.jobs` names them."""
    return {f"{place}/digits/{recipe}/{seed}{file}" for recipe, seed in itertools.product(recipes, seeds)}


def tables(*names: str) -> set[str]:
    return {f"tables/energy-{name}" for name in names}


def figures(*names: str) -> set[str]:
    return {f"figures/energy-{name}" for name in names}


# What one run leads to: all but the configuration's own file.
AFTER_TRADES = {
    *of("runs", "trades"),
    *of("evaluations", "trades", file="/robustness"),
    *of("generation", "trades", file="/samples"),
    *of("generation", "trades", file="/scores"),
    *tables("robustness", "autoattack", "energies", "generation", "claims"),
    *figures("phases", "delta", "samples"),
    *REPORT,
}
AFTER_ROBUSTNESS = {
    *of("evaluations", *RECIPES, file="/robustness"),
    *tables("robustness", "autoattack", "energies", "claims"),
    *REPORT,
}
AFTER_ATTACK_ENERGIES = {
    *of("evaluations", "sat", file="/attack-energies"),
    *tables("attack-energies", "claims"),
    *figures("attack-histograms-sat"),
    *REPORT,
}
NEW_SEED = {
    *of("runs", *RECIPES, seeds=("seed2",)),
    *of("evaluations", *RECIPES, seeds=("seed2",), file="/robustness"),
    *of("evaluations", "sat", seeds=("seed2",), file="/attack-energies"),
    *of("generation", "trades", seeds=("seed2",), file="/samples"),
    *of("generation", "trades", seeds=("seed2",), file="/scores"),
    *tables("robustness", "autoattack", "energies", "attack-energies", "generation", "claims"),
    *figures("phases", "delta", "attack-histograms-sat", "weight-weat-adv"),  # the samples are those of the first seed
    *REPORT,
}
CONFIGURATION = {"configuration"}

LIBRARY = "src/robustlens"
CHANGES = {
    "a recipe's beta": ("config.yaml", "trades, beta: 6.0", "trades, beta: 5.0", AFTER_TRADES | CONFIGURATION),
    "a seed more": ("tests/tiny.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]", NEW_SEED | CONFIGURATION),
    "the images of an attack": ("tests/tiny.yaml", "pgd20: 100", "pgd20: 90", AFTER_ROBUSTNESS | CONFIGURATION),
    "an attack more": ("tests/tiny.yaml", "pgd20, auto", "pgd20, square, auto", AFTER_ROBUSTNESS | CONFIGURATION),
    "an attack's parameter": ("config.yaml", "apgd, loss: dlr}", "apgd, loss: dlr, steps: 9}",
                              AFTER_ATTACK_ENERGIES | CONFIGURATION),
    "the code of a method": (f"{LIBRARY}/methods/trades.py", "F.cross_entropy(natural, y) +",
                             "2.0 * F.cross_entropy(natural, y) +", AFTER_TRADES),
    "the code of FAB": (f"{LIBRARY}/attacks/fab.py", "attack.perturb(x, y)", "attack.perturb(x, y).clamp(0.0, 1.0)",
                        AFTER_ATTACK_ENERGIES),
    "the code of AutoAttack": (f"{LIBRARY}/attacks/autoattack.py", "x_adv = x.clone()", "x_adv = x + 0.0",
                               AFTER_ROBUSTNESS),
    "the code of a table": (f"{LIBRARY}/report/tables/energy_autoattack.py", "after Square", "after all",
                            tables("autoattack") | REPORT),
    "the code of the scores": (f"{LIBRARY}/generation/quality.py", "import", "CHANGED = True\nimport",
                               {*of("generation", "trades", file="/scores"), "generation/digits/real-images",
                                *tables("generation", "claims"), *REPORT}),
    "the report's template": (f"{LIBRARY}/report/templates/report.html", "<h2>Claims</h2>", "<h2>The claims</h2>",
                              REPORT),
    "the published numbers": ("published/energy.yaml", None, None, tables("robustness", "generation") | REPORT),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_re_runs_exactly_the_jobs_that_depend_on_it(change, tree):
    file, old, new, expected = CHANGES[change]
    if old is None:
        (tree / file).write_text((tree / file).read_text() + "\n# another source\n")
    elif old == "import":
        (tree / file).write_text((tree / file).read_text().replace("import", "import", 1) + "\n\nCHANGED = True\n")
    else:
        edit(tree / file, old, new)
    assert pending(tree) == expected
