"""Published sample sets in the configuration: what is accepted, and what is refused before any job."""

import pytest
from configured import cohorts, loaded, small

from robustlens.configuration import downloads, import_spec, sample_set_download
from robustlens.errors import RobustlensError

SHA = "0123456789abcdef" * 4
NPZ = {"layout": "npz", "file": "1m.npz", "bytes": 700_000, "sha256": SHA, "urls": ["https://a.org/1m.npz"]}
LABELS = {"file": "labels.npy", "md5": "0" * 32, "by_hand": "ask"}
RAW = {"layout": "raw", "file": "images.bin", "bytes": 64 * 500, "sha256": SHA, "labels_file": LABELS}
FOLDER = {"layout": "folder", "file": "images.tar.gz", "sha256": SHA}
BY_HAND = {"layout": "folder", "folder": "images"}


def configured(sample_set: dict, used: bool = True, **generator: object) -> dict:
    """With a generator `theirs`, which a recipe of the cohort `further` mixes in where it is `used`."""

    def change(raw: dict) -> None:
        raw["generators"]["theirs"] = {"sample_set": sample_set, "label": "Theirs", **generator}
        raw["recipes"]["mixed"] = {"method": "sat", "mix": {"generator": "theirs", "gamma": 0.4}}
        if used:
            cohorts(raw)["further"] = {"recipes": ["mixed"]}

    return loaded(change)


@pytest.mark.parametrize("sample_set", [NPZ, RAW, FOLDER, BY_HAND], ids=lambda published: str(len(published)))
def test_by_default_all_images_are_taken(sample_set):
    generator = configured(sample_set)["generators"]["theirs"]
    assert generator["per_class"] is None and generator["seed"] == 0
    assert configured(sample_set, per_class=None)["generators"]["theirs"] == generator
    assert configured(sample_set, per_class=7)["generators"]["theirs"]["per_class"] == 7


def test_a_pool_is_defined_by_the_set_and_not_by_where_it_comes_from():
    named = NPZ | {"images": "X", "channels": "last", "by_hand": "ask"}
    spec = import_spec(configured(named, per_class=7, seed=3), "digits", "theirs")
    assert spec == {
        "dataset": "digits",
        "generator": "theirs",
        "sample_set": {"layout": "npz", "file": "1m.npz", "images": "X", "channels": "last"},
        "archives": [{"file": "1m.npz", "bytes": 700_000, "sha256": SHA}],
        "per_class": 7,
        "seed": 3,
    }
    elsewhere = named | {"urls": ["https://b.org/1m.npz"], "by_hand": "look for it"}
    assert import_spec(configured(elsewhere, per_class=7, seed=3, label="Others"), "digits", "theirs") == spec
    spec = import_spec(configured(RAW), "digits", "theirs")
    assert spec["sample_set"] == {"layout": "raw", "file": "images.bin", "labels_file": "labels.npy"}
    assert spec["archives"] == [
        {"file": "images.bin", "bytes": 64 * 500, "sha256": SHA},
        {"file": "labels.npy", "md5": "0" * 32},
    ]
    assert import_spec(configured(BY_HAND), "digits", "theirs") | {"seed": 0} == {
        **{"dataset": "digits", "generator": "theirs", "sample_set": BY_HAND, "archives": []},
        **{"per_class": None, "seed": 0},
    }


def test_files_are_downloaded_as_those_of_datasets_are_and_once_for_all_sets_of_them():
    def change(raw: dict) -> None:
        raw["generators"] |= {
            "some": {"sample_set": NPZ, "per_class": 5},
            "all": {"sample_set": NPZ | {"channels": "last"}},
            "others": {"sample_set": RAW},
            "a-folder": {"sample_set": BY_HAND},
            "another": {"sample_set": BY_HAND},
        }

    config = loaded(change)
    found = downloads(config)
    assert found["some"] == {"archives": [{key: value for key, value in NPZ.items() if key != "layout"}]}
    assert found["others"]["archives"] == [
        {key: value for key, value in RAW.items() if key not in ("layout", "labels_file")}, LABELS
    ]  # fmt: skip
    assert "all" not in found and "blurred" not in found
    places = {name: sample_set_download(config, name) for name in ("some", "all", "others", "a-folder", "another")}
    assert places == {"some": "some", "all": "some", "others": "others", "a-folder": "a-folder", "another": "another"}


def test_a_set_that_no_run_uses_needs_no_checksum_and_need_not_fit():
    unknown = {key: value for key, value in RAW.items() if key != "sha256"} | {"bytes": 65}
    assert configured(unknown, used=False)["generators"]["theirs"]["sample_set"]["bytes"] == 65


