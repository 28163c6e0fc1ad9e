"""Hostile texts, names, paths and files through the whole workflow: what nobody asked for does not run. What is already
refused by the library is tested in tests/unit/test_hostile_names.py and its neighbours."""

import io
import json
import os
import pickle
import pickletools
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import snakemake.cli
import yaml
from flow import REPOSITORY, RESULTS, TINY, Outcome, copy_of, files, run, sha256
from processes import Child
from test_downloads import ARCHIVE, cifar10

TEXT = (
    "$(touch pwned) `touch pwned` ; touch pwned; | touch pwned & > pwned || \" ' \"' '\" \\ \\' $HOME ${HOME} !! ~ * ? "
    "[a] #x %s {input} {wildcards.dataset} {{}} {0} é <script>alert(1)</script> \\write18{touch pwned} -x --log=pwned"
)
PWNED = "pwned*"


def overlay(path: Path, **scale: object) -> str:
    path.write_text(yaml.safe_dump({"scales": {"tiny": scale}}))
    return str(path)


# Texts of the configuration -----------------------------------------------------------------------------------------


def hostile(folder: Path) -> dict:
    """An overlay with the hostile text wherever a text may stand, and a dataset from a hostile place."""
    made, _ = cifar10(folder)
    place = folder / "$(touch pwned) `touch pwned` 'a' \"b\" {input}; touch pwned"
    place.mkdir()
    shutil.move(made, place / ARCHIVE)
    archive = {"sha256": sha256(place / ARCHIVE), "urls": [f"file:///{TEXT}", (place / ARCHIVE).as_uri()]}
    mine = {
        "like": "digits",
        "title": f"Mine {TEXT}",
        "reader": {"family": "cifar10"},
        "archives": {ARCHIVE: archive},
        "splits": {"train": 60, "validation": 20},
    }
    model = {
        "title": f"Model {TEXT}",
        "dataset": "digits",
        "citation": TEXT,
        "architecture": {"family": "resnet", "blocks": [1], "width": 8},
        "weights": {"file": "theirs.safetensors", "sha256": "0" * 64, "urls": [f"file:///{TEXT}"], "by_hand": TEXT},
    }
    return {
        "datasets": {"digits": {"title": f"Digits {TEXT}"}, "mine": mine},
        "models": {"theirs": model},
        "studies": {"energy": {"models": ["theirs"]}},
    }


def test_every_text_reaches_its_job_as_it_is_and_runs_nothing(snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / "checkout")
    settings = hostile(tmp_path)
    config = overlay(tmp_path / "overlay.yaml", **settings)
    sheets = [RESULTS / "data" / dataset / "sheet.json" for dataset in ("digits", "mine")]
    saved = RESULTS / "provenance/configuration.json"
    code, output = run(folder, config, "-c1", "-p", "--", *map(str, [*sheets, saved]))
    assert code == 0, output
    for sheet, name in zip(sheets, ("digits", "mine"), strict=True):
        assert json.loads((folder / sheet).read_text())["name"] == name
    (source,) = json.loads((folder / "results/downloads/mine/receipt.json").read_text())["archives"]
    assert source["source"] == settings["datasets"]["mine"]["archives"][ARCHIVE]["urls"][1]
    configuration = json.loads((folder / saved).read_text())
    assert configuration["models"]["theirs"]["citation"] == TEXT

    code, output = run(folder, config, "-c1", "--", "results/downloads/theirs/receipt.json")
    assert code == 1 and "Traceback" not in output
    assert f"file:///{TEXT}: No such file or directory" in output and f"how to get it: {TEXT}" in output
    assert not list(tmp_path.rglob(PWNED))


