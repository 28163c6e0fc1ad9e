"""The configuration: files merged, checked, completed with defaults.

Everything here runs while the Snakefile is parsed: no torch, no pandas, no network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robustlens.configuration import (
    checking,
    cohorts,
    fitting,
    habits,
    precision,
    ranges,
    references,
    sample_sets,
    selected,
)
from robustlens.configuration.facts import (
    CATALOGUE,
    CHECKSUMS,
    architecture,
    archives,
    caveat,
    certification,
    certification_parts,
    certified_checkpoint,
    cited,
    classes,
    components,
    described,
    download_name,
    downloads,
    entry,
    evaluated_checkpoints,
    feature_architecture,
    fit_spec,
    fitted_as,
    import_spec,
    is_own,
    pool_spec,
    prepared,
    published_sets,
    run_spec,
    sample_set_archives,
    sample_set_download,
    seen,
    seen_shape,
    selected_pools,
    selection_spec,
    shape,
    shards,
    suite_attacks,
    title,
    trained_architectures,
    trained_under,
    used_datasets,
    weights_of,
    weights_of_others,
)
from robustlens.configuration.places import with_place
from robustlens.configuration.reading import Config, added, cleaned, combined, merge, read_yaml
from robustlens.study.declaration import Study

__all__ = [
    "CATALOGUE",
    "CHECKSUMS",
    "Config",
    "architecture",
    "archives",
    "caveat",
    "certification",
    "certification_parts",
    "certified_checkpoint",
    "cited",
    "classes",
    "components",
    "described",
    "download_name",
    "downloads",
    "entry",
    "evaluated_checkpoints",
    "feature_architecture",
    "fit_spec",
    "fitted_as",
    "import_spec",
    "is_own",
    "load",
    "merge",
    "pool_spec",
    "prepared",
    "published_sets",
    "read_yaml",
    "run_spec",
    "sample_set_archives",
    "sample_set_download",
    "seen",
    "seen_shape",
    "selected_pools",
    "selection_spec",
    "shape",
    "shards",
    "suite_attacks",
    "title",
    "trained_architectures",
    "trained_under",
    "used_datasets",
    "weights_of",
    "weights_of_others",
    "with_place",
]


def load(
    shipped: Sequence[Path],
    given: Sequence[Path],
    entries: Mapping[str, Any],
    schema: Path,
    studies: Mapping[str, Study],
) -> Config:
    """The complete configuration of the chosen scale.

    shipped: config.yaml, then the files of the studies. given: those of `--configfile`. entries: of `--config`.
    studies: the declared ones by name. `reading` says in which order all that is merged.
    Raises RobustlensError with the place of the first problem and, for an unknown name, the nearest valid one.
    """
    config = combined(shipped, given, entries)
    references.inherit(config)
    config = cleaned(config)
    expected = read_yaml(schema)
    habits.accept(config, expected)
    checking.check(config, expected)
    references.check(config)
    cohorts.complete(config, studies)
    runs = cohorts.trained(config)
    checking.check_trainings(config, expected, runs)
    sample_sets.check(config, runs)
    selected.check(config, runs)
    ranges.check(config, runs)
    precision.check(config)
    fitting.check(config, runs, studies)
    return config


def unused_recipes(config: Config, shipped: Sequence[Path], given: Sequence[Path]) -> list[str]:
    """The recipes that files of `--configfile` add, but that no cohort trains, directly or for another recipe."""
    trained = {recipe for _, recipe in cohorts.trained(config)}
    return [name for name in added(shipped, given, "recipes", config["scale"]) if name not in trained]
