"""A small configuration, and how tests load it with changes."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from robustlens.configuration import load
from robustlens.study import discovery
from robustlens.study.declaration import Cohort, Study

REPOSITORY = Path(__file__).parent.parent
SCHEMA = REPOSITORY / "schemas" / "config.schema.yaml"

CONFIG = yaml.safe_load("""
scale: small
threats:
  near: {norm: linf, epsilon: 4/16, step_size: 0.0625}
  far: {norm: l2, epsilon: 1.0, step_size: 0.2}
recipes:
  sat: {method: sat, label: SAT, colour: "#D55E00", marker: "o"}
  trades: {method: trades, beta: 3.0}
  weat-adv: {method: weat, variant: adv}
attacks:
  pgd20: {family: pgd, steps: 20, label: PGD-20}
  autoattack: {family: autoattack}
generators:
  blurred: {family: gaussian, per_class: 20, label: Blurred}
scales:
  other: {}
  small:
    recipes:
      trades: {beta: 4.0}
    datasets:
      digits:
        reader: {family: digits}
        splits: {train: 200, validation: 100}
        architecture: {family: resnet, width: 16}
        threat: near
        training:
          epochs: 10
          batch_size: 50
          learning_rate: 0.1
          schedule: {name: one-cycle, warmup_fraction: 0.25, cycle_momentum: true}
          attack_steps: 7
        tracking: {train_samples: 100, energy_epochs: [1, 10]}
        generation:
          per_class: 10
          sampler: {}
          features: {kind: classifier, recipe: sat, seed: 1000}
    suites:
      robustness: {attacks: [pgd20, autoattack], samples: {autoattack: 100}}
      brief: {attacks: [pgd20]}
    studies:
      mine:
        datasets: [digits]
        seeds: [0, 1]
        cohorts:
          main: {recipes: [sat, trades]}
          attacked: {recipes: [sat]}
          generated: {recipes: [sat]}
""")
MINE = Study(
    "A Paper",
    "the paper",
    {
        "main": Cohort("The main runs.", suite="robustness"),
        "attacked": Cohort("Some of them.", suite="brief", within="main"),
        "generated": Cohort("What images are generated from.", within="main", needs=("generation",)),
        "grid": Cohort("With all settings.", within="main", needs=("generation", "generation.grid")),
        "further": Cohort("Others.", suite="robustness", beside="main"),
    },
    name="mine",
)
STUDIES = {"mine": MINE}

Change = Callable[[dict], object]


def loaded(change: Change = lambda raw: None, *given: Any, studies: Mapping = STUDIES, **entries: Any) -> dict:
    """The configuration above, changed, under the given files (as text or as what they contain) and `--config`."""
    raw = copy.deepcopy(CONFIG)
    change(raw)
    return load_files({"config.yaml": raw}, *given, studies=studies, **entries)


def load_files(shipped: Mapping[str, Any], *given: Any, studies: Mapping = STUDIES, **entries: Any) -> dict:
    """The shipped files of these names, and the given ones `given-0.yaml`, ..."""
    with tempfile.TemporaryDirectory() as name:
        ours = [write(Path(name) / path, content) for path, content in shipped.items()]
        theirs = [write(Path(name) / f"given-{n}.yaml", content) for n, content in enumerate(given)]
        return load(ours, theirs, entries, SCHEMA, studies)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def own(*given: Path, **entries: Any) -> dict:
    """The repository's own configuration."""
    studies = discovery.find(REPOSITORY / "studies")
    files = [REPOSITORY / "studies" / study.replace("-", "_") / "config.yaml" for study in studies]
    return load([REPOSITORY / "config.yaml", *files], given, entries, SCHEMA, studies)


def small(raw: dict) -> dict:
    return raw["scales"]["small"]


def digits(raw: dict) -> dict:
    return small(raw)["datasets"]["digits"]


def mine(raw: dict) -> dict:
    return small(raw)["studies"]["mine"]


def cohorts(raw: dict) -> dict:
    return mine(raw)["cohorts"]
