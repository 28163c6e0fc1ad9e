"""Jobs that share the images of an attack, and the evaluation that their batches become."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from evaluating import House, an_attack, changed

from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.evaluation import shards as shards_module
from robustlens.evaluation import suite as suite_module
from robustlens.evaluation.kept import Evaluation, asked_for
from robustlens.evaluation.shards import attack_shard, read
from robustlens.evaluation.suite import evaluate_suite
from robustlens.provenance import Certificate

# Sixty images in batches of 25: three batches.
ONE = changed(lambda spec: spec.update(checkpoints=[["best", "best"]], attacks=[an_attack("pgd3", 3)]))


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    found = House(tmp_path, monkeypatch)
    monkeypatch.setattr(shards_module, "use_device", found._use_device)
    return found


def asked(house: House, spec: dict = ONE) -> tuple[Certificate, Evaluation]:
    weights = [house.folder / "run/best.safetensors"]
    certificates = house.folder / "provenance/evaluations" / spec["threat"]["name"]
    (evaluation,) = asked_for(spec, house.data, weights, house.place(spec), certificates)
    return Certificate(spec, [house.data / "sheet.json", *weights]), evaluation


def share(house: House, number: int, jobs: int, spec: dict = ONE) -> Path:
    """What a job makes."""
    job, evaluation = asked(house, spec)
    file, certificate = (house.folder / f"{number}-of-{jobs}.{ending}" for ending in ("parquet", "json"))
    attack_shard(evaluation, job, house.data, house.state, 1, (number, jobs), 0, file, certificate)
    assert list(json.loads(certificate.read_text())["outputs"]) == [str(file)]
    return file


def joined(house: House, files: list[Path], spec: dict = ONE) -> dict:
    """The certificate of the evaluation that the jobs have shared."""
    job, evaluation = asked(house, spec)
    (record,) = evaluate_suite([evaluation], job, house.data, house.state, 1, shared=read(files, [evaluation], job))
    return record


class Refused:
    """No image is left for it."""

    def __call__(self, *arguments):
        raise AssertionError("an image is attacked once more")


@pytest.mark.parametrize("jobs", [1, 2, 3, 5])
def test_the_evaluation_is_to_the_byte_that_of_one_job(jobs, house, monkeypatch):
    house.evaluate(ONE)
    alone = house.contents()
    assert list(alone) == ["best/pgd3.parquet"]
    asked(house)[1].file.unlink()
    files = [share(house, number, jobs) for number in range(1, jobs + 1)]
    assert house.contents() == {} and list(house.state.iterdir()) == []
    sizes = [len(pd.read_parquet(file)) for file in files]
    assert sizes == {1: [60], 2: [35, 25], 3: [25, 25, 10], 5: [25, 25, 10, 0, 0]}[jobs]
    monkeypatch.setattr(suite_module, "create", lambda *_: Refused())
    joined(house, files[::-1])  # in whatever order
    assert house.contents() == alone


def test_what_a_job_lacks_is_attacked_by_the_one_that_joins(house):
    house.evaluate(ONE)
    alone = house.contents()
    asked(house)[1].file.unlink()
    joined(house, [share(house, 2, 2)])
    assert house.contents() == alone


def test_nothing_is_attacked_for_an_evaluation_that_is_there(house, monkeypatch):
    house.evaluate(ONE)
    monkeypatch.setattr(suite_module, "create", lambda *_: Refused())
    file = share(house, 1, 2)
    assert len(pd.read_parquet(file)) == 0
    assert joined(house, [file])["parameters"] == asked(house)[1].parameters


def test_a_job_that_was_stopped_resumes_after_its_last_batch(house, monkeypatch):
    seen = []

    class Stopped:
        def __call__(self, model, x, *rest):
            seen.append(len(x))
            if len(seen) == 2:
                raise KeyboardInterrupt
            return PGD(steps=3)(model, x, *rest)

    monkeypatch.setattr(suite_module, "create", lambda *_: Stopped())
    with pytest.raises(KeyboardInterrupt):
        share(house, 1, 2)
    assert seen == [25, 10]
    file = share(house, 1, 2)
    assert seen == [25, 10, 10] and len(pd.read_parquet(file)) == 35 and list(house.state.iterdir()) == []


def test_warnings_and_devices_of_all_jobs_are_in_the_certificate(house, monkeypatch):
    class Warns:
        def __call__(self, model, x, *rest):
            logging.getLogger("auto-attack").warning("of %d images", len(x))
            return PGD(steps=3)(model, x, *rest)

    monkeypatch.setattr(suite_module, "create", lambda *_: Warns())
    for number, processor in enumerate(["one", "another"], 1):
        monkeypatch.setattr("robustlens.evaluation.finished.device_facts", lambda p=processor: {"processor": p})
        share(house, number, 2)
    record = joined(house, [house.folder / f"{number}-of-2.parquet" for number in (1, 2)])
    assert record["devices"] == [{"processor": "one"}, {"processor": "another"}]
    assert record["warnings"] == ["of 10 images", "of 25 images"]


def test_a_full_disk_leaves_the_batches_that_are_finished(house, monkeypatch):
    whole = pd.DataFrame.to_parquet

    def full(table, *arguments, **keywords):
        if arguments:  # the file of the shard, and not what is saved on the way
            raise OSError("no space left")
        return whole(table, *arguments, **keywords)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RobustlensError, match="no space left"):
        share(house, 1, 2)
    monkeypatch.undo()
    monkeypatch.setattr(suite_module, "create", lambda *_: Refused())
    monkeypatch.setattr(shards_module, "use_device", house._use_device)
    assert len(pd.read_parquet(share(house, 1, 2))) == 35


def other_attack(spec: dict) -> None:
    spec.update(ONE | {"attacks": [an_attack("pgd3", 4)]})


def test_batches_of_other_parameters_are_refused(house):
    files = [share(house, number, 2) for number in (1, 2)]
    words = r"/1-of-2\.parquet, .*/2-of-2\.parquet: of an evaluation with other parameters or files; delete"
    with pytest.raises(RobustlensError, match=words):
        joined(house, files, changed(other_attack))


def test_batches_of_other_weights_are_refused(house):
    file = share(house, 1, 2)
    house.weights("best", seed=7)
    with pytest.raises(RobustlensError, match=r"1-of-2\.parquet: of an evaluation with other parameters or files"):
        joined(house, [file])


def test_batches_of_earlier_code_are_used_once_they_were_accepted(house, monkeypatch):
    files = [share(house, number, 2) for number in (1, 2)]
    monkeypatch.setattr(suite_module, "create", lambda *_: Refused())
    today = changed(lambda spec: spec.update(ONE | {"attacks": [an_attack("pgd3", 3, code="b")]}))
    assert joined(house, files, today)["parameters"]["code"] == "b"
