"""Shedding More Light on Robust Classifiers under the lens of Energy-based Models (ECCV 2024): what is made of it.

`python -m pytest tests/studies` holds these declarations against the functions that they name.
"""

from robustlens.study.declaration import Claims, Cohort, Figure, Files, Published, Study, Table
from robustlens.study.general import autoattack, differences, robustness

SUITE = "robustness"

COHORTS = {
    "main": Cohort("The recipes of the main tables.", suite=SUITE),
    "further": Cohort("Further baselines and ablations.", suite=SUITE, beside="main"),
    "subsets": Cohort(
        "Recipes that leave training images out; each `changes` one of `main`.", suite=SUITE, beside="main"
    ),
    "attack-energies": Cohort(
        "Whose energies are compared under many attacks.", suite="attack-energies", within="main"
    ),
    "generation": Cohort("What images are generated from.", within="main", needs=("generation",)),
    "generation-grid": Cohort(
        "What images are generated from with every setting of the datasets' grids.",
        within="main",
        needs=("generation", "generation.grid"),
    ),
}


def shown_image_by_image(recipe) -> bool:
    return recipe["name"] in ("sat", "trades")


def weighted_by_energy(recipe) -> bool:
    return recipe.get("method") == "weat"


EVALUATIONS = Files("evaluations", "main", "further")
ATTACKED = Files("evaluations", "attack-energies")
HISTORY = Files("history", "main", "further")
SCORES = Files("scores", "generation")
WITH_SUBSETS = (Files("evaluations", "main", changed_by="subsets"), Files("evaluations", "subsets"))

STUDY = Study(
    title="Shedding More Light on Robust Classifiers under the lens of Energy-based Models (ECCV 2024)",
    paper="the energy paper",
    authors=("Mujtaba Hussain Mirza", "Maria Rosaria Briglia", "Senad Beadini", "Iacopo Masi"),
    venue="European Conference on Computer Vision (ECCV) 2024",
    arxiv="2407.06315",
    definitions={
        "E(x)": "\u2212log Σ_k exp f_k(x) from logits f(x): the marginal energy of an image, in nat",
        "E(x, y)": "\u2212f_y(x): its joint energy with its label, in nat; cross-entropy = E(x, y) \u2212 E(x)",
        "ΔE(x), ΔE(x, y)": "energy of the natural image minus that of the attacked one, in nat; "
        "negative where an attack raises the energy",
        "robust overfitting": "robust accuracy of the best checkpoint minus that of the last one, in points",
    },
    cohorts=COHORTS,
    tables=[
        robustness(EVALUATIONS, published=True),
        differences(EVALUATIONS, published=True, baseline="trades"),
        autoattack(Files("evaluations", "main")),
        Table("phases", "Phases of training and overfitting", {"history": HISTORY, "evaluations": EVALUATIONS}),
        Table(
            "attack-energies",
            "Energies before and after each attack",
            {"evaluations": ATTACKED},
            uses=("attacks",),
            early=True,
        ),
        Table(
            "generation",
            "Quality of the generated images",
            {
                "scores": SCORES,
                "anchors": Files("real-image-scores", "generation"),
                "published": Published(),
            },
        ),
        Table(
            "subsets",
            "Training without some of the images",
            {
                "evaluations": WITH_SUBSETS,
                "history": (
                    Files("history", "main", changed_by="subsets"),
                    Files("history", "subsets"),
                ),
            },
            uses=("changes",),
            appendix=True,
        ),
        Table(
            "energies", "Energies at the last epoch", {"history": HISTORY, "evaluations": EVALUATIONS}, appendix=True
        ),
        Table("generation-grid", "Settings of the sampler", {"grid": Files("grid", "generation-grid")}, appendix=True),
    ],
    figures=[
        Figure(
            "phases",
            "The three phases of adversarial training",
            {"history": Files("history", "main", where=shown_image_by_image)},
            per=("dataset",),
            uses=("colours",),
        ),
        Figure(
            "plane",
            "Joint and marginal energies, phase by phase",
            {
                "energies": Files("energies", "main", where=shown_image_by_image),
                "history": Files("history", "main", where=shown_image_by_image),
            },
            per=("dataset",),
            animation=("energies",),
        ),
        Figure(
            "delta",
            "Energy gap against epoch",
            {"main": Files("history", "main"), "further": Files("history", "further", optional=True)},
            per=("dataset",),
            uses=("colours",),
        ),
        Figure(
            "correlation",
            "Energy gap against overfitting",
            {"history": HISTORY},
            per=("dataset",),
            uses=("changes", "colours", "markers"),
        ),
        Figure(
            "violins",
            "Energy gaps of all classifiers",
            {"evaluations": EVALUATIONS},
            per=("dataset",),
            uses=("attacks",),
            appendix=True,
        ),
        Figure(
            "attacks", "Energies under many attacks", {"evaluations": ATTACKED}, per=("dataset",), uses=("attacks",)
        ),
        Figure(
            "weight",
            "The weights of WEAT against energy",
            {"energies": Files("energies", "main", where=weighted_by_energy)},
            per=("dataset",),
            uses=("colours",),
            appendix=True,
        ),
        Figure(
            "subsets",
            "Training without some of the images",
            {
                "energies": Files("training-images", "subsets", through="leave_out.measured_by"),
                "evaluations": WITH_SUBSETS,
            },
            per=("dataset",),
            uses=("attacks", "changes"),
        ),
        Figure(
            "samples",
            "Generated images",
            {
                "samples": Files("samples", "generation", first_seed=True),
                "scores": SCORES,
                "data": Files("dataset", "generation"),
            },
            per=("dataset",),
        ),
        Figure(
            "class-distances",
            "Quality of the generated images, class by class",
            {"scores": SCORES},
            per=("dataset",),
            uses=("colours", "markers"),
            appendix=True,
        ),
        Figure(
            "grid",
            "Settings of the sampler",
            {
                "grid": Files("grid", "generation-grid"),
                "chains": Files("grid-chains", "generation-grid"),
                "samples": Files("grid-images", "generation-grid"),
            },
            per=("dataset", "recipe"),
            appendix=True,
        ),
    ],
    claims=Claims(
        "Judge the claims of the energy paper",
        {
            "robustness": Files("evaluations", "main", "further", "subsets"),
            "attack_energies": ATTACKED,
            "history": Files("history", "main", "further", "subsets"),
            "energies": Files("energies", "main", "further"),
            "scores": SCORES,
            "grid": Files("grid", "generation-grid"),
        },
        uses=("changes",),
    ),
)
