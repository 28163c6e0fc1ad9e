"""Catalogue entries have the keys that docs/datasets.md lists, in the form that it gives."""

import re

import pytest
from configured import REPOSITORY
from torchvision.models import ResNet50_Weights

from robustlens.configuration.facts import CHECKSUMS, entry, is_own, readers
from robustlens.parameters import names

DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}


def documented() -> tuple[dict[str, str], dict[str, str]]:
    """Of an entry and of an archive: key -> whether it is needed."""
    text = (REPOSITORY / "docs" / "datasets.md").read_text()
    tables = text.split("## Keys of a catalogue entry")[1].split("Of an archive:")
    rows = [re.findall(r"^\| (`.+?) \| (.+?) \|", table, re.MULTILINE) for table in tables]
    return tuple({key: needed for keys, needed in table for key in re.findall(r"`(\w+)`", keys)} for table in rows)


ENTRY, ARCHIVE = documented()
ARCHIVES = [(reader, archive) for reader in readers() for archive in entry(reader)["archives"]]


def test_every_reader_has_an_entry():
    assert sorted(readers()) == names("data")


@pytest.mark.parametrize("reader", readers())
def test_an_entry_has_what_is_needed_and_nothing_else(reader):
    found = entry(reader)
    needed = ("yes",) if is_own(reader) else ("yes", "but of one's own images")
    assert {key for key, form in ENTRY.items() if form in needed} <= found.keys() <= ENTRY.keys()
    assert all(isinstance(found[key], str) and found[key] for key in ("title", "citation", "licence", "homepage"))
    assert "\n" not in found["title"] and found["homepage"].startswith("http")
    if is_own(reader):
        assert not found.keys() & {"classes", "shape", "sizes"}
    else:
        assert found["classes"] > 1 and len(found["shape"]) == 3
        assert found["sizes"].keys() == {"train", "test"} and found["sizes"]["train"] > 0
    assert found.get("folder", {"name": "", "layout": ""}).keys() == {"name", "layout"}


def test_every_class_is_in_one_superclass_where_there_are_any():
    having = [reader for reader in readers() if "superclasses" in entry(reader)]
    assert {"cifar10", "cifar100", "stl10", "imagenet"} <= set(having)
    for reader in having:
        groups = entry(reader)["superclasses"]
        assert sorted(number for group in groups.values() for number in group) == list(range(entry(reader)["classes"]))
        assert all(isinstance(name, str) and group for name, group in groups.items()) and len(groups) > 1
    assert {len(group) for group in entry("cifar100")["superclasses"].values()} == {5}


def test_superclasses_of_imagenet_are_what_the_names_of_classes_say():
    names, groups = ResNet50_Weights.IMAGENET1K_V1.meta["categories"], entry("imagenet")["superclasses"]
    of = {names[number]: name for name, numbers in groups.items() for number in numbers}
    for part, name in {
        **{" terrier": "dogs", " spaniel": "dogs", " shark": "fish", " snake": "reptiles", " beetle": "insects"},
        **{
            " salamander": "amphibians",
            " monkey": "primates",
            " fox": "other carnivores",
            " guitar": "musical instruments",
        },
        **{
            " truck": "vehicles",
            " bottle": "containers",
            " bridge": "structures",
            " squash": "food",
            " chair": "furnishings",
        },
        **{
            " lobster": "other animals",
            " stork": "birds",
            " bear": "other carnivores",
            " gown": "clothing and coverings",
        },
    }.items():
        having = [other for other in names if other.endswith(part)]
        assert having and {of[other] for other in having} == {name}, part
    assert len(groups["dogs"]) == 118 and len(groups["birds"]) == 59  # of WordNet


@pytest.mark.parametrize(("reader", "archive"), ARCHIVES, ids=[archive["file"] for _, archive in ARCHIVES])
def test_an_archive_can_be_verified_and_got(reader, archive):
    assert {key for key, needed in ARCHIVE.items() if needed == "yes"} <= archive.keys() <= ARCHIVE.keys()
    checksums = [kind for kind in CHECKSUMS if kind in archive]
    assert checksums and all(re.fullmatch(f"[0-9a-f]{{{DIGITS[kind]}}}", archive[kind]) for kind in checksums)
    assert all(url.startswith("https://") for url in archive.get("urls", []))
    assert archive.get("urls") or archive["by_hand"]
