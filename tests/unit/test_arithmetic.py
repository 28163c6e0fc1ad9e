"""The two arithmetics: what a process needs for portable, and that it is refused where it would compute otherwise."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from robustlens import arithmetic
from robustlens.device import has_bfloat16, use_device
from robustlens.errors import RobustlensError
from robustlens.provenance import Certificate, device_facts

pytestmark = pytest.mark.slow

SPEC = {"arithmetic": "portable"}
WHAT_LIBRARIES_CHOSE = """
import json, warnings
warnings.simplefilter("error")
import numpy, scipy.linalg
from numpy._core._multiarray_umath import __cpu_features__ as features
from threadpoolctl import threadpool_info
blas = [(library["architecture"], library["num_threads"]) for library in threadpool_info()]
warnings.simplefilter("default")
import torch
from robustlens import arithmetic
arithmetic.check("portable")
print(json.dumps([blas, features["X86_V3"], features["X86_V4"], torch.backends.cpu.get_cpu_capability()]))
"""


@pytest.fixture
def prepared(monkeypatch):
    """A process that has the environment, and a torch that was loaded in it."""
    for name, value in arithmetic.VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_parameters_that_do_not_say_are_native():
    assert arithmetic.of({}) == "native" and arithmetic.of(SPEC) == "portable"


def test_every_library_is_held_at_avx2_and_one_thread_without_a_warning():
    listed = subprocess.run([sys.executable, "-m", "robustlens.arithmetic"], capture_output=True, text=True, check=True)
    command = ["env", *listed.stdout.split(), sys.executable, "-c", WHAT_LIBRARIES_CHOSE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == '[[["Haswell", 1], ["Haswell", 1]], true, false, "AVX2"]'


@pytest.mark.parametrize("name", arithmetic.VARIABLES)
def test_a_process_without_one_of_the_variables_is_refused_and_told_how_to_start(name, prepared, monkeypatch):
    arithmetic.check("portable")
    monkeypatch.delenv(name)
    words = f"portable needs {name}={arithmetic.VARIABLES[name]} in the environment before Python starts.*"
    with pytest.raises(RobustlensError, match=words + r"env \$\(python -m robustlens.arithmetic\)"):
        arithmetic.check("portable")
    arithmetic.check("native")


def test_variables_that_were_set_after_torch_was_loaded_are_too_late(prepared, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with pytest.raises(RobustlensError, match="before Python starts"):
        arithmetic.check("portable")


@pytest.mark.parametrize("flags", ["flags\t\t: fpu sse4_2 avx fma", "flags : avx2", "Features : fp asimd", None])
def test_a_processor_without_avx2_is_told_of_native_arithmetic(flags, prepared, monkeypatch, tmp_path):
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    for refused in (arithmetic.check, arithmetic.prepare, arithmetic.check_processor):
        with pytest.raises(RobustlensError, match=r"AVX2.*`--config arithmetic=native`") as error:
            refused("portable")
        assert "\n" not in str(error.value)
        refused("native")


def test_preparing_sets_the_environment_of_later_processes(monkeypatch):
    for name in arithmetic.VARIABLES:
        monkeypatch.setenv(name, "other")
    arithmetic.prepare("native")
    assert not arithmetic.is_prepared()
    arithmetic.prepare("portable")
    assert arithmetic.is_prepared()


def test_portable_commands_get_one_thread_whatever_their_rule_has():
    shown = 'echo "$OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS"; false | true; echo on'
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "4")
    for name, expected in (("portable", "1 1 1\n"), ("native", "4 4 4\n")):
        command = ["bash", "-c", arithmetic.shell_prefix(name) + shown]
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, expected)


def test_portable_computes_on_the_processor_with_one_thread_though_there_is_a_gpu(prepared, threads, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    with use_device(4, "portable") as device:
        assert device == torch.device("cpu") and torch.get_num_threads() == 1
        assert device_facts()["accelerator"] is None
    monkeypatch.delenv("MKL_CBWR")
    assert device_facts()["accelerator"] == "H100"


def test_jobs_that_would_compute_otherwise_than_their_parameters_say_are_refused(monkeypatch):
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    with pytest.raises(RobustlensError, match="ATEN_CPU_CAPABILITY=avx2"):
        Certificate(SPEC, [])
    with pytest.raises(RobustlensError, match="ATEN_CPU_CAPABILITY=avx2"), use_device(1, "portable"):
        pass
    assert Certificate({}, []).spec == {}


def test_held_at_avx2_a_processor_has_no_bfloat16(monkeypatch):
    hardware = SimpleNamespace(_is_avx512_bf16_supported=lambda: True, _is_amx_tile_supported=lambda: True)
    monkeypatch.setattr(torch, "cpu", hardware)
    for capability, has in (("AVX2", False), ("AVX512", True)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        assert has_bfloat16(torch.device("cpu")) is has
