"""What jobs and plans are told of datasets whose networks see a part of the images."""

import copy
import dataclasses

import pytest
from configured import digits, loaded, own, small
from planned_jobs import SMALL, TINY, evaluation, features, job, known, samples, training

from robustlens.configuration import prepared, run_spec, seen
from robustlens.errors import RobustlensError
from robustlens.planning.datasets import expected

# Configuration ----------------------------------------------------------------------------------------------------


def with_datasets(**datasets: dict) -> dict:
    return loaded(lambda raw: small(raw)["datasets"].update(datasets))


def test_jobs_are_told_of_the_crop_of_a_dataset_that_has_one():
    config = with_datasets(
        part={"like": "digits", "crop": 6}, alike={"like": "part"}, whole={"like": "part", "crop": None}
    )
    assert [seen(config, name).get("crop") for name in ("digits", "part", "alike", "whole")] == [None, 6, 6, None]
    assert seen(config, "digits") == {"dataset": "digits"} and seen(config, "part") == {"dataset": "part", "crop": 6}
    whole, part = run_spec(config, "digits", "sat"), run_spec(config, "part", "sat")
    assert "crop" not in whole and part == whole | {"dataset": "part", "crop": 6}
    assert "crop" not in config["datasets"]["digits"]


def test_datasets_that_differ_only_in_their_crop_share_what_is_prepared():
    config = with_datasets(part={"like": "digits", "crop": 6}, smaller={"like": "digits", "crop": 5})
    assert {name: prepared(config, name) for name in config["datasets"]} == dict.fromkeys(config["datasets"], "digits")


def test_jobs_on_datasets_of_this_repository_without_a_crop_are_told_what_they_were():
    """And none of it has another padding."""
    cropped = set()
    for scale in ("smoke", "embedded", "pilot", "paper"):
        config = own(scale=scale)
        for dataset, settings in config["datasets"].items():
            for recipe in config["recipes"]:
                told = run_spec(config, dataset, recipe)
                assert ("crop" in told) == ("crop" in settings), dataset
                assert told["training"]["augmentation"].keys() == {"crop_padding", "flip"}
            cropped |= {dataset} if "crop" in settings else set()
    assert cropped == {"imagenette-step"}


@pytest.mark.parametrize(
    ("dataset", "refusal"),
    [
        ({"crop": 9}, r"config\.datasets\.digits\.crop: 9 pixels are more than the images have, 8x8"),
        ({"crop": 0}, r"config\.datasets\.digits\.crop: 0 is less than the minimum"),
        ({"crop": "6"}, r"config\.datasets\.digits\.crop: '6' is not of type 'integer'"),
        ({"training": {"augmentation": {"padding": "mirror"}}}, r"augmentation\.padding: 'mirror' is not one of"),
    ],
)
def test_a_wrong_crop_or_padding_is_refused_before_any_job(dataset, refusal):
    def change(raw: dict) -> None:
        settings = digits(raw)
        settings |= {"crop": dataset["crop"]} if "crop" in dataset else {}
        settings["training"] |= dataset.get("training", {})

    with pytest.raises(RobustlensError, match=refusal):
        loaded(change)


def test_the_size_that_a_reader_is_told_is_what_a_crop_has_to_fit_in():
    imagenette = {"like": "digits", "reader": {"family": "imagenette-160"}, "splits": {"train": None}, "crop": 128}
    assert with_datasets(imagenette=imagenette)["datasets"]["imagenette"]["crop"] == 128
    with pytest.raises(RobustlensError, match=r"imagenette\.crop: 128 pixels are more than the images have, 96x96"):
        with_datasets(imagenette=imagenette | {"reader": {"family": "imagenette-160", "size": 96}})


def test_padding_may_be_reflected_by_a_dataset_or_a_recipe():
    def change(raw: dict) -> None:
        digits(raw)["training"]["augmentation"] = {"crop_padding": 2, "padding": "reflect"}
        raw["recipes"]["trades"]["training"] = {"augmentation": {"padding": "zero"}}

    config = loaded(change)
    found = [run_spec(config, "digits", recipe)["training"]["augmentation"] for recipe in ("sat", "trades")]
    assert [augmentation["padding"] for augmentation in found] == ["reflect", "zero"]


# Planning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planned",
    [
        training("sat"),
        evaluation({"name": "clean", "family": "clean"}),
        samples(),
        features("reference_features", "classifier", "train"),
        job(
            "measure_energies", {"dataset": "small", "recipe": "sat", "seed": 0, "architecture": TINY, "batch_size": 8}
        ),
    ],
    ids=lambda planned: planned.rule,
)
def test_a_plan_counts_what_networks_see(planned):
    smaller = dataclasses.replace(planned, spec=copy.deepcopy(planned.spec) | {"crop": 2})
    whole, part = (known(one).work(one) for one in (planned, smaller))
    assert (whole.network.shape, part.network.shape) == (SMALL.shape, (1, 2, 2))
    assert part.network.flops < 0.3 * whole.network.flops and part.network.parameters == whole.network.parameters
    both = known(planned, smaller)  # one dataset is not taken for the other
    assert [both.work(one).network.shape for one in (smaller, planned)] == [(1, 2, 2), SMALL.shape]


def test_generated_images_take_the_space_of_what_networks_see():
    smaller = dataclasses.replace(samples(), spec=samples().spec | {"crop": 2})
    one, other = (known(planned).written(planned)["generated images"] for planned in (samples(), smaller))
    assert one == 4 * other


def test_the_disk_space_of_a_prepared_dataset_is_that_of_whole_images():
    splits = {"train": 100, "validation": 10, "test": None}
    assert expected({"reader": {"family": "imagenette-160", "size": 160}, "splits": splits}).shape == (3, 160, 160)
    assert expected({"reader": {"family": "digits"}, "splits": splits}).cropped(None).shape == (1, 8, 8)
