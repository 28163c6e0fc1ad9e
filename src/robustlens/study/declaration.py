"""How a study says what it makes and from which files: what the workflow must know of it before any job runs.

A study is a folder in `studies/` whose `study.py` assigns `STUDY = Study(...)`. That file is read while the workflow is
parsed, so it imports nothing but this module.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robustlens.errors import RobustlensError

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Cohort:
    """A set of runs that the configuration may fill in under this name: datasets, recipes, seeds, and the suite that
    they are evaluated by.

    about: what it is, for the documentation and for messages. suite: the default one; None: not evaluated.
    within: another cohort, whose runs these are among. beside: another cohort, of which no recipe may be here.
    needs: settings that its datasets must have, such as "generation.grid".
    """

    about: str
    suite: str | None = None
    within: str | None = None
    beside: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """Files of one kind, of the runs of some cohorts, in the order of the cohorts.

    kind: as a stage calls them in `FILES`, such as "history"; "evaluations" are the indexes of the cohorts' suites.
    where: only the runs for whose recipe it is true. It is given the recipe's settings, with its `name`.
    changed_by: a cohort; only the runs whose recipe one of that cohort's recipes `changes`.
    through: a setting of the recipes that names another one (such as "leave_out.measured_by"): the files are of that
        one. Recipes without the setting give none.
    first_seed: only the first seed of each cohort.
    optional: the table, figure or ledger is made without such files, too.
    """

    kind: str
    cohorts: tuple[str, ...]
    where: Callable[[Settings], bool] | None
    changed_by: str | None
    through: str | None
    first_seed: bool
    optional: bool

    def __init__(
        self,
        kind: str,
        *cohorts: str,
        where: Callable[[Settings], bool] | None = None,
        changed_by: str | None = None,
        through: str | None = None,
        first_seed: bool = False,
        optional: bool = False,
    ):
        given = {name: value for name, value in locals().items() if name != "self"}
        for name, value in given.items():
            object.__setattr__(self, name, value)  # frozen; written out for the sake of `*cohorts`


@dataclass(frozen=True)
class Published:
    """The study's own `published.yaml`: numbers of papers with their sources."""


# The files of one named input, which reach the builder as one list: of one kind, or of several in this order.
Input = Files | Published | tuple[Files, ...]


@dataclass(frozen=True)
class Table:
    """One table: `<name>.tex`, `.csv` and `.html`, made where every input that is not optional has files.

    message: what is made, in a few words, for the terminal. inputs: by the names of the builder's keyword arguments.
    builder: dotted module with `build(context, *, <inputs>)`; by default `studies.<study>.tables.<name>`.
    early: what it needs is computed before anything else, so that there is something to look at soon.
    """

    name: str
    message: str
    inputs: Mapping[str, Input]
    builder: str | None = None
    early: bool = False


@dataclass(frozen=True)
class Figure:
    """Like a table: `<name>.pdf` and `.png`.

    per: "dataset", "recipe": one figure for each of these among the files of all its inputs; its name then ends with
    theirs. animation: the inputs of the builder's `animate`, where it also moves (`.gif`).
    builder: by default `studies.<study>.figures.<name>`.
    """

    name: str
    message: str
    inputs: Mapping[str, Input]
    per: tuple[str, ...] = ()
    animation: tuple[str, ...] = ()
    builder: str | None = None
    early: bool = False


@dataclass(frozen=True)
class Claims:
    """The ledger of the paper's claims: `claims.tex`, `.csv` and `.html`, judged by the package
    `studies.<study>.claims` from whatever files there are."""

    message: str
    inputs: Mapping[str, Input]


@dataclass(frozen=True)
class Study:
    """One paper. title: the paper's, with venue and year. paper: what sentences call it, such as "the energy paper".
    baseline: the recipe that the others are compared with where they change none themselves."""

    title: str
    paper: str
    cohorts: Mapping[str, Cohort]
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    claims: Claims | None = None
    baseline: str | None = None
    name: str = field(default="", kw_only=True)  # set by `discovery.find`, as its folder is called

    def items(self) -> list[Table | Figure | Claims]:
        return [*self.tables, *self.figures, *([self.claims] if self.claims else [])]


def files_of(declared: Input) -> tuple[Files, ...]:
    """The kinds of files behind an input; none for published numbers."""
    if isinstance(declared, Published):
        return ()
    return declared if isinstance(declared, tuple) else (declared,)


def check(study: Study) -> None:
    """Raise RobustlensError for a table or figure that is declared twice, a cohort that is not, or an animation of an
    input that its figure does not have."""
    where = f"studies/{study.name.replace('-', '_')}/study.py"
    for kind, items in (("table", study.tables), ("figure", study.figures)):
        names = [item.name for item in items]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise RobustlensError(f"{where}: the {kind} {twice[0]!r} is declared twice; give one of them another name")
    for item in study.items():
        what = getattr(item, "name", "claims")
        for name, declared in item.inputs.items():
            for files in files_of(declared):
                for cohort in (*files.cohorts, *([files.changed_by] if files.changed_by else [])):
                    if cohort not in study.cohorts:
                        raise RobustlensError(
                            f"{where}: {what}, input {name!r}: no cohort {cohort!r} is declared; there are: "
                            f"{', '.join(study.cohorts)}"
                        )
        extra = set(getattr(item, "animation", ())) - set(item.inputs)
        if extra:
            raise RobustlensError(f"{where}: {what}: `animation` names {sorted(extra)[0]!r}, which is no input of it")
    for name, cohort in study.cohorts.items():
        for other in filter(None, (cohort.within, cohort.beside)):
            if other not in study.cohorts:
                raise RobustlensError(f"{where}: cohort {name}: no cohort {other!r} is declared")
