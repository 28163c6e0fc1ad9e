"""Which runs, files, tables and figures a declaration means under a configuration."""

import copy

import pytest

from robustlens.errors import RobustlensError
from robustlens.study.declaration import Claims, Cohort, Figure, Files, Published, Study, Table
from robustlens.study.selection import Kind, Run, Selection

KINDS = {
    "history": Kind("runs/{dataset}/{recipe}/seed{seed}/history.parquet"),
    "evaluations": Kind("evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json", models=True),
    "real": Kind("generation/{dataset}/real.json"),
    "pool": Kind("generators/{prepared}/{generator}/images.npy"),
    "sheet": Kind("data/{prepared}/sheet.json"),
    "measured": Kind("energies/{dataset}/{recipe}/seed{seed}/measured.parquet"),
    "certified": Kind("certified/{dataset}/{recipe}/seed{seed}/{certification}.parquet", models=True),
}
CONFIG = {
    "scale": "small",
    "seeds_share_jobs": False,
    "threats": {"near": {"norm": "linf", "epsilon": 0.1, "step_size": 0.02}, "far": {"norm": "l2", "epsilon": 1.0}},
    "datasets": {
        "digits": {"reader": {"family": "digits"}, "title": "Digits", "threat": "near", "architecture": {"width": 1}},
        "twins": {"reader": {"family": "digits"}, "title": "Digits", "threat": "near", "architecture": {"width": 2}},
    },
    "recipes": {
        "sat": {"method": "sat", "label": "SAT", "colour": "#D55E00", "marker": "o"},
        "trades": {"method": "trades"},
        "sat-l2": {"method": "sat", "threat": "far"},
        "fewer": {"method": "sat", "changes": "sat", "leave_out": {"measured_by": "trades", "above": 1.0}},
        "without-threes": {"method": "sat", "changes": "sat", "leave_out": {"classes": [3]}},
    },
    "models": {"wang": {"dataset": "digits", "title": "Wang et al.", "architecture": {"width": 1}}},
    "attacks": {"clean": {"family": "clean"}, "pgd": {"family": "pgd", "label": "PGD"}, "cw": {"family": "cw"}},
    "suites": {"robustness": {"attacks": ["clean", "pgd"]}, "other": {"attacks": ["cw"]}},
    "certifications": {"near": {"family": "smoothing", "label": "Near"}, "far": {"family": "smoothing"}},
    "studies": {
        "mine": {
            "cohorts": {
                "main": {
                    "datasets": ["digits", "twins"],
                    "recipes": ["sat", "trades"],
                    "seeds": [0, 1],
                    "suite": "robustness",
                    "models": ["wang"],
                },
                "subsets": {
                    "datasets": ["digits"],
                    "recipes": ["fewer", "without-threes"],
                    "seeds": [0],
                    "suite": "other",
                    "threat": "far",
                    "models": [],
                },
            }
        }
    },
}
COHORTS = {name: Cohort(name) for name in ("main", "subsets", "unused")}


def selection(tables=(), figures=(), claims=None, config=CONFIG) -> Selection:
    study = Study("Title", "the paper", COHORTS, tables, figures, claims, name="mine")
    return Selection(config, {"mine": study}, KINDS)


def table(name: str = "t", **inputs) -> Table:
    return Table(name, "A table", inputs)


def files(*arguments, **options) -> list[str]:
    """The files of the only input of a table, without what they all begin with."""
    item = selection([table(x=Files(*arguments, **options))]).tables("mine")["t"]
    assert all(path.startswith("results/small/") for path in item.files["x"])
    return [path.removeprefix("results/small/") for path in item.files["x"]]


