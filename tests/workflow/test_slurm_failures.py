"""What clusters do to a training: each time it resumes where it was, and ends with the bytes of one left in peace."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from cluster import Cluster, missing, running
from flow import RESULTS, contents, copy_of, run
from processes import processes_with, until
from safetensors import safe_open
from slurm import Driver, fill_in_profile, submit_driver

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(900)]

EPOCHS = 100
LONGER = f"scales: {{tiny: {{datasets: {{digits: {{training: {{epochs: {EPOCHS}}}}}}}}}}}"
RUN = RESULTS / "runs/digits/sat/seed0"
WEIGHTS = str(RUN / "best.safetensors")
MADE = [RUN / name for name in ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet")]
PATIENCE = 240.0  # seconds; a job takes ten to start on a busy machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    with running(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def overlay(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("overlay") / "longer.yaml"
    file.write_text(LONGER)
    return file


@pytest.fixture(scope="module")
def undisturbed(overlay, finished, tmp_path_factory) -> dict[str, str]:
    """What a training on this machine writes that nothing happens to."""
    folder = copy_of(finished, tmp_path_factory.mktemp("undisturbed") / "checkout")
    code, output = run(folder, str(overlay), "-c1", WEIGHTS)
    assert code == 0, output
    return contents(folder, MADE)


class Case:
    """A checkout in which the data are prepared, and a driver that trains one run there on the cluster."""

    def __init__(self, cluster: Cluster, folder: Path, overlay: Path):
        self.cluster, self.folder, self.overlay = cluster, folder, overlay
        self.before = {job["JobId"] for job in cluster.jobs()}
        self.drivers: list[Driver] = []

    def start(self, *arguments: str) -> Driver:
        driver = Driver(self.cluster, self.folder, *arguments, "--", WEIGHTS, overlay=self.overlay)
        self.drivers.append(driver)
        return driver

    def jobs(self) -> list[dict]:
        """Those of this case, the first one first."""
        return sorted(
            (job for job in self.cluster.jobs() if job["JobId"] not in self.before), key=lambda job: int(job["JobId"])
        )

    def state(self) -> Path | None:
        return next((self.folder / RESULTS / "state").glob("digits-sat-seed0-*/state.safetensors"), None)

    def epoch(self) -> int:
        """How many epochs are finished in the saved state."""
        if self.state() is None:
            return 0
        with safe_open(self.state(), framework="numpy") as saved:
            return json.loads(saved.metadata()["record"])["progress"]["epoch"]

    def owner(self) -> int:
        """The process that trains, or did last."""
        return json.loads((self.state().parent / "owner.json").read_text())["pid"]

    def start_and_freeze(self, *arguments: str) -> Driver:
        """A driver whose training has its first epochs behind it and then stands still, so that
        what is done to it finds it at work on a machine of any speed. SLURM wakes up what it tells to end."""
        driver = self.start(*arguments)
        self.until(lambda: self.epoch() >= 10 or driver.process.poll() is not None)
        assert driver.process.poll() is None, driver.output
        os.kill(self.owner(), signal.SIGSTOP)
        return driver

    def wake_up(self) -> None:
        os.kill(self.owner(), signal.SIGCONT)

    def until(self, condition) -> None:
        try:
            until(condition, PATIENCE)
        except AssertionError as error:
            said = "\n".join(driver.output for driver in self.drivers)
            raise AssertionError(f"{error}\n{self.jobs()}\n{said}") from None

    def trained_once(self) -> bool:
        """Every epoch was finished by one process or another, and none of them twice."""
        return list(pd.read_parquet(self.folder / RUN / "timing.parquet")["epoch"]) == list(range(1, EPOCHS + 1))

    def resumed(self) -> bool:
        """The last process did not begin at the first epoch: its log has fewer of them."""
        log = (self.folder / RESULTS / "logs/train/digits/sat/seed0.log").read_text()
        return f" {EPOCHS}/{EPOCHS}," in log and f" 1/{EPOCHS}," not in log


@pytest.fixture
def case(cluster, overlay, finished, tmp_path) -> Case:
    folder = fill_in_profile(copy_of(finished, tmp_path / "checkout"))
    shutil.rmtree(folder / RESULTS / "state")  # of the tiny run
    case = Case(cluster, folder, overlay)
    yield case
    for driver in case.drivers:
        if driver.process.poll() is None:
            os.killpg(driver.process.pid, signal.SIGKILL)
            driver.process.wait()
    if cluster.job_ids():
        cluster("scancel", *cluster.job_ids(), check=False)
        cluster.until(lambda: not cluster.job_ids(), "the end of all jobs")


def test_a_training_that_crashes_is_submitted_again_with_more_memory_and_time(case, undisturbed):
    driver = case.start_and_freeze()
    os.kill(case.owner(), signal.SIGKILL)
    code, output = driver.wait()
    assert code == 0, output
    first, second = case.jobs()
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("8000M", "16000M")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("12:00:00", "1-00:00:00")
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_training_that_ran_out_of_time_saves_its_state_and_goes_on_with_more_time(case, undisturbed):
    driver = case.start_and_freeze("--set-resources", "train:runtime=attempt")
    code, output = driver.wait()
    assert code == 0, output
    first, second = case.jobs()
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:01:00", "00:02:00")
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_requeued_training_goes_on_under_the_same_number(case, undisturbed):
    driver = case.start_and_freeze()
    (job,) = case.jobs()
    case.cluster("scontrol", "requeue", job["JobId"])
    code, output = driver.wait()
    assert code == 0 and "Error in rule" not in output, output
    (again,) = case.jobs()
    assert (again["JobId"], again["JobState"], again["Restarts"]) == (job["JobId"], "COMPLETED", "1")
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_cancelled_training_is_submitted_again(case, undisturbed):
    driver = case.start_and_freeze()
    case.cluster("scancel", case.jobs()[0]["JobId"])
    code, output = driver.wait()
    assert code == 0, output
    assert [job["JobState"] for job in case.jobs()] == ["CANCELLED", "COMPLETED"]
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_training_outlives_its_driver_and_a_new_driver_starts_no_second_one_beside_it(case, undisturbed):
    first = case.start_and_freeze()
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    reached = case.epoch()

    code, output = case.start().wait()
    assert code == 1 and "--unlock" in output
    code, output = run(case.folder, str(case.overlay), "--unlock")
    assert code == 0, output
    code, output = case.start("--retries", "0").wait()
    assert code == 1 and "this run is being trained by another process" in output, output
    assert case.epoch() == reached and not (case.folder / WEIGHTS).exists()

    case.wake_up()
    case.until(lambda: not case.cluster.job_ids())
    assert [job["JobState"] for job in case.jobs()] == ["COMPLETED", "FAILED"]
    assert case.trained_once() and contents(case.folder, MADE) == undisturbed
    code, output = run(case.folder, str(case.overlay), "-n", "-c1", WEIGHTS)
    assert code == 0 and "Nothing to be done" in output, output


def test_a_drained_node_ends_its_training_and_takes_the_next_when_it_is_back(case, undisturbed):
    host = case.cluster.host
    case.cluster("scontrol", "update", f"nodename={host}", "state=drain", "reason=test")
    driver = case.start()
    case.until(lambda: case.jobs() and case.jobs()[0]["JobState"] == "PENDING")
    time.sleep(5)
    assert case.jobs()[0]["JobState"] == "PENDING" and driver.process.poll() is None
    case.cluster("scontrol", "update", f"nodename={host}", "state=resume")
    case.until(lambda: case.epoch() >= 10)
    os.kill(case.owner(), signal.SIGSTOP)
    case.cluster("scontrol", "update", f"nodename={host}", "state=drain", "reason=test")
    assert case.cluster.node_state() == "draining"
    case.wake_up()
    code, output = driver.wait()
    assert case.cluster.node_state() == "drained"
    case.cluster("scontrol", "update", f"nodename={host}", "state=resume")
    assert code == 0, output
    assert [job["JobState"] for job in case.jobs()] == ["COMPLETED"]
    assert case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_preempted_training_goes_on_when_the_urgent_job_is_done(case, undisturbed):
    driver = case.start_and_freeze()
    urgent = ["-p", "urgent", "--gpus=2", "--mem=100", "-o", "/dev/null", "--wrap", "sleep 5"]
    case.cluster("sbatch", "--wait", *urgent)
    assert case.jobs()[0]["Restarts"] == "1"
    code, output = driver.wait()
    assert code == 0 and "Error in rule" not in output, output
    training, other = case.jobs()
    assert (training["JobState"], training["Restarts"], other["JobState"]) == ("COMPLETED", "1", "COMPLETED")
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_what_slurm_refuses_ends_with_its_words_and_what_asked_for_it(case):
    code, output = case.start("--set-resources", "train:mem_mb=99999999").wait()
    last_screen = output[output.index("1 job failed:") :]
    assert code == 1 and "SLURM does not take what profiles/slurm asks for: sbatch: error: Memory" in last_screen
    assert "Resume with the same command:" in last_screen


def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(case, undisturbed):
    driver = case.start_and_freeze()
    os.killpg(driver.process.pid, signal.SIGINT)
    code, _ = driver.wait()
    assert code != 0
    case.until(lambda: not case.cluster.job_ids())
    assert case.jobs()[0]["JobState"] == "CANCELLED" and not (case.folder / WEIGHTS).exists()
    code, output = case.start().wait()
    assert code == 0, output
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_driver_that_is_a_job_itself_is_stopped_with_its_training_and_goes_on(case, undisturbed):
    def submit() -> str:
        return submit_driver(case.cluster, case.folder, "--", WEIGHTS, overlay=case.overlay)

    first = submit()
    case.until(lambda: case.epoch() >= 10)
    os.kill(case.owner(), signal.SIGSTOP)  # as in start_and_freeze
    case.cluster("scancel", "--signal=INT", "--full", first)
    case.until(lambda: not case.cluster.job_ids())
    assert [job["JobState"] for job in case.jobs()] == ["FAILED", "CANCELLED"] and not (case.folder / WEIGHTS).exists()
    submit()
    case.until(lambda: not case.cluster.job_ids())
    assert [job["JobState"] for job in case.jobs()[2:]] == ["COMPLETED", "COMPLETED"]
    assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


accounting = pytest.mark.skipif(bool(missing(accounting=True)), reason=missing(accounting=True))


@accounting
def test_with_accounting_the_account_is_checked_and_sacct_tells_what_became_of_a_job(
    overlay, finished, undisturbed, tmp_path
):
    with running(tmp_path / "cluster", accounting=True) as cluster:
        case = Case(cluster, fill_in_profile(copy_of(finished, tmp_path / "checkout")), overlay)
        shutil.rmtree(case.folder / RESULTS / "state")  # of the tiny run
        code, output = case.start("--default-resources", "slurm_account=nobody", "slurm_partition=main").wait()
        last_screen = output[output.index("1 job failed:") :]
        assert code == 1 and "The given account nobody appears to be invalid" in last_screen and case.jobs() == []

        driver = case.start_and_freeze("--slurm-status-command", "sacct")
        os.kill(case.owner(), signal.SIGKILL)
        code, output = driver.wait()
        assert code == 0, output
        states = cluster("sacct", "-X", "-n", "-P", "-o", "State,Account").stdout.split()
        assert states == ["FAILED|science", "COMPLETED|science"]
        assert case.resumed() and case.trained_once() and contents(case.folder, MADE) == undisturbed


def test_a_cluster_of_the_tests_leaves_nothing_behind(tmp_path):
    with running(tmp_path / "cluster") as cluster:
        cluster("sbatch", "--wrap", "sleep 600", "-o", "/dev/null")
        cluster.until(lambda: [job["JobState"] for job in cluster.jobs()] == ["RUNNING"], "the job")
    assert not (tmp_path / "cluster").exists()
    assert processes_with(str(tmp_path / "cluster")) == []
