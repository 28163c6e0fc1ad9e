"""What a builder knows besides its files: how what occurs in them is called and drawn."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from robustlens.errors import RobustlensError
from robustlens.report.lists import listed

BLACK = "#000000"
NORMS = {"linf": "L∞", "l2": "L2"}  # as a reader sees them
ORDERED = ("datasets", "recipes", "attacks", "threats", "architectures", "certifications")


@dataclass(frozen=True)
class Recipe:
    """A recipe, or a third-party model. colour, marker: as matplotlib takes them. changes: the recipe that it varies.
    leaves_out: which training images it does without: the `group` of its `leave_out`, "classes", or "bound"; empty
    where it trains on all. threats: by dataset, the name of the threat it was trained under. architectures: by dataset,
    its own where that is another one than the dataset's. mix: of one that mixes generated images in: `generator`, its
    name, `label` and `per_class` (None: all images of a published set, or a share of other ones), `fit` (generators of
    one fit differ in how many images they give), `gamma`, the weight of the real images, and `ratio`, of generated
    images to a real one.

    Builders ask the context for colour, marker, changes and mix, which knows what their declaration says that they
    use."""

    label: str
    colour: str = BLACK
    marker: str = "*"
    changes: str | None = None
    leaves_out: str = ""
    threats: Mapping[str, str] = field(default_factory=dict)
    architectures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mix: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Of one table, figure or ledger of claims; everything in it occurs among the builder's inputs.

    caveat: what a reader must know of results at this scale; empty where there is nothing to know.
    name: of the table or figure, as its files are called. study: its name. paper: what sentences call its paper, for a
    ledger. datasets: titles. attacks, certifications: labels. threats: norm, epsilon and step size as configured.
    architectures: of the datasets, where published numbers are compared with. shapes: by dataset, channels, height and
    width of an image as networks see it. baseline: the recipe that others are compared with. uses: what the
    declaration says that the builder asks for besides labels and titles (`declaration.USES`).
    """

    name: str
    study: str
    caveat: str = ""
    paper: str = ""
    datasets: Mapping[str, str] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    attacks: Mapping[str, str] = field(default_factory=dict)
    threats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    architectures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    certifications: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    baseline: str | None = None
    uses: tuple[str, ...] = ()

    @property
    def as_published(self) -> bool:
        """Whether results can stand beside published numbers: at a scale that no caveat is to be said of."""
        return not self.caveat

    @property
    def label(self) -> str:
        """The name of what is built, unique among all studies."""
        return f"{self.study}-{self.name}"

    def caption(self, text: str) -> str:
        """With the caveat behind it, because tables and figures travel alone."""
        return f"{text} {self.caveat}".strip()

    def dataset_title(self, name: str) -> str:
        """What readers see; like a recipe or an attack that is not listed, it keeps its identifier."""
        return self.datasets.get(name, name)

    def datasets_titles(self, names: Iterable[str]) -> str:
        """Several, as a list in a sentence."""
        return listed([self.dataset_title(name) for name in names])

    def recipe_label(self, name: str) -> str:
        return self.recipes[name].label if name in self.recipes else name

    def architecture(self, dataset: str, recipe: str) -> Mapping[str, Any] | None:
        """Of the networks of a recipe on a dataset, by which published numbers are found; None for a dataset whose
        architecture isn't listed."""
        own = self.recipes[recipe].architectures if recipe in self.recipes else {}
        return own.get(dataset, self.architectures.get(dataset))

    def attack_label(self, name: str) -> str:
        self._check_use("attacks")
        return self.attacks.get(name, name)

    def certification_label(self, name: str) -> str:
        self._check_use("certifications")
        return self.certifications.get(name, name)

    def values(self, dataset: str) -> int:
        """How many numbers an image is, as networks see it: channels x height x width."""
        self._check_use("shapes")
        return math.prod(self.shapes[dataset])

    def changes(self, recipe: str) -> str | None:
        """The recipe that this one varies; None for one that is not listed."""
        self._check_use("changes")
        return self.recipes[recipe].changes if recipe in self.recipes else None

    def colour(self, recipe: str) -> str:
        """The same in every figure."""
        self._check_use("colours")
        return self.recipes[recipe].colour if recipe in self.recipes else BLACK

    def marker(self, recipe: str) -> str:
        """For figures that draw many recipes in one panel; with the colour it is the recipe's own."""
        self._check_use("markers")
        return self.recipes[recipe].marker if recipe in self.recipes else "*"

    def mix(self, recipe: str) -> Mapping[str, Any]:
        """The generated images that a recipe mixes in, as `Recipe` says; empty for one that mixes none in, or that is
        not listed."""
        self._check_use("mix")
        return self.recipes[recipe].mix if recipe in self.recipes else {}

    def _check_use(self, what: str) -> None:
        """A builder that is not told of something must not print a default instead."""
        if what not in self.uses:
            raise RobustlensError(
                f"studies/{self.study.replace('-', '_')}/study.py: {self.name} is not told of {what}; declare "
                f"`uses=({what!r},)`"
            )

    def to_json(self) -> dict[str, Any]:
        """For a job's specification: mappings as lists of pairs, because their order is that of rows and columns, and a
        specification sorts its keys. Of a recipe only what is not a default."""
        defaults = {f.name: f.default if f.default is not MISSING else {} for f in fields(Recipe)}
        recipes = {
            name: {key: value for key, value in vars(recipe).items() if value != defaults[key]}
            for name, recipe in self.recipes.items()
        }
        ordered = {**{name: getattr(self, name) for name in ORDERED}, "recipes": recipes}
        return {**vars(self), **{name: [list(pair) for pair in ordered[name].items()] for name in ORDERED}}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Context":
        ordered = {name: dict(facts[name]) for name in ORDERED}
        recipes = {name: Recipe(**recipe) for name, recipe in ordered["recipes"].items()}
        return cls(**{**facts, **ordered, "recipes": recipes, "uses": tuple(facts["uses"])})