def test_runs_come_by_cohort_dataset_recipe_and_seed_and_third_party_models_last():
    places = [f"{d}/{r}/seed{s}" for d in ("digits", "twins") for r in ("sat", "trades") for s in (0, 1)]
    assert files("history", "main") == [f"runs/{place}/history.parquet" for place in places]
    evaluated = files("evaluations", "main", "subsets")
    assert evaluated[:8] == [f"evaluations/{place}/near/robustness.json" for place in places]
    assert evaluated[8:] == [
        "evaluations/digits/wang/seed0/near/robustness.json",
        "evaluations/digits/fewer/seed0/far/other.json",
        "evaluations/digits/without-threes/seed0/far/other.json",
    ]


def test_a_run_is_evaluated_under_the_threat_that_it_was_trained_under_unless_its_cohort_says_otherwise():
    study = selection().studies["mine"]
    chosen = Selection({**CONFIG, "studies": {"mine": {"cohorts": {"main": cohort("sat-l2")}}}}, {"mine": study}, KINDS)
    assert chosen.runs(study, Files("evaluations", "main")) == [Run("digits", "sat-l2", 0, "far", "robustness")]
    asked = {"main": cohort("sat-l2", threat="near")}
    chosen = Selection({**CONFIG, "studies": {"mine": {"cohorts": asked}}}, {"mine": study}, KINDS)
    assert chosen.runs(study, Files("evaluations", "main")) == [Run("digits", "sat-l2", 0, "near", "robustness")]


def cohort(*recipes: str, **more: str) -> dict:
    return {"datasets": ["digits"], "recipes": list(recipes), "seeds": [0], "suite": "robustness", "models": [], **more}


def test_where_picks_by_settings_of_the_recipe():
    assert files("history", "main", where=lambda recipe: recipe["method"] == "trades", first_seed=True) == [
        "runs/digits/trades/seed0/history.parquet",
        "runs/twins/trades/seed0/history.parquet",
    ]
    assert files("evaluations", "main", where=lambda recipe: recipe["name"] == "wang") == [
        "evaluations/digits/wang/seed0/near/robustness.json"
    ]


def test_changed_by_keeps_the_recipes_that_another_cohort_changes():
    assert {path.split("/")[2] for path in files("history", "main", changed_by="subsets")} == {"sat"}


def test_through_a_setting_leads_to_the_recipe_that_it_names_and_to_none_without_it():
    assert files("measured", "subsets", through="leave_out.measured_by") == [
        "energies/digits/trades/seed0/measured.parquet"
    ]


def test_files_of_a_dataset_come_once():
    assert files("real", "main") == ["generation/digits/real.json", "generation/twins/real.json"]


def with_generators() -> dict:
    """With recipes that mix in generated images, and a dataset of other images than the two others have."""
    config = copy.deepcopy(CONFIG)
    config["generators"] = {
        "kde": {"family": "kde", "per_class": 800, "label": "Kernel density"},
        "kde-20": {"family": "kde", "per_class": 20},
        "edm": {"sample_set": {"layout": "npz"}},
    }
    config["recipes"]["port"] = {"method": "sat", "mix": {"generator": "kde", "gamma": 0.4, "ratio": 1.0}}
    config["recipes"]["alone"] = {"method": "sat", "mix": {"generator": "kde", "gamma": 0, "ratio": 1.0}}
    config["recipes"]["few"] = {"method": "sat", "mix": {"generator": "kde-20", "gamma": 0.4, "ratio": 1.0}}
    config["recipes"]["published"] = {"method": "sat", "mix": {"generator": "edm", "gamma": 0.4, "ratio": 1.0}}
    config["datasets"]["svhn"] = config["datasets"]["digits"] | {"reader": {"family": "svhn"}}
    main = config["studies"]["mine"]["cohorts"]["main"]
    main["recipes"] += ["port", "alone", "few", "published"]
    main["datasets"] += ["svhn"]
    return config


