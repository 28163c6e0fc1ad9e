"""The L2 threat in evaluations and in tables, beside L-inf and alone."""

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from evaluating import SPEC, House, changed
from synthetic import AS_PUBLISHED, OTHER_THREAT, RESNET18, THREAT, context, write_evaluations

from robustlens.attacks.threat import Threat
from robustlens.data.prepared import load
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model, save_weights
from robustlens.parameters import create
from robustlens.report.chapter import Chapter
from robustlens.report.context import Context
from robustlens.report.document import Document
from robustlens.report.escape import latex
from robustlens.report.headlines import headlines
from robustlens.report.latex import compile_pdf, render_tex
from robustlens.report.ledger import LEDGER_HEADER
from robustlens.report.published import PublishedNumbers
from robustlens.report.table import Table
from robustlens.report.tables import autoattack, differences, robustness
from robustlens.seeds import generator

# Evaluations -------------------------------------------------------------------------------------------------------

FAST = {  # attacks with their families and parameters
    "fgsm": ("pgd", {"steps": 1, "start": "image"}),
    "pgd3": ("pgd", {"steps": 3}),
    "apgd": ("apgd", {"steps": 3}),
    "apgd-t": ("apgd-t", {"steps": 2}),
    "fab": ("fab", {"steps": 3}),
    "square": ("square", {"queries": 20}),
    "cw": ("cw", {"steps": 10, "c": 5.0}),
}


def in_l2(spec: dict) -> None:
    spec["threat"] = {"name": "l2-5-4", "norm": "l2", "epsilon": "5/4", "step_size": "1/2"}
    own = {"samples": None, "best_only": True, "code": "a"}
    spec["attacks"] = [
        {"name": name, "family": family, "parameters": parameters, **own} for name, (family, parameters) in FAST.items()
    ]


def test_every_attack_of_a_suite_is_made_in_l2_and_its_distances_are_written_in_l2(tmp_path, monkeypatch):
    house, spec = House(tmp_path, monkeypatch), changed(in_l2)
    weights = house.folder / "run/best.safetensors"
    standard = tiny.spec("standard", epochs=15) | {"architecture": SPEC["architecture"]}
    trained = tiny.train(standard, tiny.dataset(tmp_path / "digits"), tmp_path / "state")
    save_weights(trained.last, weights)  # attacks leave alone what is wrong anyway, as most is of a fresh network
    index = house.evaluate(spec)
    assert (index["threat"]["norm"], index["threat"]["epsilon"]) == ("l2", "5/4")
    split = load(house.data, ["test"]).splits["test"]
    model = InferenceModel(load_model(weights, SPEC["architecture"], 1, 10))
    assert [entry["attack"] for entry in index["evaluations"]] == list(FAST)
    for entry in index["evaluations"]:
        name, rows = entry["attack"], pd.read_parquet(house.place(spec) / entry["file"])
        attack = create("attacks", *FAST[name])
        for start in range(0, len(split.labels), spec["batch_size"]):
            where = np.arange(start, min(start + spec["batch_size"], len(split.labels)))
            x, y = torch.from_numpy(split.pixels(where)), torch.from_numpy(split.labels[where])
            noise = generator(spec["seed"], name, start)
            x_adv = attack(model, x, y, Threat("l2", 1.25, 0.5), noise).detach()
            sizes = ((x_adv.double() - x.double()) ** 2).flatten(1).sum(1).sqrt().numpy()
            np.testing.assert_allclose(rows["distance"][where], sizes, rtol=1e-6, atol=1e-7)
        assert rows["distance"].max() > 0.05, name
        assert name == "cw" or rows["distance"].max() <= 1.25 + 1e-6
        if name in ("fgsm", "pgd3"):  # they always return their last point, which is on the sphere but for the cut
            assert (rows["distance"] > 0.3).all() and rows["distance"].max() > 1


# Tables ------------------------------------------------------------------------------------------------------------


