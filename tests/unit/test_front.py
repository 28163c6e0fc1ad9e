"""The first page: what is said and drawn of all studies together, by rule."""

import pandas as pd
import pytest

from robustlens.report.chapter import Chapter
from robustlens.report.context import Context
from robustlens.report.front import compared, picture, sentences
from robustlens.report.ledger import LEDGER_HEADER

HEADER = "group,row,column,value,std,n_seeds,n_images,unit,files,best"
FILE = "results/x/evaluations/digits/{}/seed0/near/best/a.parquet"


def accuracies(folder, study, recipes, near=(), group=""):
    """recipes: label -> clean accuracy, accuracy under AutoAttack (None: not measured) and number of seeds. near: those
    that the table has in bold under AutoAttack."""
    lines = [HEADER]
    for label, (clean, robust, seeds) in recipes.items():
        for attack, value in (("clean", clean), ("AutoAttack", robust)):
            bold = "yes" if attack != "clean" and label in near else ""
            place = f"Best checkpoint: {attack}"
            if value is not None:
                lines.append(f"{group},{label},{place},{value},1.0,{seeds},500,%,{FILE.format(label)},{bold}")
    place = folder / study / "tables"
    place.mkdir(parents=True)
    (place / "robustness.csv").write_text("\n".join(lines) + "\n")
    return place / "robustness.tex"


def claims(folder, study, rows):
    """rows: (id, verdict, estimate, low, high, bound), and "code" where it is not about the paper."""
    names, rows = ("id", "verdict", "estimate", "low", "high", "bound", "about"), [(*row, "paper")[:7] for row in rows]
    table = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows], columns=LEDGER_HEADER)
    table["statement"], table["unit"] = table["id"] + ".", "points"
    (folder / study).mkdir(exist_ok=True)
    table.to_csv(folder / study / "claims.csv", index=False)
    return folder / study / "claims.csv"


@pytest.fixture
def chapters(tmp_path):
    told = {study: Context("robustness", study, datasets={"digits": "Digits"}) for study in ("one", "two")}
    ours = {"SAT": (90.0, 40.0, 3), "TRADES": (85.0, 45.0, 3), "Standard": (99.0, 0.0, 3), "MART": (84.0, 39.0, 3)}
    theirs = {"SAT": (90.0, 40.0, 3), "AR-AT": (91.0, 50.0, 1), "LBGAT": (91.0, 30.0, 3), "Unattacked": (99.5, None, 3)}
    judged = {
        "one": [
            ("a", "supported", 3.0, 2.0, 4.0, 0),
            ("b", "contradicted", -9.0, -10.0, -8.0, -1),
            ("proven", "supported", 99.0, 98.0, 100.0, 0, "code"),
        ],
        "two": [("c", "supported", 10.0, 1.0, 19.0, 0), ("d", "open", 1.0, -1.0, 3.0, 0)],
    }
    near = {"one": ("TRADES", "SAT"), "two": ("SAT",)}
    return [
        Chapter(
            study,
            study,
            study,
            tables=[accuracies(tmp_path, study, recipes, near[study])],
            robustness=told[study],
            claims=claims(tmp_path, study, judged[study]),
        )
        for study, recipes in (("one", ours), ("two", theirs))
    ]


def test_a_study_compares_its_recipes_with_the_most_seeds_that_were_attacked(chapters):
    found = {
        (row.study, row.dataset, row.attack): [recipe.label for recipe in row.recipes] for row in compared(chapters)
    }
    assert found == {
        ("one", "Digits", "AutoAttack"): ["SAT", "TRADES", "Standard", "MART"],
        ("two", "Digits", "AutoAttack"): ["SAT", "LBGAT"],
    }


def test_the_sentences_name_the_most_robust_recipe_and_the_clearest_claims(chapters):
    """a: its interval is 2 points wide, and 2 above its bound; c: 18 wide, and 1 above. What is proven does not count,
    however clear it is."""
    lowest = "it holds above \u22121, and we measure \u22129.0 [\u221210.0, \u22128.0] points"
    assert sentences(chapters) == [
        "Of 5 recipes with 3 seeds on Digits, TRADES has the highest mean accuracy (± standard deviation over seeds) "
        "under AutoAttack: 45.0 ± 1.0 %, and 85.0 ± 1.0 % without attack. SAT can't be told apart from it by paired "
        "95 % intervals; not compared with it, because no table has both: LBGAT. Standard "
        "has the lowest mean: 0.0 ± 1.0 %, and 99.0 ± 1.0 %.",
        "The results support most clearly: \u201ca.\u201d (one): it holds above 0, and we measure 3.0 "
        "[2.0, 4.0] points.",
        f"The results contradict most clearly: \u201cb.\u201d (one): {lowest}.",
    ]


