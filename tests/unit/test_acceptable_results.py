"""When the results of a job count as those that it would make today."""

import hashlib
import json
from pathlib import Path

import pytest

from robustlens.acceptance.certificates import differences, not_fetched, read, refusal, rewrite
from robustlens.acceptance.jobs import Acceptance, State, asks_for_a_dry_run, judged, without_targets
from robustlens.acceptance.text import acceptance_text
from robustlens.planning.dry_run import Job

SPEC = {"seed": 0, "training": {"epochs": 5, "schedule": {"name": "constant"}}, "code": "of today"}


def job(rule: str = "train", inputs: tuple = (), spec: dict = SPEC, output: str = "runs/best", **wildcards: str) -> Job:
    outputs = (output, f"provenance/{output}.json")
    return Job(rule, {"scale": "tiny", **wildcards}, inputs, outputs, None, 1, spec, outputs[1])


def finish(one: Job, **changes: object) -> None:
    """Its output and its certificate, as earlier code left them."""
    for path in one.outputs:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(one.outputs[0]).write_text(one.outputs[0])
    digests = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (*one.inputs, one.outputs[0])}
    record = {"parameters": one.spec | {"code": "of earlier"}, "outputs": {one.outputs[0]: digests[one.outputs[0]]}}
    record["inputs"] = {path: digests[path] for path in one.inputs}
    Path(one.certificate).write_text(json.dumps(record | changes))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_the_code_has_changed():
    finish(job())
    assert refusal(job(), []) == ""


@pytest.mark.parametrize(("change", "words"), [
    ({"seed": 1}, "seed (was 0, now 1)"),
    ({"training": SPEC["training"] | {"epochs": 6}}, "training.epochs (was 5, now 6)"),
    ({"training": {"epochs": 5, "schedule": {"name": "one-cycle"}}},
     'training.schedule.name (was "constant", now "one-cycle")'),
    ({"leave_out": {"fraction": 0.2}}, 'leave_out (was null, now {"fraction": 0.2})'),
])  # fmt: skip
def test_parameters_that_differ_are_named_with_both_values(change, words):
    finish(job())
    assert refusal(job(spec=SPEC | change), []) == f"parameters that differ: {words}"


def test_results_from_before_there_was_portable_arithmetic_are_native():
    finish(job())
    assert refusal(job(spec=SPEC | {"arithmetic": "native"}), []) == ""
    words = 'parameters that differ: arithmetic (was "native", now "portable")'
    assert refusal(job(spec=SPEC | {"arithmetic": "portable"}), []) == words


def test_a_mapping_is_never_equal_to_a_list_or_a_number():
    assert differences({"a": {"b": 1}}, {"a": 1}) == ['a (was {"b": 1}, now 1)']
    assert differences({"a": [1]}, {"a": {"b": 1}}) == ['a (was [1], now {"b": 1})']


def test_the_title_of_a_prepared_dataset_is_no_difference_and_its_name_is():
    former = SPEC | {"facts": {"name": "digits", "title": "Digits"}}
    finish(job("prepare_data", spec=former))
    assert refusal(job("prepare_data", spec=SPEC | {"facts": {"name": "digits"}}), []) == ""
    assert "facts.name" in refusal(job("prepare_data", spec=SPEC | {"facts": {"name": "mnist"}}), [])
    assert "facts.title" in refusal(job("train", spec=SPEC | {"facts": {"name": "digits"}}), [])


def test_a_damaged_or_missing_output_is_named():
    finish(job())
    Path("runs/best").write_text("other")
    assert refusal(job(), []) == "runs/best: damaged (its SHA-256 differs from provenance/runs/best.json)"
    other = job(output="runs/last")
    finish(other)
    Path("runs/last").unlink()
    assert refusal(other, []) == "runs/last: missing"


def test_results_of_another_input_are_not_accepted():
    Path("sheet").write_text("one")
    one = job(inputs=("sheet",))
    finish(one)
    assert refusal(one, ["sheet"]) == ""
    finish(one, inputs={"sheet": "0" * 64})
    assert refusal(one, ["sheet"]) == "made from another sheet"
    finish(one, inputs={})
    assert refusal(one, ["sheet"]) == "made from another sheet"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"parameters": 1, "inputs": {}, "outputs": {}}', "\0"])
