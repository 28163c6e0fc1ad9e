"""The first page: what is said and drawn of all studies together, by rule."""

import pandas as pd
import pytest

from robustlens.report.chapter import Chapter
from robustlens.report.context import Context
from robustlens.report.front import picture, plane, sentences
from robustlens.report.ledger import LEDGER_HEADER

HEADER = "group,row,column,value,std,n_seeds,n_images,unit,files"
FILE = "results/x/evaluations/digits/{}/seed0/near/best/a.parquet"


def accuracies(folder, study, recipes):
    """recipes: label -> clean accuracy, accuracy under AutoAttack (None: not measured) and number of seeds."""
    lines = [HEADER]
    for label, (clean, robust, seeds) in recipes.items():
        for attack, value in (("clean", clean), ("AutoAttack", robust)):
            if value is not None:
                lines.append(f",{label},Best checkpoint: {attack},{value},1.0,{seeds},500,%,{FILE.format(label)}")
    place = folder / study / "tables"
    place.mkdir(parents=True)
    (place / "robustness.csv").write_text("\n".join(lines) + "\n")
    return place / "robustness.tex"


def claims(folder, study, rows):
    """rows: (id, verdict, estimate, low, high, bound)."""
    names = ("id", "verdict", "estimate", "low", "high", "bound")
    table = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows], columns=LEDGER_HEADER)
    table["statement"], table["unit"] = table["id"] + ".", "points"
    (folder / study).mkdir(exist_ok=True)
    table.to_csv(folder / study / "claims.csv", index=False)
    return folder / study / "claims.csv"


@pytest.fixture
def chapters(tmp_path):
    told = {study: Context("robustness", study, datasets={"digits": "Digits"}) for study in ("one", "two")}
    ours = {"SAT": (90.0, 40.0, 3), "TRADES": (85.0, 45.0, 3), "Standard": (99.0, 0.0, 3), "Worse": (84.0, 39.0, 3)}
    theirs = {"SAT": (90.0, 40.0, 3), "AR-AT": (91.0, 50.0, 1), "Unattacked": (99.5, None, 3)}
    judged = {
        "one": [("a", "supported", 3.0, 2.0, 4.0, 0), ("b", "contradicted", -9.0, -10.0, -8.0, -1)],
        "two": [("c", "supported", 10.0, 1.0, 19.0, 0), ("d", "open", 1.0, -1.0, 3.0, 0)],
    }
    return [
        Chapter(
            study,
            study,
            study,
            tables=[accuracies(tmp_path, study, recipes)],
            robustness=told[study],
            claims=claims(tmp_path, study, judged[study]),
        )
        for study, recipes in (("one", ours), ("two", theirs))
    ]


def test_a_recipe_of_several_studies_is_shown_once_and_one_without_the_attack_not_at_all(chapters):
    made = plane(chapters)
    assert (made.dataset, made.attack) == ("Digits", "AutoAttack")
    labels = {study: [recipe.label for recipe in recipes] for study, recipes in made.recipes.items()}
    assert labels == {"one": ["SAT", "TRADES", "Standard", "Worse"], "two": ["AR-AT"]}


def test_named_are_recipes_than_which_no_other_one_of_as_many_seeds_is_better_at_both(chapters):
    """AR-AT, with one seed, neither is named nor keeps others from it; Worse is worse than SAT at both."""
    assert [recipe.label for recipe in plane(chapters).undominated] == ["SAT", "TRADES", "Standard"]


def test_the_sentences_name_the_most_robust_recipe_and_the_clearest_claims(chapters):
    """a: its interval is 2 points wide, and 2 above its bound; c: 18 wide, and 1 above."""
    lowest = "the number that its rule wants above \u22121 is \u22129.0 [\u221210.0, \u22128.0] points"
    assert sentences(chapters) == [
        "Of 4 recipes with 3 seeds on Digits, TRADES has the highest mean accuracy under AutoAttack: 45.0 ± 1.0 %, and "
        "85.0 ± 1.0 % without attack; Standard has the lowest: 0.0 ± 1.0 %, and 99.0 ± 1.0 %.",
        "The results support most clearly: \u201ca.\u201d (one): the number that its rule wants above 0 is "
        "3.0 [2.0, 4.0] points.",
        f"The results contradict most clearly: \u201cb.\u201d (one): {lowest}.",
    ]


def test_all_other_contradicted_claims_are_named(tmp_path):
    told = [("a", "contradicted", -3.0, -4.0, -2.0, 0), ("b-c", "contradicted", -3.0, -5.0, -1.0, 0)]
    one = Chapter("one", "one", "one", claims=claims(tmp_path, "one", told))
    assert sentences([one])[1].startswith("The results contradict most clearly: \u201ca.\u201d (one): ")
    assert sentences([one])[1].endswith(" Also contradicted: b-c (one).")


def test_where_no_claim_is_contradicted_and_nothing_was_attacked_the_sentences_say_so(tmp_path):
    one = Chapter("one", "one", "one", claims=claims(tmp_path, "one", [("a", "supported", 3.0, 2.0, 4.0, 0)]))
    assert sentences([one])[1] == "The results contradict no claim." and len(sentences([one])) == 2
    assert sentences([Chapter("free", "free", "free")]) == []


def test_the_bars_have_the_number_of_each_verdict(chapters):
    drawing = picture(chapters)
    bars, points = drawing.figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["one", "two"]
    widths = {container.get_label(): [bar.get_width() for bar in container] for container in bars.containers}
    assert widths == {"supported": [1, 1], "contradicted": [1, 0], "open": [0, 1]}
    assert sorted(text.get_text() for text in bars.texts) == ["1", "1", "1", "1"]
    assert {text.get_text() for text in points.texts} == {"SAT", "TRADES", "Standard"}
    assert drawing.caption.startswith("Of 4 claims these results support 2, contradict 1 and leave 1 open.")
    assert "Open marks: fewer than 3 seeds." in drawing.caption


def test_what_there_is_not_is_not_drawn(chapters, tmp_path):
    judged = Chapter("one", "one", "one", claims=chapters[0].claims)
    assert len(picture([judged]).figure.axes) == 1 and "Accuracy" not in picture([judged]).caption
    nothing = picture([Chapter("free", "free", "free")])
    assert nothing.figure.axes == [] and nothing.caption == "No claims are judged, and nothing was attacked."
