"""Configuration files: how they are read and merged, and what two shipped ones may not say."""

import copy
import json
import math

import pytest
from configured import CONFIG, cohorts, digits, load_files, loaded, own, small, write

from robustlens.configuration import merge, read_yaml, run_spec, suite_attacks
from robustlens.errors import RobustlensError
from robustlens.study.declaration import Cohort, Study


def refusal(function, *arguments, **options) -> str:
    with pytest.raises(RobustlensError) as raised:
        function(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def as_it_is(raw: dict) -> None:
    """No change."""


# The merge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "overlay", "merged"), [
    ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
    ({"s": {"name": "step", "factor": 1}}, {"s": {"name": "one-cycle", "x": 2}}, {"s": {"name": "one-cycle", "x": 2}}),
    ({"s": {"name": "step", "f": 1}}, {"s": {"name": "step", "x": 2}}, {"s": {"name": "step", "f": 1, "x": 2}}),
    ({"s": {"f": 1}}, {"s": {"name": "step"}}, {"s": {"f": 1, "name": "step"}}),
    ({"a": {"x": 1, "y": {"z": 2}}}, {"a": {"y": {"w": 3}}}, {"a": {"x": 1, "y": {"z": 2, "w": 3}}}),
    ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
    ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
    ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ({"a": {"x": 1}}, {"a": None}, {"a": None}),
    ({"a": {"x": 1}}, {}, {"a": {"x": 1}}),
])  # fmt: skip
def test_mappings_are_merged_and_everything_else_replaced(base, overlay, merged):
    before = copy.deepcopy((base, overlay))
    assert merge(base, overlay) == merged
    assert (base, overlay) == before


def digits_of(**changes) -> dict:
    return {"scales": {"small": {"datasets": {"digits": changes}}}}


def test_an_overlay_that_changes_what_a_mapping_is_replaces_it_whole():
    """U1."""
    given = digits_of(
        architecture={"family": "wide-resnet", "depth": 34, "widen_factor": 10},
        training={"schedule": {"name": "step", "milestones": [5], "factor": 0.1}},
        generation={"features": {"kind": "inception"}},
    )
    dataset = loaded(as_it_is, given)["datasets"]["digits"]
    assert dataset["architecture"] == {"family": "wide-resnet", "depth": 34, "widen_factor": 10}
    assert dataset["training"]["schedule"] == {"name": "step", "milestones": [5], "factor": 0.1}
    assert dataset["training"]["epochs"] == 10
    assert dataset["generation"]["features"] == {"kind": "inception", "reference": "train"}
    assert dataset["generation"]["per_class"] == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": {"family": "wide-resnet", "depth": 34, "widen_factor": 10}},
        {"training": {"schedule": {"name": "step", "milestones": [75, 90], "factor": 0.1}}},
        {"generation": {"features": {"kind": "inception"}}},
    ],
    ids=str,
)
def test_such_an_overlay_fits_the_shipped_configuration(changes, tmp_path):
    """U1, as reported: with every recipe that is trained on the dataset."""
    file = write(tmp_path / "mine.yaml", {"scales": {"paper": {"datasets": {"cifar10": changes}}}})
    dataset = own(file, scale="paper")["datasets"]["cifar10"]
    (section,) = changes
    assert merge(dataset[section], changes[section]) == dataset[section]


def test_a_component_of_another_name_has_its_own_defaults():
    """U2."""
    given = {
        "recipes": {"trades": {"method": "mail-trades"}},
        "attacks": {"pgd20": {"family": "apgd"}},
        **digits_of(architecture={"family": "preact-resnet"}, training={"epochs": 77}),
    }
    config = loaded(as_it_is, given)
    assert config["recipes"]["trades"] == {
        **{"method": "mail-trades", "beta": 5.0, "slope": 2.0, "bias": 0.0, "start_epoch": 76}
    }
    assert config["attacks"]["pgd20"]["steps"] == 100 and "label" not in config["attacks"]["pgd20"]
    architecture = run_spec(config, "digits", "sat")["architecture"]
    assert architecture["blocks"] == [2, 2, 2, 2] and architecture["width"] == 64


