"""What the benchmark decides: which rounds count, whether contestants compute the same, what is reached."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dry_run
import numpy as np
import pandas as pd
import plan_of_embedded
import portable
import profile_of_run
import pytest
import steps
import workers
from line_up import PEER, PLAIN, ours
from memory import watched
from report import goals, speed_table
from rounds import Round, disturbed, play, summary
from speed import compared, forward_flops
from workers import Failed, Skipped

EPSILON = 8 / 255


def one(seconds: float, probe: float = 1.0, processors: float = 2.0) -> Round:
    return Round({"ours": seconds, "peer": 2.0, "probe": probe}, {"ours": processors, "peer": 2.0, "probe": 2.0})


def test_rounds_with_a_starved_contestant_or_a_slow_probe_do_not_count():
    rounds = [one(1.0), one(1.0, processors=1.69), one(1.0, probe=1.16), one(1.0, probe=1.14, processors=1.71)]
    reasons = disturbed(rounds, ["probe"], threads=2)
    assert [bool(reason) for reason in reasons] == [False, True, True, False]
    assert reasons[1] == "ours got 1.69 of 2 processors" and reasons[2] == "probe took 1.16 times its best"
    assert disturbed(rounds, [], threads=None) == [None] * 4


def test_contestants_take_turns_until_enough_rounds_count_and_not_for_ever():
    calls = []

    def contestant(name: str, processors: list[float]):
        def measure() -> tuple[float, float]:
            calls.append(name)
            return 1.0, processors[calls.count(name) - 1]

        return measure

    run = {"a": contestant("a", [2, 1, 2, 2]), "b": contestant("b", [2, 2, 2, 2])}
    kept, dropped = play(run, [], threads=2, wanted=2, most=4)
    assert (len(kept), len(dropped), calls) == (2, 1, ["a", "b"] * 3)
    calls.clear()
    kept, dropped = play({"a": contestant("a", [1, 1, 1, 1])}, [], threads=2, wanted=2, most=4)
    assert (len(kept), len(dropped)) == (0, 4)


def test_ratios_are_taken_within_a_round():
    rounds = [Round({"ours": s, "peer": p}, {}) for s, p in ((1.0, 2.0), (10.0, 30.0), (2.0, 3.0))]
    assert summary(rounds, "ours", "peer") == {"least": 1.0, "median": 2.0, "ratio": 2.0}
    assert summary(rounds, "ours", None)["ratio"] is None


def images() -> tuple[np.ndarray, np.ndarray]:
    """x, and adversarial images in the ball."""
    random = np.random.default_rng(0)
    x = random.random((4, 3, 8, 8), dtype=np.float32)
    return x, np.clip(x + np.float32(EPSILON) * random.choice([-1, 1], x.shape).astype(np.float32), 0, 1)


def test_equal_computations_are_equal():
    x, x_adv = images()
    verdict = compared(x_adv, x_adv, 2.3, x, x_adv, 2.3, exact=True)
    assert verdict == {"equal_pixels": 1.0, "loss_difference": 0.0}


@pytest.mark.parametrize("fault", ["outside the ball", "outside [0, 1]", "other pixels", "other loss"])
def test_another_computation_is_refused(fault):
    x, plain = images()
    one, ten, loss = plain.copy(), plain.copy(), 2.3
    if fault == "outside the ball":
        ten = x + (ten - x) * 1.01
    elif fault == "outside [0, 1]":
        ten = ten - 0.1 * (ten <= 0)
    elif fault == "other pixels":
        one[0] = 2 * x[0] - one[0]
    else:
        loss = 2.3001
    with pytest.raises(Failed):
        compared(one, ten, loss, x, plain, 2.3, exact=True)


def test_bfloat16_may_differ_a_little_but_not_much():
    x, plain = images()
    few = np.where(np.random.default_rng(1).random(x.shape) < 0.05, 2 * x - plain, plain)
    compared(few, plain, 2.32, x, plain, 2.3, exact=False)
    with pytest.raises(Failed, match="pixels"):
        compared(2 * x - plain, plain, 2.3, x, plain, 2.3, exact=False)


def test_resnet_18_costs_1_11_gflop_an_image():
    """The sheet's 1.111 GFLOP: convolutions, shortcuts and the last layer, two a multiply-add."""
    stages = [(64, 64, 32, 4), (64, 128, 16, 1), (128, 128, 16, 3), (128, 256, 8, 1), (256, 256, 8, 3)]
    stages += [(256, 512, 4, 1), (512, 512, 4, 3), (3, 64, 32, 1)]
    by_hand = sum(2 * 9 * inputs * outputs * side**2 * count for inputs, outputs, side, count in stages)
    by_hand += sum(2 * inputs * 2 * inputs * side**2 for inputs, side in ((64, 16), (128, 8), (256, 4)))
    assert forward_flops(64) == by_hand + 2 * 512 * 10
    assert forward_flops(64) == pytest.approx(1.111e9, rel=1e-3)


