"""What the classes of a dataset are called, and which of them belong together."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ClassNames:
    """names: of classes 0, 1, ...; superclasses: name -> numbers of its classes, empty where the dataset has none."""

    names: tuple[str, ...]
    superclasses: Mapping[str, Sequence[int]]


def of_sheet(sheet: Mapping[str, Any], superclasses: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """`names` and `superclasses` of a prepared dataset, ready for JSON.

    sheet: its sheet.json. superclasses: by the numbers of the whole dataset. Of one that keeps some of the classes they
    are renumbered, and a superclass shrinks to those of its classes that are kept. One that lost them all is left out,
    and one that all the others have left alone tells nothing apart: then there are none. Nor are there any where the
    classes are not those that the superclasses count, as in a folder with a part of ImageNet.
    """
    source = sheet.get("classes_of_source", {"kept": range(len(sheet["classes"])), "names": sheet["classes"]})
    if sum(map(len, superclasses.values())) != len(source["names"]):
        return {"names": sheet["classes"], "superclasses": {}}
    numbers = {whole: number for number, whole in enumerate(source["kept"])}
    shrunk = {name: [numbers[c] for c in group if c in numbers] for name, group in superclasses.items()}
    groups = {name: group for name, group in shrunk.items() if group}
    return {"names": sheet["classes"], "superclasses": groups if len(groups) > 1 else {}}


def read_class_names(paths: Iterable[Path]) -> dict[str, ClassNames]:
    """Dataset -> its names, from files that are called as the datasets."""
    found = {Path(path).stem: json.loads(Path(path).read_text()) for path in paths}
    return {dataset: ClassNames(tuple(f["names"]), f["superclasses"]) for dataset, f in found.items()}
