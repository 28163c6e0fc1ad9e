"""Robust Learning Meets Generative Models (ICLR 2022): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Published, Study, Table
from robustlens.study.general import autoattack, differences, robustness

COHORTS = {
    "main": Cohort("Real images alone, generated ones alone, and both.", suite="selected-autoattack"),
    "proxies": Cohort("The same with other generators.", suite="selected", beside="main"),
    "weights": Cohort("Other weights of the real images.", suite="selected", beside="main"),
    "sizes": Cohort("Fewer generated images.", suite="selected", beside="main"),
    "variants": Cohort("Other labels, another loss.", suite="selected", beside="main"),
    "certified": Cohort("Trained for randomised smoothing.", certification="smoothed"),
    "selection": Cohort("Half of the generated images: the most real ones, or any.", suite="selected", beside="main"),
    "other-norm": Cohort("In the other norm.", suite="selected"),
    "wide": Cohort("On larger networks.", suite="selected-autoattack"),
    "many-classes": Cohort("On a hundred classes, with fewer images of each.", suite="selected-autoattack"),
    "thousand-classes": Cohort("On a thousand classes, with fewer still.", suite="selected-autoattack"),
    "few-classes": Cohort("On classes that are too few for AutoAttack.", suite="few-classes"),
}


def mixes(recipe) -> bool:
    """Whether its runs train on real and on generated images."""
    return recipe.get("mix", {}).get("gamma", 0) > 0


def mixes_with_sat(recipe) -> bool:
    """So, trained as SAT does: one recipe for each generator."""
    return mixes(recipe) and recipe["method"] == "sat"


EVALUATED = [name for name, cohort in COHORTS.items() if cohort.suite]
EVERYTHING = Files("evaluations", *EVALUATED)
WEIGHTS = (Files("evaluations", "main", "many-classes"), Files("evaluations", "weights"))
SIZES = (Files("evaluations", "main"), Files("evaluations", "sizes"))
HISTORIES = (Files("history", "main", "many-classes"), Files("history", "weights"))
CERTIFIED = Files("certified", "certified")
WITH_POOLS = ("main", "proxies", "variants", "selection", "many-classes", "thousand-classes", "few-classes")
COMPARED = ("main", "proxies", "variants", "selection")
CLOSENESS = Files("closeness", "main", "proxies", where=mixes, first_seed=True)
ALL_CLOSENESS = Files("closeness", *COMPARED, where=mixes_with_sat, first_seed=True)
CURVES = Files("discrimination", "main", "proxies", where=mixes, first_seed=True)

STUDY = Study(
    title="Robust Learning Meets Generative Models (ICLR 2022)",
    paper="the paper on proxy distributions",
    authors=(
        "Vikash Sehwag",
        "Saeed Mahloujifar",
        "Tinashe Handina",
        "Sihui Dai",
        "Chong Xiang",
        "Mung Chiang",
        "Prateek Mittal",
    ),
    venue="International Conference on Learning Representations (ICLR) 2022",
    arxiv="2104.09425",
    definitions={
        "\u03b3": "weight of the real images of a step; the generated ones have 1 \u2212 \u03b3",
        "ARC": "area, above chance, under the balanced accuracy of discriminators of real and generated images "
        "against the radius of the perturbation",
        "gain": "accuracy minus that of training on real images alone, in points",
        "certified accuracy": "part of the test images that randomised smoothing certifies at a radius, in %",
    },
    cohorts=COHORTS,
    tables=[
        robustness(EVERYTHING, published=True),
        differences(EVERYTHING, baseline="sat-twice"),
        autoattack(Files("evaluations", "main")),
        Table(
            "generators",
            "Generators, and what they do for robust training",
            {
                "evaluations": Files("evaluations", *COMPARED),
                "closeness": ALL_CLOSENESS,
                "discrimination": CURVES,
            },
            uses=("attacks",),
            baseline="sat-twice",
        ),
        Table(
            "weights",
            "Accuracy against the weight of the real images",
            {"evaluations": WEIGHTS, "history": HISTORIES},
            uses=("attacks", "changes", "mix"),
            appendix=True,
        ),
        Table(
            "sizes",
            "Accuracy against the number of generated images",
            {"evaluations": SIZES},
            uses=("attacks", "changes", "mix"),
            appendix=True,
        ),
        Table(
            "rankings",
            "What ranks generators as their images help",
            {
                "evaluations": Files("evaluations", "main", "proxies"),
                "closeness": CLOSENESS,
                "discrimination": CURVES,
                "published": Published(),
            },
            uses=("attacks",),
            baseline="sat-twice",
        ),
        Table("transfer", "Both sides of the transfer bound", {"closeness": CLOSENESS}, appendix=True),
        Table(
            "certified", "Certified accuracy", {"certified": CERTIFIED}, uses=("shapes",), baseline="smoothing-twice"
        ),
    ],
    figures=[
        Figure(
            "weights",
            "Accuracy against the weight of the real images",
            {"evaluations": WEIGHTS, "published": Published()},
            per=("dataset",),
            uses=("attacks", "changes", "mix"),
        ),
        Figure(
            "sizes",
            "Accuracy against the number of generated images",
            {"evaluations": SIZES},
            per=("dataset",),
            uses=("attacks", "changes", "mix"),
            appendix=True,
        ),
        Figure(
            "samples",
            "Generated images and the training images nearest to them",
            {"pools": Files("pool", *WITH_POOLS), "data": Files("dataset", *WITH_POOLS)},
            per=("dataset",),
            uses=("mix",),
        ),
        Figure(
            "discrimination",
            "How often real and generated images are told apart",
            {"discrimination": CURVES},
            per=("dataset",),
            uses=("colours",),
        ),
        Figure(
            "certified",
            "Certified accuracy",
            {"certified": CERTIFIED},
            per=("dataset",),
            uses=("colours", "shapes"),
        ),
        Figure("bound", "The transfer bound", {"closeness": CLOSENESS}, per=("dataset",)),
    ],
    claims=Claims(
        "Judge the claims of the paper on proxy distributions",
        {
            "evaluations": EVERYTHING,
            "history": Files("history", "main", "weights", "many-classes"),
            "closeness": CLOSENESS,
            "discrimination": CURVES,
            "certified": CERTIFIED,
        },
    ),
)
