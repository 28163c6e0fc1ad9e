"""Robust Learning Meets Generative Models (ICLR 2022): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Study, Table
from robustlens.study.general import autoattack, differences, robustness

COHORTS = {
    "main": Cohort("Real images alone, generated ones alone, and both.", suite="selected-autoattack"),
    "proxies": Cohort("The same with other generators.", suite="selected", beside="main"),
    "weights": Cohort("Other weights of the real images.", suite="selected", beside="main"),
    "variants": Cohort("Fewer images, other labels, another loss.", suite="selected", beside="main"),
    "selection": Cohort("Half of the generated images: the most real ones, or any.", suite="selected", beside="main"),
    "other-norm": Cohort("In the other norm.", suite="selected"),
}


def mixes(recipe) -> bool:
    """Whether its runs train on real and on generated images."""
    return recipe.get("mix", {}).get("gamma", 0) > 0


EVERYTHING = Files("evaluations", *COHORTS)
CLOSENESS = Files("closeness", "main", "proxies", where=mixes, first_seed=True)
CURVES = Files("discrimination", "main", "proxies", where=mixes, first_seed=True)

STUDY = Study(
    title="Robust Learning Meets Generative Models (ICLR 2022)",
    paper="the paper on proxy distributions",
    cohorts=COHORTS,
    tables=[
        robustness(EVERYTHING),
        differences(EVERYTHING, baseline="sat-twice"),
        autoattack(Files("evaluations", "main")),
        Table(
            "generators",
            "Generators, and what they do for robust training",
            {
                "evaluations": Files("evaluations", "main", "proxies"),
                "closeness": CLOSENESS,
                "discrimination": CURVES,
            },
            uses=("attacks",),
            baseline="sat-twice",
        ),
    ],
    figures=[
        Figure(
            "discrimination",
            "How often real and generated images are told apart",
            {"discrimination": CURVES},
            per=("dataset",),
            uses=("colours",),
        ),
        Figure("bound", "The transfer bound", {"closeness": CLOSENESS}, per=("dataset",), uses=("colours",)),
    ],
    claims=Claims(
        "Judge the claims of the paper on proxy distributions",
        {
            "evaluations": EVERYTHING,
            "history": Files("history", "main", "weights"),
            "closeness": CLOSENESS,
            "discrimination": CURVES,
        },
    ),
)
