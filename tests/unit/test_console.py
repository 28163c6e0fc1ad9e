"""What a job says and certifies, and the three scripts from the command line."""

import ast
import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import re
import signal
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from processes import REPOSITORY, Child, run_script

from robustlens import console
from robustlens.console import Progress, job, log, parser, stop_on_signals
from robustlens.errors import RobustlensError
from robustlens.provenance import LIBRARIES, Certificate

# Jobs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_logging():
    """`job` takes over the root logger of its process."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_a_foreseen_failure_is_one_line_with_job_reason_and_log(tmp_path, capsys):
    file = tmp_path / "new" / "train.log"
    with pytest.raises(SystemExit) as ended, job("train sat", file):
        raise RobustlensError("x: broken; mend it")
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"[train sat] FAILED: x: broken; mend it\n  log: {file}\n"
    assert "FAILED: x: broken; mend it" in file.read_text() and "Traceback" not in file.read_text()


def test_an_unforeseen_failure_leaves_its_traceback_in_the_log_alone(tmp_path, capsys):
    file = tmp_path / "train.log"
    with pytest.raises(SystemExit) as ended, job("train sat", file):
        raise KeyError("beta")
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"[train sat] FAILED: KeyError: 'beta'\n  log: {file}\n"
    assert "Traceback" in file.read_text() and 'raise KeyError("beta")' in file.read_text()


def test_a_job_that_ends_well_says_nothing_on_the_terminal(tmp_path, capsys):
    with job("train sat", tmp_path / "log"):
        log.info("a detail")
    assert capsys.readouterr().err == ""
    first, second, third = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d train sat: started on [^ ,]+, process {os.getpid()}", first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d a detail", second)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d finished in 0:00:0\d", third)


def test_a_log_says_how_long_its_job_took_and_its_number_in_slurm(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with job("train sat", tmp_path / "log"):
        clock[0] += 3725
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith(f", process {os.getpid()}, SLURM job 77") and second.endswith(" finished in 1:02:05")


def test_a_log_that_can_t_be_locked_is_written_all_the_same(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(console.fcntl, "flock", no_locks)
    with job("train sat", tmp_path / "log"):
        pass
    assert "finished" in (tmp_path / "log").read_text()


def test_a_log_is_locked_although_a_reader_tries_its_lock_at_that_moment(tmp_path, monkeypatch):
    def let_go(_seconds):
        fcntl.flock(reader, fcntl.LOCK_UN)

    monkeypatch.setattr(console.time, "sleep", let_go)
    (tmp_path / "log").touch()
    with open(tmp_path / "log") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        with job("train sat", tmp_path / "log"), pytest.raises(BlockingIOError):
            fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_our_warnings_go_to_terminal_and_log_and_python_s_to_the_log_alone(tmp_path, capsys):
    with job("train sat", tmp_path / "log"):
        log.warning("odd")
        warnings.warn("very odd", stacklevel=1)
    err = capsys.readouterr().err
    assert err == "[train sat] odd\n"
    assert "odd" in (tmp_path / "log").read_text() and "very odd" in (tmp_path / "log").read_text()


def test_a_disk_that_is_full_does_not_hide_the_reason(capsys):
    with pytest.raises(SystemExit), job("train sat", Path("/dev/full")):
        log.info("a detail")
        raise RobustlensError("no space")
    assert capsys.readouterr().err == "[train sat] FAILED: no space\n  log: /dev/full\n"


def test_an_exit_is_not_a_failure_of_the_job(tmp_path):
    with pytest.raises(SystemExit) as ended, job("x", tmp_path / "log"):
        sys.exit(3)
    assert ended.value.code == 3


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time in seconds, for the test to set."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_progress_estimates_the_rest_from_the_steps_it_saw(clock, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("epoch", 60, every=10)
    clock[0] += 2
    progress(1, "loss 2.3")  # one step took 2 s: 59 left
    clock[0] += 4
    progress(3)  # three steps took 6 s: 57 left
    clock[0] += 3594
    progress(60)
    assert caplog.messages == [
        "epoch 1/60, ETA 0:01:58  loss 2.3",
        "epoch 3/60, ETA 0:01:54  ",
        "epoch 60/60, ETA 0:00:00  ",
    ]


def test_progress_of_a_resumed_run_counts_only_its_own_steps(clock, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("epoch", 60)
    clock[0] += 90
    progress(41)  # the first one of this session: 19 left at 90 s each
    assert caplog.messages == ["epoch 41/60, ETA 0:28:30  "]


def test_progress_reaches_the_terminal_every_ten_seconds_and_the_log_always(clock, caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("epoch", 60)
    for step in range(1, 8):
        clock[0] += 4
        progress(step)
    shown = [record.terminal for record in caplog.records]
    assert shown == [False, False, True, False, False, True, False]  # at 12 s and at 24 s


def test_ctrl_c_is_a_failure_in_one_line_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as end, job("evaluate x", tmp_path / "x.log"):
        raise KeyboardInterrupt
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("[evaluate x] FAILED: interrupted\n") and "Traceback" not in said
    assert "Traceback" not in (tmp_path / "x.log").read_text()


def test_signals_are_collected_and_do_not_kill():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        received = stop_on_signals()
        assert received == []
        numbers = [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM]
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0)
        assert received == numbers
        with pytest.raises(KeyboardInterrupt):  # who presses Ctrl-C again does not want to wait
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_every_script_needs_its_parameters_and_a_log(capsys):
    arguments = parser("Do something.").parse_args(["--spec", "{}", "--log", "a/b.log"])
    assert arguments.spec == {} and arguments.log == Path("a/b.log")
    with pytest.raises(SystemExit):
        parser("Do something.").parse_args(["--spec", "{}"])
    assert "--log" in capsys.readouterr().err


# Birth certificates -----------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_certificate_says_from_what_and_with_what_a_file_was_made(tmp_path, monkeypatch):
    import torch

    (tmp_path / "in").write_text("input")
    (tmp_path / "out").write_text("output")
    moments = iter([10.0, 12.3456])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    certificate = Certificate({"seed": 3, "code": "abc"}, [tmp_path / "in"])
    certificate.write(tmp_path / "sub" / "c.json", [tmp_path / "out"], best_epoch=4)
    record = json.loads((tmp_path / "sub" / "c.json").read_text())
    assert record["parameters"] == {"seed": 3, "code": "abc"}
    assert record["inputs"] == {str(tmp_path / "in"): sha256(tmp_path / "in")}
    assert record["outputs"] == {str(tmp_path / "out"): sha256(tmp_path / "out")}
    assert record["best_epoch"] == 4 and record["wall_seconds"] == 2.346
    assert record["versions"] == {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    assert record["device"]["threads"] == torch.get_num_threads() and record["device"]["processor"]


# The scripts ------------------------------------------------------------------------------------------------------


def arguments(script: str, spec: dict, *more: str) -> list[str]:
    name = spec.get("suite", script)
    logging_ = ["--log", f"logs/{name}.log", "--certificate", f"provenance/{name}.json"]
    return ["--spec", json.dumps(spec), *logging_, *more]


def run(script: str, spec: dict, folder: Path, *more: str) -> None:
    """The script in a process of its own, in `folder`."""
    child = Child(folder.parent / f"{folder.name}.txt", run_script, script, arguments(script, spec, *more), folder)
    assert child.wait() == (0, "")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A prepared dataset, a run on it and its evaluation, each made by its script."""
    folder = tmp_path_factory.mktemp("results")
    run("prepare_data", PREPARATION, folder, "--downloads", "downloads", "--folder", "data")
    run("train", SPEC, folder, "--data", "data", "--state", "state", "--run", "run")
    weights = ["run/best.safetensors", "run/last.safetensors"]
    run(
        "evaluate",
        EVALUATION,
        folder,
        "--data",
        "data",
        "--weights",
        *weights,
        "--state",
        "state",
        "--index",
        "evaluations/robustness.json",
    )
    return folder