def index(folder, recipe: str, right: int, **place) -> Path:
    """Of twelve images, of which so many are right under every attack."""
    rows = [
        {"checkpoint": "best", "attack": attack, "index": i, "label": 4, "prediction_adversarial": 4 if ok else 7}
        | {"broken_by": "" if ok or attack != "autoattack" else "apgd-ce"}
        for attack in ("clean", "pgd20", "autoattack")
        for i in range(12)
        for ok in [attack == "clean" or i < right]
    ]
    return write_evaluations(folder, pd.DataFrame(rows), recipe, **place)


def told(*in_l2: str, **changes) -> Context:
    """A context in which these recipes are trained under the L2 threat, the others under the L-inf one."""
    plain = context(trained_on=("digits", "svhn", "cifar10"))
    recipes = {
        name: replace(recipe, threats=dict.fromkeys(recipe.threats, OTHER_THREAT)) if name in in_l2 else recipe
        for name, recipe in plain.recipes.items()
    }
    return context(recipes=recipes, **changes)


def groups(table: Table) -> dict[str, list[tuple[str, float]]]:
    """What its CSV has under PGD-20: group -> recipes with their values."""
    found: dict[str, list] = {}
    for row in csv.DictReader(io.StringIO(table.to_csv())):
        if row["column"].endswith("PGD-20"):
            found.setdefault(row["group"], []).append((row["row"], float(row["value"])))
    return found


LINF, L2 = "L∞, ε = 3/16", "L2, ε = 1/2"
IN_LATEX = {LINF: r"$\ell_\infty$, $\varepsilon$ = 3/16", L2: r"$\ell_2$, $\varepsilon$ = 1/2"}


@pytest.fixture
def mixed(tmp_path) -> list[Path]:
    """Two recipes evaluated as they were trained, one of them in L2."""
    return [index(tmp_path, "sat", 6), index(tmp_path, "mart", 3, threat=OTHER_THREAT)]


@pytest.mark.parametrize("builder", [robustness, autoattack])
def test_a_table_of_runs_in_both_norms_names_them_above_their_rows(builder, mixed):
    table = builder.build(told("mart"), evaluations=mixed)
    assert groups(table) == {LINF: [("SAT", 50.0)], L2: [("MART", 25.0)]}
    tex, html = table.to_latex(), table.to_html()
    places = [
        (f">{LINF}<", f"{IN_LATEX[LINF]}}}"),
        (">SAT<", "SAT &"),
        (f">{L2}<", f"{IN_LATEX[L2]}}}"),
        (">MART<", "MART &"),
    ]
    assert [html.index(text) for text, _ in places] == sorted(html.index(text) for text, _ in places)
    assert [tex.index(text) for _, text in places] == sorted(tex.index(text) for _, text in places)
    assert not any("evaluated under" in note.lower() for note in table.notes)  # each as it was trained, and named


def test_datasets_in_two_norms_are_told_apart_by_them_too(tmp_path):
    files = [index(tmp_path, "sat", 6), index(tmp_path, "mart", 3, dataset="svhn", threat=OTHER_THREAT)]
    table = robustness.build(told("mart"), evaluations=files)
    assert groups(table) == {f"digits, {LINF}": [("SAT", 50.0)], f"svhn, {L2}": [("MART", 25.0)]}
    other = [index(tmp_path / "linf", "sat", 6), index(tmp_path / "linf", "mart", 3, dataset="svhn")]
    assert list(groups(robustness.build(told(), evaluations=other))) == ["digits", "svhn"]


@pytest.mark.parametrize("builder", [robustness, autoattack, differences])
def test_a_table_in_l2_alone_says_so_below(builder, tmp_path):
    files = [index(tmp_path, name, right, threat=OTHER_THREAT) for name, right in (("trades", 6), ("mart", 3))]
    table = builder.build(told("trades", "mart"), evaluations=files)
    said = f"Evaluated under {L2} on digits."
    assert table.notes.count(said) == 1 and table.to_html().count(said) == 1
    assert table.to_latex().count(f"Evaluated under {IN_LATEX[L2]} on digits.") == 1
    assert not any("Trained under" in note for note in table.notes)
    own = builder.build(told(), evaluations=files)  # trained in L-inf: one sentence says both
    assert [note for note in own.notes if "under L" in note] == [
        f"Trained under {LINF}, but evaluated under {L2} on digits: MART; TRADES."
    ]


