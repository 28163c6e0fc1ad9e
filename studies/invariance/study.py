"""Rethinking Invariance Regularization in Adversarial Training (ICLR 2025): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Published, Study, Table
from robustlens.study.general import autoattack, differences, robustness

COHORTS = {
    "main": Cohort("The methods that are compared.", suite="robustness"),
    "photographs": Cohort("The same on larger images.", suite="trade-off"),
    "wide": Cohort("The same on larger networks.", suite="trade-off"),
    "compared": Cohort("Recipes that claims compare with these.", suite="brief", beside="main"),
    "released": Cohort("The method as its code trains it.", suite="brief", beside="main"),
    "baselines": Cohort("Further methods.", suite="brief", beside="main"),
    "ablations": Cohort("Methods with one thing changed.", suite="brief", beside="main"),
    "strengths": Cohort("The method with a weaker or stronger regularisation.", suite="brief", beside="main"),
    "batches": Cohort("Batches of other sizes: in them the conflict of gradients is looked at, and nothing else."),
    "averaged": Cohort("Whose weights are averaged: their last checkpoint is.", suite="brief", beside="main"),
    "wide-averaged": Cohort("The same on larger networks.", suite="last-alone", beside="wide"),
    "exported": Cohort(
        "Those whose classifier with the BatchNorm of natural images is evaluated, too.",
        suite="both-batchnorms",
        within="main",
    ),
    "evaluators": Cohort("Those that the released evaluators are tried on.", suite="evaluators", within="main"),
    "features": Cohort("Those of which features of attacked images are looked at.", suite="robustness", within="main"),
    "channels": Cohort(
        "Those of which single channels of natural and of attacked images are looked at: two BatchNorms and one.",
        suite="robustness",
    ),
}


def observed(recipe) -> bool:
    return bool(recipe.get("observers"))


COMPARED = ("main", "photographs", "wide")
EVERYTHING = Files("evaluations", *COMPARED, "released", "baselines", "compared", "ablations", "strengths")
AVERAGED = Files("evaluations", "averaged", "wide-averaged", optional=True)
EVALUATORS = Files("evaluations", "evaluators")
STATISTICS = Files("statistics", "main", "photographs", "released", "compared", "ablations", "batches", where=observed)
FEATURES = Files("features", "features")
CHANNELS = Files("channels", "channels")

STUDY = Study(
    title="Rethinking Invariance Regularization in Adversarial Training (ICLR 2025)",
    paper="the AR-AT paper",
    authors=("Futa Waseda", "Ching-Chun Chang", "Isao Echizen"),
    venue="International Conference on Learning Representations (ICLR) 2025",
    arxiv="2402.14648",
    definitions={
        "z, z\u2032": "features of an image and of the attacked image; drift is ‖z\u2032 \u2212 z‖",
        "gradient conflict": "a negative cosine between the gradients of the classification losses and of the "
        "invariance loss",
        "weights in conflict": "the share of weights where the two gradients have opposite signs, in %",
        "mixture": "how far the statistics of clean and of adversarial inputs of a BatchNorm are apart",
        "sum": "clean accuracy plus accuracy under AutoAttack, in points",
    },
    cohorts=COHORTS,
    tables=[
        Table(
            "trade-off",
            "Clean accuracy, robust accuracy and their sum",
            {"evaluations": (EVERYTHING, AVERAGED), "published": Published()},
            uses=("attacks",),
        ),
        robustness(EVERYTHING, appendix=True),
        differences(EVERYTHING, baseline="sat"),
        autoattack(Files("evaluations", *COMPARED)),
        Table(
            "batchnorms",
            "AR-AT with the BatchNorm of natural images",
            {"evaluations": Files("evaluations", "exported")},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "evaluators",
            "AutoAttack and PGD-20 as they are, and as released",
            {"evaluations": EVALUATORS},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "features",
            "Features of attacked images and of the images themselves",
            {"features": FEATURES, "published": Published()},
        ),
        Table("conflict", "Gradients and features in training", {"statistics": STATISTICS}),
        Table("mixture", "BatchNorm of clean and of adversarial features", {"statistics": STATISTICS}),
    ],
    figures=[
        Figure(
            "trade-off",
            "Clean against robust accuracy",
            {
                "evaluations": Files("evaluations", *COMPARED, "released", "baselines", "strengths"),
                "averaged": AVERAGED,
            },
            per=("dataset",),
            uses=("attacks", "colours", "markers"),
        ),
        Figure(
            "ablations",
            "What each part of a method does",
            {"evaluations": EVERYTHING},
            per=("dataset",),
            uses=("attacks", "changes"),
        ),
        Figure(
            "conflict",
            "Gradients and features over training",
            {"statistics": STATISTICS},
            per=("dataset",),
            uses=("colours", "markers"),
        ),
        Figure(
            "layers", "Weights in conflict, layer by layer", {"statistics": STATISTICS}, per=("dataset",), appendix=True
        ),
        Figure(
            "mixture",
            "Statistics of clean and of adversarial features",
            {"statistics": STATISTICS},
            per=("dataset",),
            uses=("colours", "markers"),
        ),
        Figure(
            "channels",
            "Channels of clean and of adversarial features",
            {"channels": CHANNELS},
            per=("dataset",),
            appendix=True,
        ),
    ],
    claims=Claims(
        "Judge the claims of the AR-AT paper",
        {"evaluations": EVERYTHING, "evaluators": EVALUATORS, "statistics": STATISTICS},
    ),
)
