"""Sets of image files in a folder per class, in an archive or put in place by hand."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from robustlens.data.archives import file_names, files, what_to_do
from robustlens.data.image_files import SUFFIXES, pixels
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest


def opened(settings: dict, folder: Path, shape: tuple[int, int, int], classes: list[str]) -> "Folder":
    if "folder" in settings and not (folder / settings["folder"]).is_dir():
        raise RobustlensError(
            f"{folder / settings['folder']}: not there; put the folder of the images, or a link to it, at "
            f"{(folder / settings['folder']).absolute()} (<class>/<image>.png or .jpg)"
        )
    return Folder(folder / settings.get("folder", settings.get("file")), shape, classes)


class Folder:
    """<class>/.../<image>, below any folders that all of them are in. Either all folders are called as the dataset
    calls its classes, or all are numbers of classes. Images are in the order of their names."""

    def __init__(self, path: Path, shape: tuple[int, int, int], classes: list[str]):
        self.path, self.shape, self.advice = path, shape, what_to_do(path)
        paths = [PurePosixPath(name) for name in file_names(path)]
        paths = [one for one in paths if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")]
        if not paths:
            raise RobustlensError(f"{path}: no image files in it; {self.advice}")
        above = os.path.commonpath([one.parent for one in paths])
        folders = [one.relative_to(above).parts[0] if above else one.parts[0] for one in paths]
        numbers = _numbers(sorted(set(folders)), classes, path)
        self.names = [str(one) for one in paths]
        self.labels = np.array([numbers[one] for one in folders], np.int64)

    def images(self, chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """In the order of the archive."""
        place = {self.names[position]: number for number, position in enumerate(chosen)}
        for name, stream in files(self.path, place):
            image = pixels(stream.read(), f"{self.path}: {name}", self.shape[1], advice=self.advice)
            if self.shape[0] == 1 and (image != image[0]).any():
                raise RobustlensError(f"{self.path}: {name}: in colour, and the dataset is grey; take a set of it")
            yield place[name], np.ascontiguousarray(image[None, : self.shape[0]])


def _numbers(folders: list[str], classes: list[str], path: Path) -> dict[str, int]:
    """The number of the class of each folder. Raises RobustlensError for one that is of no class."""
    by_name = {name: number for number, name in enumerate(classes)}
    if set(folders) <= by_name.keys():
        return by_name
    if all(name.isdecimal() and int(name) < len(classes) for name in folders):
        return {name: int(name) for name in folders}
    odd = next((name for name in folders if name not in by_name and not name.isdecimal()), folders[-1])
    raise RobustlensError(
        f"{path}: the folder {odd!r} is called neither like a class nor by its number, 0 to {len(classes) - 1}"
        f"{nearest(odd, classes)}"
    )
