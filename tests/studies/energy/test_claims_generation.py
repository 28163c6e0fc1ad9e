import pandas as pd
import pytest
from claim_data import evaluate, holding, settings_of_sampler
from scipy import stats


def test_pca_starts_are_compared_with_their_mean_at_equal_settings():
    def distance(init, kept, sigma, momentum, steps, recipe):
        return {"noise": 30.0, "gaussian": 20.0, "pca": 10 * kept + sigma}[init] - momentum * steps / 10 + len(recipe)

    outcome = evaluate("pca-starts-generate-better", holding(grid=settings_of_sampler(distance)))
    pca = (8 + 0.5 + 8 + 1 + 9.5 + 1) / 3
    assert outcome.estimate == pytest.approx(20 - pca) and outcome.verdict == "supported"
    assert f"16 pairs of settings: noise {30 - pca:.2f}, gaussian {20 - pca:.2f}" in outcome.detail
    assert outcome.detail.endswith("interval over pairs of settings, which are not independent of each other")
    best_only = evaluate(
        "pca-starts-generate-better",
        holding(grid=settings_of_sampler(lambda init, *rest: 5.0 if init == "gaussian" else 10 * rest[0] - rest[1])),
    )
    assert best_only.verdict == "contradicted"


def test_settings_of_no_step_are_no_descents():
    grid = settings_of_sampler(lambda init, *_: 10.0 if init == "pca" else 20.0)
    at_once = grid[grid["steps"] == 20].assign(steps=0, frechet=lambda rows: 500.0 * (rows["init"] != "pca"))
    outcome = evaluate("pca-starts-generate-better", holding(grid=pd.concat([grid, at_once])))
    assert outcome.estimate == 10.0 and "16 pairs" in outcome.detail


@pytest.mark.parametrize("name", ["pca-starts-generate-better", "momentum-generates-better"])
def test_a_grid_of_one_seed_of_a_classifier_decides_nothing(name):
    def distance(init, kept, sigma, momentum, steps, recipe):
        return 40.0 - 20 * (init == "pca") - 5 * momentum + 0.01 * steps

    two = [("sat", 0), ("sat", 1)]
    for seeds, verdict in [(two, "supported"), (two[:1], "open"), ([*two, ("trades", 0)], "open")]:
        outcome = evaluate(name, holding(grid=settings_of_sampler(distance, seeds)))
        assert outcome.verdict == verdict and outcome.low > 0
        assert outcome.detail.endswith("one seed, so open whatever it says") == (verdict == "open")
    one_of_each = settings_of_sampler(distance, [("sat", 0), ("trades", 1)])
    assert evaluate(name, holding(grid=one_of_each)).verdict == "open"


def test_momentum_is_compared_with_none_at_otherwise_equal_settings():
    def distance(init, kept, sigma, momentum, steps, recipe):
        return 20 * kept + sigma + len(init) - (0.5 if steps == 20 else 1.5) * (momentum > 0)

    grid = settings_of_sampler(distance)
    outcome = evaluate("momentum-generates-better", holding(grid=grid))
    leads = [0.5, 1.5] * 20
    assert outcome.estimate == pytest.approx(1.0)
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 39, 1.0, stats.sem(leads)))
    none = evaluate("momentum-generates-better", holding(grid=grid[grid["momentum"] == 0]))
    assert none.verdict == "open" and "with and without momentum" in none.detail
