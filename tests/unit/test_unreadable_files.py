"""Files and folders that can't be read, and disks without room, are told for what they are."""

import errno
import os
import re
import resource
import tempfile
from pathlib import Path

import archives
import pytest
from archives import jpeg
from readers import READERS, imagenet_64, refusal

from robustlens.data.afhq import Afhq
from robustlens.data.imagenet import ImageNet
from robustlens.data.imagenet_64 import Imagenet64


def test_an_image_of_imagenet_that_is_damaged_is_named(tmp_path):
    made = archives.imagenet()
    made.files["imagenet/val/n01440764/b.JPEG"] = made.files["imagenet/val/n01440764/b.JPEG"][:300]
    assert "imagenet: val/n01440764/b.JPEG: not a readable image" in refusal(ImageNet(), made, tmp_path)


def test_imagenet_says_where_its_folders_belong(tmp_path):
    made = archives.imagenet()
    made.files = {name: contents for name, contents in made.files.items() if "/train/" not in name}
    assert f"imagenet{os.sep}train: missing" in refusal(ImageNet(train=True), made, tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"imagenet/val/n01443537/b.JPEG": b"nonsense"}, "val/n01443537/b.JPEG: not a readable image"),
        ({"imagenet/val/n00000001/b.JPEG": jpeg(24, 24, 0)}, "class n00000001 is in one of the splits only"),
        ({f"imagenet/val/{name}/b.JPEG": None for name in ("n01440764", "n01443537")}, "holds no test images"),
    ],
)
def test_nobody_is_told_to_delete_a_folder_of_his_own(change, reason, tmp_path):
    made = archives.imagenet()
    made.files = {name: contents for name, contents in (made.files | change).items() if contents is not None}
    made.files["imagenet/val/readme"] = b""
    said = refusal(READERS["imagenet"][0], made, tmp_path)
    assert reason in said and said.endswith("; put what is missing or damaged there anew")


def unreadable(path, how):
    """Something at `path` that the operating system refuses to read; the reason."""
    path.unlink(missing_ok=True)
    path.symlink_to({"circle": path, "broken disk": "/proc/self/mem", "gone": path.parent / "gone"}[how])
    return {"circle": "Too many levels of symbolic links", "broken disk": "Input/output error"}.get(how)


@pytest.mark.parametrize("how", ["circle", "broken disk"])
def test_what_the_system_refuses_to_read_is_not_called_damaged(how, tmp_path, monkeypatch):

    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    if how == "broken disk":  # /proc/self/mem has no end for zipfile to start from
        monkeypatch.setattr("zipfile._EndRecData", fail)
    for name, file in (
        ("imagenet", "imagenet/val/n01443537/b.JPEG"),
        ("afhq", "afhq.zip"),
        ("imagenette-160", "imagenette2-160.tgz"),
        ("mnist", "t10k-images-idx3-ubyte.gz"),
        ("svhn", "test_32x32.mat"),
        ("celeba", "list_attr_celeba.txt"),
    ):
        reader, make = READERS[name]
        made, downloads = make(), tmp_path / name / "downloads"
        made.write(downloads)
        del made.files[file]
        reason = unreadable(downloads / file, how)
        said = refusal(reader, made, tmp_path / name)
        assert f"can't be read ({reason}); make it readable" in said and file.split("/")[-1] in said
        assert "delete" not in said and "damaged" not in said


def test_a_folder_that_links_lead_to_twice_is_named(tmp_path):
    """As in a circle, where the images of all classes would pass for those of one."""
    for number, (link, target) in enumerate((("val/n01443537/again", "val"), ("train/n01443538", "train/n01440764"))):
        made, downloads = archives.imagenet(), tmp_path / str(number) / "downloads"
        made.write(downloads)
        (downloads / "imagenet" / link).symlink_to(downloads / "imagenet" / target)
        said = refusal(READERS["imagenet"][0], made, tmp_path / str(number))
        assert re.search("imagenet/(val/n01443537/again|train/n0144(0764|3538)): links lead there twice; make ", said)


def test_a_dangling_link_in_a_folder_is_named(tmp_path):
    made, downloads = archives.imagenet(), tmp_path / "downloads"
    made.write(downloads)
    del made.files["imagenet/val/n01443537/b.JPEG"]
    unreadable(downloads / "imagenet/val/n01443537/b.JPEG", "gone")
    said = refusal(READERS["imagenet"][0], made, tmp_path)
    assert said.endswith("val/n01443537/b.JPEG: missing; put what is missing or damaged there anew")


@pytest.fixture
def unprivileged():
    """A new folder, and a user who may not read everything."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["imagenet", "imagenet/val/n01443537", "imagenet/val/n01443537/b.JPEG"])
def test_what_may_not_be_read_is_not_called_damaged(name, unprivileged):
    made = archives.imagenet()
    closed = made.write(unprivileged / "downloads") / name
    mode = closed.stat().st_mode
    closed.chmod(0)
    made.files = {}
    said = refusal(READERS["imagenet"][0], made, unprivileged)
    closed.chmod(mode)
    assert re.search(r"can't be read \(Permission denied.*; make it readable", said) and closed.name in said
    assert "delete" not in said


def test_images_that_do_not_fit_on_the_disk_are_refused_before_they_are_read(tmp_path):
    said = refusal(Afhq(size=1_000_000), archives.afhq(), tmp_path)  # six times 3e12 bytes
    assert f"{tmp_path / 'scratch'}: at least 18000.0 GB are needed there" in said


def test_a_disk_that_is_full_before_imagenet_64_is_read_is_told(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    made, scratch = imagenet_64(), tmp_path / "scratch"
    packed = sum(path.stat().st_size for path in made.write(tmp_path / "downloads").iterdir())
    made.files = {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # of 147,456 bytes of images
    try:
        said = refusal(Imagenet64(), made, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    needed = f"at least {packed / 1e3:.1f} kB are needed there: free space"
    assert said.startswith(f"{scratch}: could not be written (File too large); {needed}")
