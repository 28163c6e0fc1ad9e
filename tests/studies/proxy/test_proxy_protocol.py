"""What the study trains: mixtures beside as many real images in as many steps, and the weights of a published curve."""

import math
from itertools import product
from pathlib import Path

import pytest
from configured import REPOSITORY, own

from robustlens.configuration.facts import shape, training
from robustlens.errors import RobustlensError
from robustlens.report.published import PublishedNumbers

SCALES = ("smoke", "embedded", "pilot", "paper")
STUDY = REPOSITORY / "studies" / "proxy"
SHA = "0123456789abcdef" * 4


def asked(config):
    """Cohort, dataset and recipe of all runs of the study."""
    for name, cohort in config["studies"]["proxy"]["cohorts"].items():
        yield from ((name, *run) for run in product(cohort["datasets"], cohort["recipes"]))


def steps_and_images(config, dataset, recipe):
    """Of a training: its steps, and the images of each step, real and generated ones together."""
    settings, mix = training(config, dataset, recipe), config["recipes"][recipe].get("mix")
    images = config["datasets"][dataset]["splits"]["train"]
    steps = settings["epochs"] * math.ceil(images / settings["batch_size"])
    if images % settings["batch_size"]:
        pytest.fail(f"{recipe} on {dataset}: the last step of an epoch has fewer images")
    parts = (1 if mix is None or mix["gamma"] > 0 else 0, mix["ratio"] if mix and mix["gamma"] < 1 else 0)
    return steps, settings["batch_size"] * sum(parts)


@pytest.mark.parametrize("scale", SCALES)
def test_a_mixture_and_what_it_is_matched_with_have_as_many_steps_of_as_many_images(scale):
    config, compared = own(scale=scale), set()
    for _, dataset, recipe in asked(config):
        mix, matched = config["recipes"][recipe].get("mix"), config["recipes"][recipe].get("changes")
        if mix is None or (mix["gamma"] == 0 and mix["ratio"] == 1):
            continue
        while "mix" in config["recipes"][matched]:
            matched = config["recipes"][matched]["changes"]
        assert matched.endswith("-twice")
        assert steps_and_images(config, dataset, recipe) == steps_and_images(config, dataset, matched), (
            recipe,
            dataset,
        )
        ours, theirs = (training(config, dataset, name) for name in (recipe, matched))
        differing = {key for key in ours if ours[key] != theirs[key]}
        assert differing == {"batch_size", "epochs"}
        compared.add((dataset, matched))
    there = {(dataset, recipe) for _, dataset, recipe in asked(config)}
    assert compared and compared <= there  # what it is matched with is trained, too


@pytest.mark.parametrize("scale", SCALES)
def test_claims_and_tables_compare_recipes_of_several_seeds(scale):
    cohorts = own(scale=scale)["studies"]["proxy"]["cohorts"]
    several = ["main", "proxies", *(name for name in ("weights", "many-classes") if name in cohorts)]
    assert all(len(cohorts[name]["seeds"]) == (1 if scale in ("smoke", "pilot") else 3) for name in several)


def test_the_paper_s_protocol_is_that_of_the_released_code():
    config = own(scale="paper")
    for cohort, dataset, recipe in asked(config):
        if cohort == "certified":
            continue
        settings = training(config, dataset, recipe)
        assert settings["schedule"] == {"name": "cosine", "final_rate": 0.001}
        assert (settings["learning_rate"], settings["momentum"], settings["weight_decay"]) == (0.1, 0.9, 0.0005)
        on_trades = config["recipes"][recipe]["method"] == "trades"
        assert (settings["attack_steps"], settings["attack_batchnorm"]) == (10, "eval" if on_trades else "train")
        mix = config["recipes"][recipe].get("mix")
        twice = recipe.endswith("-twice") and mix is None
        assert (settings["epochs"], settings["batch_size"]) == ((200, 256) if twice else (100, 128))
        side = shape(config["datasets"][dataset]["reader"])[-1]
        assert settings["augmentation"] == {"crop_padding": side // 8, "flip": True}
        if mix:
            assert (mix["augmented"], mix["ratio"]) == (False, 2.0 if recipe.endswith("-twice") else 1.0)


def test_the_weights_at_the_paper_s_scale_are_those_of_the_published_curve():
    config = own(scale="paper")
    ours = {
        config["recipes"][recipe]["mix"]["gamma"]
        for cohort, dataset, recipe in asked(config)
        if cohort in ("weights", "many-classes") and "mix" in config["recipes"][recipe]
    }
    numbers = PublishedNumbers(STUDY / "published.yaml")
    assert ours - {0} == {float(row) for row in numbers.recipes("cifar100", "resnet18", "robust-by-gamma")}


def test_published_numbers_are_of_datasets_and_recipes_of_the_paper_s_scale():
    """All that stand beside ours, under the ball that ours are evaluated in."""
    config = own(scale="paper")
    runs = {(dataset, recipe) for _, dataset, recipe in asked(config)}
    numbers = PublishedNumbers(STUDY / "published.yaml").numbers
    beside = {(key[0], key[2]) for key in numbers if key[0].endswith(("-cosine", "-l2", "-wide"))}
    assert {run for run in beside if run not in runs} == {
        *((name, "port-ddpm-6m") for name in ("cifar10-cosine", "cifar10-cosine-wide")),
        ("cifar10-cosine", "port-ddpm-15m"),
    }
    norms = {key[0]: key[4] for key in numbers}
    assert norms["cifar10-cosine-l2"] == norms["cifar10-cosine-l2-wide"] == ("l2", 0.5)
    assert config["threats"][config["studies"]["proxy"]["cohorts"]["other-norm"]["threat"]]["epsilon"] == "1/2"


def with_checksums(folder: Path, *left_out: str) -> Path:
    """An overlay with a checksum for each published set but those that are left out."""
    lines = ["generators:"]
    for name in ("edm", "ddpm-deepmind", "ddpm-port"):
        labels = f", labels_file: {{sha256: {SHA}}}" if name == "ddpm-port" else ""
        lines += [f"  {name}: {{sample_set: {{sha256: {SHA}{labels}}}}}"] * (name not in left_out)
    (folder / "mine.yaml").write_text("\n".join(lines))
    return folder / "mine.yaml"


def test_published_sets_are_added_by_an_overlay_and_need_checksums(tmp_path):
    overlay = STUDY / "sample-sets.yaml"
    config = own(overlay, with_checksums(tmp_path), scale="paper")
    assert {"port-edm", "port-full"} <= set(config["studies"]["proxy"]["cohorts"]["proxies"]["recipes"])
    assert config["generators"]["ddpm-port"]["sample_set"]["bytes"] == 15_402_688 * 3072
    for name in ("edm", "ddpm-deepmind", "ddpm-port"):
        with pytest.raises(RobustlensError, match=rf"generators\.{name}\.sample_set: no checksum .* add its `sha256`"):
            own(overlay, with_checksums(tmp_path, name), scale="paper")
