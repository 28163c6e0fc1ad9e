"""The work and the disk space of each stage, which its own planning module says."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from planned_jobs import (
    CLEAN,
    PGD,
    REGISTERED,
    REGISTRATION,
    ROOT,
    RUN,
    SHEET,
    SMALL,
    STAGES,
    TINY,
    TINY_FLOPS,
    TINY_PARAMETERS,
    evaluation,
    features,
    job,
    known,
    of_seeds,
    samples,
    shards,
    small_data,
    training,
    weights,
)

from robustlens.errors import RobustlensError
from robustlens.planning import stages
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.plan import disk
from robustlens.planning.stages import download
from robustlens.planning.stages.evaluate import ROBUST_SHARE
from robustlens.planning.work import Work


def work(chosen: Job, *others: Job) -> Work:
    return known(chosen, *others).work(chosen)


# Registration


def test_every_planning_module_is_registered_beside_the_rule_of_its_name():
    written = {file.stem for file in Path(stages.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name.rpartition(".")[2] for name in REGISTERED.values()} == written == set(REGISTERED)
    for name in REGISTERED.values():
        importlib.import_module(name)


PLANNING = """
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work

NOTES = ("Weighing is assumed to be free.",)


def work(job, known):
    dataset = known.dataset(job)
    network = Network.of(job.spec["architecture"], dataset.shape, dataset.classes)
    return Work(network, (Calls("weighing", dataset.sizes["test"], forwards=2),))


def written(job, known):
    return {"weights of weights": 10.0 * len(known.sources_by("train", job))}
