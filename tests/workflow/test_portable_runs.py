"""Portable arithmetic as the workflow has it: in every job, in one thread, and in scripts run by hand."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flow import RESULTS, contents, jobs, pending, run

RUN = RESULTS / "runs/digits/sat/seed0"
SCIENCE = [RUN / name for name in ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet")]


def test_every_job_of_the_tiny_scale_computed_portably_in_one_thread(finished):
    provenance = finished / RESULTS / "provenance"
    records = [json.loads(path.read_text()) for path in provenance.rglob("*.json") if path.stem != "configuration"]
    assert {record["parameters"]["arithmetic"] for record in records} == {"portable"}
    devices = [record["device"] for record in records if "capability" in record["device"]]
    assert len(devices) > 50
    assert {(device["capability"], device["threads"], device["accelerator"]) for device in devices} == {
        ("AVX2", 1, None)
    }


def test_another_arithmetic_computes_everything_again(finished, sources):
    assert pending(finished) == set()
    everything = pending(sources) - {"configuration"}
    assert pending(finished, "--config", "arithmetic=native") >= everything


@pytest.mark.parametrize(
    ("scale", "expected"), [("smoke", "portable"), ("embedded", "portable"), ("pilot", "portable"), ("paper", "native")]
)
def test_small_scales_are_portable_and_paper_is_native_and_downloads_are_neither(scale, expected, sources):
    code, output = run(sources, "-n", "-p", "-c2", "--config", f"scale={scale}")
    assert code == 0, output
    commands = [shlex.split(line) for line in output.splitlines() if '"$ROBUSTLENS/scripts/' in line]
    said = {}
    for words in map(list, commands):
        script = re.search(r"scripts/(\w+)\.py", " ".join(words))[1]
        said.setdefault(script, set()).add(json.loads(words[words.index("--spec") + 1]).get("arithmetic"))
    assert said.pop("download", {None}) == {None}
    assert len(said) > 10 and set.union(*said.values()) == {expected}


def test_a_rule_with_more_threads_gives_the_same_bytes(tree, finished):
    shutil.rmtree(tree / RUN)
    shutil.rmtree(tree / RESULTS / "state")  # of the finished run, from which it would only be written again
    code, output = run(tree, "-c2", "-p", "--set-threads", "train=2", "--", str(SCIENCE[0]))
    assert code == 0 and "--threads 2" in output, output
    assert contents(tree, SCIENCE) == contents(finished, SCIENCE)


def test_a_portable_job_by_hand_without_the_environment_ends_in_one_line(first_run, tmp_path, monkeypatch):
    folder, (_, output) = first_run
    assert f"train/{RUN.relative_to(RESULTS / 'runs')}" in jobs(output)
    command = re.search(r'^Shell command: (python "\$ROBUSTLENS/scripts/train\.py" .+)$', output, re.MULTILINE)[1]
    command = re.sub(r"--log \S+", f"--log {tmp_path / 'log'}", command)
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROBUSTLENS", str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}/src:{folder}")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "arithmetic: portable needs ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2" in done.stderr
