"""The evaluations of a suite: what is computed, what is used again, and what the index says."""

import json
import logging
import warnings

import pandas as pd
import pytest
from evaluating import FILES, IMAGES, SPEC, House, an_attack, changed

from robustlens.attacks.pgd import PGD
from robustlens.errors import RobustlensError
from robustlens.evaluation import suite as suite_module
from robustlens.evaluation.suite import facts
from robustlens.models.weights import load_weights, save_weights
from robustlens.provenance import Certificate


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    return House(tmp_path, monkeypatch)


# What is computed -------------------------------------------------------------------------------------------------


def test_the_index_says_where_every_evaluation_is(house):
    said = house.evaluate()
    assert house.attacked == ["clean", "pgd2", "pgd3", "clean", "pgd2"]
    assert said["run"] == {"dataset": "digits", "recipe": "tiny", "seed": 0}
    assert (said["threat"], said["suite"]) == (SPEC["threat"], "robustness")
    places = [(f"{e['checkpoint']}/{e['attack']}", e["samples"], e["file"]) for e in said["evaluations"]]
    images = [60, 60, 12, 60, 60]
    assert places == [(f.split(".")[0], n, f"{f}.parquet") for f, n in zip(FILES, images, strict=True)]
    assert [entry["sha256"] for entry in said["evaluations"]] == [
        Certificate({}, [file]).inputs[str(file)]
        for file in (house.place(SPEC) / entry["file"] for entry in said["evaluations"])
    ]
    tables = [pd.read_parquet(house.place(SPEC) / f"{file}.parquet") for file in FILES]
    assert [len(table) for table in tables] == images
    assert not tables[0]["marginal_natural"].equals(tables[3]["marginal_natural"])  # of the other checkpoint
    assert list(house.state.iterdir()) == []


def test_a_suite_that_is_done_computes_nothing_and_asks_for_no_device(house):
    first = house.evaluate()
    before, house.devices = house.contents(), 0
    assert house.evaluate() == first
    assert house.attacked == [] and house.devices == 0 and house.contents() == before


def test_another_attack_is_computed_alone_and_one_less_computes_nothing(house):
    house.evaluate()
    more = house.evaluate(changed(lambda spec: spec["attacks"].insert(1, an_attack("pgd1", 1))))
    assert house.attacked == ["pgd1", "pgd1"]
    assert [entry["attack"] for entry in more["evaluations"]] == [
        "clean",
        "pgd1",
        "pgd2",
        "pgd3",
        "clean",
        "pgd1",
        "pgd2",
    ]
    less = house.evaluate(changed(lambda spec: spec["attacks"].pop(0)))
    assert house.attacked == [] and [entry["attack"] for entry in less["evaluations"]] == ["pgd2", "pgd3", "pgd2"]
    assert (house.place(SPEC) / "best/clean.parquet").exists()


def test_two_suites_share_what_both_ask_for_however_they_spare_the_last_checkpoint(house):
    house.evaluate()

    def change(spec: dict) -> None:
        spec |= {"suite": "brief", "code": "another"}
        spec["attacks"] = [an_attack("pgd2", 2, best_only=True), an_attack("pgd3", 3, samples=12)]

    assert [entry["file"] for entry in house.evaluate(changed(change))["evaluations"]] == [
        *("best/pgd2.parquet", "best/pgd3.12.parquet", "last/pgd3.12.parquet"),
    ]
    assert house.attacked == ["pgd3"]  # under `last`


def test_further_checkpoints_are_taken_by_name_from_the_file_that_has_them_all(house):
    first = house.evaluate()
    run = house.folder / "run"
    both = [(name, load_weights(run / f"{source}.safetensors")) for name, source in (("7", "last"), ("12", "best"))]
    save_weights({f"{n}.{key}": t for n, state in both for key, t in state.items()}, run / "checkpoints.safetensors")
    asked = [["best", "best"], ["7", "checkpoints"], ["12", "checkpoints"]]
    said = house.evaluate(changed(lambda spec: spec.update(checkpoints=asked)))
    assert [entry["file"] for entry in said["evaluations"]] == [
        *("best/clean.parquet", "best/pgd2.parquet", "best/pgd3.12.parquet"),
        *(f"{checkpoint}/{attack}.parquet" for checkpoint in ("7", "12") for attack in ("clean", "pgd2")),
    ]
    assert house.attacked == ["clean", "pgd2"] * 2
    tables = {e["checkpoint"]: pd.read_parquet(house.place(SPEC) / e["file"]) for e in said["evaluations"][4::2]}
    for name, source in (("7", "last"), ("12", "best")):
        same = next(e for e in first["evaluations"] if (e["checkpoint"], e["attack"]) == (source, "pgd2"))
        assert tables[name].equals(pd.read_parquet(house.place(SPEC) / same["file"]))
    with pytest.raises(RobustlensError, match=r"checkpoints\.safetensors: no checkpoint '8'; it has 12, 7"):
        house.evaluate(changed(lambda spec: spec.update(checkpoints=[["8", "checkpoints"]])))