def test_headlines_are_of_one_norm_each(mixed, tmp_path):
    table, path = robustness.build(told("mart"), evaluations=mixed), tmp_path / "robustness.csv"
    path.write_text(table.to_csv())
    found = headlines(path, told("mart"))
    assert [(row.group, row.label) for row in found.rows] == [
        (f"{LINF}: most robust of 1 recipe with one seed", "SAT"),
        (f"{L2}: most robust of 1 recipe with one seed", "MART"),
    ]
    alone = robustness.build(told("mart"), evaluations=mixed[1:])
    path.write_text(alone.to_csv())
    assert f"Evaluated under {L2} on digits." in headlines(path, told("mart")).notes


def test_differences_are_taken_within_a_norm(tmp_path):
    files = [index(tmp_path, name, right) for name, right in (("trades", 6), ("sat", 9))]
    files += [index(tmp_path, name, right, threat=OTHER_THREAT) for name, right in (("trades", 2), ("mart", 3))]
    table = differences.build(told(), evaluations=files)
    assert groups(table) == {
        f"{LINF}: minus TRADES": [("SAT", pytest.approx(25.0))],
        f"{L2}: minus TRADES": [("MART", pytest.approx(100 / 12))],
    }


PUBLISHED = """
architectures: {resnet18: {family: resnet, blocks: [2, 2, 2, 2], width: 64, block: basic}}
blocks:
  - &block
    source: s
    trust: t
    dataset: cifar10
    architecture: resnet18
    metrics: [clean, pgd]
    values: {sat: [85, 50], trades: [84, 53]}
  - {<<: *block, norm: l2, epsilon: 1/2, metrics: [pgd], values: {sat: [70], trades: [72]}}
"""


def test_a_published_number_stands_beside_one_of_its_own_norm(tmp_path):
    (tmp_path / "p.yaml").write_text(PUBLISHED)
    files = [
        index(tmp_path, name, right, dataset="cifar10", threat=threat)
        for threat in (THREAT, OTHER_THREAT)
        for name, right in (("sat", 6), ("trades", 3))
    ]
    facts = told(architectures={"cifar10": RESNET18}, threats=AS_PUBLISHED, caveat="")
    for builder, expected in (
        (robustness, {"clean": ["85", "84", "", ""], "PGD-20": ["50", "53", "70", "72"]}),
        (differences, {"clean": ["1", ""], "PGD-20": ["-3", "-2"]}),
    ):
        rows = list(
            csv.DictReader(io.StringIO(builder.build(facts, evaluations=files, published=tmp_path / "p.yaml").to_csv()))
        )
        for attack, numbers in expected.items():
            assert [row["published"] for row in rows if row["column"].endswith(attack)] == numbers
    (tmp_path / "p.yaml").write_text(PUBLISHED.replace(", epsilon: 1/2", ""))
    with pytest.raises(RobustlensError, match="block 2: 'epsilon' is missing beside the norm l2"):
        PublishedNumbers(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text(PUBLISHED.replace("norm: l2", "norm: l3"))
    with pytest.raises(RobustlensError, match="block 2: no norm 'l3'; valid are: l2, linf"):
        PublishedNumbers(tmp_path / "p.yaml")


def test_norms_are_set_as_formulas_and_other_words_are_not():
    assert latex("L∞ and L2, but XL2, L20 and L2_a") == r"$\ell_\infty$ and $\ell_2$, but XL2, L20 and L2\_a"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_typesets_a_table_of_both_norms(mixed, tmp_path):
    table = robustness.build(told("mart"), evaluations=mixed)
    table.write(**{kind: tmp_path / f"robustness.{kind}" for kind in ("tex", "csv", "html")})
    (tmp_path / "claims.csv").write_text(",".join(["study", *LEDGER_HEADER]) + "\n")
    chapter = Chapter("mine", "mine", "mine", [tmp_path / "robustness.tex"])
    document = Document("A report", "tiny", "", [], [chapter], tmp_path / "claims.csv")
    (tmp_path / "report.tex").write_text(render_tex(document, tmp_path))
    compile_pdf(tmp_path / "report.tex", tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
