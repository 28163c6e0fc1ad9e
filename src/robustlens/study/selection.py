"""What the studies' declarations mean under a configuration: the tables and figures that are made, the files that each
is made from, and what its builder is told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from robustlens.configuration import Config, architecture, caveat, fitted_as, prepared, seen_shape, title, trained_under
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest
from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import Claims, Figure, Files, Published, Study, Table, files_of
from robustlens.study.discovery import builder

EVALUATIONS = "evaluations"  # the kind of files that a suite makes, under a threat
# What a cohort must name where a study asks for such files of it.
NAMED = {EVALUATIONS: "suite", "certified": "certification"}


@dataclass(frozen=True)
class Kind:
    """A kind of file that a stage makes of a run, or of what several runs share. path: below results/<scale>/, with the
    names of a `Run` in braces; `{prepared}` is the dataset whose prepared images are the run's, `{generator}` the one
    that its recipe mixes in: runs without one have no such file.
    models: whether there is one of a third-party model, too."""

    path: str
    models: bool = False

    @property
    def of_generators(self) -> bool:
        return "{generator}" in self.path


class Run(NamedTuple):
    """A run as a cohort names it: evaluated by `suite` (or by none) under `threat`, and certified by `certification`
    (or by none)."""

    dataset: str
    recipe: str
    seed: int
    threat: str
    suite: str | None
    certification: str | None = None


@dataclass(frozen=True)
class Item:
    """A table, a figure or the ledger of claims that a study makes. name: of its files.
    runs, files: of each input, in the same order; published numbers have neither. evaluated: the runs whose evaluations
    are among the files."""

    study: Study
    declared: Table | Figure | Claims
    name: str
    runs: Mapping[str, list[Run]]
    files: Mapping[str, list[str]]
    evaluated: list[Run]

    @property
    def builder(self) -> str:
        """The module that builds it."""
        return builder(self.study, self.declared)

    @property
    def published(self) -> str | None:
        """The input that is the study's published numbers."""
        return next((name for name, what in self.declared.inputs.items() if isinstance(what, Published)), None)


