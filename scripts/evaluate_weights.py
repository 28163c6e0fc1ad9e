"""Evaluate a checkpoint of one's own under one attack or suite; the workflow does the work."""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from robustlens import configuration
from robustlens.atomic import replacing
from robustlens.data.prepared import checksum
from robustlens.errors import RobustlensError
from robustlens.evaluation import own_checkpoint
from robustlens.models import guessing
from robustlens.models.published import load_published
from robustlens.parameters import nearest
from robustlens.study import discovery

ROOT = Path(__file__).parents[1]

arguments = argparse.ArgumentParser(
    description=__doc__,
    epilog="What else is given goes to snakemake, such as --workflow-profile profiles/slurm.",
    allow_abbrev=False,
)
arguments.add_argument("--weights", required=True, type=Path, help="safetensors, or a state dict of torch.save")
arguments.add_argument("--dataset", required=True, help="whose test images it is evaluated on")
arguments.add_argument("--attack", required=True, help="an attack or a suite of the configuration")
arguments.add_argument(
    "--architecture", help="YAML, such as '{family: resnet, width: 64}'; by default told by the weights"
)
arguments.add_argument("--part", help="which state dict, where the file has several")
arguments.add_argument("--threat", help="by default the dataset's")
arguments.add_argument("--images", type=int, help="how many test images; by default all, or as many as the suite says")
arguments.add_argument("--scale", help="by default the last one in the configuration that has the dataset")
arguments.add_argument("--configfile", nargs="+", type=Path, default=[], help="overlays, such as one with a dataset")
arguments.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as Snakemake takes them")
args, of_snakemake = arguments.parse_known_args()
folders = sorted(path.parent for path in (ROOT / "studies").glob("*/study.py"))
shipped = [file for file in (ROOT / "config.yaml", *(f / "config.yaml" for f in folders)) if file.is_file()]
DRY_RUN = re.compile(r"-[A-Za-z]*n[A-Za-z]*|--dry-?run")


def main() -> int:
    asked = own_checkpoint.Asked(args.dataset, args.attack, args.threat, args.images)
    given = dict(entry.split("=", 1) if "=" in entry else (entry, "") for entry in args.config)
    given = {key: parsed(value, f"--config {key}") for key, value in given.items()}
    given["scale"] = (
        args.scale or given.get("scale") or own_checkpoint.scale_with(asked.dataset, shipped, args.configfile)
    )
    config = loaded(given)
    model = described_model(config, asked.dataset)
    name = own_checkpoint.name_of(args.weights, model)
    model |= {"title": name, "weights": model["weights"] | {"file": name + plain_suffix(args.weights)}}
    entries = own_checkpoint.overlay(asked, config, name, model)
    config = loaded(given | entries)
    if args.architecture:
        try_weights(config, name)
    index = own_checkpoint.index_file(asked, config, name)
    print("\n".join(words(model["architecture"])), flush=True)
    put_in_place(args.weights, Path("results", "downloads", name, model["weights"]["file"]))
    code = run_workflow(index, entries, given)
    if code == 0 and index.exists() and not any(map(DRY_RUN.fullmatch, of_snakemake)):
        sheet = Path("results", config["scale"], "data", configuration.prepared(config, asked.dataset), "sheet.json")
        print(f"\n{own_checkpoint.summary(index, config, sheet)}")
    return code


def parsed(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RobustlensError(f"{where}: {text} is no YAML ({' '.join(str(error).split())})") from error


def loaded(entries: dict) -> configuration.Config:
    schema, studies = ROOT / "schemas" / "config.schema.yaml", discovery.find(ROOT / "studies")
    return configuration.load(shipped, args.configfile, entries, schema, studies)


def described_model(config: configuration.Config, dataset: str) -> dict:
    """The entry that the classifier has in the configuration, without what follows from its name."""
    if not args.weights.is_file():
        raise RobustlensError(f"WEIGHTS: {args.weights} is no file; give the path of a checkpoint")
    if dataset not in config["datasets"]:
        hint = nearest(dataset, list(config["datasets"]))
        raise RobustlensError(f"DATASET: scale {config['scale']} has no dataset {dataset!r}{hint}")
    model = {
        "dataset": dataset,
        "architecture": parsed(args.architecture, "ARCHITECTURE") if args.architecture else told(config, dataset),
        "weights": {"sha256": checksum(args.weights)},
    }
    return model | ({"part": args.part} if args.part else {})


def plain_suffix(weights: Path) -> str:
    """As far as a configuration may have it."""
    return weights.suffix if re.fullmatch(r"\.[A-Za-z0-9]+", weights.suffix) else ""


def words(architecture: dict) -> list[str]:
    known = "as given" if args.architecture else "told by its weights"
    said = [f"{args.weights}: {guessing.described(architecture)}, {known}"]
    if "normalisation" not in architecture:
        said.append("It gets images in [0, 1] as they are; where it wants them normalised, say so: docs/own-weights.md")
    return said


def told(config: configuration.Config, dataset: str) -> dict:
    """The architecture that the weights are of, which must be for such images and classes."""
    found = guessing.guess(args.weights, args.part)
    channels, *_ = configuration.shape(config["datasets"][dataset]["reader"])
    classes = configuration.classes(config, dataset)
    for what, theirs, ours in (("channels", found.channels, channels), ("classes", found.classes, classes)):
        if theirs not in (None, ours):
            raise RobustlensError(
                f"{args.weights}: a network for {theirs} {what}, and {dataset} has {ours}; give the DATASET that "
                "it was trained on"
            )
    return found.architecture


def try_weights(config: configuration.Config, name: str) -> None:
    """Whether they are those of the architecture that was given, before anything long begins."""
    model = config["models"][name]
    channels, *_ = configuration.shape(config["datasets"][model["dataset"]]["reader"])
    classes = configuration.classes(config, model["dataset"])
    load_published(args.weights, model["architecture"], channels, classes, model.get("part"))


def put_in_place(weights: Path, link: Path) -> None:
    """Where the workflow looks for published weights."""
    target = weights.resolve()
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(target)
    except OSError as error:
        raise RobustlensError(
            f"{link}: can't be written ({error.strerror}); let results/downloads be a folder of your own, with links "
            "to what is shared in it"
        ) from error


def run_workflow(index: Path, entries: dict, given: dict) -> int:
    """Snakemake, with the entries in an overlay beside what it makes."""
    overlay = index.with_suffix(".yaml")
    with replacing(overlay) as path:
        path.write_text(yaml.safe_dump(entries, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", *of_snakemake, "--quiet", "host", "reason", "progress"]
    command += ["--configfile", *map(str, args.configfile), str(overlay)]
    command += ["--config", *(f"{key}={value}" for key, value in typed(given)), "--", str(index)]
    return subprocess.run(command).returncode


def typed(given: dict) -> list[tuple[str, str]]:
    """As they were typed, and the scale."""
    others = [(key, value) for key, _, value in (entry.partition("=") for entry in args.config) if key != "scale"]
    return [*others, ("scale", given["scale"])]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RobustlensError as error:
        sys.exit(str(error))