PREPARATION = {
    "reader": {"family": "digits"},
    "archives": [],
    "splits": {"train": 40, "validation": 20, "test": None, "seed": 0},
    "facts": {"name": "digits", "title": "digits", "licence": "CC BY 4.0"},
}
SPEC = tiny.spec("trades", {"beta": 6.0}, epochs=2) | {"code": "0123456789ab"}
EVALUATION = {key: SPEC[key] for key in ("dataset", "recipe", "seed", "architecture", "code")} | {
    "suite": "robustness",
    "threat": {"name": "near", **SPEC["threat"]},
    "batch_size": 500,
    "checkpoints": [["best", "best"], ["last", "last"]],
    "attacks": [
        {"name": "clean", "family": "clean", "parameters": {}, "samples": None, "best_only": False, "code": "01"},
        {
            "name": "pgd2",
            "family": "pgd",
            "parameters": {"steps": 2},
            "samples": None,
            "best_only": False,
            "code": "01",
        },
        {
            "name": "apgd-t",
            "family": "apgd-t",
            "parameters": {"steps": 2},
            "samples": 12,
            "best_only": True,
            "code": "02",
        },
    ],
}


EVALUATED = {"best/clean": 1737, "best/pgd2": 1737, "best/apgd-t.12": 12, "last/clean": 1737, "last/pgd2": 1737}


