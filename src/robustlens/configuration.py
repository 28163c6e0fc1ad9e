"""The configuration: one scale's overlay merged in, checked, completed with defaults.

Everything here runs while the Snakefile is parsed: no torch, no pandas, no network.
"""

import copy
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from robustlens.errors import RobustlensError
from robustlens.parameters import nearest, resolve

Config = dict[str, Any]
CATALOGUE = Path(__file__).parent / "data" / "catalogue"
CHECKSUMS = ("sha256", "sha1", "md5")


@cache
def entry(reader: str) -> Config:
    """What the catalogue says of the dataset that a reader reads: title, licence, citation, classes, archives, ..."""
    return read_yaml(CATALOGUE / f"{reader.replace('-', '_')}.yaml")


def read_yaml(path: Path) -> Any:
    """By libyaml where it is there: a large file takes a tenth of the time."""
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def load(raw: Config, schema_file: Path) -> Config:
    """The complete configuration of the scale that `raw` names (`config.yaml` as read, with `--config` entries).

    Raises RobustlensError with the place of the first problem and, for an unknown name, the nearest valid one.
    """
    raw = copy.deepcopy(raw)
    scales = raw.pop("scales", {})
    if not isinstance(scales, dict):
        raise RobustlensError(f"config.scales: {scales!r} is not a mapping of names to overlays")
    scale = raw.get("scale")
    if not isinstance(scale, str) or scale not in scales:
        raise RobustlensError(f"config: unknown scale {scale!r}{nearest(scale, list(scales))}")
    config = merge(raw, scales[scale])
    _inherit(config)
    schema = read_yaml(Path(schema_file))
    _validate(config, schema)
    _resolve_components(config)
    _validate(config, schema)  # again: defaults may have been put in, and recipes merged with protocols
    _check_references(config, schema)
    return config


def _inherit(config: Config) -> None:
    """A dataset that is `like` another one takes over what it does not say itself; if it has another reader, all but
    the name and the archives of the other."""
    datasets = config.get("datasets")
    if not isinstance(datasets, dict):
        return
    for name, dataset in datasets.items():
        seen = [name]
        while isinstance(dataset, dict) and "like" in dataset:
            model = dataset["like"]
            where = f"config.datasets.{name}.like"
            _known([model], datasets, "dataset", where)
            if model in seen:
                raise RobustlensError(f"{where}: {' is like '.join([*seen, model])}: a circle")
            seen.append(model)
            own = {key: value for key, value in dataset.items() if key != "like"}
            other = copy.deepcopy(datasets[model])
            if "reader" in own and own["reader"] != other.get("reader"):
                other = {key: value for key, value in other.items() if key not in ("title", "archives")}
            dataset = merge(other, own)
        datasets[name] = dataset


# What the other keys of a mapping mean depends on the value of these.
IDENTITIES = ("name", "kind", "family", "method")


def merge(base: Any, overlay: Any) -> Any:
    """`overlay` on top of `base`: mappings are merged key by key, everything else is replaced. So is a mapping that is
    about something else than the one below it, such as a `schedule` of another `name`."""
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    for key in IDENTITIES:
        if isinstance(overlay.get(key), str) and key in base and overlay[key] != base[key]:
            return overlay
    return base | {key: merge(base[key], value) if key in base else value for key, value in overlay.items()}


NO_PARAMETERS = ("method", "training", "architecture", "leave_out")  # of a recipe; its other keys are its method's


def run_spec(config: Config, dataset: str, recipe: str) -> Config:
    """All that defines the runs of a recipe on a dataset, but for the seed: architecture, method, training, threat
    and tracking, with the recipe's own entries in place of the dataset's."""
    protocol, chosen = config["datasets"][dataset], config["recipes"][recipe]
    return {
        "dataset": dataset,
        "recipe": recipe,
        "architecture": chosen.get("architecture", protocol["architecture"]),
        "method": {
            "name": chosen["method"],
            "parameters": {key: value for key, value in chosen.items() if key not in NO_PARAMETERS},
        },
        "training": merge(protocol["training"], chosen.get("training", {})),
        "threat": protocol["threat"],
        "tracking": protocol["tracking"],
        **({"leave_out": chosen["leave_out"]} if "leave_out" in chosen else {}),
    }


def archives(config: Config, dataset: str) -> list[Config]:
    """The archives of a dataset: its catalogue entry's, with what the configuration says of them instead. Another
    checksum replaces the catalogue's size too."""
    settings = config["datasets"][dataset]
    complete = []
    for archive in entry(settings["reader"]["family"])["archives"]:
        own = settings["archives"].get(archive["file"], {})
        identity = ("bytes", *CHECKSUMS) if any(kind in own for kind in CHECKSUMS) else ()
        complete.append({key: value for key, value in archive.items() if key not in identity} | own)
    return complete


def download_name(config: Config, dataset: str) -> str:
    """The folder of a dataset's archives: datasets with the same archives share it."""
    settings = config["datasets"][dataset]
    return dataset if settings["archives"] else settings["reader"]["family"]