def suite_of(**changes) -> dict:
    return {"scales": {"small": {"suites": {"robustness": changes}}}}


def sparing(raw: dict) -> None:
    """A suite that says of AutoAttack how many images it gets, and that it spares the last checkpoint."""
    small(raw)["suites"]["robustness"] |= {
        "best_only": ["autoattack", "pgd20"],
        "samples": {"autoattack": 9, "pgd20": 8},
    }


def test_an_attack_that_is_dropped_from_a_suite_takes_what_the_suite_says_of_it_along():
    """U3."""
    for given in (suite_of(attacks=["pgd20"]), suite_of(attacks=["pgd20"], samples={"autoattack": None})):
        suite = loaded(sparing, given)["suites"]["robustness"]
        assert suite["samples"] == {"pgd20": 8} and suite["best_only"] == ["pgd20"]
    suite = loaded(sparing, suite_of(attacks=["pgd20"], samples=None, best_only=[]))["suites"]["robustness"]
    assert suite["samples"] == {} and suite["best_only"] == []


def test_what_an_overlay_itself_says_of_an_attack_that_the_suite_does_not_have_is_refused():
    where = "config.suites.robustness"
    for attack in ("autoattack", "pgd10"):
        message = refusal(loaded, sparing, suite_of(attacks=["pgd20"], samples={attack: 5}))
        assert message.startswith(f"{where}.samples: unknown attack {attack!r}")
        message = refusal(loaded, sparing, suite_of(attacks=["pgd20"], best_only=[attack]))
        assert message.startswith(f"{where}.best_only: unknown attack {attack!r}")
    assert refusal(loaded, sparing, suite_of(samples={"pgd10": 5})).startswith(f"{where}.samples: unknown attack")


def test_an_attack_that_another_overlay_takes_up_again_has_lost_what_was_said_of_it():
    config = loaded(sparing, suite_of(attacks=["pgd20"]), suite_of(attacks=["pgd20", "autoattack"]))
    samples = {attack["name"]: attack["samples"] for attack in suite_attacks(config, config["suites"]["robustness"])}
    assert samples == {"pgd20": 8, "autoattack": None}


def test_null_removes_a_key_and_its_default_applies():
    def change(raw: dict) -> None:
        digits(raw)["training"]["momentum"] = 0.5

    def momentum(*given: dict) -> float:
        return loaded(change, *given)["datasets"]["digits"]["training"]["momentum"]

    nothing = digits_of(training={"momentum": None, "weight_decay": None})
    assert momentum() == 0.5 and momentum(nothing) == 0.9
    assert momentum(nothing, digits_of(training={"momentum": 0.7})) == 0.7
    config = loaded(change, {"recipes": {"weat-adv": None}, **digits_of(generation=None)}, {
        "scales": {"small": {"studies": {"mine": {"cohorts": {"generated": None}}}}}
    })  # fmt: skip
    assert "weat-adv" not in config["recipes"] and "generation" not in config["datasets"]["digits"]
    assert "generated" not in config["studies"]["mine"]["cohorts"]
    assert loaded(change, {"scales": {"small": {"studies": {"mine": None}}}})["studies"] == {}


# Their order ----------------------------------------------------------------------------------------------------------


def beta(*given: dict, **entries) -> float:
    return loaded(as_it_is, *given, **entries)["recipes"]["trades"]["beta"]


def of_scale(value: float, scale: str = "small") -> dict:
    return {"scales": {scale: {"recipes": {"trades": {"beta": value}}}}}


def at_top(value: float) -> dict:
    return {"recipes": {"trades": {"beta": value}}}


def test_the_last_word_is_that_of_the_scale_then_of_each_given_file_and_then_of_the_command_line():
    assert beta() == 4.0  # the scale's; the top level says 3
    assert beta(at_top(1.0)) == 1.0
    assert beta(of_scale(2.0) | at_top(1.0)) == 2.0
    assert beta(of_scale(2.0), at_top(1.0)) == 1.0
    assert beta(at_top(1.0), of_scale(2.0)) == 2.0
    assert beta(of_scale(2.0, "other"), at_top(1.0)) == 1.0
    assert beta(of_scale(2.0), **at_top(7.0)) == 7.0
    assert beta(**of_scale(6.0)) == 6.0