def certificate(results: Path, name: str) -> dict:
    return json.loads((results / "provenance" / f"{name}.json").read_text())


def test_the_scripts_leave_their_files_and_nothing_else(results):
    files = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    arrays = {f"data/{split}_{part}.npy" for split in ("train", "validation", "test")
              for part in ("images", "labels", "index")}  # fmt: skip
    (state,) = (path.relative_to(results) for path in (results / "state").iterdir())  # of the training alone
    assert files == arrays | {
        "data/sheet.json",
        *(f"run/{name}.safetensors" for name in ("best", "last", "checkpoints")),
        *(f"run/{name}.parquet" for name in ("history", "energies", "statistics", "timing")),
        "evaluations/robustness.json",
        *(f"evaluations/{place}.parquet" for place in EVALUATED),
        *(f"provenance/{place}.json" for place in EVALUATED),
        *(f"logs/{name}.log" for name in ("prepare_data", "train", "robustness")),
        *(f"provenance/{name}.json" for name in ("prepare_data", "train", "robustness")),
        *(f"{state}/{name}" for name in ("lock", "owner.json", "state.safetensors")),
    }
    assert str(state) == f"state/digits-tiny-seed0-{certificate(results, 'train')['digest']}"


@pytest.mark.parametrize(("name", "spec", "inputs", "outputs"), [
    ("prepare_data", None, [], ["data/sheet.json", "data/test_images.npy", "data/train_labels.npy"]),
    ("train", SPEC, ["data/sheet.json"], [f"run/{file}" for file in (
        "best.safetensors", "checkpoints.safetensors", "energies.parquet", "history.parquet", "last.safetensors",
        "statistics.parquet", "timing.parquet")]),
    ("robustness", EVALUATION, ["data/sheet.json", "run/best.safetensors", "run/last.safetensors"],
     ["evaluations/robustness.json"]),
])  # fmt: skip
def test_every_artefact_has_its_certificate(name, spec, inputs, outputs, results):
    record = certificate(results, name)
    if spec:
        assert record["parameters"] == spec
        assert list(record["outputs"]) == outputs
    assert record["versions"]["torch"] == version("torch") and record["wall_seconds"] > 0
    assert list(record["inputs"]) == inputs
    for file in outputs:
        assert record["outputs"][file] == sha256(results / file)
    for file in inputs:
        assert record["inputs"][file] == sha256(results / file)


def test_the_prepared_data_are_the_whole_of_digits(results):
    sizes = json.loads((results / "data" / "sheet.json").read_text())["sizes"]
    assert sizes == {"train": 40, "validation": 20, "test": 1737}
    assert len(certificate(results, "prepare_data")["outputs"]) == 10


def test_a_run_s_tables_have_the_columns_of_the_contract(results):
    history = pd.read_parquet(results / "run" / "history.parquet")
    energies = [f"{kind}_{which}" for kind in ("marginal", "joint") for which in ("natural", "adversarial")]
    energies += ["delta_marginal", "delta_joint"]
    assert set(history.columns) == {
        *("epoch", "split", "learning_rate", "train_loss", "train_images", "clean_accuracy", "robust_accuracy"),
        *("class_total", "class_clean", "class_robust"),
        *energies,
        *(f"{name}_std" for name in energies),
        *("loss_natural", "loss_adversarial", "kl", "conditional_term", "marginal_term"),
    }
    samples = pd.read_parquet(results / "run" / "energies.parquet")
    assert list(samples.columns) == ["epoch", "split", "index", "label", *samples.columns[4:]]
    assert set(samples.columns[4:]) == set(energies[:4])
    assert len(samples) == 2 * (16 + 20)
    timing = pd.read_parquet(results / "run" / "timing.parquet")
    assert list(timing.columns) == ["epoch", "seconds", "images_per_second"]
    assert np.allclose(timing["images_per_second"] * timing["seconds"], 40)
    assert certificate(results, "train")["chosen_epochs"]["best"] in (1, 2)


def test_an_evaluation_has_one_row_per_image(results):
    tables = {place: pd.read_parquet(results / f"evaluations/{place}.parquet") for place in EVALUATED}
    for table in tables.values():
        assert set(table.columns) >= {
            *("index", "label", "prediction_natural", "prediction_adversarial", "distance", "broken_by"),
            *("marginal_natural", "joint_natural", "marginal_adversarial", "joint_adversarial"),
        }
    assert {place: len(table) for place, table in tables.items()} == EVALUATED
    clean = tables["best/clean"]
    assert (clean["distance"] == 0).all() and (clean["prediction_natural"] == clean["prediction_adversarial"]).all()