def title(config: Config, dataset: str) -> str:
    """What tables and figures call a dataset."""
    settings = config["datasets"][dataset]
    return settings.get("title") or entry(settings["reader"]["family"])["title"]


def suite_attacks(config: Config, suite: Config) -> list[Config]:
    """The attacks of an evaluation suite: name, family, parameters, number of images (None for all), and whether the
    last checkpoint is spared."""
    attacks = []
    for name in suite["attacks"]:
        parameters = dict(config["attacks"][name])
        attacks.append(
            {
                "name": name,
                "family": parameters.pop("family"),
                "parameters": parameters,
                "samples": suite["samples"].get(name),
                "best_only": name in suite["best_only"],
            }
        )
    return attacks


def _validate(config: Config, schema: Config, where: str = "config") -> None:
    """Raise on the deepest, first error, found at `where` of the configuration; fill in the defaults otherwise."""
    errors = list(_with_defaults(jsonschema.Draft202012Validator)(schema).iter_errors(config))
    if errors:
        raise RobustlensError(_explain(max(errors, key=lambda error: len(error.absolute_path)), where))


def _with_defaults(validator: type) -> type:
    check = validator.VALIDATORS["properties"]

    def properties(instance_validator: Any, subschemas: Config, instance: Any, schema: Config) -> Iterator:
        if isinstance(instance, dict):
            for name, subschema in subschemas.items():
                if "default" in subschema:
                    instance.setdefault(name, copy.deepcopy(subschema["default"]))
        yield from check(instance_validator, subschemas, instance, schema)

    def number(_: Any, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    def integer(_: Any, value: Any) -> bool:  # JSON's 60.0 is no number of epochs
        return isinstance(value, int) and not isinstance(value, bool)

    types = validator.TYPE_CHECKER.redefine("number", number).redefine("integer", integer)
    return jsonschema.validators.extend(validator, {"properties": properties}, type_checker=types)


def _explain(error: jsonschema.ValidationError, where: str) -> str:
    if error.validator == "oneOf" and error.context:
        name_or_kind = [e for e in error.context if e.validator != "const"]
        matching = [
            e
            for e in name_or_kind
            if not any(_branch(o) == _branch(e) and o.validator == "const" for o in error.context)
        ]
        if matching:
            return _explain(matching[0], where)
    place = where + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    if error.validator == "additionalProperties":
        valid = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in valid]
        return f"{place}: unknown key {unknown[0]!r}{nearest(unknown[0], valid)}"
    if error.validator == "required":
        return f"{place}: {error.message}"
    expected = error.schema.get("description", "").rstrip(".")
    return f"{place}: {error.message}" + (f" ({expected})" if expected else "")


def _branch(error: jsonschema.ValidationError) -> int:
    return error.relative_schema_path[0]


def _resolve_components(config: Config) -> None:
    """Check the parameters that components declare, and write their defaults into the configuration."""
    for name, recipe in config["recipes"].items():
        parameters = {k: v for k, v in recipe.items() if k not in NO_PARAMETERS}
        recipe.update(resolve("methods", recipe["method"], parameters, f"config.recipes.{name}"))
        if "architecture" in recipe:
            _resolve_family("models", recipe["architecture"], f"config.recipes.{name}.architecture")
    for name, attack in config["attacks"].items():
        _resolve_family("attacks", attack, f"config.attacks.{name}")
    for name, dataset in config["datasets"].items():
        _resolve_family("data", dataset["reader"], f"config.datasets.{name}.reader")
        _resolve_family("models", dataset["architecture"], f"config.datasets.{name}.architecture")
        if "generation" in dataset:
            _resolve_sampler(dataset["generation"], f"config.datasets.{name}.generation")
    for name, model in config["models"].items():
        _resolve_family("models", model["architecture"], f"config.models.{name}.architecture")


def _resolve_sampler(generation: Config, where: str) -> None:
    sampler = generation["sampler"]
    sampler.update(resolve("generation", "sampler", sampler, f"{where}.sampler"))
    for name, values in generation.get("grid", {}).get("values", {}).items():
        for value in values:
            resolve("generation", "sampler", {name: value}, f"{where}.grid.values")


def _resolve_family(group: str, component: Config, where: str) -> None:
    parameters = {key: value for key, value in component.items() if key not in ("family", "normalisation")}
    component.update(resolve(group, component["family"], parameters, where))


def _check_references(config: Config, schema: Config) -> None:
    """Every name that is used is defined, and what depends on another entry fits it."""
    for name, suite in config["suites"].items():
        _known(suite["attacks"], config["attacks"], "attack", f"config.suites.{name}.attacks")
        for part in ("samples", "best_only"):
            _known(suite[part], suite["attacks"], "attack", f"config.suites.{name}.{part}")
    for name, model in config["models"].items():
        _known([model["dataset"]], config["datasets"], "dataset", f"config.models.{name}.dataset")
        if name in config["recipes"]:
            raise RobustlensError(f"config.models.{name}: a recipe has this name; choose another")
    for name, recipe in config["recipes"].items():
        _check_leave_out(config, name, recipe)
    for name, dataset in config["datasets"].items():
        _check_archives(config, name)
        late = [e for e in dataset["tracking"]["energy_epochs"] if e > dataset["training"]["epochs"]]
        if late:
            raise RobustlensError(
                f"config.datasets.{name}.tracking.energy_epochs: {late[0]} is after the last epoch, "
                f"{dataset['training']['epochs']}"
            )
        for recipe in config["recipes"]:
            _check_protocol(config, name, recipe, schema)
    for name, study in config["studies"].items():
        _check_study(config, study, f"config.studies.{name}")


