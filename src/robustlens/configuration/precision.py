"""What computes in bfloat16, which portable arithmetic does without (docs/determinism.md)."""

from robustlens import arithmetic
from robustlens.configuration.reading import Config
from robustlens.errors import RobustlensError

# The families of attacks that search in bfloat16, each with the one in float32 that makes as many passes. Not in the
# attacks' own files, because these import torch; a test compares.
SEARCHES = {
    "pgd-bfloat16": "pgd",
    "early-stopped-pgd-bfloat16": "early-stopped-pgd",
    "screen": "autoattack",
}


def check(config: Config) -> None:
    """Raise RobustlensError where something that this scale computes would need bfloat16 and can't have it."""
    if config["arithmetic"] != arithmetic.PORTABLE:
        return
    cohorts = [cohort for study in config["studies"].values() for cohort in study["cohorts"].values()]
    for name in dict.fromkeys(dataset for cohort in cohorts for dataset in cohort["datasets"]):
        if config["datasets"][name].get("generation", {}).get("precision") == "bfloat16":
            where = f"config.datasets.{name}.generation.precision"
            raise RobustlensError(f"{where}: bfloat16, which portable arithmetic does without; use float32")
    for study, settings in config["studies"].items():
        for cohort, chosen in settings["cohorts"].items():
            for name in config["suites"][chosen["suite"]]["attacks"] if "suite" in chosen else ():
                family = config["attacks"][name]["family"]
                if family in SEARCHES:
                    raise RobustlensError(
                        f"config.studies.{study}.cohorts.{cohort}.suite: {chosen['suite']} has the attack {name}, "
                        f"whose family {family} computes in bfloat16, which portable arithmetic does without; use the "
                        f"family {SEARCHES[family]}, or `arithmetic: native`"
                    )
