"""Generators that are published sample sets: what can be wrong with them before their files are there."""

from collections.abc import Iterable
from math import prod

from robustlens.configuration import facts
from robustlens.configuration.reading import Config
from robustlens.configuration.references import check_checksum
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest

OF_GENERATOR = ("sample_set", "per_class", "seed", "label")
# By layout: the keys of `sample_set`, and the endings of its file (none: any).
KEYS = {
    "npz": (*facts.OF_ARCHIVE, "images", "labels", "channels"),
    "raw": (*facts.OF_ARCHIVE, "labels_file", "channels"),
    "folder": (*facts.OF_ARCHIVE, "folder"),
}
ENDINGS = {"npz": (".npz",), "raw": (), "folder": (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")}
LABELS_ENDINGS = (".npy",)
PICKLES = (".pickle", ".pkl", ".pt", ".pth")


def check_form(name: str, generator: Config) -> None:
    """Raise RobustlensError for keys and files that don't belong to the layout of the set."""
    where, published = f"config.generators.{name}", generator["sample_set"]
    if "family" in generator:
        raise RobustlensError(
            f"{where}: has a `family`, which is fitted, and a `sample_set`, which is published; take one of the two out"
        )
    _known(generator, OF_GENERATOR, where)
    where, layout = f"{where}.sample_set", published["layout"]
    _known(published, ("layout", *KEYS[layout]), where)
    needed = ("file", "labels_file") if layout == "raw" else ("file",)
    for key in () if "folder" in published else needed:
        if key not in published:
            either = ", or `folder` for one that is put in place by hand" if layout == "folder" else ""
            raise RobustlensError(f"{where}: layout {layout} needs `{key}`{either}")
    if "folder" in published and published.keys() & set(facts.OF_ARCHIVE):
        raise RobustlensError(f"{where}: a folder is put in place by hand and has no `file`; take one of the two out")
    _check_ending(published.get("file"), ENDINGS[layout], layout, f"{where}.file")
    _check_ending(published.get("labels_file", {}).get("file"), LABELS_ENDINGS, layout, f"{where}.labels_file.file")


def _known(entries: Config, keys: tuple[str, ...], where: str) -> None:
    for key in entries:
        if key not in keys:
            raise RobustlensError(f"{where}: unknown key {key!r}{nearest(key, list(keys))}")


def _check_ending(file: str | None, endings: tuple[str, ...], layout: str, where: str) -> None:
    if file is None:
        return
    if file.lower().endswith(PICKLES):
        raise RobustlensError(
            f"{where}: {file} is a pickle, which is code that runs when it is read; convert its arrays once, by "
            "numpy.savez(FILE, image=..., label=...), and name the .npz with its own sha256"
        )
    if endings and not file.lower().endswith(endings):
        raise RobustlensError(f"{where}: {file} is not a {' or '.join(endings)} file, which layout {layout} reads")


def check(config: Config, runs: Iterable[tuple[str, str]]) -> None:
    """Raise RobustlensError for a set without a place of its own, and for one that a training can't use.

    runs: (dataset, recipe) of all trainings.
    """
    taken = {facts.download_name(config, dataset): "dataset" for dataset in config["datasets"]}
    taken |= {"inception": "feature network"} | dict.fromkeys(config["models"], "model")
    for name in facts.published_sets(config):
        if name in taken:
            raise RobustlensError(
                f"config.generators.{name}: the files of the {taken[name]} {name} are in results/downloads/{name} "
                "already; choose another name"
            )
    for dataset, recipe in runs:
        mix = config["recipes"][recipe].get("mix")
        generator = facts.image_source(config, mix["generator"]) if mix else None
        if generator in facts.published_sets(config):
            _check_use(config, generator, dataset)


def _check_use(config: Config, generator: str, dataset: str) -> None:
    """As a source of images for trainings on a dataset."""
    where, published = f"config.generators.{generator}", config["generators"][generator]["sample_set"]
    places = (f"{where}.sample_set", f"{where}.sample_set.labels_file")
    for archive, place in zip(facts.sample_set_archives(config, generator), places, strict=False):
        check_checksum(archive, place)
    if published["layout"] == "raw" and "bytes" in published:
        shape = facts.shape(config["datasets"][dataset]["reader"])
        images, rest = divmod(published["bytes"], prod(shape))
        if rest:
            raise RobustlensError(
                f"{where}.sample_set.bytes: {published['bytes']} are no whole images of {prod(shape)} bytes, as "
                f"those of {dataset} are; take a set of this dataset, at the size of its images"
            )
        wanted, classes = config["generators"][generator]["per_class"], facts.classes(config, dataset)
        if wanted is not None and wanted * classes > images:
            raise RobustlensError(
                f"{where}.per_class: {wanted} images for each of {classes} classes are more than the {images} of the "
                "set; lower it"
            )
