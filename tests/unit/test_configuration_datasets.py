"""Datasets that take over what others say, that lack some classes, or that come from a mirror."""

import copy

import pytest
import yaml
from configured import CONFIG, REPOSITORY, cohorts, digits, load_files, loaded, own, small

from robustlens.configuration import archives, classes, download_name, prepared, run_spec, title
from robustlens.configuration.facts import downloads, title_of_classes
from robustlens.errors import RobustlensError

ARCHIVE = "cifar-10-python.tar.gz"
OTHER_BYTES = {ARCHIVE: {"bytes": 7, "sha256": "0" * 64, "urls": ["https://mirror.example.org/x"]}}


def with_datasets(**datasets: dict) -> dict:
    """A configuration that has these datasets, too."""
    return loaded(lambda raw: small(raw)["datasets"].update(datasets))


def cifar(**more) -> dict:
    return {"like": "digits", "reader": {"family": "cifar10"}, **more}


# Taken over -----------------------------------------------------------------------------------------------------------


def test_a_dataset_takes_over_what_it_does_not_say_itself():
    config = with_datasets(
        other={"like": "digits", "training": {"epochs": 20, "augmentation": {"flip": True}}, "threat": "far"},
        third={"like": "other", "training": {"batch_size": 5}},
    )
    third, first = config["datasets"]["third"], config["datasets"]["digits"]
    assert (third["training"]["epochs"], third["training"]["batch_size"]) == (20, 5)
    assert third["training"]["augmentation"] == {"crop_padding": 0, "flip": True}
    assert third["threat"] == "far" and third["reader"] == first["reader"] and "like" not in third
    assert (first["training"]["epochs"], first["training"]["batch_size"], first["threat"]) == (10, 50, "near")
    assert run_spec(config, "third", "sat")["threat"]["norm"] == "l2"


def test_null_keeps_what_the_other_dataset_says_away():
    datasets = with_datasets(other={"like": "digits", "generation": None, "splits": {"train": None}})["datasets"]
    assert "generation" not in datasets["other"] and "generation" in datasets["digits"]
    assert datasets["other"]["splits"]["train"] is None and datasets["other"]["splits"]["validation"] == 100


def test_a_dataset_of_another_reader_takes_over_neither_title_nor_archives_nor_classes():
    mirror = {"title": "A mirror", "archives": {ARCHIVE: {"urls": ["https://mirror.example.org/x"]}}, "classes": [1, 2]}
    config = with_datasets(
        one=cifar(**mirror), two={"like": "one", "splits": {"train": 300}},
        three={"like": "one", "reader": {"family": "cifar100"}},
    )  # fmt: skip
    assert archives(config, "two") == archives(config, "one") and title(config, "two") == "A mirror"
    assert archives(config, "one")[0]["urls"] == ["https://mirror.example.org/x"]
    assert classes(config, "two") == 2 and classes(config, "three") == 100
    assert archives(config, "three")[0]["file"] == "cifar-100-python.tar.gz" and title(config, "three") == "CIFAR-100"
    assert config["datasets"]["three"]["threat"] == config["datasets"]["digits"]["threat"]


def test_a_dataset_with_archives_of_its_own_takes_over_no_title():
    with pytest.raises(RobustlensError, match=r"two\.archives\..*is another dataset: give it a `title` of its own"):
        with_datasets(one=cifar(title="Mine"), two={"like": "one", "archives": OTHER_BYTES})
    config = with_datasets(one=cifar(title="Mine"), two={"like": "one", "archives": OTHER_BYTES, "title": "Yours"})
    assert (title(config, "one"), title(config, "two")) == ("Mine", "Yours")


# Prepared images, and archives ----------------------------------------------------------------------------------------


def test_datasets_with_the_same_images_share_those_that_are_prepared():
    config = with_datasets(
        cifar=cifar(splits={"train": 1000}),
        wider={"like": "cifar", "architecture": {"family": "wide-resnet", "depth": 34}, "title": "Another title"},
        fewer={"like": "cifar", "classes": [2, 0, 1]},
        again={"like": "wider", "classes": [0, 1, 2], "training": {"epochs": 50}},
        split={"like": "cifar", "splits": {"seed": 1}},
        copied={"like": "cifar", "archives": OTHER_BYTES, "title": "Other bytes"},
        read={"like": "cifar", "reader": {"family": "afhq", "size": 32}, "splits": {"train": None}},
        larger={"like": "read", "reader": {"size": 64}},
    )
    assert {name: prepared(config, name) for name in config["datasets"]} == {
        **{"digits": "digits", "cifar": "cifar", "wider": "cifar", "fewer": "fewer", "again": "fewer"},
        **{"split": "split", "copied": "copied", "read": "read", "larger": "larger"},
    }


