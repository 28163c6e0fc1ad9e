"""In which file and line an error of the configuration is."""

import json
from pathlib import Path

import pytest
from configured import CONFIG, SCHEMA, STUDIES, write

from robustlens.configuration import load, with_place
from robustlens.errors import RobustlensError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files in this folder are named without it."""
    monkeypatch.chdir(tmp_path)


def refusal(*given: str, shipped: str | None = None, **entries: object) -> str:
    """What a user reads of the files `given-0.yaml`, ... over the small configuration, or over a text in its place."""
    ours = [write(Path("config.yaml").absolute(), shipped or CONFIG)]
    theirs = [write(Path(f"given-{number}.yaml").absolute(), text) for number, text in enumerate(given)]
    with pytest.raises(RobustlensError) as error:
        load(ours, theirs, entries, SCHEMA, STUDIES)
    return with_place(str(error.value), ours, theirs, entries)


EPOCHS = """\
scales:
  small:
    datasets:
      digits:
        # a line of comment
        training: {epochs: "forty", batch_size: 3}
"""


def test_a_wrong_type_names_its_file_and_line():
    message = "config.datasets.digits.training.epochs: 'forty' is not of type 'integer' (given-0.yaml, line 6)"
    assert refusal(EPOCHS) == message


BETA = "recipes: {trades: {beta: %d}}"
SMALL, OTHER = "scales:\n  small:\n    ", "scales:\n  other:\n    "
AGAIN = "datasets:\n      again:\n        like: digits\n        tracking: {energy_epochs: [99]}"


@pytest.mark.parametrize(
    ("given", "end"),
    [
        (["recipes:\n  trades:\n    betta: 1"], "did you mean 'beta'? (given-0.yaml, line 3)"),
        (["recipees: {}\nrecipes: {}"], "did you mean 'recipes'? (given-0.yaml, line 1)"),
        ([f"# one\n# two\n{BETA % -1}"], "got -1 (given-0.yaml, line 3)"),
        (["suites:\n  brief:\n    attacks:\n      - pdg20"], "did you mean 'pgd20'? (given-0.yaml, line 3)"),
        (["threats:\n  near:\n    norm: linf\n    epsilon: 8"], "did you mean 8/255? (given-0.yaml, line 4)"),
        (["\narithmetic: portabel"], "all that the machine has) (given-0.yaml, line 2)"),
        (["\nrecipes:\n  SAT: {method: sat}"], "the first is not a hyphen) (given-0.yaml, line 3)"),
        # of several files and scales, what wins
        ([BETA % -1, f"\n{BETA % -2}"], "got -2 (given-1.yaml, line 2)"),
        ([f"\n{BETA % -1}", "recipes: {trades: {label: x}}"], "got -1 (given-0.yaml, line 2)"),
        ([f"{BETA % -1}\n{SMALL}{BETA % -2}"], "got -2 (given-0.yaml, line 4)"),
        ([f"{OTHER}{BETA % -2}\n{BETA % -1}"], "got -1 (given-0.yaml, line 4)"),
        # merged mappings and anchors
        (["attacks:\n  a: &a\n    family: pgd\n    steps: -1\n  b: {<<: *a}"], "got -1 (given-0.yaml, line 4)"),
        (
            [f"{SMALL}recipes:\n      sat: {{<<: {{training: {{epochs: 0}}}}}}"],
            "of 1, on digits (given-0.yaml, line 4)",
        ),
        # what a dataset has from another one is told at its own entry
        ([SMALL + AGAIN], "the last epoch, 10 (given-0.yaml, line 6)"),
        ([SMALL + AGAIN.replace("tracking: {energy_epochs: [99]}", "crop: 9")], "lower it (given-0.yaml, line 6)"),
    ],
)
def test_a_message_ends_with_the_entry_that_it_is_about(given, end):
    assert refusal(*given).endswith(end)


def test_our_own_files_are_named_too():
    text = write(Path("one.yaml"), CONFIG).read_text().replace("epochs: 10", "epochs: ten")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "epochs: ten" in line)
    assert refusal(shipped=text).endswith(f"'ten' is not of type 'integer' (config.yaml, line {line})")


def test_entries_of_the_command_line_have_no_line():
    assert refusal(
        EPOCHS, recipes={"trades": {"beta": "-1"}}, datasets={"digits": {"training": {"epochs": 4}}}
    ).endswith("config.recipes.trades.beta: must be a number of at least 0, got -1 (--config)")


def test_json_files_have_lines():
    text = json.dumps({"recipes": {"trades": {"beta": -1}}}, indent=1)
    assert refusal(text).endswith("(given-0.yaml, line 4)")


def test_a_message_that_names_its_file_stays_as_it_is():
    assert refusal("recipes:\n  sat: {method: sat\n").count("given-0.yaml") == 1
    assert refusal("scales: 3").count("given-0.yaml") == 1
    assert refusal("scale: smal") == "config: unknown scale 'smal'; did you mean 'small'?"


def test_other_messages_stay_as_they_are():
    for message in ("results is not a folder", "studies/x: no file", "config.recipes: unknown recipe 'st'"):
        assert with_place(message, [write(Path("config.yaml"), CONFIG)], [], {}) == message
