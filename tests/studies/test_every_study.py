"""What is expected of every study."""

import copy
import csv
import importlib
import inspect
import io
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from configured import own
from every_study import ROOT, STUDIES, all_kinds, builder, made_up, selection
from matplotlib.text import Text

from robustlens.analysis.claims import CONTRADICTED, SUPPORTED, judge
from robustlens.configuration import read_yaml
from robustlens.errors import RobustlensError
from robustlens.report.builder import named_inputs
from robustlens.report.context import Context
from robustlens.report.escape import latex
from robustlens.report.figure import HIGHEST, SMALLEST, TEXT_WIDTH, save
from robustlens.report.tables import claims as ledger
from robustlens.study.declaration import Published
from robustlens.study.selection import Selection

TABLES = [(study.name, table.name) for study in STUDIES.values() for table in study.tables]
FIGURES = [(study.name, figure.name) for study in STUDIES.values() for figure in study.figures]
CLAIMS = [
    (study.name, claim)
    for study in STUDIES.values()
    if study.claims
    for claim in importlib.import_module(f"studies.{study.name.replace('-', '_')}.claims").CLAIMS
]
JUDGED = list(dict.fromkeys(study for study, _ in CLAIMS))


@pytest.mark.parametrize(
    ("study", "name"), [*((s, f"tables/{n}") for s, n in TABLES), *((s, f"figures/{n}") for s, n in FIGURES)]
)
def test_the_readme_or_a_page_beside_it_names_every_table_and_figure(study, name):
    pages = (ROOT / "studies" / study.replace("-", "_")).glob("*.md")
    text = "".join(page.read_text() for page in pages if not page.stem.startswith("plan-of"))
    assert f"`{name}`" in text or f"`{name}-*`" in text, f"{name} of the study {study} is named in no page"


@pytest.mark.parametrize("study", STUDIES)
def test_pages_of_a_study_name_no_table_or_figure_that_is_not_declared(study):
    pages = (ROOT / "studies" / study.replace("-", "_")).glob("*.md")
    named = {
        name for page in pages for name in re.findall(r"`((?:tables|figures)/[a-z0-9-]+)(?:-\*)?`", page.read_text())
    }
    declared = {f"tables/{n}" for s, n in TABLES if s == study} | {f"figures/{n}" for s, n in FIGURES if s == study}
    unknown = {name for name in named - declared if not any(name.startswith(f"{figure}-") for figure in declared)}
    assert not unknown


@pytest.mark.parametrize("study", STUDIES)
def test_the_first_look_has_every_table_and_figure_of_the_embedded_scale(study):
    kinds = all_kinds()
    smoke, embedded = (Selection(own(scale=scale), STUDIES, kinds) for scale in ("smoke", "embedded"))
    assert smoke.tables(study).keys() == embedded.tables(study).keys()
    drawn = [{item.declared.name for item in scale.figures(study).values()} for scale in (smoke, embedded)]
    assert drawn[0] == drawn[1] and drawn[0]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """study -> the selection of its made-up configuration and the folder that has its results."""
    found = {}

    def of(study):
        if study not in found:
            folder = tmp_path_factory.mktemp(study)
            made_up(study).write(folder / "results" / made_up(study).CONFIG["scale"])
            found[study] = selection(study), folder
        return found[study]

    return of


def called(study, selected, item, monkeypatch, folder, function="build"):
    """The result of a builder, called as a job calls it: in the results' folder, with relative paths and a context that
    went through JSON."""
    monkeypatch.chdir(folder)
    given = [[name, *files] for name, files in item.files.items()]
    if item.published:
        given.append([item.published, str(ROOT / "studies" / study.replace("-", "_") / "published.yaml")])
    build = builder(item, function)
    context = Context.from_json(selected.context(item).to_json())
    return context, build(context, **named_inputs(given, build))


def items_of(selected, kind, study, name):
    """The tables, or figures, that are made of one that is declared."""
    made = getattr(selected, kind)(study).values()
    return [item for item in made if item.declared.name == name]


@pytest.mark.parametrize(
    ("kind", "study", "name"),
    [*(("tables", *table) for table in TABLES), *(("figures", *figure) for figure in FIGURES)],
)
def test_a_builder_takes_a_context_and_the_inputs_that_are_declared(kind, study, name):
    item = next(item for item in getattr(STUDIES[study], kind) if item.name == name)
    module = importlib.import_module(item.builder or f"studies.{study}.{kind}.{name}".replace("-", "_"))
    expect_signature(module.build, item.inputs)
    assert hasattr(module, "animate") == bool(getattr(item, "animation", ()))
    if hasattr(module, "animate"):
        inputs = {key: what for key, what in item.inputs.items() if key in item.animation}
        expect_signature(module.animate, inputs, beside=("gif",))


def expect_signature(build, inputs, beside=()):
    first, *others = inspect.signature(inspect.unwrap(build)).parameters.values()
    assert first.name == "context" and first.kind is first.POSITIONAL_OR_KEYWORD
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    optional = {p.name for p in others if p.annotation == Path | None and p.name not in inputs}
    assert {p.name for p in others} - optional == {*inputs, *beside}
    for parameter in others:
        published = isinstance(inputs.get(parameter.name), Published) or parameter.name in {*beside, *optional}
        assert (parameter.annotation in (Path, Path | None)) == published, parameter.name


@pytest.mark.parametrize("study", JUDGED)
def test_claims_are_read_from_the_inputs_that_are_declared(study):
    read = importlib.import_module(f"studies.{study.replace('-', '_')}.claims").read
    expect_signature(read, STUDIES[study].claims.inputs)


