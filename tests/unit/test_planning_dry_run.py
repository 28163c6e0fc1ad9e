"""The jobs of a dry run, read from what Snakemake announces."""

import json
import shlex

import pytest

from robustlens.errors import RobustlensError
from robustlens.planning.dry_run import Job, dry_run, needed_by, read_job, read_jobs

pytestmark = pytest.mark.slow


def announced(rule: str = "train", command: str | None = "true", **changes) -> dict:
    record = {"rule": rule, "wildcards": {}, "inputs": [], "outputs": [], "benchmark": None, "threads": 1}
    return record | {"command": command} | changes


def test_a_job_s_parameters_are_those_of_its_command_whatever_characters_they_hold():
    spec = {"title": 'it\'s "naïve"\n --spec {x} $HOME', "n": [1, None]}
    command = f'python "$ROBUSTLENS/scripts/train.py" --spec {shlex.quote(json.dumps(spec))} --certificate c.json'
    found = read_job(announced(command=command, benchmark="b.tsv", wildcards={"seed": "0"}, threads=2))
    assert (found.spec, found.certificate, found.benchmark) == (spec, "c.json", "b.tsv")
    assert (found.wildcards, found.threads) == ({"seed": "0"}, 2)


@pytest.mark.parametrize("rest", ["", "--spec", "--spec 'no json'", "--spec '{}"])
def test_a_script_whose_parameters_can_t_be_read_is_an_error_that_names_the_rule(rest):
    with pytest.raises(RobustlensError, match="rule odd: its command can't be read"):
        read_job(announced("odd", f'python "$ROBUSTLENS/scripts/train.py" {rest}'))


def test_a_command_that_is_no_script_of_ours_is_a_job_without_parameters():
    assert read_job(announced("collect", "cat a b > c")).spec == {}


def test_targets_without_a_command_are_no_jobs_but_are_counted():
    lines = [json.dumps(line) for line in (announced(), announced("all", None), {"counts": {"total": 2}})]
    assert [found.rule for found in read_jobs(lines)] == ["train"]
    assert read_jobs([]) == []


def test_fewer_jobs_than_snakemake_counts_are_an_error():
    with pytest.raises(RobustlensError, match="counts 2 jobs, but announced 1"):
        read_jobs([json.dumps({"counts": {"total": 2}}), json.dumps(announced())])


def test_the_jobs_that_a_folder_needs_are_those_that_lead_to_its_files():
    def step(name: str, *inputs: str) -> Job:
        return Job(name, {}, inputs, (f"results/{name}/file",), None, 1)

    jobs = [
        step("data"),
        step("a", "results/data/file", "elsewhere"),
        step("b", "results/data/file"),
        step("table", "results/a/file"),
        step("table-of-another"),
        step("odd"),
    ]
    assert {found.rule for found in needed_by(jobs, "results/table/")} == {"data", "a", "table"}
    assert needed_by(jobs, "results/nothing/") == []


ENTRIES = {
    "cc": {"x": "3", "y": ["0.5", "null", "it's a: b", "Größe 😀"], "z": {}},
    "number": 3,
    "half": 0.5,
    "yes": True,
    "nothing": None,
    "text": 'a = "b" {c: 1}',
    "no-number": "1e3",
    "empty": "",
}


def test_the_configuration_reaches_snakemake_as_it_was_given(tmp_path, monkeypatch):
    """Files in their order, then the entries as Snakemake itself read them: text inside of mappings stays text."""
    (tmp_path / "Snakefile").write_text("""
import json

rule all:
    output:
        "file",
    params:
        config=json.dumps(config),
    shell:
        "python '$ROBUSTLENS/scripts/a.py' --spec {params.config:q}"
""")
    (tmp_path / "first.yaml").write_text("{aa: 1, bb: 1, cc: 1}")
    (tmp_path / "second.yaml").write_text("{bb: 2, cc: 2}")
    monkeypatch.chdir(tmp_path)
    (found,) = dry_run("Snakefile", ["first.yaml", "second.yaml"], ENTRIES, [])
    assert found.spec == {"aa": 1, "bb": 2} | ENTRIES
    (found,) = dry_run("Snakefile", [], {}, [], everything=True)
    assert found.spec == {}