def of_one_study(folder, recipes, near=()):
    told = Context("robustness", "one", datasets={"digits": "Digits"})
    return [Chapter("one", "one", "one", tables=[accuracies(folder, "one", recipes, near)], robustness=told)]


def test_where_all_others_are_told_apart_from_the_best_or_nothing_can_be_the_sentence_says_so(tmp_path):
    three = {"SAT": (90.0, 40.0, 3), "TRADES": (85.0, 45.0, 3)}
    apart = "Paired 95 % intervals tell it apart from all that it was compared with."
    assert apart in sentences(of_one_study(tmp_path / "a", three, ("TRADES",)))[0]
    one = {label: (*values[:2], 1) for label, values in three.items()}
    assert "One seed can't tell it apart from others." in sentences(of_one_study(tmp_path / "b", one))[0]
    (alone,) = sentences(of_one_study(tmp_path / "c", {"SAT": (90.0, 40.0, 3)}, ("SAT",)))
    assert alone.endswith("under AutoAttack: 40.0 ± 1.0 %, and 90.0 ± 1.0 % without attack.")


def test_all_other_contradicted_claims_are_named(tmp_path):
    told = [("a", "contradicted", -3.0, -4.0, -2.0, 0), ("b-c", "contradicted", -3.0, -5.0, -1.0, 0)]
    one = Chapter("one", "one", "one", claims=claims(tmp_path, "one", told))
    assert sentences([one])[1].startswith("The results contradict most clearly: \u201ca.\u201d (one): ")
    assert sentences([one])[1].endswith(" Also contradicted: b-c (one).")


def test_where_no_claim_is_contradicted_and_nothing_was_attacked_the_sentences_say_so(tmp_path):
    one = Chapter("one", "one", "one", claims=claims(tmp_path, "one", [("a", "supported", 3.0, 2.0, 4.0, 0)]))
    assert sentences([one])[1] == "The results contradict no claim." and len(sentences([one])) == 2
    assert sentences([Chapter("free", "free", "free")]) == []


def test_the_bars_have_the_number_of_each_verdict_and_each_recipe_has_a_mark(chapters):
    drawing = picture(chapters)
    bars, marks = drawing.figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["one", "two"]
    widths = {container.get_label(): [bar.get_width() for bar in container] for container in bars.containers}
    assert widths == {"supported": [1, 1], "contradicted": [1, 0], "open": [0, 1]}
    assert sorted(text.get_text() for text in bars.texts) == ["1", "1", "1", "1"]
    assert [label.get_text() for label in marks.get_yticklabels()] == ["one", "two"]
    points = {}
    for line in marks.lines:
        if line.get_marker() == "o":
            filled = line.get_markerfacecolor() != "white"
            points |= {(x, y): filled for x, y in line.get_xydata().tolist()}
    assert points == {
        **{(40.0, 0.0): True, (45.0, 0.0): True, (0.0, 0.0): False, (39.0, 0.0): False},
        **{(40.0, 1.0): True, (30.0, 1.0): False},
    }
    assert {text.get_text() for text in marks.texts} == {"Standard", "TRADES", "LBGAT", "SAT"}
    assert marks.get_xlabel() == "mean accuracy under AutoAttack, %"
    assert drawing.caption.startswith("Of 4 claims these results support 2, contradict 1 and leave 1 open. Right: ")
    assert "Filled: the best mean, and those" in drawing.caption


def test_datasets_of_a_study_have_lines_of_their_own_until_these_are_too_many(tmp_path):
    def chapters(studies):
        for number in range(studies):
            place = accuracies(tmp_path / f"{studies}", f"s{number}", {"A": (90.0, 40.0, 1)}, group="near")
            csv = place.with_suffix(".csv")
            others = csv.read_text().splitlines()[1:]
            more = [line.replace("near,A", f"far,{label}", 1) for label in ("A", "B") for line in others]
            csv.write_text("\n".join([csv.read_text().rstrip(), *more]) + "\n")
            yield Chapter(f"s{number}", "", "", tables=[place], robustness=Context("robustness", f"s{number}"))

    def labels(studies):
        (axes,) = picture(list(chapters(studies))).figure.axes
        return [label.get_text() for label in axes.get_yticklabels()]

    assert labels(2) == ["s0\nnear", "s0\nfar", "s1\nnear", "s1\nfar"]
    assert labels(7) == [f"s{number}" for number in range(7)]  # each with `far`, which has more recipes


def test_what_there_is_not_is_not_drawn(chapters, tmp_path):
    judged = Chapter("one", "one", "one", claims=chapters[0].claims)
    assert len(picture([judged]).figure.axes) == 1 and "Right" not in picture([judged]).caption
    nothing = picture([Chapter("free", "free", "free")])
    assert nothing.figure.axes == [] and nothing.caption == "No claims are judged, and nothing was attacked."
