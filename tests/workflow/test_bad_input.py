"""What can't work ends with one message that says what, where and what to do, and leaves nothing that looks good."""

import shutil
from pathlib import Path

import pytest
import yaml
from flow import RESULTS, files, own_mounts, run, with_mounts

DIGITS = "scales: {tiny: {datasets: {digits: {%s}}}}"
STUDY = "scales: {tiny: {studies: {energy: {%s}}}}"
PLACE = "config.datasets.digits"
MISTAKES = {
    "unknown key": (DIGITS % "training: {epoch: 3}", f"{PLACE}.training: unknown key 'epoch'; did you mean 'epochs'?"),
    "unknown key at the top": ("sclaes: {}", "config: unknown key 'sclaes'; did you mean 'scale'?"),
    "value out of range": (DIGITS % "training: {learning_rate: -0.1}", f"{PLACE}.training.learning_rate: -0.1 is less"),
    "value of another type": (DIGITS % "training: {epochs: many}", f"{PLACE}.training.epochs: 'many' is not"),
    "parameter out of range": ("recipes: {trades: {beta: -1}}", "config.recipes.trades.beta: must be a number of at"),
    "unknown parameter": ("recipes: {trades: {betta: 1}}", "config.recipes.trades: trades has no parameter 'betta'; "
                          "did you mean 'beta'?"),
    "unknown scale": ("scale: embeded", "config: unknown scale 'embeded'; did you mean 'embedded'?"),
    "unknown method": ("recipes: {mine: {method: tradess}}", "config.recipes.mine: unknown method 'tradess'; did you "
                       "mean 'trades'?"),
    "unknown reader": (DIGITS % "reader: {family: digit}", f"{PLACE}.reader: unknown dataset reader 'digit'; did you "
                       "mean 'digits'?"),
    "unknown attack family": ("attacks: {pgd20: {family: pdg}}", "config.attacks.pgd20: unknown attack 'pdg'; did you "
                              "mean 'pgd'?"),
    "unknown family of a generator": ("generators: {mine: {family: gausian, per_class: 1}}", "config.generators.mine: "
                                      "unknown generator 'gausian'; did you mean 'gaussian'?"),
    "unknown parameter of a generator": ("generators: {gaussian: {shrinking: 0.1}}", "config.generators.gaussian: "
                                         "gaussian has no parameter 'shrinking'; did you mean 'shrinkage'?"),
    "unknown architecture": (DIGITS % "architecture: {family: resnett}", f"{PLACE}.architecture: unknown architecture "
                             "'resnett'; did you mean 'resnet'?"),
    "unknown recipe": (STUDY % "cohorts: {main: {recipes: [sat, weatadv]}}", "config.studies.energy.cohorts.main"
                       ".recipes: unknown recipe 'weatadv'; did you mean 'weat-adv'?"),
    "unknown dataset": (STUDY % "datasets: [digit]", "config.studies.energy.datasets: unknown dataset 'digit'; did you "
                        "mean 'digits'?"),
    "energies of an epoch that is not": (DIGITS % "tracking: {energy_epochs: [1, 9]}", f"{PLACE}.tracking"
                                         ".energy_epochs: 9 is after the last epoch"),
    "features of an evaluated run": (STUDY % "seeds: [0, 1000], cohorts: {main: {recipes: [standard, sat, trades]}}",
                                     f"{PLACE}.generation.features: seed 1000 of standard is an evaluated run"),
    "one label twice": ("recipes: {trades: {label: SAT}}", "config.recipes.trades.label: 'SAT' is also the label of "
                        "sat, and both are in the table robustness of energy; give one of them another label"),
    "no mapping": ("scales: 3", "config.scales: 3 is not a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_ends_in_one_line(mistake, sources, tmp_path):
    overlay, message = MISTAKES[mistake]
    (tmp_path / "overlay.yaml").write_text(overlay)
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-c2")
    assert code == 1
    said = [line for line in output.splitlines() if not line.startswith(("Using workflow specific", "Config file "))]
    assert len(said) == 1 and said[0].startswith(message), output
    assert not (sources / "results").exists()


def test_a_mistake_is_told_with_its_file_and_line(sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text("\n" + DIGITS % 'training: {epochs: "forty"}')
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-q", "all")
    message = f"{PLACE}.training.epochs: 'forty' is not of type 'integer' ({tmp_path}/overlay.yaml, line 2)"
    assert code == 1 and output.splitlines()[-1] == message


def test_a_pool_of_an_unknown_generator_names_the_nearest(sources):
    code, output = run(sources, "-n", "-q", "all", "--", str(RESULTS / "generators/digits/gausian/images.npy"))
    assert code == 1 and "Traceback" not in output
    assert output.splitlines()[-1] == "config.generators: unknown generator 'gausian'; did you mean 'gaussian'?"


def test_wrong_inception_weights_stop_the_run_before_anything_is_generated(sources, tmp_path):
    scale = yaml.safe_load((sources / "tests/tiny.yaml").read_text())["scales"]["tiny"]
    scale["datasets"]["digits"]["generation"]["features"] = {"kind": "inception"}
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump({"scale": "seen", "scales": {"seen": scale}}))
    weights = sources / "results/downloads/inception/pt_inception-2015-12-05-6726825d.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"not the weights")
    samples = "results/seen/generation/digits/trades/seed0/samples.npz"
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-c2", "--until", "download", "--", samples)
    assert code == 1 and "Traceback" not in output
    assert f"FAILED: {weights.relative_to(sources)}: sha256 " in output and "expected 6726825d" in output
    assert [path.name for path in (sources / "results").iterdir()] == ["downloads"]
    assert weights.read_bytes() == b"not the weights"
    shutil.rmtree(sources / "results")


def test_results_that_are_a_file_are_refused_by_name(sources):
    (sources / "results").touch()
    code, output = run(sources, "-c2")
    (sources / "results").unlink()
    assert code == 1 and "Traceback" not in output
    assert output.splitlines()[-1].startswith(f"{sources / 'results'} is not a folder: move it away")


def test_a_loss_that_is_not_finite_names_the_learning_rate_and_the_log_and_leaves_no_weights(tree, tmp_path):
    (tmp_path / "overlay.yaml").write_text(DIGITS % "training: {learning_rate: 1.0e+30}")
    folder = RESULTS / "runs/digits/trades/seed0"
    code, output = run(tree, str(tmp_path / "overlay.yaml"), "-c2", str(folder / "best.safetensors"))
    assert code == 1 and "Traceback" not in output
    log = RESULTS / "logs/train/digits/trades/seed0.log"
    place = output.index("[train digits/trades/seed0] FAILED: epoch 1 ended with a training loss of nan")
    failure = output[place:].splitlines()
    assert "lower `learning_rate` (now 1e+30)" in failure[0] and failure[1] == f"  log: {log}"
    assert failure[0].partition("FAILED: ")[2] in (tree / log).read_text()
    assert files(tree / folder) == []
    assert not (tree / RESULTS / "provenance/runs/digits/trades/seed0.json").exists()


# Disks --------------------------------------------------------------------------------------------------------------


@own_mounts
def test_results_that_cannot_be_written_are_named(sources):
    (sources / "results").mkdir()
    sheet = str(RESULTS / "data/digits/sheet.json")
    code, output = with_mounts(sources, 'mount -t tmpfs -o ro none results; "$@"', "-c2", sheet)
    (sources / "results").rmdir()
    assert code == 1 and "Traceback" not in output
    assert "Failed to create output directory results/tiny/data/digits" in output
    assert "Read-only file system" in output


# Room for the data and 24 KiB, in which no training state fits; then, after `room`, for everything.
FULL_DISK = """
mv results saved; mkdir results; mount -t tmpfs -o size=50m none results; cp -a saved/. results/
mount -o remount,size=$(($(df --output=used results | tail -1) + 24))k results
"$@" || echo "first: code $?"
echo "left: $(find results -name '*.part*') $(find results/tiny/runs results/tiny/state -name '*.safetensors')"
mount -o remount,size=50m results
"$@"
echo "second: code $?"
cp -a results/tiny/runs made
"""


@own_mounts
def test_a_full_disk_is_named_with_the_file_and_the_same_command_completes_when_there_is_room(tree, finished):
    for name in ("runs", "state", "evaluations", "generation", "studies", "logs", "provenance/runs"):
        shutil.rmtree(tree / RESULTS / name)
    run_folder = Path("digits/trades/seed0")
    code, output = with_mounts(tree, FULL_DISK, "-c2", str(RESULTS / "runs" / run_folder / "best.safetensors"))
    assert code == 0 and "Traceback" not in output, output
    assert "first: code 1" in output and "second: code 0" in output
    assert "[train digits/trades/seed0] FAILED: results/tiny/state/digits-trades-seed0-" in output
    assert "state.safetensors: could not be written (No space left on device); free space" in output
    assert "\nleft:  \n" in output
    for name in ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet"):
        made, expected = (folder / run_folder / name for folder in (tree / "made", finished / RESULTS / "runs"))
        assert made.read_bytes() == expected.read_bytes(), name
