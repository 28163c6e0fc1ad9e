"""The cohorts of the studies: what they do not say themselves is filled in, and each fits its study's declaration."""

import itertools
from collections.abc import Mapping

from robustlens.configuration import facts, few_classes
from robustlens.configuration.reading import Config
from robustlens.configuration.references import check_checksum, known
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest
from robustlens.study.declaration import Cohort, Study

# How a study that has no folder evaluates its cohorts, where there is such a suite.
GENERAL_SUITE = "robustness"


def complete(config: Config, studies: Mapping[str, Study]) -> None:
    """Fill in datasets, recipes, seeds, models and, where it has them, the suite and the certification of every cohort.
    Cohorts without runs are gone afterwards.

    studies: the declared ones by name; the cohorts of any other study have free names. Raises RobustlensError with the
    place of the first problem.
    """
    for name, study in config["studies"].items():
        _complete_study(config, name, study, studies)


def trained(config: Config) -> list[tuple[str, str]]:
    """(dataset, recipe) of every training that the cohorts ask for, and of what their recipes and datasets need."""
    runs: dict[tuple[str, str], None] = {}
    for study in config["studies"].values():
        for cohort in study["cohorts"].values():
            for dataset in cohort["datasets"]:
                features = config["datasets"][dataset].get("generation", {}).get("features", {})
                recipes = [*cohort["recipes"], *([features["recipe"]] if "recipe" in features else [])]
                for name in recipes:  # grows
                    recipes += [other for other in facts.needed(config, name) if other not in recipes]
                runs |= dict.fromkeys((dataset, name) for name in recipes)
                runs |= dict.fromkeys(label for name in recipes for label in facts.labelling(config, dataset, name))
    return list(runs)


def _complete_study(config: Config, name: str, study: Config, studies: Mapping[str, Study]) -> None:
    where, declared = f"config.studies.{name}", studies.get(name)
    known(study.get("datasets", []), config["datasets"], "dataset", f"{where}.datasets")
    known(study["models"], config["models"], "model", f"{where}.models")
    if not study["cohorts"]:
        hint = "" if declared else f", and no study with a folder has this name{nearest(name, list(studies))}"
        raise RobustlensError(f"{where}: it has no cohorts{hint}")
    if declared:
        known(study["cohorts"], declared.cohorts, "cohort", f"{where}.cohorts")
    _refuse_unused(study["cohorts"], declared, where)
    declarations = declared.cohorts if declared else dict.fromkeys(study["cohorts"], _general(config))
    cohorts = {}
    for key, cohort in study["cohorts"].items():
        place = f"{where}.cohorts.{key}"
        filled = _filled(config, study, cohort, declarations[key], place)
        _check_names(config, filled, place)
        if filled["models"] or (filled["recipes"] and filled["datasets"]):
            cohorts[key] = filled
    if not cohorts:
        raise RobustlensError(f"{where}: no cohort has runs; give one `recipes`, or remove the study by null")
    study["cohorts"] = cohorts
    for key, cohort in cohorts.items():
        _check_declared(config, study, cohort, declarations[key], f"{where}.cohorts.{key}")
    _check_models(config, study, where)


def _refuse_unused(cohorts: Config, declared: Study | None, where: str) -> None:
    """Of cohorts that the study does not evaluate nothing would come of a suite or of a threat, and of those that it
    does not certify nothing of a certification. A study without a folder has tables of evaluations alone."""
    for name, cohort in cohorts.items():
        for key in ("suite", "threat") if declared else ():
            if key in cohort and declared.cohorts[name].suite is None:
                raise RobustlensError(f"{where}.cohorts.{name}.{key}: {declared.name} does not evaluate this cohort")
        if "certification" in cohort and (declared is None or declared.cohorts[name].certification is None):
            who = declared.name if declared else "a study without a folder"
            raise RobustlensError(f"{where}.cohorts.{name}.certification: {who} does not certify this cohort")


def _general(config: Config) -> Cohort:
    return Cohort("", suite=GENERAL_SUITE if GENERAL_SUITE in config["suites"] else None)


def _filled(config: Config, study: Config, cohort: Config, declared: Cohort, where: str) -> Config:
    filled = {key: study[key] for key in ("datasets", "seeds") if key in study} | cohort
    for key in ("datasets", "seeds"):
        if key not in filled:
            raise RobustlensError(f"{where}: {key!r} is missing; give it here, or to the whole study")
    if "models" not in filled:
        on = filled["datasets"]
        all_models = [] if declared.beside else study["models"]
        filled["models"] = [model for model in all_models if config["models"][model]["dataset"] in on]
    for key in ("suite", "certification"):
        if key not in filled and getattr(declared, key) is not None:
            filled[key] = getattr(declared, key)
    return filled