@pytest.mark.parametrize("at_a_scale", [True, False])
def test_a_study_s_dataset_does_not_give_its_name_to_images_that_the_shared_file_has(at_a_scale):
    """Wherever it stands: the folder of finished images would be another one, and everything be made again."""
    shared = copy.deepcopy(CONFIG)
    small(shared)["datasets"]["cifar"] = cifar()
    whole = digits(shared) | {"reader": {"family": "cifar10"}}
    theirs = {"datasets": {"a-first": {"like": "b-whole", "training": {"epochs": 11}}, "b-whole": whole}}
    config = load_files(
        {"config.yaml": shared, "mine/config.yaml": {"scales": {"small": theirs}} if at_a_scale else theirs}
    )
    assert list(config["datasets"]) == ["digits", "cifar", "b-whole", "a-first"]
    assert {prepared(config, name) for name in ("cifar", "a-first", "b-whole")} == {"cifar"}
    assert {download_name(config, name) for name in ("cifar", "a-first", "b-whole")} == {"cifar10"}


def test_a_dataset_comes_after_the_one_that_it_is_like_whichever_file_that_is_in():
    shipped = copy.deepcopy(CONFIG)
    shipped["datasets"] = {"a-first": {"like": "users"}, "turning": {"like": "round"}, "round": {"like": "turning"}}
    given = {"scales": {"small": {"datasets": {"users": cifar(), "turning": None, "round": None}}}}
    config = load_files({"config.yaml": shipped}, given)
    assert list(config["datasets"]) == ["digits", "users", "a-first"]
    assert prepared(config, "a-first") == "users"


def test_datasets_with_the_same_archives_share_their_download():
    config = with_datasets(
        cifar=cifar(), fewer={"like": "cifar", "classes": [0, 1]},
        copied=cifar(archives=OTHER_BYTES, title="Other bytes"),
        wider={"like": "copied", "architecture": {"family": "wide-resnet"}},
    )  # fmt: skip
    assert download_name(config, "cifar") == download_name(config, "fewer") == "cifar10"
    assert download_name(config, "copied") == download_name(config, "wider") == "copied"


def test_the_example_of_a_mirror_is_another_dataset_under_the_protocol_it_is_like():
    file = REPOSITORY / "tests" / "cifar10-jpeg.yaml"
    config = own(file, scale="pilot")
    (archive,) = archives(config, "cifar10-jpeg")
    written = yaml.safe_load(file.read_text())["scales"]["pilot"]["datasets"]["cifar10-jpeg"]["archives"][ARCHIVE]
    assert archive["sha256"] == written["sha256"] and archive["bytes"] == written["bytes"]
    assert "md5" not in archive and archive["urls"] == ["http://127.0.0.1:8765/cifar-10-python.tar.gz"]
    assert title(config, "cifar10-jpeg") == "CIFAR-10-JPEG" and download_name(config, "cifar10-jpeg") == "cifar10-jpeg"
    assert prepared(config, "cifar10-jpeg") == "cifar10-jpeg"
    assert run_spec(config, "cifar10-jpeg", "sat") == run_spec(config, "cifar10", "sat") | {"dataset": "cifar10-jpeg"}
    for cohort in config["studies"]["energy"]["cohorts"].values():
        assert cohort["datasets"] == ["cifar10-jpeg"]


# Some of the classes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "said"), [
    (None, "X"),
    (range(10), "X"),
    ([0, 1, 2, 4, 5, 6, 7, 8, 9], "X without class 3"),
    ([0, 1, 2, 4, 6, 7, 8, 9], "X without classes 3, 5"),
    ([9, 8, 7, 6, 5, 0], "X without classes 1\u20134"),
    ([5, 6, 7, 8, 9], "X without classes 0\u20134"),
    ([1, 0], "classes 0, 1 of X"),
    ([0, 2, 3, 4], "classes 0, 2\u20134 of X"),
])  # fmt: skip
def test_the_title_says_which_classes_a_dataset_has(kept, said):
    assert title_of_classes("X", kept, 10) == said