def _check_study(config: Config, study: Config, where: str) -> None:
    _known(study["datasets"], config["datasets"], "dataset", f"{where}.datasets")
    _known(study["recipes"], config["recipes"], "recipe", f"{where}.recipes")
    _known(study["models"], config["models"], "model", f"{where}.models")
    for model in study["models"]:
        _known([config["models"][model]["dataset"]], study["datasets"], "dataset", f"config.models.{model}.dataset")
        _check_checksum(config["models"][model]["weights"], f"config.models.{model}.weights")
    for part in ("attack_energies", "generation", "generation_grid", "further", "subsets"):
        _check_part(config, study, part, f"{where}.{part}")


def _check_part(config: Config, study: Config, part: str, where: str) -> None:
    """The runs of a part of a study are runs of the study, or, of `further` and `subsets`, runs beside those."""
    own = part in ("further", "subsets")
    _known(study[part]["datasets"], study["datasets"], "dataset", f"{where}.datasets")
    _known(study[part]["recipes"], config["recipes"] if own else study["recipes"], "recipe", f"{where}.recipes")
    if own:
        _known([study[part]["suite"]], config["suites"], "suite", f"{where}.suite")
        for recipe in set(study[part]["recipes"]) & set(study["recipes"]):
            raise RobustlensError(f"{where}.recipes: {recipe} is among the study's recipes already")
    if part.startswith("generation"):
        for dataset in study[part]["datasets"]:
            settings = config["datasets"][dataset].get("generation")
            if settings is None or (part == "generation_grid" and "grid" not in settings):
                missing = "generation" if settings is None else "generation.grid"
                raise RobustlensError(f"{where}: config.datasets.{dataset}.{missing} is missing; add it")
            _check_features(config, dataset, study)


def _check_leave_out(config: Config, name: str, recipe: Config) -> None:
    if "leave_out" not in recipe:
        return
    where, by = f"config.recipes.{name}.leave_out.measured_by", recipe["leave_out"]["measured_by"]
    _known([by], config["recipes"], "recipe", where)
    if "leave_out" in config["recipes"][by]:
        raise RobustlensError(f"{where}: {by} leaves images out itself; name a recipe that trains on all of them")


def _check_features(config: Config, dataset: str, study: Config) -> None:
    where = f"config.datasets.{dataset}.generation.features"
    features = config["datasets"][dataset]["generation"]["features"]
    if features["kind"] == "classifier":
        _known([features["recipe"]], config["recipes"], "recipe", f"{where}.recipe")
        if features["recipe"] in study["recipes"] and features["seed"] in study["seeds"]:
            raise RobustlensError(
                f"{where}: seed {features['seed']} of {features['recipe']} is an evaluated run; "
                "the features must come from an independent one: choose a seed outside `seeds`"
            )


def _check_archives(config: Config, dataset: str) -> None:
    """Archives are those of the catalogue, and another dataset's do not pass for the original."""
    settings, where = config["datasets"][dataset], f"config.datasets.{dataset}"
    catalogue = entry(settings["reader"]["family"])
    known = {archive["file"]: archive for archive in catalogue["archives"]}
    _known(settings["archives"], known, "archive", f"{where}.archives")
    for file, own in settings["archives"].items():
        published = any(known[file].get(kind) for kind in CHECKSUMS)
        another = any(own[kind] != known[file].get(kind) for kind in CHECKSUMS if kind in own)
        if published and another and "title" not in settings:
            raise RobustlensError(
                f"{where}.archives.{file}: an archive with another checksum than {catalogue['title']}'s is another "
                "dataset: give it a `title` of its own"
            )
    for archive in archives(config, dataset):
        _check_checksum(archive, f"{where}.archives.{archive['file']}")


def _check_checksum(archive: Config, where: str) -> None:
    given = [kind for kind in CHECKSUMS if archive.get(kind)]
    if not given:
        raise RobustlensError(f"{where}: no checksum is known for it; add its `sha256` (sha256sum FILE prints it)")


def _check_protocol(config: Config, dataset: str, recipe: str, schema: Config) -> None:
    """The training protocol of a run is complete and valid once the recipe's own entries are merged in."""
    training = run_spec(config, dataset, recipe)["training"]
    _validate(training, {"$ref": "#/$defs/training", "$defs": schema["$defs"]}, f"config.recipes.{recipe}.training")


def _known(used: list[str], defined: Any, what: str, where: str) -> None:
    for name in used:
        if name not in defined:
            raise RobustlensError(f"{where}: unknown {what} {name!r}{nearest(name, list(defined))}")
