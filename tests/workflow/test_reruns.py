"""A change re-runs what depends on it, and nothing else."""

import ast
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flow import ENERGY, NOTHING, RESULTS, THREAT, contents, edit, jobs, pending, run, untouched
from safetensors.torch import load_file

from robustlens.data.pool import load_pool
from robustlens.data.prepared import PreparedDataset

SHEET = RESULTS / "data/digits/sheet.json"
SEEDS = ("seed0", "seed1")
RECIPES = ("sat", "trades", "weat-adv")
REPORT = {"report", "report-pdf"} if any(map(shutil.which, ("latexmk", "pdflatex", "tectonic"))) else {"report"}


def of(place: str, *recipes: str, seeds: tuple[str, ...] = SEEDS, file: str = "") -> set[str]:
    """The jobs of these recipes and seeds, as `flow.jobs` names them."""
    return {f"{place}/digits/{recipe}/{seed}{file}" for recipe, seed in itertools.product(recipes, seeds)}


def evaluations(suite: str, *recipes: str, seeds: tuple[str, ...] = SEEDS) -> set[str]:
    return of("evaluate", *recipes, seeds=seeds, file=f"/{THREAT}/{suite}")


def tables(*names: str) -> set[str]:
    return {f"studies/energy/tables/{name}" for name in names}


def figures(*names: str) -> set[str]:
    return {f"studies/energy/figures/{name}" for name in names}


CLAIMS = {"studies/energy/claims", "claims"}
AFTER_TRADES = {
    *of("train", "trades"),
    *evaluations("robustness", "trades"),
    *of("generate", "trades"),
    *of("score", "trades"),
    *of("generate_grid", "trades", seeds=("seed0",)),
    *tables("robustness", "differences", "autoattack", "phases", "energies", "generation", "generation-grid"),
    *CLAIMS,
    *figures("phases-digits", "plane-digits", "plane-digits-gif", "delta-digits", "correlation-digits"),
    *figures("violins-digits", "samples-digits", "class-distances-digits", "grid-digits-trades"),
    *REPORT,
}
TRADES_AWP = of("train", "trades-awp", seeds=("seed0",)) | evaluations("brief", "trades-awp", seeds=("seed0",))
AFTER_WEAT = {
    *of("train", "weat-adv"),
    *evaluations("robustness", "weat-adv"),
    *tables("robustness", "differences", "autoattack", "phases", "energies"),
    *CLAIMS,
    *figures("delta-digits", "correlation-digits", "violins-digits", "weight-digits"),
    *REPORT,
}
AFTER_ROBUSTNESS = {
    *evaluations("robustness", *RECIPES),
    *tables("robustness", "differences", "autoattack", "phases", "energies", "subsets"),
    *CLAIMS,
    *figures("violins-digits", "subsets-digits"),
    *REPORT,
}
AFTER_ATTACK_ENERGIES = {
    *evaluations("attack-energies", "sat"),
    *tables("attack-energies"),
    *CLAIMS,
    *figures("attacks-digits"),
    *REPORT,
}
NEW_SEED = {
    *of("train", *RECIPES, seeds=("seed2",)),
    *evaluations("robustness", *RECIPES, seeds=("seed2",)),
    *evaluations("attack-energies", "sat", seeds=("seed2",)),
    *of("generate", "trades", seeds=("seed2",)),
    *of("score", "trades", seeds=("seed2",)),
    *tables(
        "robustness", "differences", "autoattack", "phases", "energies", "attack-energies", "generation", "subsets"
    ),
    *CLAIMS,
    # the images of the samples and of the planes are those of the first seed, though not the scores and the phases
    *figures("phases-digits", "delta-digits", "correlation-digits", "violins-digits", "attacks-digits"),
    *figures("weight-digits", "subsets-digits", "class-distances-digits", "samples-digits"),
    *figures("plane-digits", "plane-digits-gif"),
    *REPORT,
}
# What a label, and what a colour, of a recipe that is further beside the main ones is shown in.
LABEL = {
    *tables("robustness", "differences", "phases", "energies"),
    *figures("delta-digits", "correlation-digits", "violins-digits"),
    *REPORT,
}
COLOUR = {*figures("delta-digits", "correlation-digits"), *REPORT}
ATTACK_LABEL = {
    *tables("robustness", "differences", "autoattack"),
    *figures("violins-digits", "subsets-digits"),
    *REPORT,
}
CHANGES_OF = {*tables("differences"), *figures("correlation-digits"), *CLAIMS, *REPORT}
# Whatever names its dataset: all that is shown.
TITLE = {
    *tables("robustness", "differences", "autoattack", "phases", "energies", "attack-energies", "subsets"),
    *tables("generation", "generation-grid"),
    *CLAIMS,
    *figures("phases-digits", "delta-digits", "correlation-digits", "violins-digits", "attacks-digits"),
    *figures("weight-digits", "subsets-digits"),
    *figures("samples-digits", "class-distances-digits", "grid-digits-trades"),
    *figures("plane-digits", "plane-digits-gif"),
    *REPORT,
}
GAIRAT = of("train", "gairat", seeds=("seed0",)) | evaluations("brief", "gairat", seeds=("seed0",))
CONFIGURATION = {"configuration"}