def test_in_a_dry_run_of_everything_a_shell_reads_the_same_texts(snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / "checkout")
    settings = hostile(tmp_path)
    code, output = run(folder, overlay(tmp_path / "overlay.yaml", **settings), "-n", "-p", "-c1")
    assert code == 0, output
    commands = [line for line in output.splitlines() if '"$ROBUSTLENS/scripts/' in line]
    specs = [json.loads(words[words.index("--spec") + 1]) for words in map(shlex.split, commands)]
    assert len(specs) > 60
    contexts = [spec["context"] for spec in specs if "context" in spec]
    assert len(contexts) > 20 and all(context["datasets"] == [["digits", f"Digits {TEXT}"]] for context in contexts)
    recipes = [dict(context["recipes"]) for context in contexts]
    assert {recipe["theirs"]["label"] for recipe in recipes if "theirs" in recipe} == {f"Model {TEXT}", "theirs"}
    (imported,) = (spec for spec in specs if spec.get("model") == "theirs")
    assert imported["citation"] == TEXT
    for command in commands:  # each is one command: what is not quoted has nothing that a shell acts on
        plain = re.sub(r"'(?:[^']|'\"'\"')*'", "", command).replace('"$ROBUSTLENS/', "")
        assert not re.search(r"[$`;|&<>(){}*?!\\]", plain), plain
    assert not list(tmp_path.rglob(PWNED))


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["$(touch pwned)", "../../pwned", "a b'\"", "sat\n", "-x", "{recipe}"])
@pytest.mark.parametrize("what", ["recipes", "datasets", "suites"])
def test_a_hostile_name_ends_in_one_line_and_nothing_is_made(what, name, sources, tmp_path):
    scale = yaml.safe_load((sources / "tests/tiny.yaml").read_text())["scales"]["tiny"]
    entry = {"method": "sat"} if what == "recipes" else next(iter(scale[what].values()))
    code, output = run(sources, overlay(tmp_path / "overlay.yaml", **{what: {name: entry}}), "-n", "-c1")
    said = [line for line in output.splitlines() if not line.startswith(("Using workflow specific", "Config file "))]
    assert code == 1 and len(said) == 1, output
    assert said[0].startswith(f"config.{what}: {name!r} does not match") and "Lower-case letters" in said[0]
    assert not (sources / "results").exists() and not list(sources.rglob(PWNED))


@pytest.mark.parametrize(
    "target",
    [
        "results/tiny/data/$(touch pwned)/sheet.json",
        "results/downloads/`touch pwned`/receipt.json",
        "results/tiny/runs/digits/../sat/seed0/best.safetensors",
        "results/tiny/runs/digits/sat/seed0;touch pwned/best.safetensors",
        "results/../pwned/data/digits/sheet.json",
    ],
)
def test_a_hostile_target_has_no_rule(target, sources):
    code, output = run(sources, "-c1", "--", target)
    assert code == 1 and "nothing makes this file at scale" in output, output
    assert not (sources / "results").exists() and not list(sources.rglob(PWNED))


