"""The parts of a training that are loaded by name: only the recipes that ask for them have them in their digest."""

import subprocess
import sys

import pytest
import tiny
from processes import REPOSITORY

from robustlens.code_digest import SOURCE, closure
from robustlens.training import optional

SCRIPT, PARTS = (
    REPOSITORY / "scripts" / "train.py",
    ("averaging", "weight_perturbation", "leave_out", "mixture", "observing"),
)
CASES = {
    "nothing": (tiny.spec(), ()),
    "ema": (tiny.spec(averaging=tiny.EMA), PARTS[:1]),
    "swa": (tiny.spec(averaging=tiny.SWA), PARTS[:1]),
    "awp": (tiny.spec(weight_perturbation=tiny.AWP), PARTS[1:2]),
    "classes": (tiny.spec() | {"leave_out": {"classes": [3]}}, PARTS[2:3]),
    "mix": (tiny.spec() | {"mix": tiny.MIX}, PARTS[3:4]),
    "observers": (tiny.spec() | {"observers": {"loss-terms": {"every": 2}}}, PARTS[4:]),
    "all": (
        tiny.spec("trades", averaging=tiny.EMA, weight_perturbation=tiny.AWP)
        | {"leave_out": {"classes": [3]}, "mix": tiny.MIX, "observers": {"loss-terms": {}, "gradient-conflict": {}}},
        PARTS,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_names_the_modules_that_it_uses(case):
    spec, parts = CASES[case]
    observers = [f"robustlens.observers.{name.replace('-', '_')}" for name in spec.get("observers", {})]
    assert optional.modules(spec) == [*(f"robustlens.training.{part}" for part in parts), *observers]


@pytest.mark.parametrize("case", CASES)
def test_a_training_imports_what_it_names_and_nothing_else(case, tmp_path, monkeypatch):
    """But for `leave_out`, which the job loads before the training."""
    spec, parts = CASES[case]
    for part in PARTS:
        monkeypatch.delitem(sys.modules, f"robustlens.training.{part}", raising=False)
    tiny.train(spec, tiny.dataset(tmp_path / "data"), tmp_path / "state", pool=tiny.pool())
    imported = {part for part in PARTS if f"robustlens.training.{part}" in sys.modules}
    assert imported == set(parts) - {"leave_out"}


@pytest.mark.parametrize("case", CASES)
def test_the_code_digest_of_a_run_covers_the_parts_that_it_uses_and_no_others(case):
    spec, parts = CASES[case]
    covered = closure(SCRIPT, *optional.modules(spec))
    files = {part: SOURCE / "robustlens" / "training" / f"{part}.py" for part in PARTS}
    assert {part for part, file in files.items() if file in covered} == set(parts)


def test_no_file_of_the_training_is_outside_all_digests():
    covered = closure(SCRIPT, *optional.modules(CASES["all"][0]))
    assert set((SOURCE / "robustlens" / "training").glob("*.py")) <= covered


def test_the_workflow_can_ask_for_the_modules_without_importing_torch():
    code = "import sys, robustlens.training.optional; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