def test_files_of_generated_and_of_prepared_images_come_once_for_all_runs_that_share_them():
    """`twins` has the images of `digits`; `sat`, `trades` and the third-party model have no generated images."""
    declared = [table(x=Files("pool", "main"), y=Files("sheet", "main")), table("none", x=Files("pool", "subsets"))]
    chosen = Selection(with_generators(), selection(declared).studies, KINDS)
    found = chosen.tables("mine")["t"].files
    pools = [
        f"generators/{dataset}/{name}/images.npy" for dataset in ("digits", "svhn") for name in ("kde", "kde-20", "edm")
    ]
    assert found["x"] == [f"results/small/{path}" for path in pools]
    assert found["y"] == [f"results/small/data/{dataset}/sheet.json" for dataset in ("digits", "svhn")]
    assert "none" not in chosen.tables("mine")  # no run of this cohort has generated images


def test_a_builder_is_told_of_generated_images_where_it_says_that_it_uses_them():
    inputs = {"x": Files("evaluations", "main")}
    declared = [Table("told", "T", inputs, uses=("mix",)), Table("bare", "T", inputs)]
    chosen = Selection(with_generators(), selection(declared).studies, KINDS)
    told, bare = (chosen.context(chosen.tables("mine")[name]) for name in ("told", "bare"))
    kde = {"generator": "kde", "label": "Kernel density", "per_class": 800, "fit": "kde"}
    assert told.mix("port") == kde | {"gamma": 0.4, "ratio": 1.0} and told.mix("alone") == kde | {
        "gamma": 0,
        "ratio": 1.0,
    }
    few = {"generator": "kde-20", "label": "kde-20", "per_class": 20, "fit": "kde"}
    assert told.mix("few") == few | {"gamma": 0.4, "ratio": 1.0}
    of_set = {"generator": "edm", "label": "edm", "per_class": None, "fit": "edm", "gamma": 0.4, "ratio": 1.0}
    assert told.mix("published") == of_set and told.mix("sat") == told.mix("wang") == {}
    assert all(recipe.mix == {} for recipe in bare.recipes.values())


def test_a_table_is_made_only_where_every_input_has_files_or_is_optional():
    chosen = selection(
        [
            table("made", x=Files("history", "main"), y=Files("history", "unused", optional=True)),
            table("not-made", x=Files("history", "main"), y=Files("history", "unused")),
            table("parts", x=(Files("history", "main"), Files("history", "unused"))),
            table("published", x=Files("history", "main"), p=Published()),
        ],
        claims=Claims("Judge", {"x": Files("history", "unused")}),
    )
    assert list(chosen.tables("mine")) == ["made", "published"]
    assert chosen.tables("mine")["made"].files["y"] == []
    assert chosen.tables("mine")["published"].published == "p"
    assert list(chosen.tables("mine")["published"].files) == ["x"]
    assert chosen.claims("mine").files == {"x": []}


def test_figures_are_made_for_each_dataset_and_recipe_that_all_inputs_have():
    per = {"per": ("dataset", "recipe"), "animation": ("x",)}
    both = {"x": Files("history", "main"), "y": Files("history", "main", where=lambda recipe: recipe["name"] == "sat")}
    figures = [Figure("plane", "Plane", both, **per), Figure("all", "All", {"x": Files("real", "main")})]
    chosen = selection(figures=figures)
    assert list(chosen.figures("mine")) == ["plane-digits-sat", "plane-twins-sat", "all"]
    item = chosen.figures("mine")["plane-twins-sat"]
    assert item.files["y"] == [f"results/small/runs/twins/sat/seed{seed}/history.parquet" for seed in (0, 1)]
    assert list(chosen.animations("mine")) == ["plane-digits-sat", "plane-twins-sat"]
    assert item.builder == "studies.mine.figures.plane"


def test_what_is_wanted_early_is_known_with_its_runs():
    early = Table("first", "First", {"x": Files("evaluations", "subsets")}, early=True)
    chosen = selection([table(x=Files("history", "main")), early])
    places = [f"results/small/evaluations/digits/{name}/seed0/far/other.json" for name in ("fewer", "without-threes")]
    assert chosen.early == {*places, "digits/fewer", "digits/without-threes"}


