"""What computes in bfloat16: in the configuration, in what jobs are told, and in the plan."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from configured import digits, loaded, own, small
from planned_jobs import TINY_FLOPS, evaluation, job, known, samples
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.code_digest import closure
from robustlens.configuration import specs
from robustlens.configuration.precision import SEARCHES
from robustlens.errors import RobustlensError
from robustlens.models import bfloat16
from robustlens.parameters import create, names
from robustlens.planning.passes import attack_passes
from robustlens.planning.work import Work

RUN = SimpleNamespace(dataset="digits", recipe="sat", seed=0)
GRID = {"per_class": 10, "values": {"steps": [10, 20]}}


def screened(raw: dict, suite: str = "brief") -> None:
    raw["attacks"]["quick"] = {"family": "screen"}
    small(raw)["suites"][suite] = {"attacks": ["pgd20", "quick"]}


def generating(raw: dict, precision: str = "bfloat16") -> None:
    digits(raw)["generation"].update(precision=precision, grid=GRID)


# Configuration --------------------------------------------------------------------------------------------------------


def test_the_families_that_search_in_bfloat16_are_known():
    found = {name for name in names("attacks") if _searches(f"robustlens.attacks.{name.replace('-', '_')}")}
    assert found == set(SEARCHES) and set(SEARCHES.values()) <= set(names("attacks")) - found


def _searches(module: str) -> bool:
    return any(path.name == "bfloat16.py" for path in closure(module))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            screened,
            "config.studies.mine.cohorts.attacked.suite: brief has the attack quick, whose family screen computes in "
            "bfloat16, which portable arithmetic does without; use the family autoattack, or `arithmetic: native`",
        ),
        (generating, "config.datasets.digits.generation.precision: bfloat16, which portable arithmetic does without"),
    ],
)
def test_portable_arithmetic_refuses_bfloat16_before_any_job(change, message):
    with pytest.raises(RobustlensError) as error:
        loaded(change, arithmetic="portable")
    assert str(error.value).startswith(message)
    loaded(change, arithmetic="native")


def test_what_is_not_used_or_not_in_bfloat16_is_not_refused():
    loaded(lambda raw: screened(raw, "unused"), arithmetic="portable")
    loaded(lambda raw: generating(raw, "float32"), arithmetic="portable")


def test_a_precision_that_there_is_not_is_an_error_at_its_place():
    with pytest.raises(RobustlensError, match=r"^config\.datasets\.digits\.generation\.precision: 'float16'"):
        loaded(lambda raw: generating(raw, "float16"))


def test_the_attacks_are_there_to_be_asked_for_and_no_suite_has_them():
    config = own()
    families = {name: attack["family"] for name, attack in config["attacks"].items()}
    assert families["pgd20-bfloat16"] == "pgd-bfloat16" and families["screen"] == "screen"
    assert families["pgd20-early"] == "early-stopped-pgd"
    assert families["pgd20-early-bfloat16"] == "early-stopped-pgd-bfloat16"
    for name in ("pgd20-bfloat16", "pgd20-early", "pgd20-early-bfloat16"):
        assert config["attacks"][name]["steps"] == config["attacks"]["pgd20"]["steps"]
    assert not config["attacks"]["screen"]["label"].startswith("AutoAttack")
    used = {families[name] for suite in config["suites"].values() for name in suite["attacks"]}
    assert not used & {*SEARCHES, "early-stopped-pgd"}


def test_jobs_are_told_the_precision_only_where_it_is_not_what_it_always_was():
    """Otherwise images that are there would be generated again."""
    before = loaded(lambda raw: digits(raw)["generation"].update(grid=GRID))
    assert specs.sampled(before, RUN).keys() == specs.of_run(before, RUN).keys() | {
        "sampler",
        "per_class",
        "batch_size",
    }
    for spec in (specs.sampled, specs.grid):
        assert spec(loaded(lambda raw: generating(raw, "float32")), RUN) == spec(before, RUN)
        assert spec(loaded(generating), RUN) == spec(before, RUN) | {"precision": "bfloat16"}


# The plan -------------------------------------------------------------------------------------------------------------


def test_a_search_in_bfloat16_makes_the_passes_of_the_one_in_float32():
    pgd, screen = attack_passes("pgd-bfloat16", {"steps": 50}, 10), attack_passes("screen", {}, 10)
    assert (pgd.forwards, pgd.gradients) == (50, 50)
    expected = attack_passes("autoattack", {}, 10)
    assert (screen.forwards, screen.gradients) == (expected.forwards, expected.gradients)
    assert attack_passes("screen", {}, 10, robust=False).forwards == 1
    for family in ("early-stopped-pgd", "early-stopped-pgd-bfloat16"):
        robust, fooled = (attack_passes(family, {"steps": 50}, 10, robust=kind) for kind in (True, False))
        assert (robust.forwards, robust.gradients, fooled.forwards, fooled.gradients) == (50, 50, 1, 1)


class Watched(nn.Module):
    """Sums of pixels; remembers the types of what its copies see, too."""

    seen: list[torch.dtype] = []  # noqa: RUF012 - of all copies

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0], [-1.0]]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.dtype)
        return x.flatten(1).sum(1, keepdim=True) @ self.weight.T


def test_and_these_are_in_bfloat16(monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)
    x, y = torch.full((1, 1, 4, 4), 0.5), torch.tensor([0])
    create("attacks", "pgd-bfloat16", {"steps": 9})(Watched(), x, y, Threat("linf", 0.1, 0.02), torch.Generator())
    assert Watched.seen == [torch.bfloat16] * 9


def work(*jobs) -> Work:
    return known(*jobs).work(jobs[0])


def test_a_plan_counts_searches_and_chains_in_bfloat16_and_verdicts_in_float32():
    pgd = {"name": "quick", "family": "pgd-bfloat16", "parameters": {"steps": 5}}
    found = work(evaluation(pgd)).flops_by("precision")
    assert found == pytest.approx({"float32": TINY_FLOPS * 2 * 30 * 2, "bfloat16": TINY_FLOPS * 2 * 30 * 5 * 2})

    grid = job("generate_grid", samples().spec | {"grid": {"per_class": 2, "values": {"steps": [10, 20]}}})
    for chosen in (samples(), grid):
        flops = work(chosen).flops
        assert work(chosen).flops_by("precision") == {"float32": flops}
        told = replace(chosen, spec=chosen.spec | {"precision": "bfloat16"})
        assert work(told).flops_by("precision") == {"bfloat16": flops}
