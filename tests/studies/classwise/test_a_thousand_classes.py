"""Every table, figure and claim that a third-party model on ImageNet is in, of 50,000 made-up images of 1,000 classes:
they take seconds, and can be read."""

import csv
import importlib
import io
import json
import time

import a_thousand
import pytest
import synthetic
from configured import REPOSITORY, own
from torchvision.models import ResNet50_Weights

from robustlens.configuration import entry
from robustlens.report.builder import named_inputs
from robustlens.report.context import Context
from robustlens.report.figure import save
from robustlens.report.tables import claims as ledger
from robustlens.study import discovery
from robustlens.study.declaration import files_of
from robustlens.study.selection import Kind, Selection
from studies.classwise.class_names import of_sheet

SECONDS = 45  # on one core; a builder that makes something of all pairs of classes for all draws takes minutes
THREAT = "linf-4-255"
OVERLAY = REPOSITORY / "studies/classwise/imagenet.yaml"
STUDY = discovery.find(REPOSITORY / "studies")["classwise"]
EVALUATIONS = "evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json"
KINDS = {files.kind: Kind("") for item in STUDY.items() for what in item.inputs.values() for files in files_of(what)}
KINDS |= {"evaluations": Kind(EVALUATIONS, models=True), "class-names": Kind("classes/{dataset}.json", models=True)}


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    """The study with ImageNet alone, as its overlay adds it, and the folder of its results."""
    folder = tmp_path_factory.mktemp("imagenet")
    alone = {name: None for name in STUDY.cohorts if name != "third-party"}
    given = {"studies": {"energy": None, "classwise": {"cohorts": alone}}}
    (folder / "alone.yaml").write_text(json.dumps({"scales": {"paper": given}}))
    config = own(OVERLAY, folder / "alone.yaml", scale="paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(synthetic.THREATS, THREAT, config["threats"][THREAT])
        a_thousand.write(folder / "results" / "paper", THREAT)
    sheet = {"classes": ResNet50_Weights.IMAGENET1K_V1.meta["categories"]}
    (folder / "results/paper/classes").mkdir()
    content = of_sheet(sheet, entry("imagenet")["superclasses"])
    (folder / "results/paper/classes/imagenet.json").write_text(json.dumps(content))
    return Selection(config, {"classwise": STUDY}, KINDS), folder


def built(selected, item, monkeypatch, function="build"):
    """What a builder makes, called as a job calls it, and the seconds that it takes."""
    found, folder = selected
    monkeypatch.chdir(folder)
    given = [[name, *files] for name, files in item.files.items()]
    if item.published:
        given.append([item.published, str(REPOSITORY / "studies/classwise/published.yaml")])
    build = getattr(importlib.import_module(item.builder), function)
    context = Context.from_json(found.context(item).to_json())
    start = time.process_time()
    made = build(context, **named_inputs(given, build))
    return context, made, time.process_time() - start


TABLES = ("robustness", "autoattack", "classes", "class-accuracy", "consistency", "stronger-attacks", "confusion")
FIGURES = (
    *("class-accuracy-imagenet", f"confusion-imagenet-{a_thousand.MODEL}"),
    *("consistency-imagenet", "stronger-attacks-imagenet"),
)


def test_these_are_all_that_imagenet_is_in(selected):
    found, _ = selected
    assert tuple(found.tables("classwise")) == TABLES
    assert tuple(found.figures("classwise")) == FIGURES


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_a_thousand_classes(selected, name, monkeypatch, tmp_path):
    _, table, seconds = built(selected, selected[0].tables("classwise")[name], monkeypatch)
    table.write(tmp_path / "t.tex", tmp_path / "t.csv", tmp_path / "t.html")
    assert table.rows and len(table.columns) <= 20
    assert max(map(len, table.notes)) < 1500
    assert seconds < SECONDS


def test_published_numbers_stand_beside_the_model_s(selected, monkeypatch):
    _, table, _ = built(selected, selected[0].tables("classwise")["robustness"], monkeypatch)
    found = {row["column"]: row["published"] for row in csv.DictReader(io.StringIO(table.to_csv())) if row["published"]}
    assert found == {"Best checkpoint: clean": "63.86", "Best checkpoint: AutoAttack": "34.96"}
    assert "5,000 validation images, which are not ours" in table.to_html()


def test_classes_are_called_by_their_names(selected, monkeypatch):
    _, table, _ = built(selected, selected[0].tables("classwise")["class-accuracy"], monkeypatch)
    worst = min(range(a_thousand.CLASSES), key=mean_accuracy().get)
    assert f": 0 {ResNet50_Weights.IMAGENET1K_V1.meta['categories'][worst]}, 1 " in table.notes[0]


def mean_accuracy() -> dict[int, float]:
    """Of each class, over all attacks and images."""
    frame = a_thousand.evaluated()
    return (frame["prediction_adversarial"] == frame["label"]).groupby(frame["label"]).mean().to_dict()


@pytest.mark.filterwarnings("error::UserWarning")  # labels that leave no room for axes
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_a_thousand_classes(selected, name, monkeypatch, tmp_path):
    _, drawing, seconds = built(selected, selected[0].figures("classwise")[name], monkeypatch)
    start = time.process_time()
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
    assert len(drawing.caption) < 1500
    assert seconds + time.process_time() - start < SECONDS


@pytest.mark.filterwarnings("error::UserWarning")
def test_without_superclasses_clusters_are_drawn_and_not_all_of_their_classes_listed(selected, monkeypatch, tmp_path):
    _, folder = selected
    names = folder / "results/paper/classes/imagenet.json"
    before = names.read_text()
    names.write_text(json.dumps(json.loads(before) | {"superclasses": {}}))
    try:
        _, drawing, _ = built(selected, selected[0].figures("classwise")[FIGURES[1]], monkeypatch)
    finally:
        names.write_text(before)
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
    assert " more" in drawing.caption and len(drawing.caption) < 1500


def test_the_claims_are_judged_on_a_thousand_classes(selected, monkeypatch):
    context, data, _ = built(selected, selected[0].claims("classwise"), monkeypatch, "read")
    module = importlib.import_module("studies.classwise.claims")
    start = time.process_time()
    table = ledger.build(context, module.CLAIMS, module.PAPER_DATASETS, data)
    assert list(data) == ["imagenet"] and len(table.rows) == len(module.CLAIMS)
    assert time.process_time() - start < SECONDS
