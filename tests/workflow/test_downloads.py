"""Datasets and models that are fetched from a web server, through the whole workflow."""

import json
from pathlib import Path

import archives
import numpy as np
import pandas as pd
import pytest
import yaml
from flow import ENERGY, NOTHING, RESULTS, THREAT, copy_of, jobs, own_mounts, run, sha256, with_mounts
from serving import Page, Site, serving

ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = [f"class {number}" for number in range(10)]


def cifar10(folder: Path) -> tuple[Path, np.ndarray]:
    """An archive of 100 training and 20 test images in CIFAR-10's layout; the images."""
    images, labels = archives.noise(120, 3, 32, 32), [number % 10 for number in range(120)]
    members = {"cifar-10-batches-py/batches.meta": archives.python2_pickle({"label_names": CLASSES})}
    for number in range(6):
        where = slice(20 * number, 20 * number + 20)
        batch = {"labels": labels[where], "data": images[where].reshape(-1, 3072)}
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        members[f"cifar-10-batches-py/{name}"] = archives.python2_pickle(batch)
    made = archives.Made({ARCHIVE: members}, images, labels, CLASSES, test=20)
    return made.write(folder) / ARCHIVE, images


def overlay(path: Path, **scale: object) -> str:
    path.write_text(yaml.safe_dump({"scales": {"tiny": scale}}))
    return str(path)


@pytest.fixture(scope="module")
def site() -> Site:
    with serving() as site:
        yield site