def test_the_scale_is_the_one_that_was_named_last_and_may_be_the_user_s_own():
    theirs = {"scale": "theirs", "scales": {"theirs": small(copy.deepcopy(CONFIG))}}
    assert loaded(as_it_is, theirs)["scale"] == "theirs"
    assert loaded(as_it_is, theirs, {"scale": "small"})["scale"] == "small"
    assert loaded(as_it_is, theirs, scale="small")["scale"] == "small"
    assert refusal(loaded, as_it_is, theirs, scale="thiers") == (
        "config: unknown scale 'thiers'; did you mean 'theirs'?"
    )
    assert refusal(loaded, as_it_is, {"scale": 5}).startswith("config: unknown scale 5; valid are: other, small")


def test_numbers_inside_of_an_entry_of_the_command_line_are_numbers():
    """Snakemake gives them as text."""
    entries = {"recipes": {"trades": {"beta": "5e-1"}, "weat-adv": {"normalised": "true", "variant": "nat"}}}
    recipes = loaded(as_it_is, **entries)["recipes"]
    assert recipes["trades"]["beta"] == 0.5 and recipes["weat-adv"]["normalised"] is True
    assert recipes["weat-adv"]["variant"] == "nat"
    changed = loaded(as_it_is, scales={"small": {"suites": {"brief": {"samples": {"pgd20": "7"}}}}})
    assert changed["suites"]["brief"]["samples"] == {"pgd20": 7}


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [
    ("5e-4", 0.0005), ("1e-1", 0.1), ("6e0", 6.0), ("1E3", 1000.0), ("-2e+1", -20.0), ("+2e1", 20.0), (".5e1", 5.0),
    ("5.e-1", 0.5), ("5.0e-4", 0.0005), ("0.1", 0.1), ("12", 12), ("'5e-4'", "5e-4"), ("e5", "e5"), ("5e", "5e"),
    ("1e5x", "1e5x"), ("8/255", "8/255"), ("6ed1c75d", "6ed1c75d"), ("1e-1-1", "1e-1-1"), (".inf", float("inf")),
])  # fmt: skip
def test_what_people_take_for_a_number_is_one(text, value, tmp_path):
    """U4."""
    (tmp_path / "x.yaml").write_text(f"x: {text}\n")
    read = read_yaml(tmp_path / "x.yaml")["x"]
    assert read == value and type(read) is type(value)


def test_an_exponent_without_a_point_reaches_the_job_as_a_number():
    given = "scales: {small: {datasets: {digits: {training: {weight_decay: 5e-4, learning_rate: 1e-1}}}}}"
    config = loaded(as_it_is, given, "recipes: {trades: {beta: 6e0}}")
    spec = run_spec(config, "digits", "trades")
    assert spec["training"]["weight_decay"] == 0.0005 and spec["training"]["learning_rate"] == 0.1
    assert spec["method"]["parameters"] == {"beta": 6.0, "natural_again": False}


TWICE = {
    "a:\n  b: 1\nc: 2\na:\n  d: 3\n": ("'a'", 1, 4),
    "x:\n  - {b: 1}\n  - {b: 1,\n     c: 2, b: 3}\n": ("'b'", 3, 4),
    '"a": 1\na: 2\n': ("'a'", 1, 2),
    "base: &b {y: 1}\nx:\n  <<: *b\n  z: 1\n  z: 2\n": ("'z'", 4, 5),
    "7: 1\n7: 2\n": ("7", 1, 2),
}


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_stands_twice_in_a_mapping_is_named_with_both_lines(text, tmp_path):
    """U5."""
    (tmp_path / "x.yaml").write_text(text)
    key, first, second = TWICE[text]
    message = f"{tmp_path / 'x.yaml'}: the key {key} occurs twice, on lines {first} and {second}; join them"
    assert refusal(read_yaml, tmp_path / "x.yaml") == message
    assert "given-0.yaml: the key" in refusal(loaded, as_it_is, text)