def test_a_job_that_fails_says_why_and_leaves_no_output(tmp_path):
    spec = PREPARATION | {"splits": {"train": 1790, "validation": 20, "test": None, "seed": 0}}
    command = arguments("prepare_data", spec, "--downloads", "downloads", "--folder", "data")
    script = REPOSITORY / "scripts" / "prepare_data.py"
    done = subprocess.run([sys.executable, str(script), *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "[prepare digits] FAILED: splits: 1790 train images can't be drawn from the 1777 there are"
    )
    assert "log: logs/prepare_data.log" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "logs"]
    assert not list(tmp_path.glob("data/*"))


# Parameters of a job ----------------------------------------------------------------------------------------------


def given(spec):
    return vars(parser("...").parse_args(["--spec", str(spec), "--log", "x.log"]))["spec"]


def test_a_specification_is_text_a_file_or_a_certificate(tmp_path):
    spec = {"seed": 1, "training": {"epochs": 2}, "code": "0123"}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    for way in (json.dumps(spec), f"@{tmp_path / 'spec.json'}"):
        assert given(way) == spec


def test_from_a_certificate_all_is_taken_but_what_it_says_of_the_code(tmp_path):
    spec = {"seed": 1, "attacks": [{"name": "pgd20", "code": "4567"}], "code": "0123"}
    Certificate(spec, []).write(tmp_path / "certificate.json", [])
    found = given(f"@{tmp_path / 'certificate.json'}")
    assert found == {"seed": 1, "attacks": [{"name": "pgd20", "code": "by hand"}], "code": "by hand"}


def test_parameters_of_that_name_are_not_taken_for_a_certificate():
    spec = {"parameters": {"beta": 6.0}}
    assert given(json.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ('{"seed": 1', "delimiter: line 1 column 11"),
        ("[1, 2]", "not the parameters of a job, which are a JSON object"),
        ("@nowhere.json", "No such file or directory: 'nowhere.json'"),
        ("@.", "Is a directory"),
    ],
)
def test_a_bad_specification_is_told_in_one_line(spec, said, capsys):
    with pytest.raises(SystemExit) as ended:
        given(spec)
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "error: argument --spec" in told and said in told


def test_a_missing_parameter_is_named_before_a_job_and_in_it(tmp_path, capsys):
    spec = given("{}")
    with pytest.raises(SystemExit, match=r"^--spec: 'dataset' is missing; a certificate"):
        job(f"train {spec['dataset']}", tmp_path / "x.log")
    with pytest.raises(SystemExit) as ended, job("train", tmp_path / "x.log"):
        spec["training"]
    assert ended.value.code == 1 and "FAILED: --spec: 'training' is missing" in capsys.readouterr().err
    assert spec.get("training") is None


ENDS = """
import atexit, os, sys
from pathlib import Path
from robustlens.console import job
class Left:
    def __del__(self):
        print("taken down", end=" ")
left = Left()
atexit.register(print, "at exit", end=" ")
os.environ.update(dict.fromkeys(sys.argv[1:], "1"))
with job("a job", Path("a.log")):
    print("done", end=" ")
    if "FAILS" in os.environ:
        raise ValueError
"""


@pytest.mark.parametrize(("folder", "arguments", "printed", "code"), [
    ("scripts", [], "done at exit ", 0),
    ("scripts", ["RANK"], "done at exit taken down ", 0),  # of processes that train together
    ("scripts", ["FAILS"], "done at exit taken down ", 1),
    ("elsewhere", [], "done at exit taken down ", 0),
])  # fmt: skip
def test_a_script_ends_with_its_job_before_what_it_imported_is_taken_down(folder, arguments, printed, code, tmp_path):
    script = tmp_path / folder / "script.py"
    script.parent.mkdir()
    script.write_text(ENDS)
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert (done.stdout, done.returncode) == (printed, code)
    assert ("finished" in (tmp_path / "a.log").read_text()) == (code == 0)


FOLDERS = (REPOSITORY / "scripts", *REPOSITORY.glob("studies/*/scripts"))
SCRIPTS = [file for folder in FOLDERS for file in sorted(folder.glob("*.py")) if "parser(__doc__)" in file.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(file.relative_to(REPOSITORY)) for file in SCRIPTS])
def test_nothing_follows_the_job_of_a_script(script):
    last = ast.parse(script.read_text()).body[-1]
    assert isinstance(last, ast.With)
    assert last.items[0].context_expr.func.id == "job"  # what it encloses ends before it
