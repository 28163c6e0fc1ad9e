"""How a study says what it makes and from which files: what the workflow must know of it before any job runs.

A study is a folder in `studies/` whose `study.py` assigns `STUDY = Study(...)`. That file is read while the workflow is
parsed, so it imports nothing but this module and `robustlens.study.general`.
"""

import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from robustlens.errors import RobustlensError
from robustlens.study.field_types import mistakes

Settings = Mapping[str, Any]

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# What a builder is told of recipes, attacks, certifications and datasets besides labels, if it says that it uses it: a
# change of anything else does not make its table or figure again.
USES = ("attacks", "certifications", "changes", "colours", "markers", "mix", "shapes")
PER = ("dataset", "recipe")


@dataclass(frozen=True)
class Cohort:
    """A set of runs that the configuration may fill in under this name: datasets, recipes, seeds, the suite that they
    are evaluated by and the certification that they have.

    about: what it is, for the documentation and for messages. suite: the default one; None: not evaluated.
    certification: the default one; None: not certified.
    within: another cohort, whose runs these are among. beside: another cohort, of which no recipe may be here; the
    study's third-party models are with that one.
    needs: settings that its datasets must have, such as "generation.grid".
    """

    about: str
    suite: str | None = None
    certification: str | None = None
    within: str | None = None
    beside: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """Files of one kind, of the runs of some cohorts, in the order of the cohorts.

    kind: as a stage calls them in `FILES`, such as "history"; "evaluations" are the indexes of the cohorts' suites,
    "certified" the tables of the cohorts' certifications.
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
    uses: of USES, what the builder asks the context for besides labels and titles.
    baseline: the recipe that others are compared with, where the builder compares.
    early: what it needs is computed before anything else, so that there is something to look at soon.
    appendix: the report has it at its end, and not in the study's chapter.
    """

    name: str
    message: str
    inputs: Mapping[str, Input]
    builder: str | None = None
    uses: tuple[str, ...] = ()
    baseline: str | None = None
    early: bool = False
    appendix: bool = False


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
    uses: tuple[str, ...] = ()
    early: bool = False
    appendix: bool = False


@dataclass(frozen=True)
class Claims:
    """The ledger of the paper's claims: `claims.tex`, `.csv` and `.html`, judged by the package
    `studies.<study>.claims` from whatever files there are. Its statements name recipes themselves: it is told of no
    labels."""

    message: str
    inputs: Mapping[str, Input]
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """One paper. title: the paper's, with venue and year. paper: what sentences call it, such as "the energy paper".

    authors: their names, in the paper's order. venue: its full name, with the year. arxiv: the number there.
    definitions: what the report says of the quantities that the study measures: by symbol or name, how each is defined,
    and its unit.
    """

    title: str
    paper: str
    cohorts: Mapping[str, Cohort]
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    claims: Claims | None = None
    authors: tuple[str, ...] = ()
    venue: str = ""
    arxiv: str = ""
    definitions: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="", kw_only=True)  # set by `discovery.find`, as its folder is called

    def items(self) -> list[Table | Figure | Claims]:
        return [*self.tables, *self.figures, *([self.claims] if self.claims else [])]


def files_of(declared: Input) -> tuple[Files, ...]:
    """The kinds of files behind an input; none for published numbers."""
    if isinstance(declared, Published):
        return ()
    return declared if isinstance(declared, tuple) else (declared,)


def check(study: Study) -> None:
    """Raise RobustlensError, with the file that it is in, for a declaration of wrong types, or one that contradicts
    itself."""
    where = f"studies/{study.name.replace('-', '_')}/study.py"
    items = (problem for item in study.items() for problem in _of_item(study, item))
    for problem in chain(_of_types(study), _of_names(study), _of_cohorts(study), items):
        raise RobustlensError(f"{where}: {problem}")


def _of_types(study: Study) -> Iterator[str]:
    """From the outside in: what is looked into has the type that it needs for that."""
    yield from (f"STUDY: {problem}" for problem in mistakes(study))
    for name, cohort in study.cohorts.items():
        yield from (f"cohort {name}: {problem}" for problem in mistakes(cohort))
    for item in study.items():
        yield from (f"{_called(item)}: {problem}" for problem in mistakes(item))
        for name, declared in item.inputs.items():
            for files in files_of(declared):
                yield from (f"{_called(item)}, input {name!r}: {problem}" for problem in mistakes(files))


def _called(item: Table | Figure | Claims) -> str:
    name = getattr(item, "name", "claims")
    return name if isinstance(name, str) else type(item).__name__


def _of_names(study: Study) -> Iterator[str]:
    """Names become those of files, of rules and of arguments."""
    named = {"cohort": list(study.cohorts)}
    named |= {"table": [table.name for table in study.tables], "figure": [figure.name for figure in study.figures]}
    for kind, names in named.items():
        for name in names:
            if not NAME.fullmatch(name):
                yield f"the {kind} {name!r}: a name has lower-case letters, digits and single hyphens between them"
            if names.count(name) > 1:
                yield f"the {kind} {name!r} is declared twice; give one of them another name"


def _of_cohorts(study: Study) -> Iterator[str]:
    for name, cohort in study.cohorts.items():
        for other in filter(None, (cohort.within, cohort.beside)):
            if other not in study.cohorts:
                yield f"cohort {name}: no cohort {other!r} is declared"


def _of_item(study: Study, item: Table | Figure | Claims) -> Iterator[str]:
    what, there = _called(item), ", ".join(study.cohorts)
    for name, declared in item.inputs.items():
        if not name.isidentifier() or keyword.iskeyword(name) or hasattr(dict, name) or hasattr(list, name):
            yield f"{what}: an input can't be called {name!r}; it is the name of an argument of the builder"
        if declared == ():
            yield f"{what}, input {name!r}: names no files"
        for files in files_of(declared):
            if not files.cohorts:
                yield f"{what}, input {name!r}: Files({files.kind!r}) names no cohort; there are: {there}"
            for cohort in (*files.cohorts, *([files.changed_by] if files.changed_by else [])):
                if cohort not in study.cohorts:
                    yield f"{what}, input {name!r}: no cohort {cohort!r} is declared; there are: {there}"
    for extra in sorted(set(item.uses) - set(USES)):
        yield f"{what}: `uses` names {extra!r}; valid are: {', '.join(USES)}"
    if isinstance(item, Figure):
        for extra in sorted(set(item.animation) - set(item.inputs)):
            yield f"{what}: `animation` names {extra!r}, which is not among its inputs"
        for extra in sorted(set(item.per) - set(PER)):
            yield f"{what}: `per` names {extra!r}; valid are: {', '.join(PER)}"
        if not any(map(files_of, item.inputs.values())):
            yield f"{what}: a figure needs an input of `Files`"