def test_suites_that_repeat_an_attack_on_a_run_are_known():
    both = {"attacks": ["pgd", "cw"]}
    more = {"datasets": ["digits"], "recipes": ["trades", "fewer"], "seeds": [0], "models": []}
    cohorts = {"unused": more | {"suite": "both"}, "last": more | {"suite": "again", "threat": "far"}}
    config = copy.deepcopy(CONFIG)
    config["suites"] |= {"both": both, "again": both}
    config["studies"]["mine"]["cohorts"] |= cohorts
    # The same suite once more, in another study, is the same job.
    config["studies"]["other"] = {"cohorts": {"main": config["studies"]["mine"]["cohorts"]["main"]}}
    studies = {name: Study("Title", "the paper", COHORTS, name=name) for name in ("mine", "other")}
    chosen = Selection(config, studies, KINDS)
    # On `fewer`, another threat shares nothing with `both`, but `other` has an attack of `again` under the same one.
    again = ["digits/trades/seed0/near/both", "digits/fewer/seed0/far/again"]
    assert chosen.further_suites == {f"results/small/evaluations/{place}.json" for place in again}
    assert selection().further_suites == set()


def test_seeds_share_a_job_where_all_that_reads_one_of_them_reads_them_all():
    config = copy.deepcopy(CONFIG) | {"seeds_share_jobs": True}
    evaluated = [table("all", x=Files("evaluations", "main")), table("few", x=Files("evaluations", "subsets"))]

    def of_sat(**only) -> Files:
        return Files("evaluations", "main", where=lambda recipe: recipe["name"] == "sat", **only)

    places = [(d, r, "near", "robustness") for d in ("digits", "twins") for r in ("sat", "trades")]
    assert selection([*evaluated, table("sat", x=of_sat())], config=config).shared_evaluations == {(0, 1): places}
    # A figure of the first seed alone must not wait for another one.
    first = Figure("first", "First", {"x": of_sat(first_seed=True)})
    trades = [place for place in places if place[1] == "trades"]
    assert selection(evaluated, [first], config=config).shared_evaluations == {(0, 1): trades}
    assert selection(evaluated).shared_evaluations == {}


def test_studies_that_want_other_seeds_of_a_run_share_no_job_for_it():
    config = copy.deepcopy(CONFIG) | {"seeds_share_jobs": True}
    more = config["studies"]["mine"]["cohorts"]["main"] | {"recipes": ["sat"], "seeds": [0, 1, 2], "models": []}
    config["studies"]["other"] = {"cohorts": {"main": more}}
    tables = [table(x=Files("evaluations", "main"))]
    studies = {name: Study("Title", "the paper", COHORTS, tables, name=name) for name in ("mine", "other")}
    places = [(dataset, "trades", "near", "robustness") for dataset in ("digits", "twins")]
    assert Selection(config, studies, KINDS).shared_evaluations == {(0, 1): places}


def test_an_unknown_name_is_answered_with_the_nearest_one():
    chosen = selection([table("robustness", x=Files("history", "main"))])
    with pytest.raises(RobustlensError, match="the study mine has no table 'robustnes'; did you mean 'robustness'"):
        chosen.find("tables", "mine", "robustnes")
    with pytest.raises(RobustlensError, match="no study 'mien'; did you mean 'mine'"):
        chosen.find("figures", "mien", "x")
    with pytest.raises(RobustlensError, match="the study mine has no animation 'x'"):
        chosen.find("animations", "mine", "x")
    wrong = selection([table(x=Files("histories", "main"))])
    with pytest.raises(RobustlensError, match=r"studies/mine/study\.py: no stage .*'histories'; did you mean"):
        wrong.check()


def test_two_figures_of_one_name_are_refused():
    inputs = {"x": Files("history", "main")}
    twice = selection(figures=[Figure("f", "F", inputs, per=("dataset",)), Figure("f-digits", "F", inputs)])
    with pytest.raises(RobustlensError, match=r"studies/mine/study\.py: two figures are called 'f-digits'"):
        twice.check()
    selection(figures=[Figure("f", "F", inputs, per=("dataset",)), Figure("f-other", "F", inputs)]).check()


