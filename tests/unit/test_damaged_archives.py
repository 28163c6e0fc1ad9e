"""Archives that are damaged, lack members, or hold what leads out of their folder are refused."""

import stat
import tarfile
import zipfile

import archives
import pytest
from archives import tarred, zipped
from readers import READERS, refusal

from robustlens.data.archives import file_names, files
from robustlens.errors import RobustlensError


@pytest.mark.parametrize("name", [name for name in READERS if name != "imagenet"])
@pytest.mark.parametrize("damage", ["cut off", "something else", "empty", "missing"])
def test_a_file_that_is_damaged_is_named(name, damage, tmp_path):
    reader, make = READERS[name]
    for number, file in enumerate(make().files):
        made = make()
        (folder := tmp_path / str(number)).mkdir()
        made.write(folder / "downloads")
        whole = (folder / "downloads" / file).read_bytes()
        made.files = {
            file: {"cut off": whole[: len(whole) // 2], "something else": b"<html>" * 99, "empty": b""}.get(damage)
        }
        if damage == "missing":
            (folder / "downloads" / file).unlink()
            made.files = {}
        assert file in refusal(reader, made, folder)


# A member to remove, and one to replace by nonsense, of each archive.
MEMBERS = {
    "cifar10": ("cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_4"),
    "cifar100": ("cifar-100-python.tar.gz", "cifar-100-python/meta"),
    "stl10": ("stl10_binary.tar.gz", "stl10_binary/train_y.bin"),
    "tiny-imagenet-200": ("tiny-imagenet-200.zip", "tiny-imagenet-200/val/images/val_0.JPEG"),
    "imagenette-160": ("imagenette2-160.tgz", "imagenette2-160/val/n01440764/b.JPEG"),
    "afhq": ("afhq.zip", "afhq/val/dog/b.jpg"),
    "celeba": ("img_align_celeba.zip", "img_align_celeba/000011.jpg"),
    "imagenet-64": ("Imagenet64_train_part2_npz.zip", "Imagenet64_train_part2_npz/train_data_batch_8.npz"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_named(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    del made.files[archive][member]
    said = refusal(reader, made, tmp_path)
    # In class folders only the class that is now without an image is known to be missing.
    assert any(part in said for part in member.split("/")[-2:])


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_nonsense_is_named_with_its_archive(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    made.files[archive][member] = b"nonsense"
    said = refusal(reader, made, tmp_path)
    assert archive in said and member in said


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_there_twice_is_named(name, tmp_path):
    reader, make = READERS[name]
    (archive, member), made = MEMBERS[name], make()
    members = made.files[archive]
    made.files[archive] = [*members.items(), (f"./{member}", members[member])]
    said = refusal(reader, made, tmp_path)
    assert archive in said and member in said and "more than once" in said


@pytest.mark.parametrize("escape", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "../evil/"])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_outside_the_archives_folder_is_refused(name, escape, tmp_path):
    reader, make = READERS[name]
    (archive, _), made = MEMBERS[name], make()
    made.files[archive][escape] = b""
    said = refusal(reader, made, tmp_path)
    assert archive in said and "evil" in said and "leaves" in said


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    odd = tarfile.TarInfo("odd")
    odd.type, odd.linkname = kind, "/etc/passwd"
    (tmp_path / "a.tar.gz").write_bytes(tarred([("plain", b"")], odd))
    with pytest.raises(RobustlensError, match=r"a.tar.gz: odd: a link or device"):
        file_names(tmp_path / "a.tar.gz")


def test_links_in_a_zip_are_refused(tmp_path):
    odd = zipfile.ZipInfo("odd")
    odd.external_attr = (stat.S_IFLNK | 0o777) << 16
    (tmp_path / "a.zip").write_bytes(zipped([("plain", b"")], odd))
    with pytest.raises(RobustlensError, match=r"a.zip: odd: a link or device"):
        file_names(tmp_path / "a.zip")


def test_a_tar_with_a_damaged_header_does_not_end_there_in_silence(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("first", "second", "third"):
            tar.addfile(tarfile.TarInfo(name))
    whole = (tmp_path / "a.tar").read_bytes()
    assert file_names(tmp_path / "a.tar") == ["first", "second", "third"]
    (tmp_path / "a.tar").write_bytes(whole[:512] + b"x" * 512 + whole[1024:])
    with pytest.raises(RobustlensError, match=r"a\.tar: damaged"):
        file_names(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(whole[:1024])
    with pytest.raises(RobustlensError, match=r"a\.tar: damaged"):
        file_names(tmp_path / "a.tar")


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_changed_byte_in_a_member_is_noticed(suffix, tmp_path):
    contents = archives.noise(100_000).tobytes()
    whole = bytearray((tarred if suffix == "tar.gz" else zipped)([("a", contents)]))
    whole[len(whole) // 2] ^= 1
    (tmp_path / f"a.{suffix}").write_bytes(whole)
    with pytest.raises(RobustlensError, match=f"a.{suffix}"):
        assert [stream.read() for _, stream in files(tmp_path / f"a.{suffix}", ["a"])] == [contents]


def test_members_come_out_of_an_archive_whole_and_in_any_pieces(tmp_path):
    contents = archives.noise(3_000_000).tobytes()
    for name, wrap in (("a.tar.gz", tarred), ("a.zip", zipped)):
        (tmp_path / name).write_bytes(wrap([("x/first", b"1"), ("x/long", contents), ("last", b"")]))
        assert file_names(tmp_path / name) == ["last", "x/first", "x/long"]
        for member, stream in files(tmp_path / name, ["x/long", "last"]):
            got = stream.read(10) + stream.read(2_000_000) + stream.read()
            assert got == (contents if member == "x/long" else b"")
