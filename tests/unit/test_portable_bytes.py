"""Portable arithmetic gives the same bytes on this processor as on the one of the record, and on emulated ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robustlens import arithmetic
from robustlens.errors import RobustlensError
from robustlens.provenance import device_facts

REFERENCE = Path(__file__).parents[1] / "reference.py"
PROCESSORS = ["Haswell", "EPYC-v1"]  # Intel's first one with AVX2, and AMD's first EPYC
TRIES = 6
EMULATOR = shutil.which("qemu-x86_64")


def lacks_instructions() -> str:
    """Why this processor can't compute so; nothing if it can."""
    try:
        arithmetic.check_processor(arithmetic.PORTABLE)
    except RobustlensError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacks_instructions()), reason=lacks_instructions())]


def computed(*emulator: str) -> dict[str, str]:
    """The digests that a process of the reference prints. QEMU 7.2 itself ends in a segmentation fault in about one of
    six runs, at changing places: it is asked again, as long as it is the emulator that has crashed."""
    path = os.pathsep.join(str(REFERENCE.parents[1] / name) for name in ("src", "tests", "."))
    environment = os.environ | arithmetic.VARIABLES | {"PYTHONPATH": path}
    command = [*emulator, sys.executable, str(REFERENCE)]
    for _ in range(TRIES if emulator else 1):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if not (done.returncode == -signal.SIGSEGV and "qemu: uncaught target signal" in done.stderr):
            break
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return computed()


def test_this_processor_computes_the_recorded_bytes(here):
    recorded = json.loads(REFERENCE.with_suffix(".json").read_text())
    different = [name for name in recorded if name != "code" and here[name] != recorded[name]]
    changed = here["code"] != recorded["code"]
    why = "the code has changed since; if that is meant to: python tests/reference.py --record" if changed else ""
    assert not different, f"{device_facts()['processor']} computes other bytes of {', '.join(different)}. {why}"


@pytest.mark.skipif(EMULATOR is None, reason="no qemu-x86_64: install Debian's package qemu-user")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_an_emulated_processor_computes_the_same_bytes(processor, here):
    assert computed(EMULATOR, "-cpu", processor) == here
