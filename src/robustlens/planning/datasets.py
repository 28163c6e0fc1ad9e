"""Shape and sizes of a dataset before it was prepared, from the catalogue and the configuration of its splits."""

from dataclasses import dataclass, replace
from math import prod

from robustlens import configuration
from robustlens.parameters import create


@dataclass(frozen=True)
class Dataset:
    """shape: (C, H, W). sizes: images of `train`, `validation` and `test`."""

    shape: tuple[int, int, int]
    classes: int
    sizes: dict[str, int]

    @property
    def bytes(self) -> int:
        """Of the prepared arrays: one byte per pixel value, and two 8-byte numbers per image."""
        return sum(self.sizes.values()) * (prod(self.shape) + 16)

    def cropped(self, crop: int | None) -> "Dataset":
        """As networks see it that are shown crop x crop pixels of the images; None: whole images."""
        return self if crop is None else replace(self, shape=(self.shape[0], crop, crop))


def expected(spec: dict) -> Dataset:
    """What preparing a dataset will give. spec: the parameters of its `prepare_data` job.

    Where it keeps some of the classes, the sizes are those of classes that have equally many images. The user's own
    images are counted.
    """
    reader, splits = spec["reader"], spec["splits"]
    known = configuration.described(reader)
    classes = len(spec["classes"]) if "classes" in spec else known["classes"]
    whole = known.get("sizes") or _counted(reader)
    official_train, official_test = (round(whole[split] * classes / known["classes"]) for split in ("train", "test"))
    if reader.get("train") is False:  # ImageNet without its training images
        official_train = 0
    train = max(0, official_train - splits["validation"]) if splits["train"] is None else splits["train"]
    test = splits["test"] or official_test or official_train - train - splits["validation"]
    sizes = {"train": train, "validation": splits["validation"], "test": test}
    return Dataset(configuration.shape(reader), classes, sizes)


def _counted(reader: dict) -> dict[str, int]:
    parameters = {key: value for key, value in reader.items() if key != "family"}
    return create("data", reader["family"], parameters).sizes()
