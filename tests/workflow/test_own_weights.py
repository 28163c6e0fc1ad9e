"""`make evaluate`: a checkpoint of one's own under one attack or suite."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
from flow import NOTHING, RESULTS, THREAT, Outcome
from safetensors.torch import load_file


def evaluate(folder: Path, weights: Path, *arguments: str) -> Outcome:
    """What `scripts/evaluate_weights.py` does in `folder` on digits, at the tiny scale."""
    given = ["--configfile", "tests/tiny.yaml", "--weights", str(weights), "--dataset", "digits", *arguments]
    done = subprocess.run(
        [sys.executable, "scripts/evaluate_weights.py", *given],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Outcome(done.returncode, done.stdout)


def test_a_checkpoint_has_the_numbers_of_the_run_that_it_comes_from(tree, tmp_path):
    state = load_file(tree / RESULTS / "runs/digits/sat/seed0/best.safetensors")
    weights = tmp_path / "My net's.pt"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, weights)

    code, output = evaluate(tree, weights, "--attack", "robustness")
    assert code == 0, output
    assert f"{weights}: {{family: resnet, blocks: [1], width: 8, block: basic}}, told by its weights" in output
    (run,) = (tree / RESULTS / "evaluations/digits").glob("my-net-s-*")
    ours, theirs = run / "seed0" / THREAT / "published", run.parent / "sat/seed0" / THREAT / "best"
    for name in ("clean", "fgsm", "pgd20", "autoattack"):
        (file,), (other,) = ours.glob(f"{name}*.parquet"), theirs.glob(f"{name}*.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(file), pd.read_parquet(other))
        assert str(file.relative_to(tree)) in output
    clean = pd.read_parquet(next(ours.glob("clean*.parquet")))
    right = (clean["prediction_adversarial"] == clean["label"]).mean()
    assert f"{100 * right:.1f} (" in next(line for line in output.splitlines() if line.startswith("clean "))

    again = evaluate(tree, weights, "--attack", "robustness")
    assert again.code == 0 and NOTHING in again.output
    assert again.output.endswith(output[output.index("Accuracy in per cent") :])

    code, output = evaluate(tree, weights, "--attack", "pgd20", "--images", "30")
    assert code == 0 and output.count("30 images") == 2, output