WHERE = "config.generators.theirs"
SET = f"{WHERE}.sample_set"
REFUSED = [
    # the form
    ({}, {}, f"{SET}: 'layout' is a required property"),
    (NPZ | {"layout": "npy"}, {}, f"{SET}.layout: 'npy' is not one of ['npz', 'raw', 'folder']"),
    (NPZ | {"imges": "x"}, {}, f"{SET}: unknown key 'imges'; did you mean 'images'?"),
    (NPZ | {"images": ""}, {}, f"{SET}.images: '' should be non-empty"),
    (NPZ | {"file": "../1m.npz"}, {}, f"{SET}.file: '../1m.npz' does not match"),
    (NPZ | {"channels": "middle"}, {}, f"{SET}.channels: 'middle' is not one of ['first', 'last']"),
    (NPZ | {"labels_file": LABELS}, {}, f"{SET}: unknown key 'labels_file'; did you mean 'labels'?"),
    (RAW | {"images": "x"}, {}, f"{SET}: unknown key 'images'"),
    (FOLDER | {"channels": "first"}, {}, f"{SET}: unknown key 'channels'"),
    ({"layout": "npz"}, {}, f"{SET}: layout npz needs `file`"),
    ({"layout": "raw", "file": "x.bin"}, {}, f"{SET}: layout raw needs `labels_file`"),
    ({"layout": "folder"}, {}, f"{SET}: layout folder needs `file`, or `folder` for one that is put in place by hand"),
    (FOLDER | BY_HAND, {}, f"{SET}: a folder is put in place by hand and has no `file`; take one of the two out"),
    (BY_HAND | {"sha256": SHA}, {}, f"{SET}: a folder is put in place by hand and has no `file`"),
    (NPZ, {"family": "gaussian", "per_class": 1}, f"{WHERE}: has a `family`, which is fitted, and a `sample_set`"),
    (NPZ, {"shrinkage": 0.1}, f"{WHERE}: unknown key 'shrinkage'; valid are: label, per_class, sample_set, seed"),
    (NPZ, {"per_class": 0}, f"{WHERE}.per_class: 0 is less than the minimum of 1"),
    # the file's name
    (NPZ | {"file": "a.zip"}, {}, f"{SET}.file: a.zip is not a .npz file, which layout npz reads"),
    (FOLDER | {"file": "a.rar"}, {}, f"{SET}.file: a.rar is not a .zip or .tar or .tar.gz or"),
    (RAW | {"labels_file": LABELS | {"file": "y.txt"}}, {}, f"{SET}.labels_file.file: y.txt is not a .npy file"),
    (
        NPZ | {"file": "ti_500K_pseudo_labeled.pickle"},
        {},
        f"{SET}.file: ti_500K_pseudo_labeled.pickle is a pickle, which is code that runs when it is read; convert its "
        "arrays once, by numpy.savez(FILE, image=..., label=...), and name the .npz with its own sha256",
    ),
    (RAW | {"file": "images.pkl"}, {}, f"{SET}.file: images.pkl is a pickle"),
    (RAW | {"labels_file": LABELS | {"file": "y.pt"}}, {}, f"{SET}.labels_file.file: y.pt is a pickle"),
    # what a run needs
    (
        {key: value for key, value in NPZ.items() if key != "sha256"},
        {},
        f"{SET}: no checksum is known for it; add its `sha256` (sha256sum FILE prints it)",
    ),
    (RAW | {"labels_file": {"file": "y.npy"}}, {}, f"{SET}.labels_file: no checksum is known for it; add its `sha256`"),
    (
        RAW | {"bytes": 64 * 500 + 1},
        {},
        f"{SET}.bytes: 32001 are no whole images of 64 bytes, as those of digits are; take a set of this dataset",
    ),
    (
        RAW,
        {"per_class": 51},
        f"{WHERE}.per_class: 51 images for each of 10 classes are more than the 500 of the set; lower it",
    ),
]


@pytest.mark.parametrize(("sample_set", "generator", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_what_can_not_be_a_set_for_the_runs_is_refused(sample_set, generator, message):
    with pytest.raises(RobustlensError) as error:
        configured(sample_set, **generator)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_generator_is_fitted_or_published():
    with pytest.raises(
        RobustlensError, match=r"^config.generators.mine: 'family' is a required property, or `sample_set`"
    ):
        loaded(lambda raw: raw["generators"].update(mine={"per_class": 5}))


@pytest.mark.parametrize("name", ["digits", "inception", "theirs"])
def test_a_set_s_files_have_a_folder_of_their_own(name):
    def change(raw: dict) -> None:
        raw["generators"][name] = {"sample_set": NPZ}
        small(raw)["models"] = {
            "theirs": {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": {"file": "w.pt"}}
        }

    with pytest.raises(RobustlensError, match=rf"^config.generators.{name}: the files of the \w+( \w+)? {name} are in"):
        loaded(change)