def test_a_subset_and_all_images_are_two_evaluations_and_as_many_as_there_are_is_all(house):
    house.evaluate()
    house.evaluate(
        changed(lambda spec: spec["attacks"].append(an_attack("pgd3", 3, samples=IMAGES + 1, best_only=True)))
    )
    assert house.attacked == ["pgd3"]
    house.evaluate(changed(lambda spec: spec["attacks"].append(an_attack("pgd3", 3, best_only=True))))
    assert house.attacked == []
    tables = [pd.read_parquet(house.place(SPEC) / f"best/pgd3{subset}.parquet") for subset in (".12", "")]
    assert [len(table) for table in tables] == [12, IMAGES]


def test_another_threat_has_files_of_its_own(house):
    house.evaluate()
    before = house.contents()
    other = changed(lambda spec: spec["threat"].update(name="linf-1-16", epsilon="1/16"))
    house.evaluate(other)
    assert len(house.attacked) == 5 and house.contents() == before
    near, far = (pd.read_parquet(house.place(spec) / "best/pgd2.parquet")["distance"].max() for spec in (other, SPEC))
    assert near <= 1 / 16 < far  # exactly: pixels are sixteenths, and so are the ends of the ball


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        (lambda spec: spec["attacks"][1].update(code="b"), ["pgd2", "pgd2"]),
        (lambda spec: spec["attacks"][1]["parameters"].update(steps=4), ["pgd2", "pgd2"]),
        (lambda spec: spec["attacks"][2].update(family="clean", parameters={}), ["pgd3"]),
        (lambda spec: spec.update(batch_size=30), ["clean", "pgd2", "pgd3", "clean", "pgd2"]),
        (lambda spec: spec["threat"].update(epsilon="1/16"), ["clean", "pgd2", "pgd3", "clean", "pgd2"]),
        (lambda spec: spec.update(suite="other", code="b"), []),
    ],
    ids=["code of an attack", "its parameters", "its family", "batch size", "threat of that name", "suite"],
)
def test_what_is_not_the_same_any_more_is_computed_anew(change, computed, house):
    house.evaluate()
    said = house.evaluate(changed(change))
    assert house.attacked == computed
    assert house.evaluate(changed(change)) == said and house.attacked == []


def test_other_weights_compute_all_that_was_made_from_them(house):
    house.evaluate()
    house.weights("last", 7)
    house.evaluate()
    assert house.attacked == ["clean", "pgd2"]


def test_with_other_threads_what_is_there_is_used_again_as_a_finished_training_is(house):
    said = house.evaluate()
    assert house.evaluate(threads=2) == said and house.attacked == []


# Damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gone", ["evaluations/linf-4-16/best/pgd2.parquet", "provenance/evaluations/linf-4-16/best/pgd2.json"]
)
def test_what_is_missing_is_made_anew(gone, house):
    said, before = house.evaluate(), house.contents()
    (house.folder / gone).unlink()
    assert house.evaluate() == said and house.attacked == ["pgd2"] and house.contents() == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"3", b"{}", b'{"parameters": {}, "inputs": 3}', b"\xff"], ids=str
)
def test_a_certificate_that_can_not_be_read_is_as_good_as_none(content, house):
    said = house.evaluate()
    (house.folder / "provenance/evaluations/linf-4-16/best/pgd2.json").write_bytes(content)
    assert house.evaluate() == said and house.attacked == ["pgd2"]


def test_an_evaluation_that_was_altered_is_named_and_neither_used_nor_replaced(house):
    house.evaluate()
    file = house.place(SPEC) / "best/pgd2.parquet"
    file.write_bytes(altered := file.read_bytes() + b" ")
    certificate = house.folder / "provenance/evaluations/linf-4-16/best/pgd2.json"
    with pytest.raises(RobustlensError) as error:
        house.evaluate()
    assert str(error.value) == (
        f"{file}: not the file that was made (its SHA-256 differs from {certificate}); delete it and run the same "
        "command again"
    )
    assert house.attacked == [] and file.read_bytes() == altered


