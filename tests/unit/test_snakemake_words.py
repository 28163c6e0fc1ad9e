"""Snakemake's words on the terminal: shortened where they are too long, completed where they don't say what to do."""

import logging
import re

import pytest

from robustlens.snakemake_words import Words, shortened, target_list, unknown_file

FILES = ["results/tiny/report.html", "results/tiny/studies/energy/tables/robustness.csv"]


def reason(before: str, now: str) -> str:
    """As Snakemake 9.27 words it."""
    return (
        "Params have changed since last execution: Union of exclusive params before and now across all output: "
        f"before: {before} now: {now} "
    )


def test_parameters_are_shown_as_digests_that_differ_where_they_differ():
    a, b = (f"'scale {word} ; {'y' * 20_000}'" for word in "ab")
    said = shortened(reason(a, b))
    assert len(said) < 100 and said.startswith("Params have changed since last execution: ")
    before, now = re.search(r"(\w{8}) before, (\w{8}) now$", said).groups()
    assert before != now
    assert shortened(reason(b, a)).endswith(f"{now} before, {before} now")


def test_parameters_that_are_only_new_have_no_digest_before():
    assert shortened(reason("<nothing exclusive>", "'a'")).partition("execution: ")[2].startswith("none before, ")


def test_of_many_updated_files_the_first_are_named_and_the_rest_counted():
    files = [f"results/{name}.parquet" for name in "edcba"]
    said = shortened(f"Input files updated by another job: {', '.join(files)}; Set of input files has changed")
    listed = "results/a.parquet, results/b.parquet, results/c.parquet and 2 more"
    assert said == f"Input files updated by another job: {listed}; Set of input files has changed"
    three = "Input files updated by another job: a, b, c"
    assert shortened(three) == three


def test_other_reasons_stay():
    assert shortened("Missing output files: results/a") == "Missing output files: results/a"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("results/tiny/reprt.html", "did you mean results/tiny/report.html?"),
        ("results/tiny/studies/energy/tables/robustnes.csv", "did you mean results/tiny/studies/energy/tables/"),
        ("results/paper/report.html", "add --config scale=paper"),
        ("results/receipts/cifar10/receit.json", "nothing makes this file at scale tiny"),
        ("results/tiny/" + "z" * 60, "`snakemake targets` lists what can be asked for"),
    ],
)
def test_a_file_that_nothing_makes_gets_one_line_that_says_what_to_type(asked, said):
    words = unknown_file(asked, FILES, "tiny")
    assert words.startswith(f"{asked}: ") and said in words and "\n" not in words


def test_the_filter_changes_what_snakemake_says_of_an_unknown_file_and_nothing_else():
    words = Words(lambda: FILES, "tiny")
    said = "MissingRuleException:\nNo rule to produce results/tiny/reprt.html (if you use input functions ...)."
    for exception, changed in (("MissingRuleException", True), ("WorkflowError", False)):
        record = logging.LogRecord("snakemake", logging.ERROR, "", 0, said, None, None)
        record.exception = exception
        assert words.filter(record)
        assert ("did you mean results/tiny/report.html?" in record.getMessage()) == changed


def test_targets_are_listed_one_a_line_with_their_sentence():
    assert target_list({"all": "Everything", "energy": "A paper\nin two lines"}) == (
        "all     Everything\nenergy  A paper in two lines"
    )