def test_anchors_and_merge_keys_work_on(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, *a], z: 4}\nd: *b\ne: {y: 5, <<: *b}\n"
    )
    read = read_yaml(tmp_path / "x.yaml")
    assert read["b"] == read["d"] == {"x": 1, "y": 3}
    assert read["c"] == {"x": 1, "y": 3, "z": 4} and read["e"] == {"x": 1, "y": 5}


UNREADABLE = {
    "a: [1\nb: 2\n": "is not valid YAML: line 2, column 2: ",
    "a: 'x\n": "is not valid YAML: line 2, column 1: ",
    "a:\tb: 1\n": "is not valid YAML: line 1, column ",
    "- 1\n- 2\n": "its top level is not a mapping of keys to values, but [1, 2]",
    "words": "its top level is not a mapping of keys to values, but 'words'",
    "a: &a [*a]": "the entry on line 1 contains itself",
    "a: !!python/object/apply:os.system [ls]": "is not valid YAML: line 1, column 4: could not determine a constructor",
    "a: 2020-13-01": "is not valid YAML: month must be in 1..12",
    "? [a]\n: 1\n": "is not valid YAML: line 1, column 3: found unhashable key while constructing a mapping",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_file_that_is_no_configuration_is_named(text):
    message = refusal(loaded, as_it_is, text)
    assert message.partition("given-0.yaml: ")[2].startswith(UNREADABLE[text]), message


def test_json_is_read_as_json_is(tmp_path):
    """With escapes that are none of YAML's, and tabs."""
    content = {"a": {"b": [1, 0.5, None, True, {"c": "x/y \u03c3 \U0001f600 \t"}]}}
    (tmp_path / "x.json").write_text(json.dumps(content, indent="\t"))
    assert read_yaml(tmp_path / "x.json") == content
    (tmp_path / "x.json").write_text('{"a": 1,\n "b": {},\n "a": 2}')
    assert refusal(read_yaml, tmp_path / "x.json").endswith("the key 'a' occurs twice, on lines 1 and 3; join them")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert refusal(read_yaml, tmp_path / "x.yaml") == f"{tmp_path / 'x.yaml'}: can't be read: No such file or directory"
    assert refusal(read_yaml, tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\n")
    assert refusal(read_yaml, tmp_path / "x.yaml").startswith(f"{tmp_path / 'x.yaml'}: is not valid YAML: ")


def test_an_empty_file_says_nothing():
    assert loaded(as_it_is, "", "# only a comment\n", "scales:\n", "scales: {small: }\n") == loaded()


def test_scales_that_are_no_mappings_are_named_with_their_file():
    message = refusal(loaded, as_it_is, {"scales": 3})
    assert message.startswith("config.scales: 3 is not a mapping of names to overlays (") and "given-0.yaml" in message
    message = refusal(loaded, as_it_is, {"scales": {"small": [1]}})
    assert message.startswith("config.scales.small: [1] is not a mapping (") and "given-0.yaml" in message


# Shipped files --------------------------------------------------------------------------------------------------------

OTHER = Study("Another Paper", "the other paper", {"main": Cohort("All.", suite="brief")}, name="other-one")
STUDIES = {"mine": Study("A Paper", "the paper", {"main": Cohort("All.", suite="brief")}, name="mine")} | {
    "other-one": OTHER
}


def with_studies(mine: dict, other: dict) -> dict:
    """What config.yaml and the files of two studies say together."""
    raw = copy.deepcopy(CONFIG)
    del small(raw)["studies"]
    files = {"config.yaml": raw, "studies/mine/config.yaml": mine, "studies/other_one/config.yaml": other}
    return load_files(files, studies=STUDIES)


def runs(study: str, recipe: str, **more) -> dict:
    of_study = {"datasets": ["digits"], "seeds": [0], "cohorts": {"main": {"recipes": [recipe]}}}
    return {"scales": {"small": {"studies": {study: of_study}}}} | more


def test_files_of_studies_add_to_the_shared_one_and_may_define_one_thing_equally():
    same = {"own": {"method": "weat", "beta": 2.0}}
    config = with_studies(runs("mine", "own", recipes=same), runs("other-one", "own", recipes=copy.deepcopy(same)))
    assert list(config["studies"]) == ["mine", "other-one"]
    assert config["recipes"]["own"]["beta"] == 2.0 and config["recipes"]["sat"]["method"] == "sat"


SECTIONS = {
    "recipes": ({"method": "sat"}, {"method": "trades"}),
    "attacks": ({"family": "pgd"}, {"family": "pgd", "steps": 3}),
    "threats": ({"norm": "linf", "epsilon": 1, "step_size": 1}, {"norm": "l2", "epsilon": 1, "step_size": 1}),
    "generators": ({"family": "gaussian", "per_class": 1}, {"family": "gaussian", "per_class": 2}),
    "datasets": ({"like": "digits"}, {"like": "digits", "threat": "far"}),
    "suites": ({"attacks": ["pgd20"]}, {"attacks": ["autoattack"]}),
    "models": ({"dataset": "digits"}, {"dataset": "digits", "title": "X"}),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_studies_that_define_one_thing_differently_are_refused_with_both_files(section):
    ours, theirs = SECTIONS[section]
    for level in (
        lambda entry: {section: {"own": entry}},
        lambda entry: {"scales": {"small": {section: {"own": entry}}}},
    ):
        message = refusal(with_studies, level(ours), level(theirs))
        assert f"config.{section}.own is defined otherwise in " in message
        assert "other_one/config.yaml: " in message and "mine/config.yaml" in message


def test_a_study_changes_nothing_of_the_shared_file_not_even_at_a_scale():
    for overlay in (at_top(9.0), of_scale(9.0), {"recipes": {"trades": None}}):
        message = refusal(with_studies, overlay, {})
        assert "mine/config.yaml: config.recipes.trades is defined otherwise in " in message
    with_studies(of_scale(9.0, "other"), {})  # another scale than the chosen one


def test_a_study_s_file_speaks_of_no_other_study_and_chooses_no_scale():
    message = refusal(with_studies, {}, runs("mine", "sat"))
    assert message.endswith("other_one/config.yaml: config.studies.mine: this file is of the study other-one alone")
    message = refusal(with_studies, {"scale": "other"}, {})
    assert message.endswith("mine/config.yaml: config.scale: a study's file can't choose a scale; remove the line")


def test_the_user_s_file_may_change_what_studies_define():
    config = loaded(as_it_is, at_top(9.0), {"scales": {"small": {"studies": {"mine": {"seeds": [5]}}}}})
    assert config["recipes"]["trades"]["beta"] == 9.0
    assert {tuple(cohort["seeds"]) for cohort in cohorts({"scales": {"small": config}}).values()} == {(5,)}


@pytest.mark.parametrize(("written", "read"), [("010", "8"), ("-0_12", "-10"), ("1:30", "90"), ("1:30.5", "90.5")])
def test_a_number_that_yaml_reads_as_another_one_is_refused(written, read, tmp_path):
    file = write(tmp_path / "a.yaml", f"a:\n  b: [1, {written}]")
    words = f"{written} would be read as {read}; write the number that you mean"
    assert refusal(read_yaml, file) == f"{file}: line 2: {words}"
    assert refusal(loaded, as_it_is, datasets={"digits": {"training": {"epochs": written}}}) == f"--config: {words}"


def test_numbers_that_everybody_reads_alike_are_read(tmp_path):
    text = "[1, 007, 0, -5, 1_000, 0x10, .5, 5e-4, 0.50, +3, .inf, 1e1, '010', 10:20:x, 0010.5]"
    numbers = [1, 7, 0, -5, 1000, 16, 0.5, 0.0005, 0.5, 3, float("inf"), 10.0, "010", "10:20:x", 10.5]
    assert read_yaml(write(tmp_path / "a.yaml", text)) == numbers
    assert math.isnan(read_yaml(write(tmp_path / "b.yaml", "[.nan]"))[0])