SHARED = {  # settings that are changed, and the start of the message
    "two recipes": (
        {"recipes": {"trades": {"label": " SAT "}}},
        "config.recipes.trades.label: 'SAT' is also the label of sat, and both are in the table t of mine; give one of "
        "them another label",
    ),
    "a label that is another recipe's name": (
        {"recipes": {"sat": {"label": "trades"}}},
        "config.recipes.trades.label: 'trades' is also the label of sat",
    ),
    "a third-party model": (
        {"models": {"wang": {"title": "SAT"}}},
        "config.models.wang.title: 'SAT' is also the label of sat",
    ),
}


def with_settings(changes: dict, declared: Selection) -> Selection:
    """The same declaration where these recipes and models have these settings."""
    config = copy.deepcopy(CONFIG)
    for section, entries in changes.items():
        for name, settings in entries.items():
            config[section][name] |= settings
    return Selection(config, declared.studies, KINDS)


@pytest.mark.parametrize("case", SHARED)
def test_two_recipes_of_one_label_in_one_table_are_refused(case):
    changes, message = SHARED[case]
    for declared in (
        selection([table(x=Files("evaluations", "main"))]),
        selection(figures=[Figure("t", "T", {"x": Files("evaluations", "main")}, per=("dataset",))]),
    ):
        declared.check()
        with pytest.raises(RobustlensError) as caught:
            with_settings(changes, declared).check()
        item = "the table t of mine" if declared.tables("mine") else "the figure t-digits of mine"
        assert str(caught.value).startswith(message.replace("the table t of mine", item))


def test_recipes_of_one_label_that_no_table_shows_together_are_allowed():
    apart = [table(x=Files("history", "main")), table("u", x=Files("history", "subsets"))]
    only_sat = Files("history", "main", where=lambda recipe: recipe["name"] == "sat")
    shared = {"recipes": {name: {"label": "SAT"} for name in ("trades", "fewer")}}
    one_label = {"recipes": {"fewer": {"label": "SAT"}}}
    with_settings(one_label, selection(apart)).check()
    with_settings(shared, selection([table(x=only_sat)])).check()
    per_recipe = Figure("f", "F", {"x": Files("history", "main", "subsets")}, per=("recipe",))
    with_settings(shared, selection(figures=[per_recipe])).check()
    ledger = Claims("Judge", {"x": Files("history", "main", "subsets")})  # names recipes, whatever their labels
    with_settings(shared, selection(claims=ledger)).check()
    no_model = table(x=Files("history", "main"))  # made of our own runs only
    with_settings({"models": {"wang": {"title": "SAT"}}}, selection([no_model])).check()


def test_what_a_study_promises_are_the_files_of_all_that_it_makes():
    inputs = {"x": Files("history", "main")}
    moving = Figure("f", "F", inputs, animation=("x",))
    chosen, folder = selection([table(**inputs)], [moving], Claims("Judge", inputs)), "results/small/studies/mine"
    made = ("tables/t.tex", "figures/f.png", "figures/f.pdf", "figures/f.gif", "claims.tex")
    assert chosen.results("mine") == [f"{folder}/{name}" for name in made]
    assert chosen.made("mine", "tables", ".html", ".csv") == [f"{folder}/tables/t.html", f"{folder}/tables/t.csv"]
    assert selection([table(**inputs)]).made("mine", "claims", ".csv") == []


