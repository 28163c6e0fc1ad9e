"""Jobs of a small dataset as a dry run announces them, and the module that plans the stage which prepares it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from robustlens.planning.datasets import Dataset
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known

ROOT = Path(__file__).parent.parent
REGISTRATION = re.compile(r'^PLANNED\["(\w+)"\] = "([\w.]+)"$', re.M)
# As the rules register them, and this very module for the small dataset.
REGISTERED = dict(REGISTRATION.findall("".join(file.read_text() for file in ROOT.glob("rules/*.smk"))))
STAGES = REGISTERED | {"prepare_small": __name__}

CPU = torch.device("cpu")
TINY = {"family": "resnet", "blocks": [1], "width": 2}
SMALL = Dataset((1, 4, 4), 3, {"train": 100, "validation": 20, "test": 30})
# By hand, two per multiply-add. Stem: 16 pixels x 2 filters of 3x3x1; block: twice 16 x 2 of 3x3x2; linear: 2 x 3.
TINY_FLOPS = 2 * (16 * 2 * 9 + 2 * 16 * 2 * 9 * 2 + 2 * 3)
# Convolutions 18 + 36 + 36, scale and shift of three BatchNorms of 2 channels, linear 6 + 3.
TINY_PARAMETERS = 18 + 36 + 36 + 3 * 4 + 9
SHEET = "results/s/data/small/sheet.json"
TRAINING = {
    "epochs": 5,
    "batch_size": 32,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": {"name": "step", "milestones": [1], "factor": 0.1},
    "attack_steps": 4,
    "attack_batchnorm": "eval",
    "augmentation": {"crop_padding": 0, "flip": False},
    "averaging": {"name": "none"},
    "weight_perturbation": {"name": "none"},
    "nesterov": False,
    "selection": "auto",
    "checkpoints": [],
    "also_select": [],
    "precision": "auto",
    "memory_format": "auto",
    "compile": "auto",
}
RUN = {
    "dataset": "small",
    "recipe": "sat",
    "seed": 0,
    "code": "abc",
    "architecture": TINY,
    "method": {"name": "sat", "parameters": {}},
    "training": TRAINING,
    "threat": {"norm": "linf", "epsilon": "1/4", "step_size": "1/8"},
    "tracking": {"every": 1, "train_samples": 50, "attack_steps": 3, "batch_size": 15, "energy_epochs": [5]},
}
PGD = {"name": "pgd5", "family": "pgd", "parameters": {"steps": 5}}
CLEAN = {"name": "clean", "family": "clean"}


def dataset(job: Job) -> Dataset:
    """As the planning module of the stage `prepare_small`."""
    return SMALL


def job(rule: str, spec: dict | None = None, **changes) -> Job:
    spec = {} if spec is None else spec
    wildcards = {name: str(spec[name]) for name in ("dataset", "recipe", "suite", "seed") if name in spec}
    return replace(Job(rule, wildcards, (SHEET,), (), None, 1, spec), **changes)


def small_data() -> Job:
    return Job("prepare_small", {}, (), (SHEET,), None, 1)


def weights(recipe: str, seed: int, checkpoint: str) -> str:
    return f"results/s/runs/small/{recipe}/seed{seed}/{checkpoint}.safetensors"


def training(method: str = "sat", parameters: dict | None = None, seed: int = 0, **settings) -> Job:
    chosen = {"name": method, "parameters": parameters or {}}
    spec = RUN | {"recipe": method, "seed": seed, "method": chosen, "training": TRAINING | settings}
    return job("train", spec, outputs=tuple(weights(method, seed, name) for name in ("best", "last")))


def evaluation(*attacks: dict, checkpoints=("best", "last"), recipe: str = "sat", batch: int = 12) -> Job:
    named = [{"samples": None, "best_only": False, "parameters": {}} | attack for attack in attacks]
    spec = {"dataset": "small", "recipe": recipe, "seed": 0, "suite": "robustness", "architecture": TINY}
    return job(
        "evaluate",
        spec | {"attacks": named, "batch_size": batch, "checkpoints": [[name, name] for name in checkpoints]},
        inputs=(SHEET, *(weights(recipe, 0, checkpoint) for checkpoint in checkpoints)),
        outputs=(f"results/s/evaluations/small/{recipe}/seed0/linf-1-4/robustness.json",),
    )


def of_seeds(chosen: Job, *seeds: int) -> Job:
    """An evaluation as a job for several seeds, with its certificates."""
    (index,) = chosen.outputs
    outputs = [index, index.replace("/evaluations/", "/provenance/evaluations/")]

    def of_each(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(path.replace("/seed0/", f"/seed{seed}/") for path in paths for seed in seeds)

    return replace(
        chosen,
        wildcards={name: value for name, value in chosen.wildcards.items() if name != "seed"},
        inputs=(SHEET, *of_each(chosen.inputs[1:])),
        outputs=of_each(outputs),
        spec={name: value for name, value in chosen.spec.items() if name != "seed"} | {"seeds": list(seeds)},
        certificate=of_each(outputs)[len(seeds)],
    )


def shards(chosen: Job, name: str, jobs: int) -> list[Job]:
    """The jobs that share the images of an attack of an evaluation on its checkpoint `best`."""
    attacks = [attack | {"best_only": False} for attack in chosen.spec["attacks"] if attack["name"] == name]
    spec = chosen.spec | {"checkpoints": [["best", "best"]], "attacks": attacks, "shards": jobs}
    place = f"results/s/shards/small/{chosen.spec['recipe']}/seed0/linf-1-4/best/{name}.all"
    return [
        job(
            "evaluate_shard",
            spec | {"shard": number},
            inputs=chosen.inputs[:2],
            outputs=(f"{place}.{number}-of-{jobs}.parquet",),
        )
        for number in range(1, jobs + 1)
    ]


def samples(**changes) -> Job:
    spec = {"dataset": "small", "recipe": "sat", "seed": 0, "architecture": TINY, "sampler": {"steps": 40}}
    return job("generate_samples", spec | {"per_class": 7, "batch_size": 10}, outputs=("samples.npz",), **changes)


def features(rule: str, kind: str, reference: str) -> Job:
    spec = {"dataset": "small", "features": {"kind": kind, "reference": reference}, "architecture": TINY}
    return job(rule, spec | {"batch_size": 8}, inputs=(SHEET, "samples.npz"))


def known(*jobs: Job, needed: tuple[Job, ...] | None = None, stages: dict[str, str] = STAGES) -> Known:
    """Of these jobs, which are all to run unless `needed` says which, and of the one that prepares their dataset."""
    return Known([small_data(), *jobs], jobs if needed is None else needed, stages, CPU)