@pytest.mark.parametrize(("study", "name"), TABLES)
def test_a_table_of_two_datasets_is_printed_in_three_ways(results, study, name, monkeypatch, tmp_path):
    selected, folder = results(study)
    (item,) = items_of(selected, "tables", study, name)
    context, table = called(study, selected, item, monkeypatch, folder)
    assert table.name == f"{study}-{name}" and table.rows
    table.write(tmp_path / "t.tex", tmp_path / "t.csv", tmp_path / "t.html")
    tex, html = ((tmp_path / f"t.{suffix}").read_text() for suffix in ("tex", "html"))
    for title in context.datasets.values():
        assert latex(title) in tex and title in html
        assert any(title in row.group for row in table.rows)
    sources = {file for row in csv.DictReader(io.StringIO(table.to_csv())) for file in row["files"].split(";") if file}
    assert sources and all(Path(file).is_file() for file in sources)
    assert all({dataset} & {part for file in sources for part in Path(file).parts} for dataset in context.datasets)


@pytest.mark.parametrize(
    ("kind", "study", "name"),
    [*(("tables", *table) for table in TABLES), *(("figures", *figure) for figure in FIGURES)],
)
def test_a_builder_uses_all_that_it_is_said_to_use(results, kind, study, name, monkeypatch):
    """What it does not use would make its table or figure again for nothing."""
    selected, folder = results(study)
    item = items_of(selected, kind, study, name)[0]
    for use in item.declared.uses:
        less = replace(item, declared=replace(item.declared, uses=tuple(u for u in item.declared.uses if u != use)))
        with pytest.raises(RobustlensError, match=f"is not told of {use}"):
            called(study, selected, less, monkeypatch, folder)


@pytest.mark.parametrize(("study", "name"), TABLES)
def test_a_baseline_is_a_recipe(study, name):
    baseline = next(table.baseline for table in STUDIES[study].tables if table.name == name)
    shipped = [
        read_yaml(file) for file in (ROOT / "config.yaml", ROOT / "studies" / study.replace("-", "_") / "config.yaml")
    ]
    assert baseline is None or any(baseline in file.get("recipes", {}) for file in shipped)


@pytest.mark.parametrize(("study", "name"), FIGURES)
def test_a_figure_is_drawn_and_moves_where_that_is_declared(results, study, name, monkeypatch, tmp_path):
    selected, folder = results(study)
    items = items_of(selected, "figures", study, name)
    per = made_up(study).CONFIG["datasets"] if "dataset" in items[0].declared.per else [None]
    assert len(items) >= len(per)
    for item in items:
        _, drawing = called(study, selected, item, monkeypatch, folder)
        save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
        assert latex(drawing.title) and latex(drawing.caption)
        width, height = drawing.figure.get_size_inches()
        assert width <= TEXT_WIDTH and height <= HIGHEST  # else it is printed smaller than it is drawn
        said = [text for text in drawing.figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        assert min((text.get_fontsize() for text in said), default=SMALLEST) >= SMALLEST
    if items[0].declared.animation:
        animate = builder(items[0], "animate")
        given = [[key, *files] for key, files in items[0].files.items() if key in items[0].declared.animation]
        animate(selected.context(items[0]), **named_inputs([*given, ["gif", str(tmp_path / "f.gif")]], animate))
        assert (tmp_path / "f.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize("study", JUDGED)
def test_the_ledger_of_two_datasets_judges_every_claim_on_each(results, study, monkeypatch):
    selected, folder = results(study)
    context, data = called(study, selected, selected.claims(study), monkeypatch, folder, "read")
    module = importlib.import_module(f"studies.{study.replace('-', '_')}.claims")
    table = ledger.build(context, module.CLAIMS, module.PAPER_DATASETS, data)
    assert list(data) == list(made_up(study).CONFIG["datasets"])
    judged = [c.id for dataset in data for c in ledger.claims_on(dataset, module.CLAIMS, module.PAPER_DATASETS)]
    assert [row.label for row in table.rows] == judged
    assert table.to_latex() and table.to_csv() and table.to_html()


@cache  # made once per study; each claim has a copy
def claims_data(study, support):
    return made_up(study).claims_data(support)


@pytest.mark.parametrize(("study", "claim"), CLAIMS, ids=[f"{study}: {claim.id}" for study, claim in CLAIMS])
def test_a_claim_is_supported_by_some_data_and_contradicted_by_others(study, claim):
    for support, verdict in ((True, SUPPORTED), (False, CONTRADICTED)):
        outcome = judge(claim, copy.deepcopy(claims_data(study, support)))
        assert outcome.verdict == verdict, outcome.detail
        assert outcome.sources


@pytest.mark.parametrize("study", JUDGED)
def test_claims_have_names_of_their_own_and_say_what_they_need_and_how_they_are_decided(study):
    claims = [claim for name, claim in CLAIMS if name == study]
    assert len({claim.id for claim in claims}) == len(claims)
    datasets = importlib.import_module(f"studies.{study.replace('-', '_')}.claims").PAPER_DATASETS
    for claim in claims:
        assert claim.statement.endswith(".") and claim.rule.endswith(".") and claim.source, claim.id
        assert set(claim.datasets) <= set(datasets), claim.id


@pytest.mark.parametrize("study", JUDGED)
def test_the_datasets_that_claims_are_about_are_those_of_the_paper_scale(study):
    """Another name, and what is claimed of the paper's data would be said to be about other data."""
    named = importlib.import_module(f"studies.{study.replace('-', '_')}.claims").PAPER_DATASETS
    files = [ROOT / "config.yaml", *(ROOT / "studies").glob("*/config.yaml")]
    assert set(named) <= {name for file in files for name in read_yaml(file)["scales"]["paper"].get("datasets", {})}


def test_a_study_brings_results_to_test_it_with():
    assert STUDIES and all(made_up(study).CONFIG["studies"].keys() == {study} for study in STUDIES)