def test_a_dataset_comes_from_a_mirror_and_is_trained_on_under_its_own_name(snapshot, site, tmp_path):
    """The first mirror has another file, the second breaks off; then nothing is asked for again."""
    folder = copy_of(snapshot, tmp_path / "tree")
    archive, images = cifar10(tmp_path)
    body = archive.read_bytes()
    site.pages["/wrong"] = Page(b"another file")
    site.pages["/right"] = Page(body, cuts=[len(body) // 2])
    mine = {
        "like": "digits",
        "title": "Not CIFAR-10",
        "reader": {"family": "cifar10"},
        "archives": {ARCHIVE: {"sha256": sha256(archive), "urls": [f"{site.url}/wrong", f"{site.url}/right"]}},
        "splits": {"train": 60, "validation": 20},
        "training": {"augmentation": {"crop_padding": 4, "flip": True}},
    }
    config = overlay(tmp_path / "mine.yaml", datasets={"mine": mine})
    weights = RESULTS / "runs/mine/sat/seed0/last.safetensors"
    code, output = run(folder, config, "-c2", "-p", "--", str(weights))
    assert code == 0, output
    assert jobs(output) == {"data/mine", "train/mine/sat/seed0"} and (folder / weights).exists()
    assert site.asked("/right") == [None, f"bytes={len(body) // 2}-"]

    (source,) = json.loads((folder / "results/downloads/mine/receipt.json").read_text())["archives"]
    assert (source["file"], source["source"], source["bytes"]) == (ARCHIVE, f"{site.url}/right", len(body))
    data = folder / RESULTS / "data/mine"
    sheet = json.loads((data / "sheet.json").read_text())
    assert sheet["name"] == "mine" and sheet["sizes"] == {"train": 60, "validation": 20, "test": 20}
    for split in ("train", "validation", "test"):
        index = np.load(data / f"{split}_index.npy")
        assert np.array_equal(np.load(data / f"{split}_images.npy"), images[index])
    assert np.load(data / "test_index.npy").tolist() == list(range(100, 120))

    asked = len(site.requests)
    code, output = run(folder, config, "-c2", "--", str(weights))
    assert code == 0 and NOTHING in output and len(site.requests) == asked


def test_an_archive_that_is_swapped_for_another_is_not_read(snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / "tree")
    archive, _ = cifar10(tmp_path)
    mine = {
        "like": "digits",
        "title": "Not CIFAR-10",
        "reader": {"family": "cifar10"},
        "archives": {ARCHIVE: {"sha256": sha256(archive), "urls": [archive.as_uri()]}},
        "splits": {"train": 60, "validation": 20},
    }
    config = overlay(tmp_path / "mine.yaml", datasets={"mine": mine})
    code, output = run(folder, config, "-c2", "--", "results/downloads/mine/receipt.json")
    assert code == 0, output
    (folder / "results/downloads/mine" / ARCHIVE).write_bytes(b"swapped")
    code, output = run(folder, config, "-c2", "--", str(RESULTS / "data/mine/sheet.json"))
    assert (
        code == 1
        and f"FAILED: results/downloads/mine/{ARCHIVE}: sha256 {sha256(folder / 'results/downloads/mine' / ARCHIVE)}"
        in output
    )
    assert not list((folder / RESULTS / "data/mine").glob("*.npy"))


# A folder of archives that others keep, which nobody can write to; the same command twice; a file that is not in it.
SHARED = """
mount --bind -o ro shared shared
! touch shared/mine/written
"$@"
"$@"
"${@:1:$#-1}" results/receipts/inception/receipt.json || echo "of what is missing: code $?"
"""


@own_mounts
@pytest.mark.parametrize("linked", ["downloads", "downloads/mine"])
def test_archives_in_a_shared_folder_that_cannot_be_written_are_used_as_they_are(linked, snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / "tree")
    shared = folder / "shared/mine"
    archive, images = cifar10(shared)
    (shared / "receipt.json").write_text("of others")
    mine = {
        "like": "digits",
        "title": "Not CIFAR-10",
        "reader": {"family": "cifar10"},
        "archives": {ARCHIVE: {"sha256": sha256(archive)}},
        "splits": {"train": 60, "validation": 20},
    }
    config = overlay(tmp_path / "mine.yaml", datasets={"mine": mine})
    (folder / "results" / linked).parent.mkdir(parents=True)
    (folder / "results" / linked).symlink_to(folder / "shared" / linked.removeprefix("downloads").lstrip("/"))
    sheet = str(RESULTS / "data/mine/sheet.json")
    code, output = with_mounts(folder, SHARED, config, "-c2", "--", sheet)
    assert code == 0 and "Traceback" not in output, output
    assert NOTHING in output
    (source,) = json.loads((folder / "results/receipts/mine/receipt.json").read_text())["archives"]
    assert source == {"file": ARCHIVE, "bytes": archive.stat().st_size, "sha256": sha256(archive), "source": "in place"}
    assert sorted(path.name for path in shared.iterdir()) == [ARCHIVE, "receipt.json"]
    assert (shared / "receipt.json").read_text() == "of others"
    index = np.load(folder / RESULTS / "data/mine/test_index.npy")
    assert np.array_equal(np.load(folder / RESULTS / "data/mine/test_images.npy"), images[index])
    assert "of what is missing: code 1" in output
    if linked == "downloads":
        assert "pth: missing, and can't be downloaded, as its folder can't be written (Read-only file" in output
        assert "put this file in place by hand:" in output


def test_a_third_party_model_goes_through_evaluation_generation_and_tables(tree, site, tmp_path):
    published = tree / RESULTS / "runs/digits/trades/seed1/best.safetensors"
    site.pages["/theirs"] = Page(published.read_bytes())
    theirs = {
        "title": "Theirs (2020)",
        "dataset": "digits",
        "architecture": {"family": "resnet", "blocks": [1], "width": 8},
        "weights": {"file": "theirs.safetensors", "sha256": sha256(published), "urls": [f"{site.url}/theirs"]},
    }
    config = overlay(tmp_path / "theirs.yaml", models={"theirs": theirs}, studies={"energy": {"models": ["theirs"]}})
    tables = [str(ENERGY / f"tables/{name}.tex") for name in ("robustness", "generation")]
    figure = str(ENERGY / "figures/samples-digits.png")
    code, output = run(tree, config, "-c2", "-p", "--", *tables, figure)
    assert code == 0, output
    run_names = {name for name in jobs(output) if name.startswith(("train", "evaluate", "generate", "score", "import"))}
    assert run_names == {
        "import_model/digits/theirs",
        f"evaluate/digits/theirs/seed0/{THREAT}/robustness",
        "generate/digits/theirs/seed0",
        "score/digits/theirs/seed0",
    }
    places = tree / RESULTS / "evaluations/digits"
    evaluated = places / f"theirs/seed0/{THREAT}/published"
    assert {file.name for file in evaluated.iterdir()} >= {"clean.100.parquet", "autoattack.20.parquet"}
    for table in ("robustness", "generation"):
        cells = pd.read_csv(tree / ENERGY / f"tables/{table}.csv")
        rows = cells[cells["row"] == "Theirs (2020)"]
        assert rows["value"].notna().sum() >= 3
    # Its clean accuracy is that of the run whose weights these are.
    ours = pd.read_parquet(places / f"trades/seed1/{THREAT}/best/clean.100.parquet")
    clean = pd.read_parquet(evaluated / "clean.100.parquet")
    assert list(clean["prediction_natural"]) == list(ours["prediction_natural"])