def test_a_dataset_without_some_classes_has_a_title_that_says_so_unless_it_is_given_one():
    most = [*range(9)]
    config = with_datasets(
        cifar=cifar(),
        fewer={"like": "cifar", "classes": most},
        own={"like": "cifar", "classes": most, "title": "Nine"},
        named=cifar(title="Mine"),
        unnamed={"like": "named", "classes": [9, 0]},
        protocol={"like": "fewer", "threat": "far"},
    )
    titles = {name: title(config, name) for name in config["datasets"]}
    assert titles["fewer"] == titles["protocol"] == "CIFAR-10 without class 9" and titles["own"] == "Nine"
    assert titles["unnamed"] == "classes 0, 9 of Mine" and titles["cifar"] == "CIFAR-10"
    assert config["datasets"]["unnamed"]["classes"] == [0, 9]
    assert [classes(config, name) for name in ("cifar", "fewer", "unnamed")] == [10, 9, 2]


@pytest.mark.parametrize("wrong", [3, ["a", "b"], [1], None])
def test_classes_that_are_none_are_refused_where_they_stand(wrong):
    def change(raw: dict) -> None:
        digits(raw)["title"] = "Digits"
        small(raw)["datasets"]["fewer"] = {"like": "digits", "classes": wrong}

    if wrong is None:  # removes the key
        assert title(loaded(change), "fewer") == "Digits"
        return
    with pytest.raises(RobustlensError, match=r"^config\.datasets\.fewer\.classes"):
        loaded(change)


def test_a_recipe_may_leave_classes_out_without_being_measured():
    def change(raw: dict) -> None:
        raw["recipes"]["fewer"] = {"method": "sat", "changes": "sat", "leave_out": {"classes": [3, 5]}}

    assert run_spec(loaded(change), "digits", "fewer")["leave_out"] == {"classes": [3, 5]}


# Images to train on ---------------------------------------------------------------------------------------------------


def imagenet(train: bool, **more) -> dict:
    reader = {"family": "imagenet", **({"train": True} if train else {})}
    splits = {"train": None, "validation": 100 if train else 0}
    return {"like": "digits", "reader": reader, "splits": splits, "generation": None, **more}


def test_training_images_are_asked_for_where_a_reader_reads_them():
    def wanted(**datasets: dict) -> bool:
        return downloads(with_datasets(**datasets))["imagenet"]["folder"]["train"]

    assert not wanted(one=imagenet(train=False))
    assert wanted(one=imagenet(train=True))
    assert wanted(one=imagenet(train=False), two=imagenet(train=True))
    assert wanted(one=imagenet(train=True), two=imagenet(train=False))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": {"train": 5}}, "splits.train: 5 of the training images, which are not read; give 0, or the reader"),
        ({"splits": {"validation": 7}}, "splits.validation: 7 of the training images, which are not read; give 0, or"),
    ],
)
def test_splits_of_training_images_that_are_not_read_are_refused(change, message):
    dataset = imagenet(train=False)
    with_datasets(one=dataset)
    with pytest.raises(RobustlensError, match=f"^config.datasets.one.{message}"):
        with_datasets(one=dataset | {"splits": dataset["splits"] | change["splits"]})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (imagenet(train=False), "reader.train: false, but sat is trained on one; give `train: true`, which needs"),
        ({"like": "digits", "splits": {"validation": 0}}, "splits.validation: 0, but sat is trained on one; raise it"),
        ({"like": "digits", "splits": {"train": 0}}, "splits.train: 0, but sat is trained on one; raise it"),
    ],
)
def test_a_training_without_images_is_refused_before_any_job(dataset, message):
    def change(raw: dict) -> None:
        small(raw)["datasets"]["one"] = dataset | {"generation": None}
        cohorts(raw)["main"]["datasets"] = ["digits", "one"]

    with pytest.raises(RobustlensError, match=f"^config.datasets.one.{message}"):
        loaded(change)
