"""Disks that are full, or too small for a dataset, are told with how much is needed."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import archives
import pytest
from processes import REPOSITORY

from robustlens.data.disk_space import filling
from robustlens.errors import RobustlensError

pytestmark = pytest.mark.slow

own_mounts = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0,
    reason="no file systems can be mounted here (unshare -rm)",
)


def on_a_small_disk(folder: Path, kilobytes: int, *command: str | Path) -> subprocess.CompletedProcess:
    """A Python command while `folder` is a disk of that size, on which in the end no unfinished file may be left."""
    folder.mkdir()
    script = 'mount -t tmpfs -o size="$0"k none "$1"; "${@:2}"; code=$?; find "$1" -name "*.part*"; exit $code'
    inside = ["unshare", "-rm", "bash", "-uc", script, str(kilobytes), folder, sys.executable, *command]
    return subprocess.run(list(map(str, inside)), capture_output=True, text=True)


# Others fill the disk after the first chunk of the images.
MEANWHILE = """
import sys
from pathlib import Path
import numpy as np
from robustlens.data import source
from robustlens.errors import RobustlensError

folder = Path(sys.argv[1])

def fill(*_):
    with open(folder / "of others", "ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

images = np.ones((400, 3, 16, 16), np.uint8)
all_of_them = source.Source(images, np.zeros(400, int), ["one"])
positions = {"train": np.arange(300), "validation": np.arange(300, 350), "test": np.arange(350, 400)}
source.CHUNK_BYTES = 50_000
try:
    source.write_prepared(all_of_them, positions, folder, {}, fill)
except RobustlensError as error:
    print(error)
"""

# A disk that says it has all the room, as it does to someone whose share of it is used up.
IMAGES = """
import shutil, sys
from pathlib import Path
from types import SimpleNamespace
from robustlens.errors import RobustlensError
from robustlens.parameters import create

scratch, downloads, reader = sys.argv[1:]
shutil.disk_usage = lambda folder: SimpleNamespace(free=10**12)
try:
    create("data", reader, {}).read(Path(downloads), Path(scratch))
except RobustlensError as error:
    print(error)
"""


@own_mounts
def test_a_disk_that_is_full_before_the_end_is_told_with_what_is_needed(tmp_path):
    done = on_a_small_disk(tmp_path / "data", 400, "-c", MEANWHILE, tmp_path / "data")
    # 400 images of 768 bytes. A memory map would end in signal 7 (SIGBUS).
    said = f"{tmp_path / 'data'}: could not be written (No space left on device); at least 307.2 kB are needed there: "
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(said) and done.stdout.count("\n") == 1


@own_mounts
@pytest.mark.parametrize(
    ("reader", "make", "needed"),
    [("afhq", archives.afhq, "903.2 kB"), ("tiny-imagenet-200", archives.tiny_imagenet_200, "61.4 kB")],
)  # 6 images of 3 x 224 x 224, and 5 of 3 x 64 x 64
def test_a_disk_that_is_too_small_to_read_the_images_to_is_told(reader, make, needed, tmp_path):
    made = make()
    if reader == "afhq":
        names = [name for name in made.files["afhq.zip"] if name.endswith(".jpg")]
        made.files["afhq.zip"] = dict.fromkeys(names, archives.jpeg(224, 224, 0))
    made.write(tmp_path / "downloads")
    done = on_a_small_disk(tmp_path / "disk", 48, "-c", IMAGES, tmp_path / "disk", tmp_path / "downloads", reader)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = f"{tmp_path / 'disk'}: could not be written (No space left on device); at least {needed} are needed there: "
    assert done.stdout.startswith(said)


@own_mounts
def test_the_script_says_at_once_that_a_disk_is_too_small_for_the_splits(tmp_path):
    data, splits = tmp_path / "data", {"train": 200, "validation": 200, "test": None, "seed": 0}
    spec = {"reader": {"family": "digits"}, "archives": [], "splits": splits, "facts": {"name": "digits"}}
    places = ["--downloads", tmp_path, "--folder", data, "--certificate", tmp_path / "sheet", "--log", tmp_path / "log"]
    script = REPOSITORY / "scripts" / "prepare_data.py"
    done = on_a_small_disk(data, 64, script, "--spec", json.dumps(spec), *places)
    assert done.returncode == 1 and done.stdout == ""
    # 1,797 images of 64 bytes, on 65,536 bytes
    reason = (
        "at least 115.0 kB are needed there, 49.5 kB more than are free; free space, then run the same command again"
    )
    assert done.stderr == f"[prepare digits] FAILED: {data}: {reason}\n  log: {tmp_path / 'log'}\n"


def test_too_little_room_for_what_comes_afterwards_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5_000_000_000))
    with caplog.at_level(logging.WARNING):
        with filling(tmp_path, 2_000_000_000, later=2_000_000_000):
            pass
        assert caplog.messages == []
        with filling(tmp_path, 4_000_000_000, later=2_000_000_000):
            pass
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}: 5.0 GB are free; 4.0 GB are needed now and up to 2.0 GB afterwards: ")
    reason = r"at least 6\.0 GB are needed there, 1\.0 GB more than are free; free space, then"
    with pytest.raises(RobustlensError, match=reason), filling(tmp_path, 6_000_000_000):
        pass
