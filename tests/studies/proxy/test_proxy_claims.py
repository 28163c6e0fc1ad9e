"""The verdicts on ARC, on made-up generators whose discriminators of one number of steps say otherwise."""

from dataclasses import replace

import pytest
from proxy_results import claims_data

from robustlens.analysis.claims import CONTRADICTED, OPEN, SINGLE_SEED, SUPPORTED, UNDERPOWERED, judge
from studies.proxy.claims import CLAIMS

RANKED = ("arc-ranks-generators", "arc-ranks-better-than-frechet")
MIRRORED = {"port-ddpm": "port-diagonal", "port-full": "port-mixture"}
MIRRORED |= {other: recipe for recipe, other in MIRRORED.items()}


def judged(name, data):
    (claim,) = [claim for claim in CLAIMS if claim.id == name]
    return judge(claim, data)


def mirrored(data, steps):
    """The data with the curves of these discriminators exchanged, so that they order the generators backwards."""
    curves = data.curves
    there = curves["steps"] == steps
    return replace(data, curves=curves.assign(recipe=curves["recipe"].replace(MIRRORED).where(there, curves["recipe"])))


@pytest.mark.parametrize("name", RANKED)
def test_arc_is_judged_where_every_number_of_steps_orders_the_generators_the_same_way(name):
    for support, verdict, correlation in ((True, SUPPORTED, "1.00"), (False, CONTRADICTED, "-1.00")):
        found = judged(name, claims_data(support))
        assert found.verdict == verdict
        told = f"correlation of minus ARC with the gains {correlation} (100 steps), {correlation} (300 steps)"
        assert found.detail.endswith(told)


@pytest.mark.parametrize("name", RANKED)
@pytest.mark.parametrize("support", [True, False])
def test_where_two_numbers_of_steps_disagree_the_claim_is_open_and_its_number_stays(name, support):
    data = claims_data(support)
    found, before = judged(name, mirrored(data, 100)), judged(name, data)
    assert (found.verdict, found.why_open) == (OPEN, UNDERPOWERED)
    assert (found.estimate, found.low, found.high) == (before.estimate, before.low, before.high)
    assert "-1.00" in found.detail and found.detail.endswith("so open whatever it says")
    both = mirrored(mirrored(data, 100), 300)
    assert judged("arc-ranks-generators", both).verdict == (CONTRADICTED if support else SUPPORTED)


@pytest.mark.parametrize("name", RANKED)
def test_arc_of_one_number_of_steps_or_without_an_order_decides_nothing(name):
    data = claims_data(True)
    single = replace(data, curves=data.curves[data.curves["steps"] == 300])
    flat = data.curves.assign(accuracy=data.curves["accuracy"].where(data.curves["steps"] == 300, 0.5))
    for left in (single, replace(data, curves=flat)):
        assert (judged(name, left).verdict, judged(name, left).why_open) == (OPEN, UNDERPOWERED)


@pytest.mark.parametrize("name", RANKED)
def test_of_one_seed_of_gains_that_stays_the_reason(name):
    data = mirrored(claims_data(True), 100)
    one = replace(data, points=data.points[data.points["seed"] == 0])
    assert (judged(name, one).verdict, judged(name, one).why_open) == (OPEN, SINGLE_SEED)


def test_generators_whose_discriminators_have_no_number_of_steps_in_common_are_not_ranked():
    data = claims_data(True)
    curves = data.curves
    apart = (curves["steps"] == 100) == (curves["recipe"] == "port-ddpm")
    found = judged("arc-ranks-generators", replace(data, curves=curves[apart]))
    assert found.verdict == OPEN and found.detail.startswith("Not measured: discriminators of the same number of steps")
