"""What certificates tell of the jobs behind a report."""

import json
import subprocess

import pytest

from robustlens.errors import RobustlensError
from robustlens.report.jobs import Jobs, commit, jobs_behind, read_certificates

BEST_AND_LAST = [["best", "best"], ["last", "last"]]


@pytest.fixture
def provenance(tmp_path):
    def write(place, inputs, outputs, **more):
        path = tmp_path / f"provenance/{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"inputs": dict.fromkeys(inputs, ""), "outputs": dict.fromkeys(outputs, ""), "wall_seconds": 30.0}
        path.write_text(json.dumps(record | more))

    attacks = [
        {"name": "clean", "samples": None, "best_only": False},
        {"name": "autoattack", "samples": 200, "best_only": True},
    ]
    gpu = {"device": {"processor": "Xeon", "accelerator": "H200"}}
    cpu = {"device": {"processor": "EPYC", "accelerator": None}}
    write("data/digits", [], ["sheet"], **cpu)
    for seed in (0, 1):
        write(f"runs/digits/sat/seed{seed}", ["sheet"], [f"weights{seed}"], **(gpu if seed else cpu))
    for suite in ("robustness", "again"):  # the same evaluations, of two suites
        suite_of = {"attacks": attacks, "checkpoints": BEST_AND_LAST}
        write(f"evaluations/digits/sat/seed0/near/{suite}", ["weights0"], [suite], parameters=suite_of)
    write("studies/one/tables/a", ["robustness", "again"], ["a.csv", "a.tex"])
    write("studies/one/tables/b", ["weights1"], ["b.csv"])
    (tmp_path / "provenance/configuration.json").write_text("{}")
    return tmp_path / "provenance"


def test_jobs_are_followed_back_from_the_results_and_counted_once(provenance):
    """Behind a.csv: the table, two suites with three evaluations in common, one training, the data."""
    found = jobs_behind(["a.csv", "a.tex"], read_certificates(provenance))
    assert found == Jobs(5, 1, 3, 150.0, ("EPYC",), ())
    both = jobs_behind(["a.csv", "b.csv"], read_certificates(provenance))
    assert (both.count, both.trainings, both.processors, both.accelerators) == (7, 2, ("EPYC", "Xeon"), ("H200",))


def test_what_no_certificate_tells_is_left_out(provenance):
    found = jobs_behind(["unknown.csv"], read_certificates(provenance))
    assert (found.count, found.runs, found.time, found.hardware) == (0, "", "", "")


def test_a_damaged_certificate_is_named(provenance):
    (provenance / "data/digits.json").write_text("{")
    with pytest.raises(RobustlensError, match=r"data/digits\.json: damaged"):
        jobs_behind(["a.csv"], read_certificates(provenance))


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1 min"), (3599, "1 h 0 min"), (40 * 60, "40 min"), (90 * 3600, "90 h 0 min")]
)
def test_times_are_said_in_minutes_and_hours(seconds, said):
    assert Jobs(1, 1, 1, seconds, (), ()).time == f"{said}, added up from 1 certificate"


def test_a_commit_is_that_of_the_checkout_and_of_no_project_around_it(tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    assert commit(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    first = commit(tmp_path)
    assert len(first) == 12 and int(first, 16) >= 0
    (tmp_path / "inside").mkdir()
    assert commit(tmp_path / "inside") == ""
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path) == f"{first}, with changes"