def test_the_context_has_what_occurs_among_the_inputs_and_nothing_else():
    inputs = {"x": Files("evaluations", "subsets"), "p": Published()}
    published = Table("t", "A table", inputs, uses=("attacks", "changes"), baseline="sat")
    chosen = selection([published, table("h", x=Files("history", "main"))])
    context = chosen.context(chosen.tables("mine")["t"])
    assert (context.name, context.study, context.baseline) == ("t", "mine", "sat")
    assert context.caveat == "Scale small: not the protocol of the papers."
    assert dict(context.datasets) == {"digits": "Digits"}
    assert dict(context.attacks) == {"cw": "cw"}
    assert set(context.recipes) == {"fewer", "without-threes"}
    assert context.changes("fewer") == "sat" and context.recipes["fewer"].leaves_out
    assert dict(context.recipes["fewer"].threats) == {"digits": "near"}
    assert set(context.threats) == {"near", "far"}
    assert dict(context.architectures) == {"digits": {"width": 1}}

    of_history = chosen.context(chosen.tables("mine")["h"])
    assert dict(of_history.datasets) == {"digits": "Digits (digits)", "twins": "Digits (twins)"}
    assert (of_history.attacks, of_history.threats, of_history.architectures) == ({}, {}, {})
    assert of_history.recipes["sat"].label == "SAT" and of_history.baseline is None
    assert of_history.recipes["trades"].label == "trades" and not of_history.recipes["trades"].leaves_out


def test_a_recipe_s_own_architecture_is_told_where_published_numbers_are_compared_with():
    """Those without one leave the context as it was: their tables are not made again."""
    declared = [table(x=Files("evaluations", "main"), p=Published()), table("u", x=Files("evaluations", "main"))]
    chosen = selection(declared)
    before = {name: chosen.context(item).to_json() for name, item in chosen.tables("mine").items()}
    own, usual = {"width": 1, "depth": 9}, CONFIG["datasets"]["twins"]["architecture"]
    settings = {"recipes": {"sat": {"architecture": own}, "trades": {"architecture": usual}}}
    changed = with_settings(settings | {"models": {"wang": {"architecture": {"width": 3}}}}, chosen)
    after = {name: changed.context(item) for name, item in changed.tables("mine").items()}
    found = {name: dict(recipe.architectures) for name, recipe in after["t"].recipes.items()}
    of_trades = {"digits": usual}  # on `twins` it is the dataset's own
    assert found == {"sat": {"digits": own, "twins": own}, "trades": of_trades, "wang": {"digits": {"width": 3}}}
    assert dict(after["t"].architectures) == {"digits": {"width": 1}, "twins": {"width": 2}}
    assert after["u"].to_json() == before["u"]
    assert [recipe for _, recipe in before["t"]["recipes"] if "architectures" in recipe] == []


def test_a_builder_is_told_only_what_its_declaration_says_that_it_uses():
    """So that another colour, attack label or base of a recipe makes only those again that show it."""
    inputs = {"x": Files("evaluations", "subsets")}
    chosen = selection([Table("bare", "T", inputs)], [Figure("f", "F", inputs, uses=("colours",))])
    bare, figure = (chosen.context(item) for item in (chosen.tables("mine")["bare"], chosen.figures("mine")["f"]))
    assert bare.attacks == {} and bare.recipes["fewer"].changes is None and bare.paper == ""
    other = copy.deepcopy(CONFIG)
    other["recipes"]["fewer"] |= {"colour": "#123456", "marker": "v", "changes": "trades"}
    other["attacks"]["cw"]["label"] = "Carlini and Wagner"
    changed = Selection(other, chosen.studies, KINDS)
    assert changed.context(changed.tables("mine")["bare"]).to_json() == bare.to_json()
    drawn = changed.context(changed.figures("mine")["f"])
    assert drawn.colour("fewer") == "#123456" and drawn.recipes["fewer"].marker == figure.recipes["fewer"].marker


def test_a_builder_that_uses_shapes_is_told_what_networks_see():
    inputs = {"x": Files("evaluations", "main")}
    cropped = copy.deepcopy(CONFIG)
    cropped["datasets"]["twins"]["crop"] = 6
    study = selection([Table("t", "T", inputs, uses=("shapes",)), Table("bare", "T", inputs)]).studies["mine"]
    chosen = Selection(cropped, {"mine": study}, KINDS)
    told, bare = (chosen.context(chosen.tables("mine")[name]) for name in ("t", "bare"))
    assert (told.values("digits"), told.values("twins"), bare.shapes) == (64, 36, {})


