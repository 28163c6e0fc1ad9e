"""Attacks that are not defined for a dataset with few classes."""

from robustlens.configuration import facts
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError

# The fewest classes that attacks are defined for, by their family. The difference of logits ratio divides by the
# distance from the largest logit to the third one and, in its targeted form, to the third and the fourth. The numbers
# are not in the attacks' own files because that would make all evaluations again; a test runs every attack.
LEAST = {"apgd-t": 4, "autoattack": 4, "autoattack-10": 4, "screen": 4}
LEAST_OF_DLR = 3
INSTEAD = "attacks of the families apgd (loss ce, several restarts), fab and square"


def least(attack: Config) -> int:
    """How many classes an entry of `attacks` needs."""
    return LEAST_OF_DLR if attack.get("loss") == "dlr" else LEAST.get(attack["family"], 2)


def check_suite(config: Config, suite: str, datasets: list[str], where: str) -> None:
    """Raise RobustlensError for an attack of the suite that one of the datasets has too few classes for."""
    for dataset in datasets:
        classes = facts.classes(config, dataset)
        for name in config["suites"][suite]["attacks"]:
            needed = least(config["attacks"][name])
            if classes < needed:
                raise RobustlensError(
                    f"{where}: {suite} has the attack {name}, which needs {needed} classes, and {dataset} has "
                    f"{classes}; evaluate it by a suite of {INSTEAD}"
                )