"""


def test_a_stage_of_a_study_is_planned_by_its_registration_alone(tmp_path, monkeypatch):
    (tmp_path / "studies_of_a_test").mkdir()
    (tmp_path / "studies_of_a_test/planning.py").write_text(PLANNING)
    monkeypatch.syspath_prepend(tmp_path)
    weigh = job("weigh", {"architecture": TINY}, inputs=(SHEET, weights("sat", 0, "best")))
    registered = known(training(), weigh, stages=STAGES | {"weigh": "studies_of_a_test.planning"})
    assert registered.work(weigh).flops == pytest.approx(TINY_FLOPS * 2 * 30)
    assert disk([weigh], registered) == {"weights of weights": 10.0}
    assert "Weighing is assumed to be free." in registered.notes()
    unregistered = known(training(), weigh)
    assert unregistered.work(weigh) is None and disk([weigh], unregistered) == {}
    assert "Weighing is assumed to be free." not in unregistered.notes()


def test_a_planning_module_that_can_t_be_imported_is_named_with_its_rule():
    with pytest.raises(RobustlensError, match=r"rule weigh: its planning module studies.no.such .* PLANNED\['weigh'\]"):
        known(stages={"weigh": "studies.no.such"}).stage("weigh")


@pytest.mark.parametrize("rules", sorted(ROOT.glob("studies/*/rules.smk")), ids=lambda file: file.parent.name)
def test_a_study_registers_planning_modules_that_there_are(rules):
    registered = REGISTRATION.findall(rules.read_text())
    assert registered or "PLANNED" not in rules.read_text()
    for _, module in registered:
        assert importlib.import_module(module).__doc__


def test_a_table_has_no_network():
    assert work(job("make_table", wildcards={"study": "energy", "table": "phases"})) is None


# Datasets


def prepared(name: str, size: int) -> Job:
    splits = {"train": size, "validation": 200, "test": None, "seed": 0}
    spec = {"reader": {"family": "digits"}, "splits": splits}
    sheet = f"results/s/data/{name}/sheet.json"
    return Job("prepare_data", {"dataset": name}, (), (sheet, f"results/s/data/{name}/train_images.npy"), "b", 1, spec)


def test_a_job_s_dataset_is_the_prepared_one_among_its_inputs_whatever_its_own_entry_is_called():
    """Two entries of the configuration share the images that are prepared under the name of one of them."""
    spec = training().spec | {"dataset": "digits-wide"}
    shared = replace(training(), spec=spec, inputs=("results/s/data/digits/sheet.json",))
    jobs = [prepared("digits", 400), prepared("digits-wide", 17), shared]
    found = Known(jobs, jobs, STAGES).dataset(shared)
    assert (found.shape, found.classes, found.sizes["train"]) == ((1, 8, 8), 10, 400)


def test_a_job_without_a_prepared_dataset_is_an_error_that_says_what_to_add():
    lonely = replace(training(), inputs=("results/s/other/sheet.json",))
    with pytest.raises(RobustlensError, match=r"rule train: .*results/s/other/sheet.json.*add the dataset's sheet"):
        work(lonely)


# Trainings

# 50 training and 20 validation images with 3 attack steps of 2 passes, and the two predictions.
TRACKING = 5 * (50 + 20) * (3 * 2 + 2)


@pytest.mark.parametrize(
    ("method", "step"), [("standard", 3), ("sat", 4 * 2 + 3), ("trades", 4 * 2 + 1 + 2 * 3), ("mart", 4 * 2 + 2 * 3)]
)
def test_a_training_s_operations_are_those_counted_by_hand(method, step):
    found = work(training(method))
    assert found.flops == pytest.approx(TINY_FLOPS * (5 * 100 * step + TRACKING))
    assert found.flops_by("name") == pytest.approx(
        {"training": TINY_FLOPS * 5 * 100 * step, "tracking": TINY_FLOPS * TRACKING}
    )


def test_epochs_that_are_not_measured_cost_no_tracking():
    """Every second of five epochs, the first, whose energies are kept, and the last; none after the last."""
    spec = RUN | {"tracking": RUN["tracking"] | {"every": 2, "energy_epochs": [1, 4, 9]}}
    found = work(replace(training(), spec=spec)).flops_by("name")["tracking"]
    assert found == pytest.approx(TINY_FLOPS * TRACKING * 4 / 5)


def test_only_the_training_is_in_bfloat16_and_that_not_where_float32_is_asked_for():
    by_precision = work(training()).flops_by("precision")
    assert by_precision == pytest.approx({"bfloat16": TINY_FLOPS * 5 * 100 * 11, "float32": TINY_FLOPS * TRACKING})
    assert set(work(training(precision="float32")).flops_by("precision")) == {"float32"}


def test_the_batchnorm_statistics_of_a_weight_average_take_two_more_epochs():
    average = {"name": "swa", "start_epoch": 1, "every_steps": 1}
    more = work(training(averaging=average)).flops - work(training()).flops
    assert more == pytest.approx(TINY_FLOPS * 100 * (1 + 4 * 2 + 1))


def test_every_step_after_the_first_epochs_of_weight_perturbation_computes_its_loss_twice():
    perturbed = {"name": "awp", "gamma": 0.01, "start_epoch": 2}
    more = work(training(weight_perturbation=perturbed)).flops - work(training()).flops
    assert more == pytest.approx(TINY_FLOPS * 3 * 100 * 3)


def test_a_run_writes_its_weights_twice_and_a_state_of_three_times_their_size():
    runs = [training(), training(seed=1)]
    found = disk(runs, known(*runs))
    assert found == {"weights of runs": 2 * 2 * 4 * TINY_PARAMETERS, "training states": 2 * 3 * 4 * TINY_PARAMETERS}
    averaged = training(averaging={"name": "ema", "decay": 0.9})
    assert disk([averaged], known(averaged))["training states"] == 4 * 4 * TINY_PARAMETERS


# Evaluations


def test_an_evaluation_s_operations_are_those_counted_by_hand():
    # Two checkpoints; 30 images, or 10, of which AutoAttack-like attacks leave the fooled half alone.
    assert work(evaluation(CLEAN)).flops == pytest.approx(TINY_FLOPS * 2 * 30 * 2)
    assert work(evaluation(PGD)).flops == pytest.approx(TINY_FLOPS * 2 * 30 * (2 + 5 * 2))
    assert work(evaluation(PGD | {"samples": 10})).flops == pytest.approx(TINY_FLOPS * 2 * 10 * (2 + 5 * 2))
    assert work(evaluation(PGD | {"best_only": True})).flops == pytest.approx(TINY_FLOPS * 30 * (2 + 5 * 2))


def test_of_the_images_that_square_attacks_only_the_robust_ones_cost_its_queries():
    """None are after a training without an attack."""
    square = {"name": "square", "family": "square", "parameters": {"queries": 1000}}
    by_hand = 30 * (2 + ROBUST_SHARE * 1003 + (1 - ROBUST_SHARE) * 1)
    assert work(evaluation(square, checkpoints=["published"])).flops == pytest.approx(TINY_FLOPS * by_hand)
    robust, fragile = (evaluation(square, checkpoints=["best"], recipe=recipe) for recipe in ("sat", "standard"))
    assert work(robust, training("sat"), training("standard")).flops == pytest.approx(TINY_FLOPS * by_hand)
    assert work(fragile, training("sat"), training("standard")).flops == pytest.approx(TINY_FLOPS * 30 * (2 + 1))


@pytest.fixture
def evaluated(tmp_path, monkeypatch) -> list[Job]:
    """A training and its evaluation, for which two of four files are there: `clean` of both checkpoints."""
    monkeypatch.chdir(tmp_path)
    jobs = [training(), evaluation(CLEAN, PGD | {"samples": 10})]
    for checkpoint in ("best", "last"):
        file = Path(jobs[1].outputs[0]).parent / checkpoint / "clean.parquet"
        file.parent.mkdir(parents=True)
        file.touch()
    return jobs


def test_evaluations_that_are_there_are_not_made_again(evaluated):
    run, chosen = evaluated
    plan = known(run, chosen, needed=(chosen,))
    assert plan.left(chosen).flops == pytest.approx(TINY_FLOPS * 2 * 10 * (2 + 5 * 2))
    assert plan.written(chosen) == {"evaluations": 2 * 10 * 40}
    assert plan.work(chosen).flops == pytest.approx(TINY_FLOPS * 2 * (10 * (2 + 5 * 2) + 30 * 2))
    (Path(chosen.outputs[0]).parent / "last/pgd5.10.parquet").touch()
    assert plan.left(chosen).flops == pytest.approx(TINY_FLOPS * 10 * (2 + 5 * 2))
    (Path(chosen.outputs[0]).parent / "best/pgd5.10.parquet").touch()
    assert plan.left(chosen).flops == 0 and plan.written(chosen) == {"evaluations": 0}


def test_jobs_that_share_an_attack_have_its_work_and_the_one_that_joins_has_the_rest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = evaluation(CLEAN, PGD)
    shared = shards(chosen, "pgd5", 4)  # batches of 12, 12 and 6 images
    joins = replace(chosen, inputs=(*chosen.inputs, *(job.outputs[0] for job in shared)))
    plan = known(training(), *shared, joins)
    parts = [plan.work(job).flops for job in shared]
    assert parts == pytest.approx([TINY_FLOPS * images * (2 + 5 * 2) for images in (12, 12, 6, 0)])
    assert sum(parts) + plan.work(joins).flops == pytest.approx(plan.work(chosen).flops)
    assert plan.left(joins).flops == plan.work(joins).flops == pytest.approx(plan.work(chosen).flops - sum(parts))
    assert [plan.written(job) for job in shared] == [{"evaluations": images * 40} for images in (12, 12, 6, 0)]
    # Once the evaluation is there, whatever jobs are to share it have nothing to do, unless its run is trained again.
    file = Path(chosen.outputs[0]).parent / "best/pgd5.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    done = known(training(), *shared, joins, needed=(*shared, joins))
    assert [done.left(job).flops for job in shared] == [0] * 4 and done.written(shared[0]) == {"evaluations": 0}
    assert done.left(joins).flops == plan.work(joins).flops - TINY_FLOPS * 0
    anew = known(training(), *shared, joins)
    assert [anew.left(job).flops for job in shared] == parts


def test_a_job_for_several_seeds_has_the_work_of_a_job_for_each(evaluated):
    run, chosen = evaluated
    both, other = of_seeds(chosen, 0, 1), training(seed=1)
    plan = known(run, other, both, needed=(both,))
    assert plan.work(both).flops == pytest.approx(2 * plan.work(chosen).flops)
    # Of seed 0 two of four files are there; seed 1 lacks all of them.
    assert plan.written(both) == {"evaluations": (2 * 10 + 2 * (30 + 10)) * 40}
    first, second = both.parts()
    assert first.spec == chosen.spec and first.wildcards == chosen.wildcards and first.inputs == chosen.inputs
    assert second.inputs == (chosen.inputs[0], *(path.replace("seed0", "seed1") for path in chosen.inputs[1:]))
    assert second.certificate in second.outputs and all("/seed1/" in path for path in second.outputs)
    assert chosen.parts() == [chosen]
    report = job("make_report", {"seeds": [0, 1, 2]})
    assert report.parts() == [report]  # of all seeds at once


def test_all_evaluations_of_a_run_that_is_trained_anew_are_made_again(evaluated):
    run, chosen = evaluated
    plan = known(run, chosen, needed=(run, chosen))
    assert plan.left(chosen).flops == plan.work(chosen).flops
    assert plan.written(chosen) == {"evaluations": 2 * (30 + 10) * 40}


# Generated images and their scores


def test_generated_images_cost_a_gradient_per_step_and_a_look_at_the_end():
    assert work(samples()).flops == pytest.approx(TINY_FLOPS * 7 * 3 * (40 * 2 + 1))


def test_features_cost_a_pass_per_image_of_the_network_that_is_asked_for():
    def flops(*asked: str) -> float:
        return work(features(*asked), samples()).flops

    assert flops("reference_features", "classifier", "train") == pytest.approx(TINY_FLOPS * 100)
    assert flops("reference_features", "inception", "test") == pytest.approx(11.42e9 * 30)
    assert flops("score_samples", "inception", "train") == pytest.approx(11.42e9 * 7 * 3)
    assert flops("score_real_images", "inception", "train") == pytest.approx(11.42e9 * 30)
    assert flops("score_real_images", "inception", "test") == pytest.approx(11.42e9 * 20)


def test_the_nearest_training_image_and_the_statistics_are_work_for_the_processor():
    scores = work(features("score_samples", "classifier", "train"), samples())
    nearest, covariances = 2 * 21 * 100 * 16, 2 * (2 * 21 + 100) * 2**2
    assert scores.processor == pytest.approx(nearest + covariances + 3 * 13 * 2**3 + 300 * 2 * 21**2 * 2)


def test_a_grid_costs_the_chains_of_all_its_settings():
    spec = samples().spec | {"grid": {"per_class": 2, "values": {"steps": [10, 20]}}}
    assert work(job("generate_grid", spec)).flops == pytest.approx(TINY_FLOPS * 2 * 3 * ((10 + 20) * 2 + 2))


def test_a_correction_costs_an_attack_and_two_predictions_per_strength_and_the_attack_of_the_prior():
    corrections = {"a": {"parameters": {"strengths": [0, 1]}}, "b": {"parameters": {"strengths": [0, 1, 2]}}}
    tracking = {"attack_steps": 4, "batch_size": 8}
    chosen = job("correct", {"architecture": TINY, "tracking": tracking, "corrections": corrections})
    # 20 validation images; the attack: 4 forward passes and 4 gradients; 5 strengths.
    assert work(chosen).flops == pytest.approx(TINY_FLOPS * 20 * (5 * (2 * 4 + 2) + 2 * 4 + 1))
    assert known(chosen).written(chosen) == {"weights of runs": 2 * 4 * TINY_PARAMETERS}


@pytest.mark.parametrize(("shards", "blocks"), [(1, [8, 8, 4]), (2, [8, 4]), (3, [8])])
def test_a_certification_costs_all_draws_of_its_images(shards, blocks):
    """20 of the 30 test images in blocks of 8: the draws of 10 batches of 24, rounded up."""
    own = {"family": "smoothing", "parameters": {"sigma": 1.0, "first_draws": 10, "draws": 20}}
    spec = {"architecture": TINY, "certification": own, "images": 20, "batch_size": 24, "shard": 1, "shards": shards}
    found = work(job("certify", spec))
    assert found.flops == pytest.approx(TINY_FLOPS * 30 * sum(blocks))
    (calls,) = found.calls
    assert calls.forwards == sum(-(-30 * images // 24) for images in blocks)
    assert calls.gradients == calls.trained == 0


def test_a_job_without_images_costs_nothing():
    own = {"family": "smoothing", "parameters": {"sigma": 1.0}}
    spec = {"architecture": TINY, "certification": own, "images": 1, "batch_size": 24, "shard": 2, "shards": 2}
    assert work(job("certify", spec)).flops == 0


def test_energies_of_the_training_images_cost_a_pass_each():
    assert work(job("measure_energies", {"architecture": TINY, "batch_size": 8})).flops == pytest.approx(
        TINY_FLOPS * 100
    )


DDPM = {
    **{"denoiser": "mlp", "width": 4, "depth": 1, "steps": 10, "batch_size": 5, "learning_rate": 0.001},
    **{"weight_decay": 0.0, "flip": False, "ema_decay": 0.9, "levels": 20, "sampling_steps": 6, "conditional": True},
}
# By hand, on 16 pixels: 2 of 4x4 for the level, 16x4, 3 of 4x4 in the block, twice 4x16; 3 classes and a LayerNorm.
DDPM_FLOPS = 2 * (2 * 16 + 64 + 3 * 16 + 2 * 64)
DDPM_PARAMETERS = 2 * 20 + 3 * 4 + (64 + 4) + (8 + 3 * 20) + 2 * (64 + 16)


def pool(family: str = "gaussian", rule: str = "generate_pool", **parameters) -> Job:
    chosen = {"family": family, "parameters": parameters}
    return job(rule, {"dataset": "small", "per_class": 7, "generator": chosen})


def test_a_pool_of_a_density_has_no_network_and_takes_the_time_and_the_bytes_of_its_images():
    assert work(pool()) is None
    assert known(pool()).seconds(pool()) == pytest.approx(7 * 3 * (16 + 8) / 2e6)
    assert disk([pool()], known(pool())) == {"generated images": 7 * 3 * (16 + 8)}


def published(receipt: str | None = "results/downloads/theirs/receipt.json", **spec: object) -> Job:
    archives = [{"file": "a.bin", "bytes": 6000}, {"file": "a.npy", "bytes": 400}]
    spec = {"generator": "theirs", "sample_set": {"layout": "raw"}, "archives": archives, "per_class": 7} | spec
    return job("import_pool", spec, inputs=(SHEET, *([receipt] if receipt else [])))


def test_a_published_set_is_read_three_times_as_a_whole_and_takes_the_bytes_of_the_images_that_are_chosen():
    one, written = published(), 7 * 3 * (16 + 8)
    assert work(one) is None
    assert known(one).seconds(one) == pytest.approx((3 * 6400 + written) / 200e6)
    assert disk([one], known(one)) == {"generated images": written}
    assert known(one).fetched(one) == []
    assert disk([published(per_class=None)], known()) == {"generated images": 6400}


def test_the_size_of_a_published_set_is_that_of_its_file_in_place_or_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = published(archives=[{"file": "a.npz"}])
    assert known(one).seconds(one) is None and disk([one], known(one)) == {"generated images": 7 * 3 * (16 + 8)}
    Path("results/downloads/theirs").mkdir(parents=True)
    Path("results/downloads/theirs/a.npz").write_bytes(bytes(1000))
    assert known(one).seconds(one) == pytest.approx((3 * 1000 + 7 * 3 * (16 + 8)) / 200e6)
    elsewhere = published("results/receipts/theirs/receipt.json", archives=[{"file": "a.npz"}])
    assert known(elsewhere).seconds(elsewhere) == known(one).seconds(one)


def test_a_published_folder_is_asked_for_until_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = published(None, sample_set={"layout": "folder", "folder": "set"}, archives=[])
    assert known(one).fetched(one) == [{"folder": "theirs", "file": "set", "bytes": None, "by_hand": True}]
    assert known(one).seconds(one) is None
    Path("results/downloads/theirs/set").mkdir(parents=True)
    assert known(one).fetched(one) == []


def selection(**spec: object) -> Job:
    pooled = ("results/s/generators/small/all/images.npy", "results/s/generators/small/all/labels.npy")
    spec = {"dataset": "small", "generator": "some", "from": "all", "share": 0.25} | spec
    return job("select_pool", spec, inputs=(SHEET, *pooled))


DISCRIMINATOR = {"norm": "l2", "epsilons": [0, 0.1], "steps": [40], "batch_size": 6, "attack_steps": 7}
BY_REALNESS = {
    "by": "realness",
    "architecture": TINY,
    "discriminator": DISCRIMINATOR | {"learning_rate": 0.1, "validation_steps": 5},
}


def test_a_selection_by_realness_trains_a_discriminator_with_two_classes_and_judges_the_whole_pool():
    some = selection(**BY_REALNESS)
    source = replace(pool(), outputs=some.inputs[1:])
    two = TINY_FLOPS - 2 * 2  # a logit less of 2 features
    # 40 steps on 6 images of each side: the attack's passes and gradients, and one of the weights; 20 validation images
    # and as many of the pool, attacked and looked at twice; the 7 images of each of 3 classes once.
    by_hand = 40 * 12 * (7 * 2 + 3) + 40 * (5 * 2 + 2) + 7 * 3
    assert work(some, source).flops == pytest.approx(two * by_hand)
    size = 7 * 3 * (16 + 8)
    planned = known(some, source)
    assert planned.seconds(some) == pytest.approx((2 + 0.25) * size / 200e6)
    weights = 4 * (TINY_PARAMETERS - 3)
    assert planned.written(some) == {"generated images": 0.25 * size, "training states": 4 * weights}


def test_a_selection_by_chance_only_copies_and_of_a_set_of_unknown_size_the_pool_counts_as_empty():
    some = selection(by="chance")
    source = replace(pool(), outputs=some.inputs[1:])
    assert work(some, source) is None
    assert disk([some], known(some, source)) == {"generated images": 0.25 * 7 * 3 * (16 + 8)}
    unknown = replace(published(archives=[{"file": "a.npz"}], per_class=None), outputs=some.inputs[1:])
    assert known(some, unknown).seconds(some) == 0
    some = selection(**BY_REALNESS)
    assert work(some, unknown).flops == pytest.approx((TINY_FLOPS - 4) * (40 * 12 * 17 + 40 * 12))


def test_a_density_takes_the_time_and_the_bytes_of_the_images_that_it_is_fitted_to():
    fit = pool(rule="fit_generator")
    assert work(fit) is None and known(fit).seconds(fit) == pytest.approx(100 * 16 / 20e6)
    assert disk([fit], known(fit)) == {"fitted generators": 100 * 16 * 4}


def test_a_diffusion_model_is_counted_by_its_steps_and_by_those_of_its_sampler():
    fit, drawing = pool("ddpm", "fit_generator", **DDPM), pool("ddpm", **DDPM)
    assert work(fit).flops == 10 * 5 * 3 * DDPM_FLOPS and known(fit).seconds(fit) == 0
    assert work(drawing).flops == 7 * 3 * 6 * DDPM_FLOPS
    weights = 4 * DDPM_PARAMETERS
    assert disk([fit], known(fit)) == {"fitted generators": weights, "training states": 4 * weights}
    blind = pool("ddpm", "fit_generator", **DDPM | {"conditional": False})
    assert disk([blind], known(blind))["fitted generators"] == weights - 3 * 4 * 4


@pytest.mark.parametrize("rule, name", [("fit_generator", "denoising"), ("generate_pool", "sampling")])
def test_a_diffusion_model_is_timed_by_steps_of_its_own(rule, name):
    asked = pool("ddpm", rule, **DDPM)
    planned = known(asked)
    trial = importlib.import_module(REGISTERED[rule]).trial
    assert trial(asked, planned, torch.device("cpu"), 5 * DDPM_FLOPS) is None
    (found,) = trial(asked, planned, torch.device("cpu"), 1e6).items()
    assert found[0] == name and 0 < found[1] < 1e-3  # a step of 5 images takes milliseconds


def test_images_and_features_take_the_bytes_of_their_arrays():
    data = prepared("digits", 200)
    jobs = [data, samples(), features("reference_features", "inception", "test")]
    assert disk(jobs, known(*jobs)) == {
        "prepared datasets": 1797 * (64 + 16),
        "generated images": 7 * 3 * 16 * 4,
        "reference features": 30 * (2048 + 1008) * 8,
    }
    assert disk([small_data()], known()) == {} and SMALL.bytes == 150 * 32


# Downloads


def test_downloads_are_the_archives_that_are_not_there_and_say_what_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results/downloads/d").mkdir(parents=True)
    Path("results/downloads/d/there.zip").touch()
    archives = [
        {"file": "there.zip", "bytes": 5, "urls": ["https://a.org/there.zip"]},
        {"file": "known.zip", "bytes": 7, "urls": ["https://a.org/known.zip"]},
        {"file": "by-hand.zip", "urls": []},
    ]
    spec = {"archives": archives, "folder": {"name": "images", "layout": "train/<class>"}}
    found = download.fetched(job("download", spec, wildcards={"download": "d"}))
    assert [(file["folder"], file["file"], file["bytes"], file["by_hand"]) for file in found] == [
        ("d", "known.zip", 7, False),
        ("d", "by-hand.zip", None, True),
        ("d", "images", None, True),
    ]