def _check_names(config: Config, cohort: Config, where: str) -> None:
    for key, defined in (("datasets", "dataset"), ("recipes", "recipe"), ("models", "model")):
        known(cohort[key], config[key], defined, f"{where}.{key}")
    for key, section in (("suite", "suites"), ("certification", "certifications"), ("threat", "threats")):
        if key in cohort:
            known([cohort[key]], config[section], key, f"{where}.{key}")
    for model in cohort["models"]:
        dataset = config["models"][model]["dataset"]
        if dataset not in cohort["datasets"]:
            raise RobustlensError(f"{where}.models: {model} was trained on {dataset}, which is not among the datasets")
        check_checksum(config["models"][model]["weights"], f"config.models.{model}.weights")
    for dataset, recipe in itertools.product(cohort["datasets"], cohort["recipes"]) if "suite" in cohort else ():
        if not facts.evaluated_checkpoints(config, dataset, recipe, cohort["suite"]):
            raise RobustlensError(
                f"{where}.suite: {cohort['suite']} looks at no checkpoint that {recipe} has on {dataset}; add `best` "
                "or `last` to its `checkpoints`, or `training.checkpoints` to the recipe"
            )
    if "suite" in cohort:
        of_models = [config["models"][model]["dataset"] for model in cohort["models"]]  # all among the cohort's
        evaluated = cohort["datasets"] if cohort["recipes"] else of_models
        few_classes.check_suite(config, cohort["suite"], evaluated, f"{where}.suite")
    for recipe in cohort["recipes"]:
        removed = config["recipes"][recipe].get("leave_out", {}).get("classes", [])
        for dataset in cohort["datasets"] if removed else ():
            count = facts.classes(config, dataset)
            place = f"config.recipes.{recipe}.leave_out.classes"
            if max(removed) >= count:
                raise RobustlensError(
                    f"{place}: {dataset} has no class {max(removed)}; its classes are 0 to {count - 1}"
                )
            left = sorted({*range(count)} - {*removed})
            if len(left) < 2:
                what = f"class {left[0]} alone would be left of" if left else "these are all classes of"
                raise RobustlensError(f"{place}: {what} {dataset}; leave at least two to tell apart")


def _check_declared(config: Config, study: Config, cohort: Config, declared: Cohort, where: str) -> None:
    """The runs of a cohort are `within` another one's, or `beside` them, and its datasets have what it needs."""
    if declared.within:
        others = study["cohorts"].get(declared.within)
        if others is None:
            raise RobustlensError(f"{where}: its runs are among those of {declared.within}, which has none")
        for key, what in (("datasets", "dataset"), ("recipes", "recipe"), ("seeds", "seed")):
            for value in cohort[key]:
                if value not in others[key]:
                    raise RobustlensError(
                        f"{where}.{key}: the {what} {value} is not in {declared.within}, which must contain these "
                        "runs; add it there, or take it out here (null removes the whole cohort)"
                    )
    if declared.beside and declared.beside in study["cohorts"]:
        for recipe in cohort["recipes"]:
            if recipe in study["cohorts"][declared.beside]["recipes"]:
                raise RobustlensError(f"{where}.recipes: {recipe} is among the recipes of {declared.beside} already")
    for dataset in cohort["datasets"] if declared.needs else ():
        for setting in declared.needs:
            if not _has(config["datasets"][dataset], setting):
                raise RobustlensError(f"{where}: config.datasets.{dataset}.{setting} is missing; add it")
        _check_features(config, dataset, study)


def _has(settings: Config, setting: str) -> bool:
    first, _, rest = setting.partition(".")
    return first in settings and (not rest or _has(settings[first], rest))


def _check_features(config: Config, dataset: str, study: Config) -> None:
    """Generated images are scored by another classifier than those that they are generated from or compared with."""
    features = config["datasets"][dataset].get("generation", {}).get("features", {})
    if features.get("kind") != "classifier":
        return
    for cohort in study["cohorts"].values():
        used = ((dataset, "datasets"), (features["recipe"], "recipes"), (features["seed"], "seeds"))
        if all(value in cohort[key] for value, key in used):
            raise RobustlensError(
                f"config.datasets.{dataset}.generation.features: seed {features['seed']} of {features['recipe']} is an "
                "evaluated run; the features must come from an independent one: choose a seed outside `seeds`"
            )


def _check_models(config: Config, study: Config, where: str) -> None:
    """A model that a study names is in one of its cohorts."""
    used = {model for cohort in study["cohorts"].values() for model in cohort["models"]}
    for model in study["models"]:
        if model not in used:
            dataset = config["models"][model]["dataset"]
            raise RobustlensError(f"{where}.models: {model} was trained on {dataset}, which none of the cohorts has")
