"""Values in other words that have one meaning only."""

import pytest
from configured import digits, loaded, small

from robustlens.errors import RobustlensError
from robustlens.parameters import fraction

SHA256 = "C0FFEE" + "0" * 58


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("8/255", "8/255"),
        ("8.0/255", "8/255"),
        ("8/255.0", "8/255"),
        ("8 / 255", "8/255"),
        (" 8/255 ", "8/255"),
        ("8./255", "8/255"),
        ("128/255", "128/255"),
        ("08/255", "8/255"),
        ("0.5/255", "1/510"),
        ("2.5 / 255", "1/102"),
        (".5/2.5", "1/5"),
    ],
)
@pytest.mark.parametrize("key", ["epsilon", "step_size"])
def test_a_fraction_may_be_written_with_points_and_spaces(key, written, meant):
    threat = loaded(lambda raw: raw["threats"]["near"].update({key: written}))["threats"]["near"]
    assert threat[key] == meant
    above, below = map(float, written.split("/"))
    assert fraction(threat[key]) == pytest.approx(above / below, rel=1e-15)


@pytest.mark.parametrize(
    "written", ["8/0", "0/255", "8/2/55", "-8/255", "8:255", "eight/255", "8,0/255", "1e1/255", "/"]
)
def test_what_is_no_fraction_is_refused(written):
    with pytest.raises(RobustlensError, match=r"config\.threats\.near\.epsilon: .* does not match"):
        loaded(lambda raw: raw["threats"]["near"].update(epsilon=written))


@pytest.mark.parametrize(
    ("norm", "meant"),
    [("Linf", "linf"), ("LINF", "linf"), ("L_inf", "linf"), ("l-inf", "linf"), ("L∞", "linf"), ("L2", "l2")],
)
def test_norms_have_several_spellings(norm, meant):
    assert loaded(lambda raw: raw["threats"]["near"].update(norm=norm))["threats"]["near"]["norm"] == meant


@pytest.mark.parametrize("norm", ["inf", "L1", "l20", "", 2, True])
def test_another_norm_is_refused(norm):
    with pytest.raises(RobustlensError, match=r"config\.threats\.near\.norm: .* is not one of \['linf', 'l2'\]"):
        loaded(lambda raw: raw["threats"]["near"].update(norm=norm))


def test_choices_are_found_in_whatever_place_they_stand():
    def change(raw):
        raw["arithmetic"] = "Portable"
        digits(raw)["training"].update(attack_batchnorm="Train", compile=True, also_select=["Worst_Class"])
        digits(raw)["training"]["schedule"]["name"] = "one_cycle"
        digits(raw)["generation"]["features"]["kind"] = "Classifier"
        raw["recipes"]["sat"]["training"] = {"compile": False, "memory_format": "channels_last"}

    config = loaded(change)
    training = config["datasets"]["digits"]["training"]
    assert config["arithmetic"] == "portable"
    assert (training["attack_batchnorm"], training["compile"]) == ("train", "on")
    assert (training["also_select"], training["schedule"]["name"]) == (["worst-class"], "one-cycle")
    assert config["recipes"]["sat"]["training"] == {"compile": "off", "memory_format": "channels-last"}


@pytest.mark.parametrize("marker", ["", "-", "^^"])
def test_a_marker_that_is_none_is_refused(marker):
    with pytest.raises(RobustlensError, match=r"config\.recipes\.sat\.marker: .* is not one of"):
        loaded(lambda raw: raw["recipes"]["sat"].update(marker=marker))


def test_a_number_is_no_switch():
    with pytest.raises(RobustlensError, match=r"training\.compile: 1 is not one of"):
        loaded(lambda raw: digits(raw)["training"].update(compile=1))


def test_checksums_may_have_capitals():
    def change(raw):
        weights = {"file": "theirs.pt", "sha256": SHA256, "md5": f" {SHA256[:32]}"}
        small(raw)["models"] = {
            "theirs": {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": weights},
        }

    weights = loaded(change)["models"]["theirs"]["weights"]
    assert weights["sha256"] == SHA256.lower() and weights["md5"] == SHA256[:32].lower()


def test_what_is_no_checksum_is_refused():
    def change(raw):
        digits(raw).update(title="mine", reader={"family": "mnist"})
        digits(raw)["archives"] = {"train-images-idx3-ubyte.gz": {"sha256": SHA256[:-1]}}

    with pytest.raises(RobustlensError, match=r"archives\.train-images-idx3-ubyte\.gz\.sha256: .* does not match"):
        loaded(change)