def test_a_certificate_that_is_none_is_damaged(content):
    finish(job())
    Path(job().certificate).write_text(content)
    assert refusal(job(), []) == "provenance/runs/best.json: missing or damaged"


def test_a_rewritten_certificate_says_what_it_was_accepted_from_and_stays_so():
    finish(job(), wall_seconds=3.0)
    rewrite(Path(job().certificate), SPEC)
    once = read(Path(job().certificate))
    assert once["parameters"] == SPEC and once["wall_seconds"] == 3.0
    assert once["accepted"] == {"code": "of earlier"}
    rewrite(Path(job().certificate), SPEC)
    assert read(Path(job().certificate)) == once


def test_a_download_is_that_of_its_receipt():
    archive = {"file": "a.zip", "sha256": "AB", "urls": []}
    one = Job("download", {}, (), ("receipt.json",), None, 1, {"archives": [archive]})
    assert not_fetched(one) == "receipt.json: missing or damaged"
    Path("receipt.json").write_text(json.dumps({"archives": [{"file": "a.zip", "sha256": "ab"}], "folder": None}))
    assert not_fetched(one) == ""
    Path("receipt.json").write_text(json.dumps({"archives": [{"file": "a.zip", "sha256": "cd"}], "folder": None}))
    assert not_fetched(one) == "receipt.json: no receipt of a.zip"


def test_what_reads_refused_results_waits_and_what_is_cheap_is_left_out():
    sat = job(recipe="sat", output="runs/sat")
    of_sat = job("measure_energies", ("runs/sat",), recipe="sat", output="energies/sat")
    trades = job(recipe="trades", output="runs/trades")
    of_trades = job("measure_energies", ("runs/trades",), recipe="trades", output="energies/trades")
    table = job("make_table", ("energies/trades",), output="tables/x")
    jobs = [table, of_trades, of_sat, trades, sat]
    for one in (sat, of_sat, trades, of_trades, table):
        finish(one)
    Path("runs/sat").write_text("damaged")
    before = Path(trades.certificate).read_text()
    found = judged(jobs, {one.key() for one in jobs}, dry_run=True)
    assert Path(trades.certificate).read_text() == before
    assert {one.key() for one in found.having(State.ACCEPTED)} == {trades.key(), of_trades.key()}
    assert found.having(State.REFUSED) == [sat] and found.having(State.WAITING) == [of_sat]
    assert table not in found.jobs
    text = acceptance_text(found, Path("results/tiny"), "snakemake", dry_run=True)
    assert "2 of 4 computations would be accepted" in text and "nothing was changed" in text
    assert "train sat: runs/sat: damaged" in text and "measure_energies sat" not in text


def test_what_snakemake_has_as_finished_stays_as_it_is():
    finish(job())
    before = Path(job().certificate).read_text()
    found = judged([job()], set(), dry_run=False)
    assert found.having(State.FINISHED) == [job()] and Path(job().certificate).read_text() == before
    text = acceptance_text(found, Path("results/tiny"), "make reproduce", dry_run=False)
    assert text.startswith("Nothing to accept in results/tiny: 1 of 1") and text.endswith(
        "Continue with: make reproduce"
    )


def test_without_results_nothing_is_refused():
    found = judged([job()], {job().key()}, dry_run=False)
    assert found.having(State.ABSENT) == [job()] and not found.reasons
    assert isinstance(found, Acceptance) and not Path("provenance").exists()


@pytest.mark.parametrize(("given", "options"), [
    (["-c1", "energy"], ["-c1"]),
    (["energy", "report", "-c1"], ["-c1"]),
    (["--config", "scale=energy", "--", "energy"], ["--config", "scale=energy"]),
    (["--configfile", "a.yaml", "-c2"], ["--configfile", "a.yaml", "-c2"]),
    ([], []),
])  # fmt: skip
def test_options_are_told_from_targets(given, options):
    assert without_targets(given) == options


@pytest.mark.parametrize(("given", "dry"), [(["-n"], True), (["-nc1", "energy"], True), (["-c1"], False)])
def test_a_dry_run_is_asked_for_as_of_snakemake(given, dry):
    assert asks_for_a_dry_run(given) is dry