def certified_by(**cohorts: dict) -> dict:
    """The configuration where the study has these cohorts, of one run each."""
    return {**CONFIG, "studies": {"mine": {"cohorts": {name: cohort("sat", **own) for name, own in cohorts.items()}}}}


def test_the_certified_files_of_a_cohort_are_those_of_its_certification():
    inputs = {"x": Files("certified", "main", "subsets"), "y": Files("history", "main", "subsets")}
    study = selection([Table("t", "T", inputs, uses=("certifications",)), Table("bare", "T", inputs)]).studies["mine"]
    config = certified_by(main={"certification": "near", "models": ["wang"]}, subsets={"certification": "far"})
    chosen = Selection(config, {"mine": study}, KINDS)
    chosen.check()
    item = chosen.tables("mine")["t"]
    assert item.files["x"] == [
        "results/small/certified/digits/sat/seed0/near.parquet",
        "results/small/certified/digits/wang/seed0/near.parquet",
        "results/small/certified/digits/sat/seed0/far.parquet",
    ]
    assert item.files["y"] == ["results/small/runs/digits/sat/seed0/history.parquet"]  # one run, certified twice
    assert chosen.context(item).certifications == {"near": "Near", "far": "far"}
    assert chosen.context(chosen.tables("mine")["bare"]).certifications == {}
    one = Selection(certified_by(main={}), {"mine": study}, KINDS)
    with pytest.raises(
        RobustlensError, match=r"^config\.studies\.mine\.cohorts\.main: 'certification' is missing; add it$"
    ):
        one.check()


def test_a_third_party_model_goes_by_its_title():
    chosen = selection([table(x=Files("evaluations", "main"))])
    assert chosen.context(chosen.tables("mine")["t"]).recipe_label("wang") == "Wang et al."


def test_ledgers_are_told_of_the_paper_and_of_no_labels():
    inputs = {"x": Files("evaluations", "main", where=lambda recipe: recipe["name"] == "sat")}
    chosen = selection(claims=Claims("C", inputs))
    ledger = chosen.context(chosen.claims("mine"))
    assert ledger.recipes["sat"].label == "sat" and ledger.paper == "the paper"
    assert dict(ledger.datasets) == {"digits": "Digits (digits)", "twins": "Digits (twins)"}


@pytest.mark.parametrize("together", [False, True])
def test_suites_and_threats_are_those_of_the_evaluations_and_of_no_other_input(together):
    """The suite and the threat of `subsets`, of which only histories are read, may change and the table stays."""
    evaluated, trained = Files("evaluations", "main"), Files("history", "subsets")
    inputs = {"x": (evaluated, trained)} if together else {"x": evaluated, "y": trained}
    declared = Table("t", "T", inputs, uses=("attacks",))
    chosen = selection([declared])
    context = chosen.context(chosen.tables("mine")["t"])
    assert dict(context.attacks) == {"clean": "clean", "pgd": "PGD"} and set(context.threats) == {"near"}
    assert {name: dict(recipe.threats) for name, recipe in context.recipes.items()} == {
        "sat": {"digits": "near", "twins": "near"},
        "trades": {"digits": "near", "twins": "near"},
        "wang": {"digits": "near"},
        "fewer": {},
        "without-threes": {},
    }
    other = copy.deepcopy(CONFIG)
    other["studies"]["mine"]["cohorts"]["subsets"] |= {"suite": "robustness", "threat": "near"}
    other["attacks"]["cw"]["label"] = "Carlini and Wagner"
    changed = Selection(other, chosen.studies, KINDS)
    assert changed.context(changed.tables("mine")["t"]).to_json() == context.to_json()
