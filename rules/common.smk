# Functions that the rules share: the checked configuration, the parameters of a job, the files of a study.
import json
import shutil

from snakemake.exceptions import WorkflowError

from robustlens import configuration
from robustlens.code_digest import code_digest
from robustlens.errors import RobustlensError

LATEX_ENGINES = ("latexmk", "pdflatex", "tectonic")


def checked_configuration(raw):
    """The complete configuration of the chosen scale, or one clear error."""
    try:
        return configuration.load(raw, Path(workflow.basedir) / "schemas" / "config.schema.yaml")
    except RobustlensError as error:
        raise WorkflowError(str(error))


def job_spec(script, *modules, **parameters):
    """What a job needs to know, as JSON: its parameters and the digest of the code that it uses. `modules` are those
    that the script loads by name."""
    entry = Path(workflow.basedir) / "scripts" / f"{script}.py"
    return json.dumps(parameters | {"code": code_digest(entry, *modules)}, sort_keys=True)


def component_module(group, name):
    return f"robustlens.{group}.{name.replace('-', '_')}"


def data_spec(wildcards):
    dataset = CONFIG["datasets"][wildcards.dataset]
    return job_spec(
        "prepare_data",
        component_module("data", dataset["reader"]),
        dataset=wildcards.dataset,
        reader=dataset["reader"],
        splits=dataset["splits"],
    )


def train_spec(wildcards):
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "train",
        component_module("methods", spec["method"]["name"]),
        component_module("models", spec["architecture"]["family"]),
        seed=int(wildcards.seed),
        **spec,
    )


def evaluate_spec(wildcards):
    suite = CONFIG["studies"]["energy"][wildcards.suite.replace("-", "_")]
    attacks = configuration.suite_attacks(CONFIG, suite)
    spec = configuration.run_spec(CONFIG, wildcards.dataset, wildcards.recipe)
    return job_spec(
        "evaluate",
        component_module("models", spec["architecture"]["family"]),
        *(component_module("attacks", attack["family"]) for attack in attacks),
        dataset=wildcards.dataset,
        recipe=wildcards.recipe,
        seed=int(wildcards.seed),
        suite=wildcards.suite,
        architecture=spec["architecture"],
        threat=spec["threat"],
        attacks=attacks,
        batch_size=suite["batch_size"],
    )


def evaluated_checkpoints(wildcards):
    names = {"robustness": ["best", "last"], "attack-energies": ["last"]}[wildcards.suite]
    return expand("results/{scale}/runs/{dataset}/{recipe}/seed{seed}/{name}.safetensors", name=names, **wildcards)


def run_files(pattern, recipes):
    """One file a (dataset, recipe, seed) of the energy study."""
    study = CONFIG["studies"]["energy"]
    return expand(pattern, scale=CONFIG["scale"], dataset=study["datasets"], recipe=recipes, seed=study["seeds"])
