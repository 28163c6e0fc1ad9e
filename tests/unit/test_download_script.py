"""The download script: kills, messages, folders that are counted, and lines of progress."""

import hashlib
import json
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from downloading import BODY, FILE, PART, entry
from processes import REPOSITORY, until
from serving import Page

from robustlens.data import download
from robustlens.data.download import count_images
from robustlens.errors import RobustlensError

pytestmark = pytest.mark.usefixtures("pauses")


# The script -------------------------------------------------------------------------------------------------------


def command(spec: dict, folder: Path) -> list[str]:
    script = REPOSITORY / "scripts" / "download.py"
    files = ["--folder", folder, "--receipt", folder / "receipt.json", "--log", folder / "download.log"]
    return [sys.executable, str(script), "--spec", json.dumps(spec), *map(str, files)]


def script(spec: dict, folder: Path) -> tuple[int, str]:
    done = subprocess.run(command(spec, folder), capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_leaves_a_part_that_goes_on(number, site, tmp_path):
    folder = tmp_path / "cifar10"
    site.pages["/a"] = Page(BODY, cuts=[200_000], stall=True)
    spec = {"archives": [entry(f"{site.url}/a")]}
    process = subprocess.Popen(command(spec, folder), stderr=subprocess.DEVNULL)
    until(lambda: (folder / PART).exists() and (folder / PART).stat().st_size >= 131_072)
    process.send_signal(number)
    assert process.wait(10) == -number
    assert not (folder / "receipt.json").exists() and not (folder / FILE).exists()
    size = (folder / PART).stat().st_size
    code, said = script(spec, folder)
    assert code == 0 and (folder / FILE).read_bytes() == BODY
    assert said == f"[download cifar10] {FILE}: downloading from {site.url}/a, resuming after {size} bytes\n"
    assert site.asked("/a")[-1] == f"bytes={size}-"
    md5 = hashlib.md5(BODY).hexdigest()
    archives = [{"file": FILE, "bytes": 320_000, "md5": md5, "source": f"{site.url}/a"}]
    assert json.loads((folder / "receipt.json").read_text()) == {"archives": archives, "folder": None}


def test_the_script_says_why_in_one_message_and_writes_no_receipt(tmp_path):
    archive = entry("file:///no/such/file")
    code, said = script({"archives": [archive], "code": "0123"}, tmp_path / "stl10")
    assert code == 1 and "Traceback" not in said and not (tmp_path / "stl10" / "receipt.json").exists()
    assert "[download stl10] FAILED: data.tar.gz: could not be downloaded:\n  file:///no/such/file: No such" in said


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_a_dataset_that_is_a_folder_is_counted(tmp_path):
    spec = {"archives": [], "folder": {"name": "imagenet", "layout": "train/<class>/*.JPEG", "train": True}}
    images(
        tmp_path / "imagenet", "train/a/1.JPEG", "train/a/2.jpg", "train/b/1.PNG", "train/b/list.txt", "train/x.JPEG"
    )
    images(tmp_path / "imagenet", "val/a/1.JPEG", "val/b/1.JPEG", "val/c/1.JPEG")
    code, said = script(spec, tmp_path)
    assert (code, said) == (0, "")
    splits = {"train": {"classes": 2, "images": 3}, "val": {"classes": 3, "images": 3}}
    assert json.loads((tmp_path / "receipt.json").read_text())["folder"] == {"name": "imagenet"} | splits


def test_a_folder_that_is_not_there_or_has_no_images_is_told(tmp_path):
    folder = tmp_path / "imagenet"
    where = re.escape(f"put it, or a link to it, at {folder} (as the authors do)")
    with pytest.raises(RobustlensError, match=f"val: No such file or directory; .*{where}"):
        count_images(folder, "as the authors do", train=False)
    images(folder, "val/a/1.JPEG")
    with pytest.raises(RobustlensError, match=f"train: No such file or directory; .*{where}"):
        count_images(folder, "as the authors do", train=True)
    images(folder, "train/a/labels.txt")
    with pytest.raises(RobustlensError, match=f"train: no folders with images in it; .*{where}"):
        count_images(folder, "as the authors do", train=True)
    (folder / "val/a/1.JPEG").unlink()
    images(folder, "train/a/1.JPEG", "val/1.JPEG", "val/a/labels.txt")
    with pytest.raises(RobustlensError, match=f"val: no folders with images in it; .*{where}"):
        count_images(folder, "as the authors do", train=True)


def test_a_folder_to_evaluate_on_needs_no_training_images(tmp_path):
    images(tmp_path, "val/a/1.JPEG")
    assert count_images(tmp_path, "", train=False) == {"val": {"classes": 1, "images": 1}}
    (tmp_path / "train").mkdir()  # empty, or of somebody who trains
    assert count_images(tmp_path, "", train=False) == {"val": {"classes": 1, "images": 1}}


# Progress ---------------------------------------------------------------------------------------------------------


def test_a_line_every_ten_seconds_says_how_far_how_fast_and_how_long(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    meter = download._Meter("a.tar")
    for second, done in ((0, 40), (5, 50), (10, 60), (19, 70), (20, 80), (31, 0), (35, 1), (41, 1)):  # anew at 31 s
        now[0] = float(second)
        meter(done * 10**6, 200 * 10**6)
    now[0] = 51.0
    meter(21 * 10**6, None)
    assert caplog.messages == [
        "a.tar: 30% of 200.0 MB, 2.00 MB/s, ETA 0:01:10",  # 20 MB in 10 s, 140 left
        "a.tar: 40% of 200.0 MB, 2.00 MB/s, ETA 0:01:00",
        "a.tar: 0% of 200.0 MB, 0.10 MB/s, ETA 0:33:10",  # 1 MB in 10 s, 199 left
        "a.tar: 21.0 MB, 2.00 MB/s",
    ]
    assert all(record.terminal for record in caplog.records)
