"""The page of a run: what is read of logs, states and histories, and what its server answers."""

import contextlib
import fcntl
import http.client
import json
import math
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny
from browser import NAME, Browser
from elements import Elements
from log_texts import FAILED, START, STEPS
from processes import Child, run_script, until

from robustlens.job_log import JobLog
from robustlens.training.loop import Interrupted
from robustlens.training.state import RunState
from robustlens.watch import page, standing
from robustlens.watch.page import Server, fragment
from robustlens.watch.standing import Curves, Standing, Watched, scales

HISTORY = [
    {"epoch": epoch, "split": split, "robust_accuracy": robust, "clean_accuracy": robust + 0.25}
    for epoch, robust in ((1, 0.125), (2, 0.5))
    for split, robust in (("train", 0.75), ("validation", robust))
]
POINTS = ((1, 0.125, 0.375), (2, 0.5, 0.75))
LOG = "results/tiny/logs/train/digits/sat/seed0.log"
SNAKEMAKE = "Job stats:\njob      count\n-----  -------\nall          1\ntrain       11\ntotal       12\n\n"
BEGAN, NEXT = "2026-11-21T135900.000001.snakemake.log", "2026-11-21T150000.000001.snakemake.log"
NOON = standing.began(Path(BEGAN)) + 60  # a minute after the first
HOSTILE = "</b><script>alert(1)</script><img src=x onerror=alert(1)> & \" ' {{7*7}} {% x %}"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of a run that has one training, which has just saved its second epoch."""
    write(tmp_path / LOG, f"{START}\n{STEPS}\n")
    write(tmp_path / ".snakemake/log" / BEGAN, f"{SNAKEMAKE}3 of 12 steps (25%) done\n")
    save_state(tmp_path / "results/tiny/state/digits-sat-seed0-0123456789abcdef", HISTORY)
    return tmp_path


def write(path: Path, text: str, at: float = NOON) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def save_state(place: Path, history: list, host: str = "node17", process: int = 4242) -> None:
    with RunState(place, "digest") as state:
        state.save({}, {"progress": {}, "task": {"following": {"history": history}}})
        state.owner.write_text(json.dumps({"host": host, "pid": process, "slurm_job": None}))


@contextlib.contextmanager
def running(*logs: Path):
    """As if their jobs lived."""
    with contextlib.ExitStack() as stack:
        for log in logs:
            fcntl.flock(stack.enter_context(open(log)), fcntl.LOCK_EX)
        yield


def look(folder: Path) -> Standing:
    return Watched(folder, "tiny").standing()


# What is read ------------------------------------------------------------------------------------------------------


def test_a_running_training_with_its_curves(folder):
    with running(folder / LOG):
        now = look(folder)
    assert now.steps == (3, 12) and now.failed == {} and now.finished == []
    says = "epoch 2/50, ETA 0:04:02 (at 2026-11-21 14:00:10)"
    assert now.running == {Path(LOG): JobLog("running", says, "train digits/sat/seed0")}
    assert now.training == [Curves("digits/sat/seed0", 50, POINTS)]


def test_the_curves_are_those_that_a_training_saves(tmp_path):
    """A real one, stopped in its second epoch."""
    with RunState(tmp_path / "state", "digest") as state:
        data = tiny.dataset(tmp_path / "data")
        run = tiny.training(tiny.spec(), data, state, stop=lambda: run.loop.steps_done() == 4)
        with pytest.raises(Interrupted):
            run.run()
    (row,) = [row for row in run.task.following.history if row["split"] == "validation"]
    expected = ((1, row["robust_accuracy"], row["clean_accuracy"]),)
    assert standing.read_state(state.file) == expected and all(map(math.isfinite, expected[0]))


@pytest.mark.parametrize("other", [{"host": "node18"}, {"process": 4243}])
def test_a_state_of_another_process_is_not_taken_for_that_of_the_running_one(folder, other):
    """As of the same recipe before it was changed."""
    save_state(folder / "results/tiny/state/digits-sat-seed0-0123456789abcdef", HISTORY, **other)
    with running(folder / LOG):
        assert look(folder).training == [Curves("digits/sat/seed0", 50, ())]


@pytest.mark.parametrize("damage", ["cut", "no record", "empty", "no accuracy", "owner", "no state"])
def test_a_damaged_state_leaves_only_the_curves_out(folder, damage):
    place = folder / "results/tiny/state/digits-sat-seed0-0123456789abcdef"
    file = place / "state.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "no record":
        with RunState(place, "digest") as state:
            state.save({}, {})
        (place / "owner.json").write_text('{"host": "node17", "pid": 4242}')
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "no accuracy":
        save_state(place, [{"epoch": 1, "split": "validation"}])
    elif damage == "owner":
        (place / "owner.json").write_text('{"host": "node17", "pi')
    else:
        file.unlink()
    with running(folder / LOG):
        now = look(folder)
    assert now.training == [Curves("digits/sat/seed0", 50, ())] and len(now.running) == 1


@pytest.mark.parametrize("text", ["", START[:30], f"{START}\n2026-11-21 14:00:05 epoch 1/5", f"{START}\n\0\xff\n"])
def test_a_log_that_is_half_written_is_no_error(folder, text):
    write(folder / LOG, text)
    with running(folder / LOG):
        now = look(folder)
    begun = text.startswith(START)
    assert [log.says for log in now.running.values()] == ["has begun"] * begun and now.failed == {}
    assert "<progress" not in fragment(now).partition("Running")[2]


def test_failed_and_killed_jobs_of_this_snakemake_alone(folder):
    """A job that failed earlier may belong to a recipe that is no more."""
    write(folder / "results/tiny/logs/a.log", f"{START}\n{FAILED}\n", NOON - 120)
    write(folder / "results/tiny/logs/b.log", f"{START}\n{FAILED}\n", NOON - 30)
    write(folder / "results/tiny/logs/c.log", "cat: no such file\n")
    now = look(folder)
    assert {path.name: log.state for path, log in now.failed.items()} == {"b.log": "failed", "seed0.log": "killed"}
    assert now.running == {} and now.training == []


def test_further_processes_of_a_training_and_plans_are_no_jobs(folder):
    others = [write(folder / f"results/tiny/logs/{n}", f"{START}\n") for n in ("plan.log", "seed0.process1.log")]
    with running(folder / LOG, *others):
        assert list(look(folder).running) == [Path(LOG)]


def test_where_locks_can_not_be_seen_slurm_says_what_lives(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(standing, "slurm_states", lambda: asked.append(1) or {"77": "RUNNING"})
    write(folder / LOG, f"{START}, SLURM job 77\n")
    watched = Watched(folder, "tiny")
    for _ in range(3):
        assert [log.state for log in watched.standing().running.values()] == ["running"]
    assert len(asked) == 1  # within a minute


def test_a_process_that_has_died_is_seen_although_its_log_stays_as_it_is(folder):
    watched = Watched(folder, "tiny")
    with running(folder / LOG):
        assert watched.standing().running
    now = watched.standing()
    assert now.running == {} and [log.state for log in now.failed.values()] == ["killed"]


@pytest.mark.parametrize(("text", "expected"), [
    (SNAKEMAKE, (0, 12)),
    (f"{SNAKEMAKE}1 of 12 steps (8%) done\nx\n11 of 12 steps (92%) done\n", (11, 12)),
    (f"{SNAKEMAKE}1 of 12 steps (8%) done\n2 of 1", (1, 12)),
    (f"{SNAKEMAKE}1 of 12 steps (8%) done\nJob 3: a recipe of 5 of 7 steps (1%) done\n", (1, 12)),
    (f"{SNAKEMAKE}10 of 1200 steps (0.8%) done\n", (10, 1200)),
    ("Building DAG of jobs...\n", None),
    ("Job stats:\njob  count\nplan     1\ntotal    1\n1 of 1 steps (100%) done\n", None),
    ("", None),
], ids=["begun", "last", "half-written", "within a line", "many", "no jobs", "plan", "empty"])  # fmt: skip
def test_steps_by_snakemakes_log(tmp_path, text, expected):
    assert standing.read_steps(write(tmp_path / "a.log", text)) == expected


def test_the_snakemake_is_the_last_that_started_before_a_job_of_this_scale_wrote(folder):
    logs = folder / ".snakemake/log"
    write(logs / NEXT, f"{SNAKEMAKE}9 of 12 steps (75%) done\n")  # of another scale
    write(logs / "2026-11-21T135930.000001.snakemake.log", "Building DAG of jobs...\n")  # `make targets`
    write(logs / "mine.snakemake.log", f"{SNAKEMAKE}9 of 12 steps (75%) done\n")
    assert look(folder).steps == (3, 12)
    write(folder / "results/tiny/logs/later.log", START, standing.began(Path(NEXT)) + 1)
    assert look(folder).steps == (9, 12)


def finish(folder: Path, recipe: str, at: float, history: list | None = None) -> Path:
    file = write(folder / f"results/tiny/runs/digits/{recipe}/seed0/history.parquet", "")
    pd.DataFrame(HISTORY if history is None else history).to_parquet(file)
    os.utime(file, (at, at))
    return file


def test_the_last_finished_trainings_come_with_their_curves(folder):
    for number in range(8):
        finish(folder, f"r{number}", NOON + number)
    finish(folder, "sat", NOON + 100)
    finish(folder, "r7", NOON + 7).write_bytes(b"PAR1 damaged")
    os.utime(folder / "results/tiny/runs/digits/r7/seed0/history.parquet", (NOON + 7, NOON + 7))
    with running(folder / LOG):
        found = look(folder).finished
    assert [curves.name for curves in found] == [f"digits/r{number}/seed0" for number in (6, 5, 4, 3)]
    assert found[0] == Curves("digits/r6/seed0", 2, POINTS)
    assert look(folder).finished[0].name == "digits/sat/seed0"  # now that it does not run


def test_files_are_read_again_only_when_they_have_changed(folder, monkeypatch):
    finish(folder, "trades", NOON)
    watched, read = Watched(folder, "tiny"), []
    readers = ["read_history", "read_owner", "read_start", "read_state", "read_steps"]
    for name in readers:
        original = getattr(standing, name)
        monkeypatch.setattr(standing, name, lambda path, name=name, f=original: read.append(name) or f(path))
    with running(folder / LOG):
        first, again = watched.standing(), watched.standing()
        assert first == again and sorted(read) == readers
        more = [*HISTORY, {"epoch": 3, "split": "validation", "robust_accuracy": 0.0, "clean_accuracy": 1.0}]
        save_state(folder / "results/tiny/state/digits-sat-seed0-0123456789abcdef", more)
        assert watched.standing().training[0].points == (*POINTS, (3, 0.0, 1.0))
    assert read.count("read_state") == 2 and read.count("read_history") == 1


def test_looking_writes_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    fragment(look(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_scale_that_ran_last_comes_first(folder):
    assert scales(folder) == ["tiny"]
    write(folder / "results/paper/logs/a.log", START, NOON + 1)
    (folder / "results/empty/logs").mkdir(parents=True)
    assert scales(folder) == ["paper", "tiny"]
    assert scales(folder / "results") == []


# The page ----------------------------------------------------------------------------------------------------------


def test_no_name_and_no_message_becomes_an_element_of_the_page():
    log = JobLog("running", f"epoch 1/2, ETA {HOSTILE}", HOSTILE)
    now = Standing(None, {Path("a"): log}, {Path(HOSTILE): log}, [Curves(HOSTILE, 2, POINTS)], [])
    read = Elements(fragment(now))
    assert not {"script", "img"} & read.elements and not {name for name in read.attributes if name.startswith("on")}
    assert read.text.count(HOSTILE) == 6 and "49" not in read.text.replace(HOSTILE, "")


def drawn(text: str, line: str) -> list[list[float]]:
    points = re.search(rf'<polyline class="{line}" points="([^"]*)"', text)[1]
    return [[float(number) for number in point.split(",")] for point in points.split()]


def test_curves_are_drawn_to_scale(folder):
    """Each axis as computed here: 0 % at the bottom, 100 % at the top, the last epoch that will be at the right."""
    nothing = Curves("digits/mart/seed0", 8, ())
    some = Curves("digits/sat/seed0", 8, (*POINTS, (4, math.nan, 1.0)))
    text = fragment(Standing((3, 12), {}, {}, [some], [nothing]))
    bottom, right = page.HEIGHT, page.WIDTH
    assert drawn(text, "robust") == [pytest.approx([right / 8, bottom * 0.875], abs=0.05), [right / 4, bottom / 2]]
    assert drawn(text, "natural")[-1] == [right / 2, 0.0] and len(drawn(text, "natural")) == 3
    assert 'aria-label="natural 100.0 %, robust 50.0 %"' in text and "epoch 4 of 8" in text
    assert "epoch 0 of 8: nothing measured yet" in text and text.count("<polyline") == 2
    assert "3 of 12 steps done" in text and 'value="3" max="12"' in text


def test_of_many_failures_the_first_are_listed_with_their_logs():
    failed = {Path(f"logs/{n:02}.log"): JobLog("failed", "no space", f"job {n}") for n in range(12)}
    text = fragment(Standing(None, {}, failed, [], []))
    assert text.count("no space") == 10 and "log: logs/09.log" in text and "logs/10.log" not in text
    assert "and 2 more" in text


# The server --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(folder):
    with Server(Watched(folder, "tiny"), 0) as it:
        thread = threading.Thread(target=it.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET", host: str | None = None) -> tuple[int, dict, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read().decode()


def test_the_page_has_all_in_it_and_asks_no_one_else(server):
    status, headers, text = ask(server, "/")
    assert status == 200 and "Scale tiny" in text and "3 of 12 steps done" in text
    assert not re.findall(r"(?:src|href)=|https?://|@import|url\(", text)
    nonce = re.search(r'<script nonce="([^"]+)">', text)[1]
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and f"script-src 'nonce-{nonce}'" in policy
    assert nonce not in ask(server, "/")[2] and headers["Cache-Control"] == "no-store"
    status, _, part = ask(server, "/now")
    assert status == 200 and part in text and "<html" not in part


@pytest.mark.parametrize("path", ["/../config.yaml", "/results/tiny/logs", "/now/", "//etc/passwd", "/?a", f"/{LOG}"])
def test_nothing_else_of_the_disk_is_served(server, path):
    assert ask(server, path)[0] == 404


def test_only_get_is_answered_and_only_by_the_names_of_this_machine(server):
    assert [ask(server, "/", method)[0] for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS")] == [501] * 5
    hosts = ["localhost:9999", "127.0.0.1", "evil.example:80", "127.0.0.1.evil.example"]
    assert [ask(server, "/", host=host)[0] for host in hosts] == [200, 200, 403, 403]
    assert server.server_address[0] == "127.0.0.1"


def test_many_readers_make_one_look(server, monkeypatch):
    looks = []
    monkeypatch.setattr(server.watched, "standing", lambda: looks.append(1) or Standing(None, {}, {}, [], []))
    for _ in range(5):
        ask(server, "/now")
    assert len(looks) == 1


def test_where_looking_takes_long_it_is_done_less_often(server, monkeypatch):
    def slow() -> Standing:
        time.sleep(0.5)
        return Standing(None, {}, {}, [], [])

    monkeypatch.setattr(server.watched, "standing", slow)
    server.now()
    assert server.due - time.monotonic() > 8


def test_a_reader_that_leaves_says_nothing_on_the_terminal(server, capfd, monkeypatch):
    monkeypatch.setattr(server, "now", lambda: time.sleep(0.2) or "x" * 10_000_000)
    with socket.create_connection(server.server_address) as connection:
        connection.sendall(b"GET /now HTTP/1.0\r\nHost: localhost\r\n\r\n")
    time.sleep(0.5)
    assert capfd.readouterr() == ("", "")


# The command -------------------------------------------------------------------------------------------------------


def test_the_command_ends_on_control_c_without_a_word(folder):
    child = Child(folder / "said", run_script, "watch", [], folder)
    until(lambda: "http://" in (folder / "said").read_text() if (folder / "said").exists() else False)
    address = re.search(r"Scale tiny: http://127\.0\.0\.1:(\d+)/", (folder / "said").read_text())
    connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=30)
    connection.request("GET", "/now")
    assert connection.getresponse().status == 200
    child.signal(signal.SIGINT)
    code, said = child.wait()
    assert code == 0 and len(said.splitlines()) == 1


@pytest.mark.parametrize(("arguments", "says"), [
    (["--scale", "paper"], "nothing has run at scale paper yet: results/ has logs of tiny"),
    (["--scale", "../tiny"], "nothing has run at scale ../tiny yet"),
    (["--port", "70000"], "'70000': not a port, which is a number from 1 to 65535"),
    (["--port", "http"], "'http': not a port"),
])  # fmt: skip
def test_what_is_asked_for_in_vain_is_refused_in_a_line(folder, arguments, says):
    code, said = Child(folder / "said", run_script, "watch", arguments, folder).wait()
    assert code != 0 and says in said and "Traceback" not in said


def test_where_nothing_has_run_it_says_what_to_do(tmp_path):
    code, said = Child(tmp_path / "said", run_script, "watch", [], tmp_path).wait()
    assert code == 1 and said.startswith("nothing has run yet: start `make reproduce`")


def test_a_port_that_is_taken_is_refused(folder, server):
    arguments = ["--port", str(server.server_port)]
    code, said = Child(folder / "said", run_script, "watch", arguments, folder).wait()
    assert code == 1 and re.fullmatch(rf"port {server.server_port} can't be had \(.+\): give another one.*\n", said)


# In a browser ------------------------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(NAME is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@needs_browser
def test_the_page_follows_the_run_and_stays_where_it_was_scrolled_to(browser, server, folder, monkeypatch):
    monkeypatch.setattr(page, "REFRESH", 1)
    for number in range(6):
        finish(folder, f"r{number}", NOON)
    browser.open(f"http://127.0.0.1:{server.server_port}/", width=400, height=300)
    browser.value("window.scrollTo(0, 500)")
    steps = "document.querySelector('main b').textContent"
    assert browser.value(steps) == "3 of 12 steps done"
    write(folder / ".snakemake/log" / BEGAN, f"{SNAKEMAKE}4 of 12 steps (33%) done\n", NOON + 1)
    until(lambda: browser.value(steps) == "4 of 12 steps done")
    assert browser.value("window.scrollY") == 500
    assert browser.value("document.documentElement.scrollWidth") <= 400
    server.shutdown()
    server.server_close()
    until(lambda: "No answer" in browser.value("document.getElementById('lost').textContent"))


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_lines_and_words_are_told_from_the_ground(browser, server, folder, dark):
    """Contrast by WCAG 2: 4.5 for text, 3 for lines."""
    finish(folder, "trades", NOON)
    browser.open(f"http://127.0.0.1:{server.server_port}/", dark=dark)
    colour = "(s, p) => getComputedStyle(document.querySelector(s))[p].match(/[\\d.]+/g).slice(0, 3).map(Number)"
    asked = [["body", "backgroundColor"], ["body", "color"], ["svg text.end", "fill"], ["polyline.robust", "stroke"]]
    asked += [["polyline.natural", "stroke"], ["span.robust", "color"], ["span.natural", "color"]]
    ground, *others = [browser.value(f"({colour})('{where}', '{what}')") for where, what in asked]
    for (where, _), found in zip(asked[1:], others, strict=True):
        assert contrast(ground, found) > 4.5, where
    assert (max(ground) < 60) == dark
    filled = "[...document.querySelectorAll('polyline')].map(line => getComputedStyle(line).fill)"
    assert browser.value(filled) == ["none", "none"]


def contrast(one: list[float], other: list[float]) -> float:
    def light(colour: list[float]) -> float:
        linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@needs_browser
def test_without_scripts_the_page_loads_itself_anew(browser, server, folder, monkeypatch):
    monkeypatch.setattr(page, "REFRESH", 1)
    browser.open(f"http://127.0.0.1:{server.server_port}/", scripts=False)
    write(folder / ".snakemake/log" / BEGAN, f"{SNAKEMAKE}4 of 12 steps (33%) done\n", NOON + 1)
    until(lambda: "4 of 12 steps done" in server.text, 30)
