"""The digest of what a study's numbers come from changes with what is computed, and with nothing else."""

import importlib.util
import json
from dataclasses import replace

import pytest
from configured import REPOSITORY

from robustlens.planning.dry_run import Job
from robustlens.planning.origin import computing, parameters_digest, without_code

FOLDER = "results/s/studies/light/"
EVALUATED = {"code": "1", "seed": 0, "attacks": [{"family": "pgd", "steps": 20, "code": "2"}]}


def made(rule: str, output: str, *inputs: str, spec: dict, **wildcards: str) -> Job:
    return Job(rule, wildcards, inputs, (output,), None, 1, spec)


TRAINED = made("train", "run", spec={"code": "1", "learning_rate": 0.1, "seed": 0}, recipe="sat")
ATTACKED = made("evaluate", "evaluation", "run", spec=EVALUATED, recipe="sat")
DRAWN = made("make_table", f"{FOLDER}tables/a.csv", "evaluation", spec={"code": "3", "label": "SAT"}, study="light")
OTHER = made("train", "other", spec={"code": "1", "learning_rate": 0.2}, recipe="trades")
JOBS = [TRAINED, ATTACKED, DRAWN, OTHER]


def digest(jobs: list[Job]) -> str:
    return parameters_digest(computing(jobs, FOLDER))


def test_what_draws_and_what_others_need_is_left_out():
    assert sorted(job.rule for job in computing(JOBS, FOLDER)) == ["evaluate", "train"]


@pytest.mark.parametrize(
    "changed",
    [
        [*reversed(JOBS)],
        [TRAINED, ATTACKED, replace(DRAWN, spec={"code": "4", "label": "Madry"}), OTHER],
        [TRAINED, ATTACKED, DRAWN, replace(OTHER, spec={"learning_rate": 0.3})],
        [replace(TRAINED, spec=TRAINED.spec | {"code": "5"}), ATTACKED, DRAWN],
        [TRAINED, replace(ATTACKED, spec={"seed": 0, "attacks": [{"family": "pgd", "steps": 20, "code": "6"}]}), DRAWN],
    ],
    ids=["order", "a label", "another study", "code", "code of an attack"],
)
def test_the_digest_stays_where_no_parameter_of_a_computing_job_changes(changed):
    assert digest(changed) == digest(JOBS)


@pytest.mark.parametrize(
    "changed",
    [
        [replace(TRAINED, spec=TRAINED.spec | {"learning_rate": 0.3}), ATTACKED, DRAWN],
        [TRAINED, replace(ATTACKED, spec={"seed": 0, "attacks": [{"family": "pgd", "steps": 10}]}), DRAWN],
        [
            TRAINED,
            ATTACKED,
            replace(TRAINED, wildcards={"recipe": "mart"}, outputs=("b",)),
            replace(DRAWN, inputs=("evaluation", "b")),
        ],
        [TRAINED, replace(DRAWN, inputs=("run",))],
    ],
    ids=["learning rate", "steps of an attack", "one run more", "one job less"],
)
def test_the_digest_changes_with_what_is_computed(changed):
    assert digest(changed) != digest(JOBS)


def test_the_digest_stays_where_seeds_share_a_job_or_jobs_an_evaluation():
    def evaluated(seed: int) -> Job:
        own = replace(ATTACKED, wildcards=ATTACKED.wildcards | {"seed": str(seed)}, spec=EVALUATED | {"seed": seed})
        outputs = (f"results/s/evaluations/seed{seed}/all.json", f"results/s/provenance/seed{seed}/all.json")
        return replace(own, inputs=("run",), outputs=outputs, certificate=outputs[1])

    alone = [evaluated(0), evaluated(1)]
    table = replace(DRAWN, inputs=tuple(job.outputs[0] for job in alone))
    shard = made("evaluate_shard", "shards/1-of-1", "run", spec=EVALUATED | {"shard": 1})
    without = {key: value for key, value in EVALUATED.items() if key != "seed"}
    both = replace(
        ATTACKED,
        inputs=("run", "shards/1-of-1"),
        outputs=tuple(path for place in (0, 1) for job in alone for path in job.outputs[place : place + 1]),
        spec=without | {"seeds": [0, 1]},
        certificate=alone[0].certificate,
    )
    assert digest([TRAINED, shard, both, table]) == digest([TRAINED, *alone, table]) != digest(JOBS)


def test_code_is_left_out_at_every_depth():
    assert without_code(EVALUATED) == {"seed": 0, "attacks": [{"family": "pgd", "steps": 20}]}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """The module of the script, in a folder without results."""
    spec = importlib.util.spec_from_file_location("record_origin", REPOSITORY / "scripts/record_origin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["record_origin.py", "--scale", "s"])
    return module


def test_nothing_is_recorded_while_a_computing_job_is_left(record, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "announced_jobs", lambda *_, **__: JOBS)
    with pytest.raises(SystemExit, match=r"results/s: 2 jobs are left, such as \w+; run `make reproduce` first"):
        record.main()
    assert not (tmp_path / "docs").exists()


def test_a_finished_run_whose_tables_alone_are_left_is_recorded(record, monkeypatch, tmp_path):
    jobs = [replace(job, spec=job.spec | {"arithmetic": "native"}) for job in JOBS]
    monkeypatch.setattr(record, "announced_jobs", lambda *_, everything=False: jobs if everything else [DRAWN])
    monkeypatch.setattr(record, "commit", lambda: "abc")
    (tmp_path / "docs/recorded").mkdir(parents=True)
    record.main()
    found = json.loads((tmp_path / "docs/recorded/s.json").read_text())
    assert (found["commit"], found["arithmetic"]) == ("abc", "native")
    assert found["studies"] == {"light": {"jobs": 2, "parameters": digest(jobs)}}