@pytest.mark.parametrize("call", ["apply:os.system [touch pwned]", "new:subprocess.Popen [[touch, pwned]]"])
def test_a_configuration_calls_no_function(call, sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text(f"recipes: !!python/object/{call}\n")
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-c1")
    assert code == 1 and "not valid JSON or YAML" in output, output
    assert not list(sources.rglob(PWNED))


def test_a_checkout_with_every_odd_character_in_its_path_works(snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / 'it\'s "a" $(touch pwned) `touch pwned` $HOME & ; * checkout')
    made = [RESULTS / "data/digits/sheet.json", RESULTS / "provenance/configuration.json"]
    code, output = run(folder, "-c1", "--", *map(str, made))
    assert code == 0, output
    assert all((folder / name).is_file() for name in made)
    assert not list(tmp_path.rglob(PWNED)) and not list(Path.cwd().glob(PWNED))


# The network --------------------------------------------------------------------------------------------------------

NETWORK = (
    "socket.connect",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "urllib.Request",
)


def _refusing(folder: Path, arguments: list[str]) -> None:
    """Snakemake in `folder`, in a process whose every step to the network is an error, whoever tries it."""

    def refuse(event: str, details: tuple) -> None:
        local = event == "socket.connect" and isinstance(details[1], (str, bytes))  # a Unix socket
        if event in NETWORK and not local:
            print(f"asked the network: {event} {details[1:]}", flush=True)
            os._exit(99)

    os.chdir(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustlens"]:
        del sys.modules[name]
    sys.addaudithook(refuse)
    snakemake.cli.main(arguments)


def _asking(folder: Path, arguments: list[str]) -> None:
    """The same, and then a step to the network."""
    import socket

    try:
        _refusing(folder, arguments)
    except SystemExit:
        socket.create_connection(("127.0.0.1", 9), 0.1)


@pytest.mark.parametrize("scale", yaml.safe_load((REPOSITORY / "config.yaml").read_text())["scales"])
def test_reading_the_workflow_and_a_dry_run_ask_no_network(scale, sources, tmp_path):
    arguments = ["-n", "-c1", "--config", f"scale={scale}"]
    code, output = Child(tmp_path / "output", _refusing, sources, arguments).wait()
    assert code == 0 and "compile_report" in output, output
    code, output = Child(tmp_path / "asked", _asking, sources, ["--list-rules"]).wait()
    assert code == 99 and "asked the network: socket." in output


own_network = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode != 0,
    reason="no process can be cut off from the network here (unshare -rn)",
)


@own_network
def test_without_any_network_the_largest_scale_is_planned_and_the_tiny_one_begins(snapshot, tmp_path):
    folder = copy_of(snapshot, tmp_path / "checkout")

    def alone(*arguments: str) -> Outcome:
        command = ["unshare", "-rn", sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return Outcome(done.returncode, done.stdout)

    code, output = alone("-n", "-c1", "--config", "scale=paper")
    assert code == 0 and "compile_report" in output, output
    code, output = alone(*TINY, "-c1", "--", str(RESULTS / "data/digits/sheet.json"))
    assert code == 0, output


# Files --------------------------------------------------------------------------------------------------------------


def unpicklable(content: bytes) -> bool:
    """Whether pickle.load would read it: a stream of pickle's operations up to a STOP, whatever follows."""
    try:
        return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(content))
    except Exception:
        return False


def suspicious(name: str, content: bytes) -> list[str]:
    """What in a file could be unpickled: the file, a member of an archive, an array of objects, a column of bytes."""
    found = [name] if unpicklable(content) else []
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                found += suspicious(f"{name}: {member}", archive.read(member))
    if content.startswith(b"\x93NUMPY"):
        try:
            np.load(io.BytesIO(content), allow_pickle=False)
        except ValueError:
            found.append(f"{name}: an array of objects")
    if content.startswith(b"PAR1"):
        for field in pyarrow.parquet.read_schema(io.BytesIO(content)):
            if "binary" in str(field.type) or (field.metadata and b"ARROW:extension:name" in field.metadata):
                found.append(f"{name}: column {field.name}")
    return found


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of text that is read as if it were a pickle
def test_no_file_of_a_finished_run_can_be_unpickled(finished):
    names = files(finished / "results")
    assert {".safetensors", ".npz", ".npy", ".parquet", ".json", ".png", ".gif"} <= {name.suffix for name in names}
    assert [
        found for name in names for found in suspicious(str(name), (finished / "results" / name).read_bytes())
    ] == []


def test_what_can_be_unpickled_is_found():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert suspicious("x", pickle.dumps({"a": [1.0, "b"]}, protocol)) == ["x"]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1], 2))
    assert suspicious("x", stream.getvalue()) == ["x: archive/data.pkl"]
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, a=np.array([{}, None], dtype=object))
    assert "x: a.npy: an array of objects" in suspicious("x", stream.getvalue())
    assert suspicious("x", b'{"a": 1}\n') == suspicious("x", b"group,row\n") == []
