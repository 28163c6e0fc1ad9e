"""GPUs are counted without PyTorch, by this machine's device files and by what CUDA is told to show."""

import pytest

from robustlens import gpus
from robustlens.errors import RobustlensError


@pytest.fixture
def two_gpus(tmp_path, monkeypatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("ROBUSTLENS_JOBS_PER_GPU", raising=False)


def test_each_gpu_of_the_machine_has_a_job(two_gpus):
    assert gpus.visible_gpus() == 2
    assert gpus.jobs_on_gpus() == 2


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        ("1", 1),
        ("0,1", 2),
        ("GPU-8932f937, GPU-1d2c", 2),
        ("MIG-1,MIG-2,MIG-3", 3),
        ("", 0),
        ("-1", 0),
        ("0,-1,1", 1),
        ("7", 0),
        ("1,2,0", 1),
        ("0,0", 1),
        ("NoDevFiles", 0),
    ],
)
def test_what_cuda_is_told_to_show_counts(two_gpus, monkeypatch, shown, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert gpus.visible_gpus() == count
    assert gpus.jobs_on_gpus() == max(1, count)


def test_several_jobs_share_each_gpu(two_gpus, monkeypatch):
    monkeypatch.setenv("ROBUSTLENS_JOBS_PER_GPU", "3")
    assert gpus.jobs_on_gpus() == 6


def test_a_machine_without_a_gpu_shows_none_whatever_cuda_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert gpus.visible_gpus() == 0
    assert gpus.jobs_on_gpus() == 1


@pytest.mark.parametrize("given", ["0", "-1", "two", "", "1.5"])
def test_a_wrong_number_of_jobs_is_refused(monkeypatch, given):
    monkeypatch.setenv("ROBUSTLENS_JOBS_PER_GPU", given)
    with pytest.raises(RobustlensError, match="ROBUSTLENS_JOBS_PER_GPU: must be a whole number from 1, got"):
        gpus.jobs_per_gpu()
