"""Robust Learning Meets Generative Models (ICLR 2022): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Cohort, Files, Study
from robustlens.study.general import autoattack, differences, robustness

COHORTS = {
    "main": Cohort("Real images alone, generated ones alone, and both.", suite="selected-autoattack"),
    "proxies": Cohort("The same with other generators.", suite="selected", beside="main"),
    "weights": Cohort("Other weights of the real images.", suite="selected", beside="main"),
    "variants": Cohort("Fewer images, other labels, another loss.", suite="selected", beside="main"),
    "other-norm": Cohort("In the other norm.", suite="selected"),
}

EVERYTHING = Files("evaluations", *COHORTS)

STUDY = Study(
    title="Robust Learning Meets Generative Models (ICLR 2022)",
    paper="the paper on proxy distributions",
    cohorts=COHORTS,
    tables=[
        robustness(EVERYTHING),
        differences(EVERYTHING, baseline="sat-twice"),
        autoattack(Files("evaluations", "main")),
    ],
)
