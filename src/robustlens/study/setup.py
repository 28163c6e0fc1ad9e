"""How a study's results were made, as its chapter of the report says first."""

from collections.abc import Iterable, Mapping
from typing import Any

from robustlens.configuration import Config, title
from robustlens.report.context import NORMS
from robustlens.report.lists import separated
from robustlens.study.declaration import Study

# A label, and the lines beside it.
Entry = tuple[str, list[str]]


def setup(config: Config, study: Study) -> list[Entry]:
    """Paper, definitions, data, threat, network, training, recipes with their seeds, and attacks. What a study does not
    declare, or has several of at once, is left out or named for each dataset."""
    cohorts = config["studies"][study.name]["cohorts"]
    datasets = list(dict.fromkeys(dataset for cohort in cohorts.values() for dataset in cohort["datasets"]))
    protocols = {name: config["datasets"][name] for name in datasets}
    titles = {name: title(config, name) for name in datasets}
    threats = {name: config["threats"][protocol["threat"]] for name, protocol in protocols.items()}
    found = {
        "Paper": _paper(study),
        "Definitions": [f"{name}: {said}." for name, said in study.definitions.items()],
        "Data": [separated(dict.fromkeys(titles.values()))] if titles else [],
        "Threat": _of_each({name: _threat(threat) for name, threat in threats.items()}, titles),
        "Network": _of_each({name: _network(protocol["architecture"]) for name, protocol in protocols.items()}, titles),
        "Training": _of_each({name: _training(protocol["training"]) for name, protocol in protocols.items()}, titles),
        "Recipes": [_cohort(config, name, cohort) for name, cohort in cohorts.items()],
        "Attacks": _attacks(config, cohorts.values()),
    }
    return [(label, lines) for label, lines in found.items() if lines]


def _paper(study: Study) -> list[str]:
    arxiv = f"arXiv:{study.arxiv}" if study.arxiv else ""
    parts = [part for part in (", ".join(study.authors), study.venue, arxiv) if part]
    return [". ".join(parts) + "."] if parts else []


def _of_each(texts: Mapping[str, str], titles: Mapping[str, str]) -> list[str]:
    """What is said of the datasets: once where it is the same of all, otherwise with the titles of those it is of."""
    said: dict[str, list[str]] = {}
    for name, text in texts.items():
        said.setdefault(text, []).append(titles[name])
    if len(said) == 1:
        return list(said)
    return [f"{separated(dict.fromkeys(names))}: {text}" for text, names in said.items()]


def _threat(threat: Mapping[str, Any]) -> str:
    return f"{NORMS.get(threat['norm'], threat['norm'])}, ε = {threat['epsilon']}, steps of {threat['step_size']}"


def _network(architecture: Mapping[str, Any]) -> str:
    """Its family, and what else the configuration says of it."""
    said = [f"{key.replace('_', ' ')} {_value(value)}" for key, value in architecture.items() if key != "family"]
    return ", ".join([architecture["family"], *said])


def _value(value: object) -> str:
    """A setting in words: a list with commas would read as several settings."""
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_value(of_key)}" for key, of_key in value.items())
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _training(training: Mapping[str, Any]) -> str:
    """The protocol of a dataset, from which recipes may depart."""
    return (
        f"{training['epochs']} epochs, batches of {training['batch_size']}, learning rate {training['learning_rate']} "
        f"({training['schedule']['name']}), momentum {training['momentum']}, weight decay {training['weight_decay']}, "
        f"{training['attack_steps']} attack steps"
    )


def _cohort(config: Config, name: str, cohort: Mapping[str, Any]) -> str:
    recipes = [config["recipes"][recipe].get("label", recipe) for recipe in cohort["recipes"]]
    models = [config["models"][model].get("title", model) for model in cohort["models"]]
    seeds = f"seed{'s' if len(cohort['seeds']) > 1 else ''} {', '.join(map(str, cohort['seeds']))}"
    return f"{name} ({seeds}): {separated([*recipes, *models])}"


def _attacks(config: Config, cohorts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of each suite that a cohort is evaluated by."""
    suites = dict.fromkeys(cohort["suite"] for cohort in cohorts if cohort.get("suite"))
    return [f"{name}: {separated(_attack(config, name, attack) for attack in _names(config, name))}" for name in suites]


def _names(config: Config, suite: str) -> list[str]:
    return list(config["suites"][suite]["attacks"])


def _attack(config: Config, suite: str, attack: str) -> str:
    """Its label, and on how many images it is run where that is not all of them."""
    images = config["suites"][suite]["samples"].get(attack)
    label = config["attacks"][attack].get("label", attack)
    return f"{label} ({images} images)" if images else label
