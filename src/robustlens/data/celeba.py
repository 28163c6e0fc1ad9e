"""CelebA: aligned faces with forty attributes (Liu, Luo, Wang and Tang 2015), as the four classes of PORT."""

from dataclasses import dataclass
from pathlib import Path

from robustlens.data.archives import RENEW, blamed_on, lines
from robustlens.data.image_files import read_image_files
from robustlens.data.source import Source
from robustlens.errors import RobustlensError
from robustlens.parameters import PositiveInt

TRAIN, TEST = "0", "2"  # of list_eval_partition.txt; 1 is its validation split


@dataclass(frozen=True)
class CelebA:
    """Reads img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt: images (N, 3, size, size).

    Classes: female or male, not smiling or smiling, with equally many images of each: the first ones, as many as the
    rarest class has. The classes and their balance are those of PORT, by the name of its data folder
    (celebA_male_smile_64_balanced) and its author (github.com/VSehwag/minimal-diffusion/issues/7). Its counts, 4 x
    27,259 and 4 x 3,094, go by men who smile with the official training and test splits; which images were drawn was
    not published. The shorter side is brought to `size` pixels and the centre cut out.
    """

    size: PositiveInt = 64

    def read(self, folder: Path, scratch: Path) -> Source:
        path = folder / "img_align_celeba.zip"
        classes = _classes(folder / "list_attr_celeba.txt")
        partition = _partition(folder / "list_eval_partition.txt")
        if odd := classes.keys() ^ partition.keys():
            raise RobustlensError(
                f"{folder}: {min(odd)} is in only one of list_attr_celeba.txt and list_eval_partition.txt; {RENEW}"
            )
        splits = [
            _balanced(
                {f"img_align_celeba/{name}": classes[name] for name in sorted(classes) if partition[name] == part}
            )
            for part in (TRAIN, TEST)
        ]
        return read_image_files(path, *splits, scratch, self.size, resize=self.size)


def _classes(path: Path) -> dict[str, str]:
    """The class of each image. The file: a count, the attributes' names, one line per image (name, 1 or -1s)."""
    rows = [line.split() for line in _lines(path)]
    if len(rows) < 2 or not {"Male", "Smiling"} <= set(rows[1]) or rows[0] != [str(len(rows) - 2)]:
        raise RobustlensError(f"{path}: not the number of images, their attributes and a line for each; {RENEW}")
    male, smiling = (1 + rows[1].index(name) for name in ("Male", "Smiling"))
    found = {}
    for number, row in enumerate(rows[2:], start=3):
        if len(row) != 1 + len(rows[1]) or not {row[male], row[smiling]} <= {"1", "-1"} or row[0] in found:
            raise RobustlensError(f"{path}: line {number} is not a new image and its attributes, 1 or -1; {RENEW}")
        found[row[0]] = f"{'male' if row[male] == '1' else 'female'}, {'' if row[smiling] == '1' else 'not '}smiling"
    return found


def _partition(path: Path) -> dict[str, str]:
    """The split of each image: 0, 1 or 2."""
    found = {}
    for number, line in enumerate(_lines(path), start=1):
        row = line.split()
        if len(row) != 2 or row[1] not in ("0", "1", "2") or row[0] in found:
            raise RobustlensError(f"{path}: line {number} is not a new image and 0, 1 or 2; {RENEW}")
        found[row[0]] = row[1]
    return found


def _lines(path: Path) -> list[str]:
    with blamed_on(str(path)):
        return lines(path.read_bytes(), str(path))


def _balanced(classes: dict[str, str]) -> dict[str, str]:
    """The first images of each class, as many as the rarest one has."""
    members = {}
    for name, label in classes.items():
        members.setdefault(label, []).append(name)
    count = min(map(len, members.values()), default=0)
    chosen = {name for names in members.values() for name in names[:count]}
    return {name: label for name, label in classes.items() if name in chosen}
