"""Evaluate a checkpoint of one's own under one attack or suite; the workflow does the work."""

import argparse
import subprocess
import sys
from pathlib import Path

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
args, of_snakemake = arguments.parse_known_args()
asked = own_checkpoint.Asked(args.dataset, args.attack, args.threat, args.images)
folders = sorted(path.parent for path in (ROOT / "studies").glob("*/study.py"))
shipped = [file for file in (ROOT / "config.yaml", *(f / "config.yaml" for f in folders)) if file.is_file()]
DRY_RUN = {"-n", "--dry-run", "--dryrun"}


def main() -> int:
    scale = args.scale or own_checkpoint.scale_with(asked.dataset, shipped, args.configfile)
    name, model = described_model(loaded({"scale": scale}))
    entries = own_checkpoint.overlay(asked, loaded({"scale": scale}), name, model)
    config = loaded({"scale": scale} | entries)
    if args.architecture:
        try_weights(config, name)
    file = Path("results", "downloads", name, f"{asked.attack}.yaml")
    with replacing(file) as path:
        path.write_text(yaml.safe_dump(entries, sort_keys=False))
    put_in_place(args.weights, file.with_name(model["weights"]["file"]))
    print("\n".join(words(model["architecture"])), flush=True)
    index = own_checkpoint.index_file(asked, config, name)
    code = run_workflow(index, file, scale)
    if code == 0 and not DRY_RUN & set(of_snakemake):
        sheet = Path("results", scale, "data", configuration.prepared(config, asked.dataset), "sheet.json")
        print(f"\n{own_checkpoint.summary(index, config, sheet)}")
    return code


def loaded(entries: dict) -> configuration.Config:
    schema, studies = ROOT / "schemas" / "config.schema.yaml", discovery.find(ROOT / "studies")
    return configuration.load(shipped, args.configfile, entries, schema, studies)


def described_model(config: configuration.Config) -> tuple[str, dict]:
    """What the workflow calls the checkpoint, and the entry that it has in the configuration."""
    if not args.weights.is_file():
        raise RobustlensError(f"WEIGHTS: {args.weights} is no file; give the path of a checkpoint")
    if asked.dataset not in config["datasets"]:
        hint = nearest(asked.dataset, list(config["datasets"]))
        raise RobustlensError(f"scale {config['scale']} has no dataset {asked.dataset!r}{hint}")
    sha256 = checksum(args.weights)
    name = own_checkpoint.name_of(args.weights, sha256)
    architecture = yaml.safe_load(args.architecture) if args.architecture else told(config)
    model = {
        "title": args.weights.name,
        "dataset": asked.dataset,
        "architecture": architecture,
        "weights": {"file": f"{name}{args.weights.suffix}", "sha256": sha256},
    }
    return name, model | ({"part": args.part} if args.part else {})


def words(architecture: dict) -> list[str]:
    known = "as given" if args.architecture else "told by its weights"
    said = [f"{args.weights}: {guessing.described(architecture)}, {known}"]
    if "normalisation" not in architecture:
        said.append("It gets images in [0, 1] as they are; where it wants them normalised, say so: docs/own-weights.md")
    return said


def told(config: configuration.Config) -> dict:
    """The architecture that the weights are of, which must be for such images and classes."""
    found = guessing.guess(args.weights, args.part)
    channels, *_ = configuration.shape(config["datasets"][asked.dataset]["reader"])
    classes = configuration.classes(config, asked.dataset)
    for what, theirs, ours in (("channels", found.channels, channels), ("classes", found.classes, classes)):
        if theirs not in (None, ours):
            raise RobustlensError(
                f"{args.weights}: a network for {theirs} {what}, and {asked.dataset} has {ours}; give the DATASET that "
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
    """Where the workflow looks for published weights, unless they are there already."""
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere
        link.symlink_to(weights.resolve())


def run_workflow(index: Path, overlay: Path, scale: str) -> int:
    command = [sys.executable, "-m", "snakemake", *of_snakemake, "--quiet", "host", "reason", "progress"]
    command += [
        "--configfile",
        *map(str, args.configfile),
        str(overlay),
        "--config",
        f"scale={scale}",
        "--",
        str(index),
    ]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RobustlensError as error:
        sys.exit(str(error))