class Selection:
    """The studies of one configuration.

    kinds: by the names that `Files` use; stages add to them until `check` is called.
    """

    def __init__(self, config: Config, studies: Mapping[str, Study], kinds: Mapping[str, Kind]):
        self.config, self.studies, self.kinds = config, studies, kinds

    def check(self) -> None:
        """Raise RobustlensError where a declaration names a kind of files that no stage makes, where two figures have
        one name, and where a table or a figure would show two recipes by one label."""
        for study in self.studies.values():
            where = f"studies/{study.name.replace('-', '_')}/study.py"
            for item in study.items():
                for files in (part for what in item.inputs.values() for part in files_of(what)):
                    if files.kind not in self.kinds:
                        hint = nearest(files.kind, list(self.kinds))
                        raise RobustlensError(f"{where}: no stage makes files of the kind {files.kind!r}{hint}")
            for name, cohort in self._cohorts(study).items():
                asked = {files.kind for files in self._of_cohort(study, name)}
                for key in (key for kind, key in NAMED.items() if kind in asked and key not in cohort):
                    raise RobustlensError(f"config.studies.{study.name}.cohorts.{name}: {key!r} is missing; add it")
            drawn = [item.name for figure in study.figures for item in self._drawn(study, figure)]
            for name in drawn:
                if drawn.count(name) > 1:
                    raise RobustlensError(f"{where}: two figures are called {name!r}; give one of them another name")
            for kind in ("tables", "figures"):
                for item in getattr(self, kind)(study.name).values():
                    self._check_labels(item, f"the {kind[:-1]} {item.name} of {study.name}")

    def _check_labels(self, item: Item, what: str) -> None:
        """Rows are found by their labels, in headlines, in the README and in recorded results."""
        names = dict.fromkeys(run.recipe for runs in item.runs.values() for run in runs)
        seen: dict[str, str] = {}
        for name in names:
            label = " ".join(self._label(name).split())  # print shows all white space alike
            if label in seen:
                place = f"models.{name}.title" if name in self.config["models"] else f"recipes.{name}.label"
                raise RobustlensError(
                    f"config.{place}: {label!r} is also the label of {seen[label]}, and both are in {what}; give one "
                    "of them another label"
                )
            seen[label] = name

    @staticmethod
    def _of_cohort(study: Study, cohort: str) -> list[Files]:
        """What a study asks for of a cohort."""
        inputs = (what for item in study.items() for what in item.inputs.values())
        return [files for what in inputs for files in files_of(what) if cohort in files.cohorts]

    # What is made ---------------------------------------------------------------------------------------------------

    def tables(self, study: str) -> dict[str, Item]:
        return self._made[study]["tables"]

    def figures(self, study: str) -> dict[str, Item]:
        return self._made[study]["figures"]

    def animations(self, study: str) -> dict[str, Item]:
        return {name: item for name, item in self.figures(study).items() if item.declared.animation}

    def claims(self, study: str) -> Item | None:
        return self._made[study]["claims"]

    def made(self, study: str, kind: str, *suffixes: str) -> list[str]:
        """The files of all tables, figures, animations or of the claims of a study, with each of these suffixes."""
        folder = f"results/{self.config['scale']}/studies/{study}"
        if kind == "claims":
            return [f"{folder}/claims{suffix}" for suffix in suffixes if self.claims(study)]
        place = "tables" if kind == "tables" else "figures"
        return [f"{folder}/{place}/{name}{suffix}" for name in getattr(self, kind)(study) for suffix in suffixes]

    def results(self, study: str) -> list[str]:
        """All that a study promises."""
        promised = {"tables": (".tex",), "figures": (".png", ".pdf"), "animations": (".gif",), "claims": (".tex",)}
        return [path for kind, suffixes in promised.items() for path in self.made(study, kind, *suffixes)]

    def read(self) -> list[str]:
        """The files of runs that tables, figures and claims are made from, each once."""
        made = [part for of_study in self._made.values() for part in of_study.values() if part]
        items = [item for part in made for item in (part.values() if isinstance(part, dict) else [part])]
        return list(dict.fromkeys(path for item in items for paths in item.files.values() for path in paths))

    def find(self, kind: str, study: str, name: str) -> Item:
        """The table or figure (kind: "tables", "figures" or "animations") of that name; an unknown one is an error that
        names the nearest valid one."""
        if study not in self._made:
            raise RobustlensError(f"this scale has no study {study!r}{nearest(study, list(self._made))}")
        items = getattr(self, kind)(study)
        if name not in items:
            raise RobustlensError(f"the study {study} has no {kind[:-1]} {name!r}{nearest(name, list(items))}")
        return items[name]

    @cached_property
    def _made(self) -> dict[str, dict[str, Any]]:
        return {name: self._of(study) for name, study in self.studies.items()}

    def _of(self, study: Study) -> dict[str, Any]:
        tables = {table.name: item for table in study.tables if (item := self._item(study, table, table.name))}
        figures = {item.name: item for figure in study.figures for item in self._drawn(study, figure)}
        claims = self._item(study, study.claims, "claims") if study.claims and self._cohorts(study) else None
        return {"tables": tables, "figures": figures, "claims": claims}

    def _item(self, study: Study, declared: Table | Figure | Claims, name: str, **only: str) -> Item | None:
        """None where an input has no files and is not optional."""
        runs, files = {}, {}
        evaluated: dict[Run, None] = {}
        for key, what in declared.inputs.items():
            if isinstance(what, Published):
                continue
            found: dict[str, Run] = {}
            for part in files_of(what):
                of_part = [run for run in self.runs(study, part) if all(getattr(run, k) == v for k, v in only.items())]
                if not (of_part or part.optional or isinstance(declared, Claims)):
                    return None
                found |= {self.path(part.kind, run): run for run in of_part}
                if part.kind == EVALUATIONS:
                    evaluated |= dict.fromkeys(run for run in of_part if run.suite is not None)
            runs[key], files[key] = list(found.values()), list(found)
        return Item(study, declared, name, runs, files, list(evaluated))

    def _drawn(self, study: Study, figure: Figure) -> Iterator[Item]:
        """A figure for each dataset, or dataset and recipe, of its first files, where the other inputs have it too."""
        first = next(what for what in figure.inputs.values() if files_of(what))
        runs = [run for part in files_of(first) for run in self.runs(study, part)]
        for values in dict.fromkeys(tuple(getattr(run, name) for name in figure.per) for run in runs):
            only = dict(zip(figure.per, values, strict=True))
            if item := self._item(study, figure, "-".join((figure.name, *values)), **only):
                yield item

    # Runs and files -------------------------------------------------------------------------------------------------

    def runs(self, study: Study, files: Files) -> list[Run]:
        """The runs that files are of, ordered by cohort, dataset, recipe (third-party models last) and seed."""
        found = [run for name in files.cohorts for run in self._cohort_runs(study, name, files)]
        if files.where:
            found = [run for run in found if files.where(self.settings(run.recipe))]
        if self.kinds[files.kind].of_generators:
            found = [run for run in found if "mix" in self.settings(run.recipe)]
        if files.changed_by:
            cohort = self._cohorts(study).get(files.changed_by, {})
            changed = {self.settings(recipe).get("changes") for recipe in cohort.get("recipes", [])}
            found = [run for run in found if run.recipe in changed]
        if files.through:
            named = [(run, self._named(run.recipe, files.through)) for run in found]
            found = [self._run(run.dataset, recipe, run.seed) for run, recipe in named if recipe]
        return list(dict.fromkeys(found))

    def _cohort_runs(self, study: Study, name: str, files: Files) -> Iterator[Run]:
        cohort = self._cohorts(study).get(name)
        if cohort is None:
            return
        seeds = cohort["seeds"][:1] if files.first_seed else cohort["seeds"]
        asked = {key: cohort.get(key) for key in ("threat", "suite", "certification")}
        for dataset in cohort["datasets"]:
            for recipe in cohort["recipes"]:
                yield from (self._run(dataset, recipe, seed, **asked) for seed in seeds)
        if self.kinds[files.kind].models:
            for model in cohort["models"]:
                yield self._run(self.config["models"][model]["dataset"], model, 0, **asked)

    def _run(self, dataset: str, recipe: str, seed: int, threat: str | None = None, **asked: str | None) -> Run:
        """asked: what it is evaluated by and certified by."""
        threat = threat or trained_under(self.config, dataset, recipe)
        return Run(dataset, recipe, seed, threat, asked.get("suite"), asked.get("certification"))

    def _cohorts(self, study: Study) -> Mapping[str, Any]:
        return self.config["studies"][study.name]["cohorts"]

    def settings(self, recipe: str) -> dict[str, Any]:
        """What `where` is given: a recipe as configured, or a third-party model, and its name."""
        return {**self.config["recipes"].get(recipe, {}), "name": recipe}

    def _named(self, recipe: str, setting: str) -> str | None:
        value: Any = self.settings(recipe)
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def all_runs(self, study: Study) -> list[Run]:
        """Those of all cohorts."""
        return self.runs(study, Files(EVALUATIONS, *self._cohorts(study)))

    def path(self, kind: str, run: Run) -> str:
        shared = {
            "prepared": prepared(self.config, run.dataset),
            "generator": self.settings(run.recipe).get("mix", {}).get("generator"),
        }
        return f"results/{self.config['scale']}/{self.kinds[kind].path.format(**run._asdict(), **shared)}"

    @cached_property
    def early(self) -> set[str]:
        """The files that tables and figures which are wanted early are made from, and their runs as dataset/recipe."""
        items = [i for made in self._made.values() for i in (*made["tables"].values(), *made["figures"].values())]
        wanted = [item for item in items if item.declared.early]
        files = {path for item in wanted for paths in item.files.values() for path in paths}
        runs = {run for item in wanted for runs in item.runs.values() for run in runs}
        return files | {f"{run.dataset}/{run.recipe}" for run in runs}

    @cached_property
    def further_suites(self) -> set[str]:
        """Of all suites that evaluate a run under one threat, the files of those that repeat an attack of an earlier
        one, in the order of the studies and their cohorts."""
        seen: dict[tuple, dict[str, set[str]]] = {}
        found = set()
        for study in self.studies.values():
            for run in self.runs(study, Files(EVALUATIONS, *self._cohorts(study))):
                earlier = seen.setdefault(run[:4], {})
                if run.suite is None or run.suite in earlier:
                    continue
                attacks = set(self.config["suites"][run.suite]["attacks"])
                if any(attacks & others for others in earlier.values()):
                    found.add(self.path(EVALUATIONS, run))
                earlier[run.suite] = attacks
        return found

    @cached_property
    def shared_evaluations(self) -> dict[tuple[int, ...], list[tuple[str, ...]]]:
        """What one job evaluates for several seeds, where they share jobs: by these seeds, (dataset, recipe, threat,
        suite). Whatever reads one of these seeds reads all of them, so that nothing waits for a seed in vain."""
        asked: dict[tuple[str, ...], set[tuple[int, ...]]] = {}
        for study in self.studies.values() if self.config["seeds_share_jobs"] else ():
            for item in study.items():
                for place, seeds in self._evaluated_seeds(study, item).items():
                    asked.setdefault(place, set()).add(seeds)
        shared: dict[tuple[int, ...], list[tuple[str, ...]]] = {}
        for place, (seeds, *others) in asked.items():
            if len(seeds) > 1 and not others:
                shared.setdefault(seeds, []).append(place)
        return shared

    def _evaluated_seeds(self, study: Study, item: Table | Figure | Claims) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Of each (dataset, recipe, threat, suite) whose evaluations it reads."""
        seeds: dict[tuple[str, ...], set[int]] = {}
        for files in (part for what in item.inputs.values() for part in files_of(what) if part.kind == EVALUATIONS):
            for run in self.runs(study, files):
                seeds.setdefault((run.dataset, run.recipe, run.threat, str(run.suite)), set()).add(run.seed)
        return {place: tuple(sorted(found)) for place, found in seeds.items()}

    # What builders are told -----------------------------------------------------------------------------------------

    def context(self, item: Item) -> Context:
        """Of a table, figure or ledger: labels and titles of what occurs among its inputs, and of nothing else: a
        change of anything else does not remake it."""
        runs = list(dict.fromkeys(run for of_input in item.runs.values() for run in of_input))
        ledger, uses = isinstance(item.declared, Claims), item.declared.uses
        datasets = dict.fromkeys(run.dataset for run in runs)
        suites = dict.fromkeys(run.suite for run in item.evaluated)
        attacks = dict.fromkeys(attack for suite in suites for attack in self.config["suites"][suite]["attacks"])
        names = dict.fromkeys(run.recipe for run in runs)
        recipes = {name: self._recipe(item, name, runs) for name in names}
        threats = {run.threat for run in item.evaluated}
        threats |= {name for recipe in recipes.values() for name in recipe.threats.values()}
        return Context(
            name=item.name,
            study=item.study.name,
            caveat=caveat(self.config),
            paper=item.study.paper if ledger else "",
            baseline=getattr(item.declared, "baseline", None),
            uses=uses,
            datasets=self._titles(list(datasets)),
            recipes=recipes,
            attacks=self._attacks(attacks) if "attacks" in uses else {},
            certifications=self._certifications(runs) if "certifications" in uses else {},
            shapes={name: list(seen_shape(self.config, name)) for name in datasets} if "shapes" in uses else {},
            threats={name: dict(self.config["threats"][name]) for name in sorted(threats)},
            architectures={dataset: self._usual(dataset) for dataset in datasets} if item.published else {},
        )

    def _attacks(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.config["attacks"][name].get("label", name) for name in names}

    def _certifications(self, runs: Iterable[Run]) -> dict[str, str]:
        names = dict.fromkeys(run.certification for run in runs if run.certification is not None)
        return {name: self.config["certifications"][name].get("label", name) for name in names}

    def _titles(self, datasets: list[str]) -> dict[str, str]:
        """Two datasets of one title, such as two protocols on the same images, are told apart by their names."""
        titles = {name: title(self.config, name) for name in datasets}
        shared = [text for text in titles.values() if list(titles.values()).count(text) > 1]
        return {name: f"{text} ({name})" if text in shared else text for name, text in titles.items()}

    def _label(self, name: str) -> str:
        """What tables and figures call a recipe or a third-party model."""
        model = self.config["models"].get(name)
        return model.get("title", name) if model else self.settings(name).get("label", name)

    def _usual(self, dataset: str) -> dict[str, Any]:
        """The architecture of a dataset's runs whose recipe has none of its own."""
        return self.config["datasets"][dataset]["architecture"]

    def _recipe(self, item: Item, name: str, runs: list[Run]) -> Recipe:
        settings = self.settings(name)
        asked = {"changes": "changes", "colours": "colour", "markers": "marker"}
        used = [setting for what, setting in asked.items() if what in item.declared.uses]
        datasets = dict.fromkeys(run.dataset for run in item.evaluated if run.recipe == name)
        trained_on = dict.fromkeys(run.dataset for run in runs if run.recipe == name) if item.published else {}
        networks = {dataset: architecture(self.config, dataset, name) for dataset in trained_on}
        return Recipe(
            label=name if isinstance(item.declared, Claims) else self._label(name),
            leaves_out=_left_out(settings.get("leave_out")),
            threats={dataset: trained_under(self.config, dataset, name) for dataset in datasets},
            architectures={dataset: own for dataset, own in networks.items() if own != self._usual(dataset)},
            mix=self._mix(settings["mix"]) if "mix" in item.declared.uses and "mix" in settings else {},
            **{key: settings[key] for key in used if key in settings},
        )

    def _mix(self, mix: Mapping[str, Any]) -> dict[str, Any]:
        name = mix["generator"]
        generator = self.config["generators"][name]
        return {
            "generator": name,
            "label": generator.get("label", name),
            "per_class": generator.get("per_class"),
            "fit": fitted_as(self.config, name),
            "gamma": mix["gamma"],
            "ratio": mix["ratio"],
        }


def _left_out(rule: Mapping[str, Any] | None) -> str:
    """What `Recipe.leaves_out` says of a recipe's `leave_out`."""
    if rule is None:
        return ""
    return rule.get("group") or ("classes" if "classes" in rule else "bound")
