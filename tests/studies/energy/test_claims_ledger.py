from pathlib import Path

import pytest
from synthetic import OTHER_THREAT, THREAT, Study, context, write_study
from tabulated import by_claim, index_of

from robustlens.report.tables import claims
from studies.energy.claims import CLAIMS, PAPER_DATASETS, read

KINDS = ("robustness", "attack_energies", "history", "energies", "scores")


def build(**inputs: list[Path]):
    told = context("claims")
    return claims.build(told, CLAIMS, PAPER_DATASETS, read(told, **inputs))


def inputs_of(study: Study) -> dict[str, list[Path]]:
    return {kind: getattr(study, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), recipes=("standard", "sat", "trades"), epochs=12, images=40)


def test_the_ledger_states_rule_verdict_and_what_is_missing(study):
    table = build(**inputs_of(study))
    row = by_claim(table)
    assert row["pgd-lowers-energy"]["verdict"] == "supported"
    assert float(row["pgd-lowers-energy"]["low"]) > 0
    assert row["weat-adv-beats-trades"]["verdict"] == "open"
    assert "Not measured: recipe weat-adv" in row["weat-adv-beats-trades"]["measurement"]
    assert "no evidence about CIFAR-10" in table.caption and "the energy paper" in table.caption
    assert '<td class="supported"' in table.to_html() and table.name == "energy-claims"


def test_claims_whose_files_are_absent_are_open_with_the_reason(study):
    only = by_claim(build(scores=study.scores))
    verdicts = {name: row["verdict"] for name, row in only.items()}
    assert {name for name, verdict in verdicts.items() if verdict != "open"} == {"sat-generates-better"}
    reasons = {name: row["measurement"] for name, row in only.items()}
    assert all("Not measured: " in reasons[name] for name, verdict in verdicts.items() if verdict == "open")
    assert "Not measured: init pca" in reasons["pca-starts-generate-better"]
    assert build().rows == ()


@pytest.mark.parametrize(
    ("dataset", "absent"),
    [
        ("cifar10", {"weat-adv-beats-trades"}),
        ("svhn", {"weat-adv-beats-trades"}),
        ("cifar100", {"weat-adv-matches-trades", "weat-nat-matches-trades"}),
        ("tiny-imagenet-200", {"weat-adv-matches-trades", "weat-nat-matches-trades"}),
        ("digits", set()),
        ("cifar10-jpeg", set()),
    ],
)
def test_statements_about_some_datasets_are_not_judged_on_the_papers_others(tmp_path, dataset, absent):
    study = write_study(tmp_path, dataset, ("sat",), (0,), epochs=1, images=4)
    table = build(scores=study.scores)
    assert [row.label for row in table.rows] == [claim.id for claim in CLAIMS if claim.id not in absent]


def test_a_ledger_of_two_datasets_leaves_a_claim_out_of_one_of_them(tmp_path):
    first, second = (write_study(tmp_path, d, ("sat",), (0,), epochs=1, images=4) for d in ("cifar10", "digits"))
    table = build(scores=[*first.scores, *second.scores])
    assert [row.group for row in table.rows if row.label == "weat-adv-beats-trades"] == ["digits"]
    assert "One seed cannot show" in " ".join(table.notes)


def test_claims_are_judged_under_the_threat_of_most_evaluations(tmp_path):
    def index(recipe, seed, right, threat=THREAT):
        images = {i: i < right for i in range(40)}
        return index_of(tmp_path, recipe, seed, {("best", "autoattack"): images}, threat=threat)

    own = [index(recipe, seed, right) for recipe, right in (("weat-adv", 30), ("trades", 10)) for seed in (0, 1)]
    other = [index("weat-adv", 0, 0, OTHER_THREAT), index("trades", 0, 40, OTHER_THREAT)]
    table = build(robustness=[*other, *own])
    row = by_claim(table)["weat-adv-beats-trades"]
    assert float(row["estimate"]) == 50.0 and OTHER_THREAT not in row["files"]
    assert "Judged only on evaluations under L∞, ε = 3/16; there are others." in table.notes
    assert len(build(robustness=own).notes) == 1
    under_another = build(robustness=other)
    assert by_claim(under_another)["weat-adv-beats-trades"]["estimate"] == "-100"
    assert any(note.startswith("Trained under L∞, ε = 3/16, but evaluated under L2") for note in under_another.notes)


def test_what_varies_another_recipe_is_known_from_the_context_and_not_from_a_name(study):
    data = read(context("claims"), history=study.history)["digits"]
    assert data.changes["sat-no-low"] == data.changes["sat-awp"] == "sat"
    assert read(context("claims", recipes={}), history=study.history)["digits"].changes == {}