def test_torchattacks_is_skipped_by_name_where_there_is_no_way_to_install_it(monkeypatch):
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Skipped, match="no uv"):
        workers._with_torchattacks()


def found(**ratios: float) -> dict:
    row = {"images_per_second": 100.0, "best_images_per_second": 101.0, "useful_flops_per_second": 2e11}
    row |= {"times_torchattacks": 1.0, "times_plain_loop": None, "memory_bytes": None} | ratios
    rows = {PEER: row, ours("float32", "channels-last").name: row}
    skipped = {ours("bfloat16", "channels-last").name: "no bfloat16"}
    return {"name": "ResNet-18", "batch": 32, "rounds": [1, 2], "dropped": ["noise"], "rows": rows,
            "skipped": skipped, "failed": {PLAIN: "broke"}}  # fmt: skip


def test_goals_are_reached_missed_or_not_measured():
    judged = goals([found(times_torchattacks=1.17, share_of_convolution_rate=0.7)], {}, gpu=False)
    assert [goal["reached"] for goal in judged] == [True, None, False, None]
    prepared = {"sizes": {"train": 1}, "archive_bytes": 1, "seconds": 31, "memory_bytes": 5e8}
    assert [goal["reached"] for goal in goals([], {"preparation": prepared}, gpu=False)] == [False, True]
    assert [goal["reached"] for goal in goals([found(epoch_seconds=7.5)], {}, gpu=True)] == [True]
    chains = {"chain": {"ratios": {"usual loop, E(x)": 2.1, "usual loop, E(x, y)": 9.0}}}
    assert [goal["reached"] for goal in goals([], chains, gpu=False)] == [False]


@pytest.mark.parametrize(("planned", "reached"), [(6.6, False), (6.7, True), (15.0, True), (15.1, False)])
def test_a_plan_may_be_wrong_by_half_on_either_side(planned, reached):
    judged = goals([], {"plan": {"planned": planned, "took": 10.0}}, gpu=False)
    assert [goal["reached"] for goal in judged] == [reached]


STATS = "job count\n---- ----\ntrain            3067\ntrain_more 5\ntotal 6,\ntotal            6918\n"


def test_jobs_are_counted_by_snakemake_s_table_and_memory_is_that_of_the_process():
    assert (dry_run.count("train", STATS), dry_run.count("total", STATS)) == (3067, 6918)
    code = "import time; x = bytearray(150_000_000); time.sleep(0.3)"
    seconds, most = watched(subprocess.Popen([sys.executable, "-c", code]))
    assert 0.3 < seconds < 20 and 150e6 < most < 250e6


def test_the_generated_configuration_has_as_many_runs_as_asked_for(tmp_path):
    main, others = {"recipes": list("abcdefg")}, {"recipes": ["h"], "datasets": ["a"]}
    once = {"recipes": ["i"], "seeds": [0]}
    studies = {
        "first": {"datasets": ["a", "b"], "seeds": [0], "cohorts": {"main": main, "others": others, "once": once}},
        "second": {"datasets": ["a"], "seeds": [0, 1], "cohorts": {"main": {"recipes": ["a", "j"]}}},
    }
    for name, study in studies.items():
        file = tmp_path / "studies" / name / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"scales": {"paper": {"studies": {name: study}}, "pilot": {}}}))
    seeds = list(range(188))  # (2 x 7 + 1 + 1) trainings a seed, because one of the second study is among the first's
    assert dry_run.with_trainings(tmp_path, 3000) == {
        "scale": "paper",
        "scales": {"paper": {"studies": {"first": {"seeds": seeds}, "second": {"seeds": seeds}}}},
    }


def test_a_dry_run_s_table_has_the_median_and_the_milliseconds_of_a_job():
    case = {"name": "paper", "jobs": 500, "trainings": 100, "seconds": [3.0, 2.0, 9.0], "memory_bytes": 2e8}
    assert dry_run.table({"cases": [case]}).splitlines()[-1] == "| paper | 500 | 100 | 3.0 | 6.0 | 200 |"


def test_the_plan_is_skipped_by_name_where_nothing_has_run(monkeypatch, tmp_path):
    monkeypatch.setattr(plan_of_embedded, "RESULTS", tmp_path)
    with pytest.raises(Skipped, match="no finished run of the embedded scale"):
        plan_of_embedded.measure(tmp_path, False, print)


