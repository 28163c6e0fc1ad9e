"""The state of a run and the files it is made of: whole or not there, of one run, of one owner."""

import errno
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import Child, until
from safetensors import safe_open

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.training.state import RunState

TENSORS = {
    "model.weight": torch.arange(12.0).view(3, 4),
    "model.steps": torch.tensor(7),
    "random": torch.arange(16, dtype=torch.uint8),
    "empty": torch.zeros(0),
}
RECORD = {"progress": {"epoch": 3, "history": [{"loss": 0.1, "split": "train"}, {"loss": float("inf")}]}, "lr": 1e-300}


def saved(folder: Path, digest: str = "abc") -> Path:
    """The file of a state that was just saved."""
    with RunState(folder, digest) as state:
        state.save(TENSORS, RECORD)
    return state.file


def load(folder: Path, digest: str = "abc"):
    with RunState(folder, digest) as state:
        return state.load()


# Save and load ----------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_saved(tmp_path):
    saved(tmp_path / "new" / "folder")
    tensors, record = load(tmp_path / "new" / "folder")
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype and torch.equal(tensors[name], value)


def test_without_a_saved_state_there_is_none(tmp_path):
    assert load(tmp_path) is None


def test_a_tensor_in_another_memory_format_is_saved_by_its_values(tmp_path):
    images = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    with RunState(tmp_path, "abc") as state:
        state.save({"images": images}, {})
        assert torch.equal(state.load()[0]["images"], images)


def test_the_file_is_plain_safetensors_that_names_its_run(tmp_path):
    with safe_open(saved(tmp_path), framework="np") as file:
        assert file.metadata()["digest"] == "abc"
        assert json.loads(file.metadata()["record"]) == RECORD
        assert np.array_equal(file.get_tensor("model.weight"), np.arange(12.0).reshape(3, 4))


def test_a_state_of_another_run_is_refused(tmp_path):
    file = saved(tmp_path)
    with pytest.raises(
        RobustlensError, match=rf"{file}: the state of another run \(digest abc, expected xyz\); delete"
    ):
        load(tmp_path, "xyz")


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, saved(tmp_path))
    with pytest.raises(RobustlensError, match="the state of another run"):
        load(tmp_path)


def test_a_state_that_was_cut_short_is_refused_wherever_it_was_cut(tmp_path):
    file = saved(tmp_path)
    whole = file.read_bytes()
    with RunState(tmp_path, "abc") as state:
        for length in range(0, len(whole), 7):
            file.write_bytes(whole[:length])
            with pytest.raises(RobustlensError, match=f"{file}: damaged .*delete {tmp_path} to train"):
                state.load()


def test_a_state_with_one_wrong_bit_is_refused_wherever_that_is(tmp_path):
    file = saved(tmp_path)
    whole = file.read_bytes()
    with RunState(tmp_path, "abc") as state:
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            file.write_bytes(damaged)
            with pytest.raises(RobustlensError, match=r"damaged|another run"):
                state.load()
        file.write_bytes(whole)
        assert state.load()[1] == RECORD


# The lock ---------------------------------------------------------------------------------------------------------


def hold(folder: Path) -> None:
    """Own the state until killed."""
    with RunState(folder, "abc") as state:
        state.save(TENSORS, RECORD)
        time.sleep(60)


def refuse_to_share(folder: Path) -> None:
    with RunState(folder, "abc"):
        print("entered")


def test_a_second_process_is_refused_with_the_pid_of_the_first_until_that_one_dies(tmp_path):
    folder = tmp_path / "state"
    owner = Child(tmp_path / "owner.txt", hold, folder)
    until((folder / "state.safetensors").exists)

    code, output = Child(tmp_path / "second.txt", refuse_to_share, folder).wait()
    assert code == 1 and "entered" not in output
    assert "being trained by another process" in output and f'"pid": {owner.pid}' in output
    with pytest.raises(RobustlensError, match=f'"pid": {owner.pid}.*wait for it, or stop it'):
        load(folder)

    owner.signal(signal.SIGKILL)
    assert owner.wait()[0] == -signal.SIGKILL
    assert load(folder)[1] == RECORD
    assert json.loads((folder / "owner.json").read_text())["pid"] == os.getpid()


def test_the_owner_is_named_with_its_slurm_job(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with RunState(tmp_path, "abc"), pytest.raises(RobustlensError, match='"slurm_job": "4711"'):
        load(tmp_path)


def test_the_lock_ends_with_the_block_even_when_it_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), RunState(tmp_path, "abc"):
        raise ZeroDivisionError
    assert load(tmp_path) is None


def test_a_folder_that_can_not_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RobustlensError, match=f"{folder}: can't be written .*make it writable"):
            load(folder)


# Files that appear whole or not at all ----------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    target = tmp_path / "a" / "b.txt"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.parent == target.parent and temporary.suffix == ".txt"
    assert target.read_text() == "new" and names(target.parent) == ["b.txt"]


def test_the_data_are_on_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("sync", os.readlink(f"/proc/self/fd/{fd}"))))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append(("rename", str(old))), rename(old, new)))
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("data")
    assert calls == [("sync", str(temporary)), ("rename", str(temporary))]


@pytest.mark.parametrize("error", [ValueError("broken"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(error, tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises((ValueError, RobustlensError)) as raised, replacing(target) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert target.read_text() == "old" and names(tmp_path) == ["x.txt"]
    if isinstance(error, OSError):
        assert str(raised.value).startswith(f"{target}: could not be written (No space left on device); free space")
    else:
        assert raised.value is error


def test_a_path_below_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            RobustlensError, match=f"{tmp_path / 'file' / 'x'}: could not be written .*make the folder writable"
        ),
        replacing(tmp_path / "file" / "x"),
    ):
        pass


def test_a_save_that_fails_leaves_the_state_before_it(tmp_path, monkeypatch):
    saved(tmp_path)
    original = Path.write_bytes

    def full_disk(path: Path, content: bytes) -> None:
        original(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunState(tmp_path, "abc") as state:
        monkeypatch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(RobustlensError, match=f"{state.file}.*No space left"):
            state.save({"other": torch.ones(3)}, {})
        tensors, record = state.load()
    assert record == RECORD and tensors.keys() == TENSORS.keys()
    assert names(tmp_path) == ["lock", "owner.json", "state.safetensors"]


def die_while_saving(folder: Path) -> None:
    """Killed with half of the new state written."""
    original = Path.write_bytes

    def killed(path: Path, content: bytes) -> None:
        original(path, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_bytes = killed
    with RunState(folder, "abc") as state:
        state.save({"other": torch.ones(3)}, {})


def test_a_process_killed_while_it_saves_leaves_the_state_before_it(tmp_path):
    folder = tmp_path / "state"
    saved(folder)
    code, _ = Child(tmp_path / "output.txt", die_while_saving, folder).wait()
    assert code == -signal.SIGKILL and len(names(folder)) == 4
    tensors, record = load(folder)
    assert names(folder) == ["lock", "owner.json", "state.safetensors"]
    assert record == RECORD and torch.equal(tensors["model.weight"], TENSORS["model.weight"])
