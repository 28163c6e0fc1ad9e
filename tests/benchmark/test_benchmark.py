"""What the benchmark decides: which rounds count, whether contestants compute the same, what is reached."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import certification
import chain
import convolutions
import dry_run
import evaluation
import frechet
import numpy as np
import pandas as pd
import picture
import plan_of_embedded
import portable
import portable_autoattack
import profile_of_run
import pytest
import steps
import torch
import workers
from contest import MACHINE, OURS, contest_table, timed, times
from contestants import network
from evaluation import PUBLISHED
from line_up import ART, PEER, PLAIN, TORCH_FIDELITY, TORCHATTACKS, Contestant, Package, Problem, ours
from memory import watched
from report import goals, speed_table
from rounds import Round, disturbed, play, summary
from speed import compared, forward_flops
from workers import Failed, Skipped

from robustlens.attacks.screen import Screen
from robustlens.models import bfloat16

EPSILON = 8 / 255


def one(seconds: float, probe: float = 1.0, processors: float = 2.0) -> Round:
    return Round({"ours": seconds, "peer": 2.0, "probe": probe}, {"ours": processors, "peer": 2.0, "probe": 2.0})


def test_rounds_with_a_starved_contestant_or_a_slow_probe_do_not_count():
    rounds = [one(1.0), one(1.0, processors=1.69), one(1.0, probe=1.16), one(1.0, probe=1.14, processors=1.71)]
    reasons = disturbed(rounds, ["probe"], threads=2)
    assert [bool(reason) for reason in reasons] == [False, True, True, False]
    assert reasons[1] == "ours got 1.69 of 2 processors" and reasons[2] == "probe took 1.16 times its best"
    assert disturbed(rounds, [], threads=None) == [None] * 4


def test_what_has_one_thread_anyway_is_compared_with_its_own_best_round():
    rounds = [one(1.0, processors=1.1), one(1.0, processors=0.9), one(1.0, processors=1.0)]
    reasons = disturbed(rounds, [], threads=2, partly=["ours"])
    assert reasons == [None, "ours got 0.90 of 1.1 processors", None]


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


def test_a_peer_is_skipped_by_name_where_there_is_no_way_to_install_it(monkeypatch):
    without_uv(monkeypatch)
    with pytest.raises(Skipped, match="no uv"):
        workers._python_with(TORCHATTACKS)


def test_a_peer_has_the_versions_of_this_process_and_what_it_does_not_ask_for(monkeypatch):
    monkeypatch.setenv("UV", "a/uv")
    command = " ".join(workers._python_with(ART))
    assert command.startswith("a/uv run ") and command.endswith(" --with packaging python")
    for name in ("torch", "numpy"):
        assert f"--with {name}=={version(name).split('+')[0]} " in command
    assert "--with adversarial-robustness-toolbox==1.20.1 " in command
    installed = Package("pytest", version("pytest"), "pytest")
    assert workers._python_with(installed) == [sys.executable]
    assert workers._python_with(replace(installed, version="0.1"))[0] == "a/uv"


def test_what_does_not_start_is_skipped_and_what_breaks_has_failed(monkeypatch, tmp_path):
    problem = Problem("a problem", 4, 4, 1, gpu=False)

    def ready(command: list[str]) -> None:
        monkeypatch.setattr(workers, "_python_with", lambda package: command)
        worker = workers.Worker(Contestant("a peer", "no such kind", package=ART), problem, tmp_path)
        try:
            worker.ready()
        finally:
            worker.stop()

    with pytest.raises(Skipped, match="could not be installed or started: no such package"):
        ready([sys.executable, "-c", "raise SystemExit('no such package')"])
    with pytest.raises(Failed, match="KeyError: 'no such kind'"):
        ready([sys.executable])


def test_what_is_stopped_early_may_fool_more_images_but_no_other_contestant_may():
    ours, fooled_more, robust_more = (np.array(list(word)) == "r" for word in ("rrff", "rfff", "rrrf"))
    assert evaluation.others(evaluation.EARLY, fooled_more, ours) == 0
    assert evaluation.others(evaluation.EARLY_REDUCED, robust_more, ours) == 0.25
    assert evaluation.others(PEER, fooled_more, ours) == evaluation.others(PEER, robust_more, ours) == 0.25


def found(**ratios: float) -> dict:
    row = {"images_per_second": 100.0, "best_images_per_second": 101.0, "useful_flops_per_second": 2e11}
    row |= {"times_torchattacks": 1.0, "times_plain_loop": None, "memory_bytes": None} | ratios
    rows = {PEER: row, ours("float32", "channels-last").name: row}
    skipped = {ours("bfloat16", "channels-last").name: "no bfloat16"}
    return {"name": "ResNet-18", "batch": 32, "rounds": [1, 2], "dropped": ["noise"], "rows": rows,
            "skipped": skipped, "failed": {PLAIN: "broke"}}  # fmt: skip


def contested(*rounds: dict[str, float], **more: object) -> dict:
    """What `contest` finds in rounds of these seconds."""
    return {"rounds": [{"seconds": seconds, "processors": {}} for seconds in rounds], "dropped": [], **more}


def evaluated(peer: str, seconds: float) -> dict:
    """Where ours takes a second, and a peer these."""
    return contested({OURS: 1.0, peer: seconds})


def test_goals_are_reached_missed_or_not_measured():
    judged = goals([found(times_torchattacks=1.17, share_of_convolution_rate=0.7)], {}, gpu=False)
    assert [goal["reached"] for goal in judged] == [True, None, False, None]
    prepared = {"sizes": {"train": 1}, "archive_bytes": 1, "seconds": 31, "memory_bytes": 5e8}
    prepared["evaluation_memory_bytes"] = 2.1e9
    assert [goal["reached"] for goal in goals([], {"preparation": prepared}, gpu=False)] == [False, True, False]
    assert [goal["reached"] for goal in goals([found(epoch_seconds=7.5)], {}, gpu=True)] == [True]
    chains = {"chain": contested({OURS: 1.0, chain.MARGINAL: 2.1, chain.JOINT: 9.0})}
    assert [goal["reached"] for goal in goals([], chains, gpu=False)] == [False, None]
    disturbed = {"chain": {"rounds": [], "dropped": ["noise"]}}
    assert [goal["reached"] for goal in goals([], disturbed, gpu=False)] == [None, None]


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


def test_autoattack_s_portable_row_is_compared_within_a_round_and_only_with_the_same_verdicts(monkeypatch, tmp_path):
    seconds = {PUBLISHED: [8.0, 30.0, 10.0], OURS: [4.0, 10.0, 4.0], portable_autoattack.PORTABLY: [8.0, 20.0, 5.0]}
    robust = {name: [True] * 5 + [False] * 7 for name in seconds}
    asked = []

    def answer(arithmetic: str, script: str, name: str, *_: str) -> dict:
        asked.append((name, arithmetic))
        return {"seconds": seconds[name][(len(asked) - 1) // 3], "robust": robust[name]}

    monkeypatch.setattr(portable_autoattack, "train", lambda *_: None)
    monkeypatch.setattr(portable, "in_process", answer)
    found = portable_autoattack.measure(tmp_path, False, lambda line: None)
    assert asked == 3 * [(PUBLISHED, "native"), (OURS, "native"), (portable_autoattack.PORTABLY, "portable")]
    rows = [line for line in portable_autoattack.table(found).splitlines() if line.startswith("| ")][1:]
    assert rows[1:] == [
        "| robustlens | 4.0 | 5 of 12 | 0 | 2.50 |",
        "| robustlens, portable arithmetic | 8.0 | 5 of 12 | 0 | 1.50 |",
    ]
    robust[OURS] = [False] * 2 + robust[OURS][2:]
    asked.clear()
    with pytest.raises(Failed, match="robustlens: 2 of 12 images have another verdict"):
        portable_autoattack.measure(tmp_path, False, lambda line: None)


def test_the_table_says_what_was_left_out():
    table = speed_table(found(), gpu=False)
    assert "2 rounds, 1 dropped" in table and "* round dropped: noise" in table
    assert "bfloat16 channels-last: skipped: no bfloat16" in table and "plain loop: failed: broke" in table
    header, rule, *rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in (header, rule, *rows)} == {header.count("|")} and len(rows) == 2


def test_times_are_taken_within_a_round_and_only_of_those_that_took_part():
    found = contested({OURS: 1.0, "peer": 2.0}, {OURS: 10.0, "peer": 30.0}, {OURS: 2.0, "peer": 3.0})
    assert times(found, OURS, "peer") == 2.0 and times(found, OURS, "other") is None
    table = contest_table(found | {"skipped": {"other": "not installed"}}, {"s": lambda _, seconds: f"{seconds:.1f}"})
    assert "| robustlens | 2.0 | 1.00 |" in table and "| peer | 3.0 | 2.00 |" in table
    assert table.endswith("* other: skipped: not installed")


def test_a_turn_has_as_many_calls_as_asked_for_or_as_take_a_second():
    calls = []
    seconds, _ = timed(lambda: calls.append(1), torch.device("cpu"), 7)()
    assert len(calls) == 7 and seconds < 1
    timed(lambda: time.sleep(0.3), torch.device("cpu"))
    started = time.perf_counter()
    seconds, processors = timed(lambda: time.sleep(0.3), torch.device("cpu"), 3)()
    assert 0.3 <= seconds <= time.perf_counter() - started and processors < 0.5


def test_comparisons_with_peers_are_goals_and_bars():
    parts = {
        "evaluation": {"pgd20": evaluated(PEER, 1.8), "autoattack": evaluated(PUBLISHED, 1.6)},
        "certification": contested({OURS: 1.0, certification.FORWARD: 0.8, **dict.fromkeys(certification.USUAL, 2.5)}),
    }
    judged = {
        goal["goal"]: goal["reached"] for goal in goals([found()], parts, gpu=False) if "of the" not in goal["goal"]
    }
    assert judged == {
        "ResNet-18, robustlens float32 channels-last: at least 1.1 times torchattacks 3.5.1": False,
        "ResNet-18, robustlens bfloat16 channels-last: at least 1.9 times torchattacks 3.5.1": None,
        "PGD-20, float32: at least 1.9 times torchattacks 3.5.1": False,
        "PGD-20, bfloat16: at least 3.0 times torchattacks 3.5.1": None,
        "PGD-20, early-stopped (peer: all steps), float32: at least 1.9 times torchattacks 3.5.1": None,
        "PGD-20, early-stopped (peer: all steps), bfloat16: at least 3.0 times torchattacks 3.5.1": None,
        "AutoAttack, float32: at least 1.5 times pyautoattack as published": True,
        "the screen, bfloat16: at least 2.2 times pyautoattack as published": None,
        "certification, float32: at least 2.0 times usual loop, batches of 100": True,
        "certification, float32: at least 2.0 times usual loop, batches of 1000": True,
    }
    (axes,) = picture.draw(goals([found()], parts, gpu=False), "a machine").axes
    ends = [round(bar.get_x() + bar.get_width(), 2) for bar in axes.patches]
    assert ends[::-1] == [1.0, 1, 1.8, 1, 1, 1, 1.6, 1, 2.5, 2.5]  # 1: not measured, or as fast
    assert [line.get_xdata()[0] for line in axes.lines[:-1]][::-1] == [1.1, 1.9, 1.9, 3.0, 1.9, 3.0, 1.5, 2.2, 2.0, 2.0]


def test_steps_of_methods_cost_what_their_passes_do_and_trades_is_what_the_usual_loop_computes(tmp_path):
    found = steps.measure(tmp_path, True, lambda line: None)
    assert found["check"]["equal_pixels"] > 0.999
    (one,) = found["rounds"]
    assert one["seconds"].keys() == {*steps.METHODS, *steps.USUAL_LOOPS, MACHINE}
    # Forward passes of an image: 2 in each of the 10 steps of an attack and 3 in each pass to train; TRADES' attacks
    # need one more, the usual one 10 more, and by backward() 6 in each step.
    passes = {"SAT": 23, "SAT with AWP": 26, "TRADES": 27, "WEAT-adv": 27, "AR-AT": 26, "LBGAT": 30, "MART": 26}
    passes |= {steps.USUAL: 36, steps.USUAL_BACKWARD: 66}
    for name, expected in passes.items():
        assert found["flops"][name] / found["flops"]["SAT"] == pytest.approx(expected / 23, rel=0.02), name
    lines = [line for line in steps.table(found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(passes) and {line.count("|") for line in lines} == {8}
    assert lines[2].split("|")[3:7] == [" 1.00 "] * 4


def test_samplers_make_the_same_images_and_nearly_so_in_bfloat16(monkeypatch, tmp_path):
    emulated(monkeypatch)
    found = chain.measure(tmp_path, True, lambda line: None)
    alone = {convolutions.ALONE, convolutions.ALONE_REDUCED}
    assert found["rounds"][0]["seconds"].keys() == {OURS, chain.JOINT, chain.MARGINAL, chain.REDUCED, MACHINE} | alone
    assert 0 < found["bfloat16_apart"] < chain.CLOSE_REDUCED
    assert "* images in bfloat16 differ from ours in float32 by" in chain.table(found)
    monkeypatch.setattr(chain, "CLOSE_REDUCED", found["bfloat16_apart"] / 2)
    found = chain.measure(tmp_path, True, lambda line: None)
    assert chain.REDUCED not in found["rounds"][0]["seconds"]
    assert "* robustlens bfloat16: failed: its images differ by" in chain.table(found)


def test_chains_in_bfloat16_are_skipped_by_name_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation, "has_bfloat16", lambda device: False)
    found = chain.measure(tmp_path, True, lambda line: None)
    assert found["rounds"][0]["seconds"].keys() == {OURS, chain.JOINT, chain.MARGINAL, convolutions.ALONE, MACHINE}
    assert "* robustlens bfloat16: skipped: this cpu has no bfloat16" in chain.table(found)


def test_frechet_distances_are_those_of_pytorch_fid(monkeypatch, tmp_path):
    without_uv(monkeypatch)
    found = frechet.measure(tmp_path, True, lambda line: None)
    assert found.keys() == frechet.SIZES.keys()
    for one in found.values():
        assert max(one["apart"].values()) < 1e-6 and one["distances"][frechet.PEER] > 0.01
    lines = [line for line in frechet.table(found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4 * len(found) and {line.count("|") for line in lines} == {8}
    assert f"* {TORCH_FIDELITY}: skipped: it is not installed here, and there is no uv" in frechet.table(found)


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        ("np.square(first['mu'] - second['mu']).sum() + spread(first, second)", None),
        ("1.0", "its distance, 1.0, is "),
        ("broken()", "NameError: name 'broken' is not defined"),
    ],
    ids=["right", "wrong", "breaks"],
)
def test_torch_fidelity_takes_part_where_it_finds_the_same_distance(distance, said, monkeypatch, tmp_path):
    """A stand-in for it, in a process of its own."""
    package = tmp_path / "packages/torch_fidelity"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "metric_fid.py").write_text(
        "import numpy as np\n"
        "def fid_features_to_statistics(features):\n"
        "    return {'mu': features.numpy().mean(0), 'sigma': np.cov(features.numpy(), rowvar=False)}\n"
        "def spread(first, second):\n"
        "    a, b = first['sigma'], second['sigma']\n"
        "    return np.trace(a) + np.trace(b) - 2 * np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()\n"
        "def fid_statistics_to_metric(first, second, verbose):\n"
        f"    return {{'distance': {distance}}}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(workers, "_python_with", lambda package: [sys.executable])
    monkeypatch.setattr(frechet, "SIZES", {"few": (2000, 8)})
    monkeypatch.setattr(frechet, "STARTS", {"features": frechet.FROM_FEATURES})
    (found,) = frechet.measure(tmp_path, True, lambda line: None).values()
    name, others = f"{TORCH_FIDELITY}{frechet.FROM_FEATURES}", {OURS, frechet.PEER}
    assert others <= found["rounds"][0]["seconds"].keys()
    assert (name in found["rounds"][0]["seconds"]) == (said is None)
    assert found["failed"] == {} if said is None else found["failed"][name].startswith(said)


def test_other_distances_are_not_timed(monkeypatch, tmp_path):
    without_uv(monkeypatch)
    monkeypatch.setattr(frechet, "frechet_distance", lambda *moments: 1.0)
    with pytest.raises(Failed, match="dimensions differ"):
        frechet.measure(tmp_path, True, lambda line: None)


def test_classes_are_counted_as_by_the_usual_loop(monkeypatch, tmp_path):
    found = certification.measure(tmp_path, True, lambda line: None)
    assert found["draws"] == 600 and max(found["different"].values()) <= certification.DIFFERENT
    assert "| forward passes alone |" in certification.table(found)
    monkeypatch.setattr(
        certification, "class_counts", lambda *settings: (np.zeros((2, 10), int), np.zeros((2, 10), int))
    )
    with pytest.raises(Failed, match="another class"):
        certification.measure(tmp_path, True, lambda line: None)


def test_an_undecided_network_gives_several_classes():
    smoothing, x = certification.Smoothing(sigma=0.25), torch.rand(2, 3, 32, 32)
    model = certification.undecided(certification.network(4).eval(), x, smoothing)
    first, _ = certification.usual_counts(model, x, smoothing.__class__(0.25, 100, 100), 100)
    assert (first.sum(0) > 0).sum() >= 3


def emulated(monkeypatch) -> None:
    """bfloat16, also on a processor that has none."""
    for module in (evaluation, bfloat16):
        monkeypatch.setattr(module, "has_bfloat16", lambda device: True)


def without_uv(monkeypatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_convolutions_alone_are_both_passes_of_the_network_but_for_its_last_layer():
    model, images = network(4), 8
    alone = convolutions.Convolutions(model, images, torch.device("cpu"))
    with steps.Operations() as counted:
        alone.run()
    last_layer = 2 * model.linear.weight.numel()
    assert counted.total == 2 * images * (forward_flops(4) - last_layer)


def test_evaluations_find_the_same_images_robust(monkeypatch, tmp_path):
    without_uv(monkeypatch)
    emulated(monkeypatch)
    found = evaluation.measure(tmp_path, True, lambda line: None)
    pgd20, autoattack = found["pgd20"], found["autoattack"]
    assert pgd20["skipped"].keys() == {library.name for library in evaluation.LIBRARIES} and pgd20["failed"] == {}
    ours = {OURS, evaluation.EARLY, evaluation.REDUCED, evaluation.EARLY_REDUCED}
    assert pgd20["same_verdict"] == dict.fromkeys({*ours, PLAIN}, 1.0)
    assert autoattack["different"] == {OURS: 0, evaluation.SCREEN: 0} and len(autoattack["rounds"]) == 1
    broken = {name: number for name, number in autoattack["broken_by"][OURS].items() if name != "misclassified"}
    assert broken == autoattack["broken_by"][PUBLISHED] and broken.keys() == {"apgd-ce"}
    assert autoattack["different_between_seeds"] == 0
    for name in (OURS, PUBLISHED):
        alone = portable_autoattack.attacked("native", name, tmp_path, evaluation.QUICK.autoattack_images, quick=True)
        assert sum(alone["robust"]) == autoattack["robust"][name] and alone["seconds"] > 0
    table = evaluation.table(found)
    assert (
        "no uv to install it with" in table
        and "verdicts that differ from pyautoattack as published: robustlens 0, " in table
    )


def test_contestants_in_bfloat16_are_skipped_by_name_where_there_is_none(monkeypatch, tmp_path):
    without_uv(monkeypatch)
    monkeypatch.setattr(evaluation, "has_bfloat16", lambda device: False)
    found = evaluation.measure(tmp_path, True, lambda line: None)
    left_out = [("pgd20", evaluation.REDUCED), ("pgd20", evaluation.EARLY_REDUCED), ("autoattack", evaluation.SCREEN)]
    for part, name in left_out:
        assert name not in found[part]["rounds"][0]["seconds"] and found[part]["rounds"]
        assert f"* {name}: skipped: this cpu has no bfloat16" in evaluation.table(found)


def test_a_screen_of_other_verdicts_is_not_timed(monkeypatch, tmp_path):
    without_uv(monkeypatch)
    emulated(monkeypatch)
    original = evaluation.attack_split

    def nothing_broken(model, split, attack, *rest, **more):
        table = original(model, split, attack, *rest, **more)
        return table.assign(prediction_adversarial=table["label"]) if isinstance(attack, Screen) else table

    monkeypatch.setattr(evaluation, "attack_split", nothing_broken)
    found = evaluation.measure(tmp_path, True, lambda line: None)["autoattack"]
    assert OURS in found["rounds"][0]["seconds"] and evaluation.SCREEN not in found["rounds"][0]["seconds"]
    assert "images have another verdict" in found["failed"][evaluation.SCREEN]


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
        "05 attack 1/3, ETA 0:00:09  seed0 best pgd20: accuracy 0.5 on 9 images",
        "12 attack 2/3, ETA 0:00:02  seed0 best autoattack: accuracy 0.4 on 9 images",
        "16 attack 3/3, ETA 0:00:00  seed0 last autoattack: made by another process",
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