# Facts ------------------------------------------------------------------------------------------------------------


def test_the_certificate_of_a_suite_has_the_warnings_of_its_evaluations_whoever_made_them(house, monkeypatch):
    create = suite_module.create

    class Warning_:
        def __call__(self, model, x, y, threat, generator):
            logging.getLogger("auto-attack").warning("a mask of %d", len(x))
            return PGD(steps=2)(model, x, y, threat, generator)

    monkeypatch.setattr(
        suite_module, "create", lambda _, family, p: Warning_() if family == "pgd" else create(_, family, p)
    )
    house.evaluate()
    assert [record["warnings"] for record in house.records] == [
        *([], ["a mask of 10", "a mask of 25"], ["a mask of 12"], [], ["a mask of 10", "a mask of 25"]),
    ]
    made = house.records
    house.evaluate()
    assert house.attacked == [] and facts(house.records) == facts(made)
    assert facts(made)["warnings"] == ["a mask of 10", "a mask of 12", "a mask of 25"]
    assert facts(made)["devices"] == made[0]["devices"] and len(made[0]["devices"]) == 1
    assert facts(made)["wall_seconds"] == pytest.approx(sum(record["wall_seconds"] for record in made), abs=1e-3)


def test_an_evaluation_has_a_certificate_of_its_own(house):
    house.evaluate()
    record = json.loads((house.folder / "provenance/evaluations/linf-4-16/best/pgd3.12.json").read_text())
    assert record == house.records[2]
    assert record["parameters"] == {
        **{name: SPEC[name] for name in ("dataset", "recipe", "seed", "architecture", "threat", "batch_size")},
        "checkpoint": "best",
        "attack": {"name": "pgd3", "family": "pgd", "parameters": {"steps": 3}, "samples": 12},
        "arithmetic": "native",
        "code": "a",
    }
    assert list(record["inputs"]) == [str(house.data / "sheet.json"), str(house.folder / "run/best.safetensors")]
    assert list(record["outputs"]) == [str(house.place(SPEC) / "best/pgd3.12.parquet")]


def test_python_s_warnings_are_collected_again_in_the_next_evaluation(monkeypatch):
    logging.captureWarnings(True)
    monkeypatch.setattr(logging.getLogger("py.warnings"), "propagate", False)
    try:
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            for _ in range(2):
                with suite_module.collected_warnings(["py.warnings"]) as messages:
                    for _ in range(2):
                        warnings.warn("odd", stacklevel=1)
                found.append(len(messages))
    finally:
        logging.captureWarnings(False)
    assert found == [1, 1]


def test_a_warning_of_python_s_is_told_without_the_folder_of_its_file():
    logging.captureWarnings(True)
    try:
        with suite_module.collected_warnings(["py.warnings"]) as messages:
            for file in ("/it's a/folder: 7: x/lib/checks.py", "/elsewhere/checks.py"):
                warnings.warn_explicit("2 points, see /a/b.md:3: more", RuntimeWarning, file, 68)
            warnings.warn_explicit("odd", RuntimeWarning, "alone.py", 1)
    finally:
        logging.captureWarnings(False)
    same = "checks.py:68: RuntimeWarning: 2 points, see /a/b.md:3: more\n"
    assert messages == [same, same, "alone.py:1: RuntimeWarning: odd\n"]


def test_warnings_of_a_library_are_collected_by_the_names_of_their_loggers():
    with suite_module.collected_warnings(["one", "two"]) as messages:
        logging.getLogger("one").warning("odd %d", 1)
        logging.getLogger("two").error("broken")
        logging.getLogger("one").info("a detail")
        logging.getLogger("three").warning("not ours")
    logging.getLogger("one").warning("after it")
    assert messages == ["odd 1", "broken"]


def test_the_rows_of_an_attack_do_not_depend_on_its_suite(house):
    house.evaluate(changed(lambda spec: spec["attacks"].reverse()))
    reverse = house.contents()
    for file in house.place(SPEC).rglob("*.parquet"):
        file.unlink()
    house.evaluate()
    assert house.contents() == reverse and len(reverse) == 5
