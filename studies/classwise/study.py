"""Analysis and Applications of Class-wise Robustness in Adversarial Training (KDD 2021): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Published, Study, Table
from robustlens.study.general import autoattack, differences, robustness

COHORTS = {
    "main": Cohort("The defences whose class-wise robustness is compared.", suite="robustness"),
    "attacks": Cohort("Those that more attacks are tried on.", suite="more-attacks", within="main"),
    "checkpoints": Cohort("Those of which several checkpoints are kept.", suite="checkpoints", within="main"),
    "third-party": Cohort(
        "Third-party models on datasets that training takes too long on: ImageNet, by `imagenet.yaml`.",
        suite="third-party",
    ),
    "temperature-gain": Cohort("Those that Temperature-PGD is compared with PGD on.", suite="more-attacks"),
    "temperature": Cohort("Those that all temperatures are tried on.", suite="temperature", within="temperature-gain"),
    "temperature-l2": Cohort("Those that it is tried on in L2, whatever they were trained in.", suite="temperature"),
    "defence": Cohort(
        "Defences of the worst class, each of which `changes` one of `main` or of these, and what those change.",
        suite="defence",
        beside="main",
    ),
    "defence-autoattack": Cohort("Those that AutoAttack is tried on.", suite="defence-autoattack", within="defence"),
    "corrected": Cohort(
        "Those whose last layer is corrected, and of which another checkpoint is best for the worst class.",
        suite="corrected",
        within="main",
    ),
    "removal": Cohort(
        "Training without one of the classes; each `changes` one of `main`.", suite="removal", beside="main"
    ),
}

OURS = Files("evaluations", "main", "attacks")
EVALUATIONS = Files("evaluations", "main", "attacks", "third-party")
HISTORY = Files("history", "main")
CLASSES = Files("class-names", "main", "third-party")
WEIGHTS = Files("best-weights", "main")
L2 = Files("evaluations", "temperature-l2", optional=True)
SWEEPS = (Files("evaluations", "temperature"), L2)
GAINS = Files("evaluations", "temperature-gain")
DEFENCE = (
    Files("evaluations", "main", changed_by="defence"),
    Files("evaluations", "corrected", optional=True),
    Files("evaluations", "defence"),
    Files("evaluations", "defence-autoattack", optional=True),
)


def goes_by_classes(recipe) -> bool:
    """Whether a training goes by the accuracy of single classes of the validation split: FAWA and FRL."""
    return recipe["method"] == "frl" or (recipe["method"] == "cfa" and recipe.get("averaging", True))


REMOVAL = {
    "evaluations": (Files("evaluations", "main", changed_by="removal"), Files("evaluations", "removal")),
    "history": (Files("history", "main", changed_by="removal"), Files("history", "removal")),
    "names": Files("class-names", "removal"),
}

STUDY = Study(
    title="Analysis and Applications of Class-wise Robustness in Adversarial Training (KDD 2021)",
    paper="the class-wise paper",
    authors=("Qi Tian", "Kun Kuang", "Kelu Jiang", "Fei Wu", "Yisen Wang"),
    venue="ACM SIGKDD Conference on Knowledge Discovery and Data Mining (KDD) 2021",
    arxiv="2105.14240",
    definitions={
        "average, worst class": "accuracy over all test images, and on the class where it is lowest, in %",
        "CV": "variance of the accuracies of the classes",
        "MCD": "accuracy of the best class minus that of the worst one, in points",
        "Temperature-PGD": "PGD on the cross-entropy of logits divided by a temperature T; tables give 1/T",
    },
    cohorts=COHORTS,
    tables=[
        robustness(EVALUATIONS, published=True),
        differences(OURS, baseline="sat", appendix=True),
        autoattack(Files("evaluations", "main", "third-party")),
        Table(
            "classes",
            "Average and worst class, clean and under attack",
            {"evaluations": EVALUATIONS, "names": CLASSES, "published": Published()},
            uses=("attacks",),
        ),
        Table(
            "class-accuracy",
            "Accuracy of each class",
            {"evaluations": EVALUATIONS, "names": CLASSES},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "late-epochs",
            "Average, worst class, variance and gap over the last epochs",
            {"history": (HISTORY, Files("history", "defence", optional=True))},
            appendix=True,
        ),
        Table(
            "checkpoints",
            "Average, worst class, variance and gap at several checkpoints",
            {"evaluations": Files("evaluations", "checkpoints")},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "consistency",
            "Rank correlation of class robustness between attacks and between defences",
            {"evaluations": EVALUATIONS},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "stronger-attacks",
            "What stronger attacks than PGD-20 take from each class",
            {"evaluations": EVALUATIONS},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "confusion",
            "Where attacked images go",
            {"evaluations": EVALUATIONS, "names": CLASSES},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "weight-norms",
            "Weights of the last layer against class robustness",
            {"evaluations": OURS, "weights": WEIGHTS},
            uses=("attacks",),
            appendix=True,
        ),
        Table("temperature", "Average and worst class by temperature", {"evaluations": SWEEPS}, uses=("attacks",)),
        Table(
            "temperature-spread",
            "How classes differ by temperature",
            {"evaluations": SWEEPS},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "temperature-gain",
            "What Temperature-PGD breaks beyond PGD-20, and how flat the softmax is",
            {"evaluations": (GAINS, L2)},
            uses=("attacks",),
            appendix=True,
        ),
        Table(
            "temperature-signs",
            "Where PGD in single precision steps another way than Temperature-PGD",
            {"signs": Files("other-signs", "temperature", first_seed=True)},
            appendix=True,
        ),
        Table(
            "defence",
            "Defences of the worst class, and corrections of the last layer",
            {"evaluations": DEFENCE, "corrections": Files("corrections", "corrected", optional=True)},
            uses=("attacks", "changes"),
        ),
        Table("removal", "Training without one of the classes", REMOVAL, uses=("changes",)),
    ],
    figures=[
        Figure(
            "class-accuracy",
            "Accuracy of each class, clean and under attack",
            {"evaluations": EVALUATIONS, "names": CLASSES},
            per=("dataset",),
            uses=("attacks", "colours"),
        ),
        Figure(
            "confusion",
            "Where attacked images go",
            {"evaluations": EVALUATIONS, "names": CLASSES},
            per=("dataset", "recipe"),
            uses=("attacks",),
            appendix=True,
        ),
        Figure(
            "consistency",
            "Rank correlation of class robustness between attacks and between defences",
            {"evaluations": EVALUATIONS},
            per=("dataset",),
            uses=("attacks",),
        ),
        Figure(
            "stronger-attacks",
            "What stronger attacks than PGD-20 take from each class",
            {"evaluations": EVALUATIONS},
            per=("dataset",),
            uses=("attacks", "colours", "markers"),
        ),
        Figure(
            "epochs",
            "Worst class, average, variance and gap over epochs",
            {"history": HISTORY},
            per=("dataset",),
            uses=("colours", "markers"),
            appendix=True,
        ),
        Figure(
            "temperature",
            "Robust accuracy against the temperature of Temperature-PGD",
            {"evaluations": SWEEPS},
            per=("dataset",),
            uses=("attacks", "colours", "markers"),
        ),
        Figure(
            "temperature-classes",
            "Accuracy of each class against the temperature of Temperature-PGD",
            {"evaluations": SWEEPS, "names": Files("class-names", "temperature")},
            per=("dataset",),
            appendix=True,
        ),
        Figure(
            "trade-off",
            "Worst class against average",
            {"evaluations": DEFENCE},
            per=("dataset",),
            uses=("attacks", "changes", "colours", "markers"),
        ),
        Figure(
            "removal", "Training without one of the classes", REMOVAL, per=("dataset",), uses=("attacks", "changes")
        ),
    ],
    claims=Claims(
        "Judge the claims of the class-wise paper",
        {
            "evaluations": EVALUATIONS,
            "history": HISTORY,
            "weights": WEIGHTS,
            "names": CLASSES,
            "gains": GAINS,
            "defence": DEFENCE,
            "chosen": Files("history", "defence", where=goes_by_classes, optional=True),
            "removal": REMOVAL["evaluations"],
            "removal_history": REMOVAL["history"],
        },
        uses=("changes",),
    ),
)