def test_portable_arithmetic_is_compared_within_a_round():
    seconds = {"native": [0.1, 0.4, 0.2], "portable": [0.2, 0.6, 0.2]}
    found = {"seconds": seconds, "capability": {"native": "AVX512", "portable": "AVX2"}}
    header, _, row = [line for line in portable.table(found).splitlines() if line.startswith("|")]
    assert "native (AVX512)" in header and row == "| 200.0 | 200.0 | 1.50 |"


def test_portable_arithmetic_is_skipped_by_name_where_the_processor_can_t(monkeypatch, tmp_path):
    monkeypatch.setattr(portable.arithmetic, "CPUINFO", tmp_path / "none")
    with pytest.raises(Skipped, match="portable needs an x86-64 processor with AVX2"):
        portable.measure(tmp_path, True, lambda line: None)


def test_the_table_says_what_was_left_out():
    table = speed_table(found(), gpu=False)
    assert "2 rounds, 1 dropped" in table and "* round dropped: noise" in table
    assert "bfloat16 channels-last: skipped: no bfloat16" in table and "plain loop: failed: broke" in table
    header, rule, *rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in (header, rule, *rows)} == {header.count("|")} and len(rows) == 2


def test_steps_of_methods_are_taken_in_turns_and_compared_with_sat(tmp_path):
    found = steps.measure(tmp_path, True, lambda line: None)
    assert found["rows"].keys() == steps.CONTESTANTS.keys() and len(found["rounds"]) == 1
    (one,) = found["rounds"]
    for name, row in found["rows"].items():
        assert row["times_sat"] == pytest.approx(one["seconds"][name] / one["seconds"]["SAT"], rel=1e-9)
    lines = [line for line in steps.table(found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(steps.CONTESTANTS)
    assert lines[2].split("|")[3:5] == [" 1.00 ", " 1.00 "] and lines[3].split("|")[4] == " 1.51 "


def job_of_a_run(results: Path, job: str, seconds: float, ended: float, *log: str) -> Path:
    """Its benchmark file and its log."""
    file, lines = results / "benchmarks" / f"{job}.tsv", results / "logs" / f"{job}.log"
    for path in (file, lines):
        path.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{100 * seconds}\n")
    os.utime(file, (ended, ended))
    lines.write_text("".join(f"2026-11-29 13:00:{line}\n" for line in log))
    return file


def test_a_profile_tells_the_parts_of_trainings_and_evaluations_from_the_start_of_python(monkeypatch, tmp_path):
    monkeypatch.setattr(profile_of_run, "RESULTS", tmp_path)
    timing = tmp_path / "runs" / "digits" / "sat" / "seed0" / "timing.parquet"
    timing.parent.mkdir(parents=True)
    pd.DataFrame({"epoch": [1, 2], "seconds": [1.5, 2.0]}).to_parquet(timing)
    attacks = (
        "03 0 of 3 evaluations are there already",
        "05 attack 1/3, ETA 0:00:09  best pgd20: accuracy 0.5 on 9 images",
        "12 attack 2/3, ETA 0:00:02  best autoattack: accuracy 0.4 on 9 images",
        "16 attack 3/3, ETA 0:00:00  last autoattack: made by another process",
    )
    files = [
        job_of_a_run(tmp_path, "train/digits/sat/seed0", 8.0, 108.0, "00 started on here", "06 finished in 0:00:06"),
        job_of_a_run(
            tmp_path, "evaluate/digits/sat/seed0/near/all", 17.0, 117.0, "01 started", *attacks, "17 finished"
        ),
        job_of_a_run(tmp_path, "studies/energy/tables/phases", 2.0, 202.0, "00 started on here", "01 finished"),
    ]
    found = profile_of_run.profile(files)
    assert found["jobs"] == 3 and found["peak_mb"] == (1700.0, "evaluate/digits/sat/seed0/near/all")
    assert found["minutes"] == pytest.approx((17 + 2) / 60)  # the pause before the table is none of its time
    assert found["seconds"] == pytest.approx(
        {
            profile_of_run.STEPS: 3.5,
            profile_of_run.TRACKING: 2.5,
            profile_of_run.AUTOATTACK: 7,
            profile_of_run.ATTACKS: 5,  # from the start on: the images are loaded for them
            profile_of_run.OTHER: 0,
            profile_of_run.DRAWN: 1,
            profile_of_run.START: 2 + 1 + 1,
            profile_of_run.BETWEEN: 4 + 2 * 19 - (8 + 17 + 2),
        }
    )


def test_a_profile_is_skipped_by_name_where_nothing_has_run(monkeypatch, tmp_path):
    monkeypatch.setattr(profile_of_run, "RESULTS", tmp_path)
    with pytest.raises(Skipped, match="no finished run of the embedded scale"):
        profile_of_run.measure(tmp_path, False, print)