LIBRARY, STUDY = "src/robustlens", "studies/energy"
AVERAGES = f"{LIBRARY}/training/averaging.py", "use_buffers=True", "use_buffers=bool(1)"
DRAWN = {"generate_pool/digits/gaussian"}
POOL = {"fit_generator/digits/gaussian"} | DRAWN
GAUSSIAN = f"{LIBRARY}/generators/gaussian.py", "classes, least=2)", "classes, least=1 + 1)"
WEAT_ADV = "weat-adv: {method: weat, variant: adv"
CHANGES = {
    "a recipe's beta": ("config.yaml", "trades, beta: 6.0", "trades, beta: 5.0", AFTER_TRADES | CONFIGURATION),
    "another recipe's beta": ("config.yaml", f"{WEAT_ADV}, beta: 6.0", f"{WEAT_ADV}, beta: 5.0",
                              AFTER_WEAT | CONFIGURATION),
    "a seed more": ("tests/tiny.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]", NEW_SEED | CONFIGURATION),
    "the images of an attack": ("tests/tiny.yaml", "pgd20: 100, ", "pgd20: 90, ", AFTER_ROBUSTNESS | CONFIGURATION),
    "an attack more": ("tests/tiny.yaml", "pgd20, auto", "pgd20, square, auto", AFTER_ROBUSTNESS | CONFIGURATION),
    "an attack's parameter": (f"{STUDY}/config.yaml", "apgd, loss: dlr", "apgd, loss: dlr, steps: 9",
                              AFTER_ATTACK_ENERGIES | CONFIGURATION),
    "the label of a recipe": (f"{STUDY}/config.yaml", "label: GAIRAT", "label: Gairat", LABEL | CONFIGURATION),
    "the colour of a recipe": (f"{STUDY}/config.yaml", 'colour: "#000000"', 'colour: "#000001"', 
                               COLOUR | CONFIGURATION),
    "the label of an attack": ("config.yaml", "label: PGD-20", "label: PGD of 20", ATTACK_LABEL | CONFIGURATION),
    "what a recipe changes": (f"{STUDY}/config.yaml", "changes: trades", "changes: sat", CHANGES_OF | CONFIGURATION),
    "the baseline of the differences": (f"{STUDY}/study.py", 'baseline="trades"', 'baseline="sat"',
                                        tables("differences") | REPORT),
    "what sentences call the paper": (f"{STUDY}/study.py", 'paper="the energy paper"', 'paper="this paper"',
                                      CLAIMS | REPORT),
    "the citation of a dataset": (f"{LIBRARY}/data/catalogue/digits.yaml", "citation: ", "citation: By ", REPORT),
    "the code of a method": (f"{LIBRARY}/methods/trades.py", "= F.cross_entropy(",
                             "= 2.0 * F.cross_entropy(", AFTER_TRADES | TRADES_AWP),
    "the code of AWP": (f"{LIBRARY}/training/weight_perturbation.py", "gamma = self.settings",
                        "gamma = 1.0 * self.settings", TRADES_AWP | LABEL | CLAIMS),
    "the code of averages, which no recipe here asks for": (*AVERAGES, set()),
    "the code of FAB": (f"{LIBRARY}/attacks/fab.py", "attack.perturb(x, y)", "attack.perturb(x, y).clamp(0.0, 1.0)",
                        AFTER_ATTACK_ENERGIES),
    "the code of AutoAttack": (f"{LIBRARY}/attacks/autoattack.py", "x_adv = x.clone()", "x_adv = x + 0.0",
                               AFTER_ROBUSTNESS),
    "the code of a generator, whose pool no recipe here asks for": (*GAUSSIAN, set()),
    "the code of a general table": (f"{LIBRARY}/report/tables/autoattack.py", "after Square", "after all",
                                    tables("autoattack") | REPORT),
    "the code of a table of the study": (f"{STUDY}/tables/subsets.py", "DIGITS = 1", "DIGITS = 2",
                                         tables("subsets") | REPORT),
    "the list of a table's inputs": (f"{STUDY}/study.py", 'epoch", {"history": HISTORY, "evaluations": EVALUATIONS}',
                                     'epoch", {"history": HISTORY, "evaluations": Files("evaluations", "main")}',
                                     tables("energies") | REPORT),
    "the code of the scores": (f"{LIBRARY}/generation/quality.py", "KERNEL_SUBSETS = 100", "KERNEL_SUBSETS = 99",
                               {*of("score", "trades"), "score/digits/real-images", *tables("generation"), *CLAIMS,
                                *of("generate_grid", "trades", seeds=("seed0",)), *tables("generation-grid"),
                                *figures("class-distances-digits", "grid-digits-trades", "samples-digits"), *REPORT}),
    "the report's template": (f"{LIBRARY}/report/templates/report.html", "<h1>", '<h1 class="title">', REPORT),
    "a published number": (f"{STUDY}/published.yaml", "mail-trades: [53.09", "mail-trades: [53.90",
                           tables("robustness", "differences", "generation") | REPORT),
    "a kind of file more": ("rules/train.smk", 'FILES["history"] =', 'FILES["more"] = FILES["history"] =', set()),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_re_runs_exactly_the_jobs_that_depend_on_it(change, tree):
    file, old, new, expected = CHANGES[change]
    edit(tree / file, old, new)
    assert pending(tree) == expected


def test_the_code_of_averages_re_runs_the_training_that_averages_and_what_depends_on_it(tree):
    averaged = "gairat: {start_epoch: 1, training: {averaging: {name: ema, decay: 0.8}}}"
    edit(tree / "tests/tiny.yaml", "gairat: {start_epoch: 1}", averaged)
    code, output = run(tree, "-c2", "-p")
    assert code == 0 and jobs(output) == GAIRAT | LABEL | CLAIMS | CONFIGURATION, output
    file, old, new = AVERAGES
    edit(tree / file, old, new)
    assert pending(tree) == GAIRAT | LABEL | CLAIMS


def test_a_pool_is_made_by_name_and_again_when_its_generator_has_changed_and_so_is_nothing_else(tree):
    folder = RESULTS / "generators/digits/gaussian"
    pool, job = [folder / "images.npy", folder / "labels.npy"], POOL
    code, output = run(tree, "-c2", "-p", str(pool[0]))
    assert code == 0 and jobs(output) == job, output
    certificate = json.loads((tree / RESULTS / "provenance/generators/digits/gaussian/pool.json").read_text())
    assert certificate["outputs"] == contents(tree, pool)
    assert set(certificate["inputs"]) == {str(SHEET), str(folder / "fitted.safetensors")}
    read = load_pool(tree / folder, PreparedDataset(json.loads((tree / SHEET).read_text()), {}))
    assert read.images.shape == (200, 1, 8, 8) and read.labels.tolist() == [y for y in range(10) for _ in range(20)]
    assert pending(tree, "all", str(pool[0])) == set()

    edit(tree / GAUSSIAN[0], *GAUSSIAN[1:])
    before = contents(tree, pool)
    code, output = run(tree, "-c2", "-p", "all", str(pool[0]))
    assert code == 0 and jobs(output) == job, output
    assert contents(tree, pool) == before
    edit(tree / "tests/tiny.yaml", "gaussian: {family: gaussian, ", "gaussian: {family: gaussian, label: Normal, ")
    assert pending(tree, "all", str(pool[0])) == CONFIGURATION | REPORT
    edit(tree / "tests/tiny.yaml", "per_class: 20, shrinkage: 0.1", "per_class: 20, shrinkage: 0.2")
    assert pending(tree, str(pool[0])) == job


def test_a_training_waits_for_the_pool_and_the_run_that_it_is_made_from(tree):
    mixed, started = (RESULTS / f"runs/digits/{recipe}/seed0" for recipe in ("sat-mixed", "trades-from-sat"))
    asked = [str(mixed / "statistics.parquet"), str(started / "last.safetensors")]
    pool, trained = POOL, of("train", "sat-mixed", "trades-from-sat", seeds=("seed0",))
    code, output = run(tree, "-c2", "-p", *asked)
    assert code == 0 and jobs(output) == pool | trained, output
    found = pd.read_parquet(tree / asked[0])
    assert found["step"].tolist() == [s for s in range(1, 26, 5) for _ in range(2)]  # 5 epochs of 5 steps
    kept = load_file(tree / mixed / "checkpoints.safetensors")
    assert {name.partition(".")[0] for name in kept} == {"3", "5"}
    inputs = [json.loads((tree / RESULTS / f"provenance/{run}.json").read_text())["inputs"]
              for run in ("runs/digits/sat-mixed/seed0", "runs/digits/trades-from-sat/seed0")]  # fmt: skip
    assert {Path(name).name for name in inputs[0]} == {"sheet.json", "images.npy", "labels.npy"}
    assert {Path(name).name for name in inputs[1]} == {"sheet.json", "last.safetensors"}
    assert pending(tree, *asked) == set()
    unobserved = load_file(tree / RESULTS / "runs/digits/sat/seed0/checkpoints.safetensors")
    assert unobserved == {} and len(pd.read_parquet(tree / RESULTS / "runs/digits/sat/seed0/statistics.parquet")) == 0

    mixing, starting = of("train", "sat-mixed", seeds=("seed0",)), of("train", "trades-from-sat", seeds=("seed0",))
    for file, old, new, expected in (
        ("tests/tiny.yaml", "per_class: 20, shrinkage: 0.1", "per_class: 20, shrinkage: 0.2", pool | mixing),
        ("tests/tiny.yaml", "gamma: 0.4", "gamma: 0.5", mixing),
        (f"{LIBRARY}/generators/pool.py", "CHUNK_VALUES = 2**20", "CHUNK_VALUES = 2**19", DRAWN | mixing),
        (f"{LIBRARY}/training/mixture.py", "max(1, round(", "max(1, 0 + round(", mixing),
        (f"{LIBRARY}/observers/loss_terms.py", "list(step.", "1 * list(step.", mixing),
        (f"{LIBRARY}/observers/gradient_conflict.py", "g1 * g2 < 0", "g2 * g1 < 0", set()),
        ("config.yaml", "{method: sat, ", "{method: sat, training: {weight_decay: 0.001}, ",
         of("train", "sat", seeds=("seed0",)) | starting),
    ):  # fmt: skip
        edit(tree / file, old, new)
        assert pending(tree, *asked) == expected, file
        edit(tree / file, new, old)


def test_a_second_run_has_nothing_to_do(finished):
    code, output = run(finished, "-c2")
    assert code == 0 and NOTHING in output, output


def test_comments_docstrings_and_formatting_re_run_nothing(tree):
    """Every Python file as a parser prints it: without comments, in another format, with other docstrings."""
    for file in [*(tree / "src").rglob("*.py"), *(tree / "studies").rglob("*.py"), *(tree / "scripts").glob("*.py")]:
        text = file.read_text()
        code = ast.parse(text)
        for node in ast.walk(code):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                node.body[0].value.value = "Other words."
        file.write_text(f"# A comment.\n\n\n{ast.unparse(code)}\n")
        assert "# A comment" in file.read_text() != text
    for name in (
        *("Snakefile", "config.yaml", "studies/energy/config.yaml"),
        *("tests/tiny.yaml", "schemas/config.schema.yaml", "envs/robustlens.yaml"),
    ):
        (tree / name).write_text((tree / name).read_text() + "\n# A comment.\n")
    for file in (tree / "rules").glob("*.smk"):
        file.write_text("# A comment.\n\n" + file.read_text())
    code, output = run(tree, "-n", "-c2")
    assert code == 0 and NOTHING in output, output


def test_a_moved_checkout_has_nothing_to_do(tree):
    assert pending(tree) == set()


def test_another_beta_retrains_its_recipe_and_leaves_every_other_file_alone(tree):
    results = tree / RESULTS
    before, weights = untouched(results), [RESULTS / f"runs/digits/trades/{seed}/last.safetensors" for seed in SEEDS]
    old_weights = contents(tree, weights)
    edit(tree / "config.yaml", "trades, beta: 6.0", "trades, beta: 5.0")
    table = str(ENERGY / "tables/robustness.tex")
    expected = of("train", "trades") | evaluations("robustness", "trades") | tables("robustness")
    assert pending(tree, table) == expected

    code, output = run(tree, "-c2", "-p", table)
    assert code == 0, output
    assert jobs(output) == expected
    after = untouched(results)
    changed = {name for name in after if after[name] != before.get(name)}
    assert all("trades" in str(name) or "tables/robustness" in str(name) for name in changed), changed
    assert before.keys() <= after.keys()
    new_weights = contents(tree, weights)
    assert all(old_weights[name] != new_weights[name] for name in old_weights)
    assert pending(tree, table) == set()


def test_another_caption_makes_its_table_and_the_report_again_and_leaves_every_other_file_alone(tree):
    results = tree / RESULTS
    before = untouched(results)
    edit(tree / STUDY / "tables/energies.py", "Mean marginal and joint energies", "Both mean energies")
    code, output = run(tree, "-c2", "-p")
    assert code == 0, output
    assert jobs(output) == tables("energies") | REPORT
    after = untouched(results)
    assert before.keys() == after.keys()
    changed = {str(name) for name in after if after[name] != before[name]}
    made = [f"studies/energy/tables/energies.{suffix}" for suffix in ("tex", "csv", "html")]
    made += [f"report.{suffix}" for suffix in ("tex", "html", "pdf")][: len(REPORT) + 1]
    made += ["front.pdf", "front.png"]
    kept_apart = ("provenance/", "logs/", "benchmarks/")
    assert {name for name in changed if not name.startswith(kept_apart)} == set(made)
    for name in (
        *("studies/energy/tables/energies.tex", "studies/energy/tables/energies.html"),
        *("report.tex", "report.html"),
    ):
        assert "Both mean energies" in (results / name).read_text()
    assert before[Path("studies/energy/tables/energies.csv")][1] == after[Path("studies/energy/tables/energies.csv")][1]


def test_another_title_re_makes_only_what_shows_it(tree):
    """Tables, figures and the report: no data, no training, no evaluation."""
    edit(tree / "tests/tiny.yaml", "        reader: {family: digits}\n", "        reader: {family: digits}\n"
         "        title: Some digits\n")  # fmt: skip
    assert pending(tree) == TITLE | CONFIGURATION


def test_a_crop_re_runs_all_that_follows_from_the_images_and_prepares_none(first_run, tree):
    """And what it re-runs sees the centres: only 6x6 of the 8x8 pixels are there to be generated."""
    _, (_, output) = first_run
    before = untouched(tree / RESULTS / "data")
    edit(tree / "tests/tiny.yaml", "        reader: {family: digits}\n", "        reader: {family: digits}\n"
         "        crop: 6\n")  # fmt: skip
    assert pending(tree) == jobs(output) - {"data/digits"}

    generation = RESULTS / "generation/digits"
    wanted = [generation / "trades/seed0/scores.json", generation / "trades/seed0/grid.npz"]
    wanted += [generation / "real-images.json", RESULTS / f"evaluations/digits/trades/seed0/{THREAT}/brief.json"]
    wanted += [RESULTS / "energies/digits/sat/seed0/training-images.parquet"]
    code, output = run(tree, "-c2", "-p", *map(str, wanted))
    assert code == 0 and not {name for name in jobs(output) if name.startswith("data/")}, output
    assert untouched(tree / RESULTS / "data") == before
    with np.load(tree / generation / "trades/seed0/samples.npz") as samples:
        assert samples["images"].shape == (200, 1, 6, 6)
    of_run = tree / RESULTS / "provenance"
    for certificate in (
        *("runs/digits/trades/seed0.json", f"evaluations/digits/trades/seed0/{THREAT}/best/pgd20.100.json"),
        *("energies/digits/sat/seed0/training-images.json", "generation/digits/reference.json"),
        "generation/digits/trades/seed0/grid.json",
    ):
        assert json.loads((of_run / certificate).read_text())["parameters"]["crop"] == 6, certificate
