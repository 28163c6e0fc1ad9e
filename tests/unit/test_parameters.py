"""The declaration of components: what is found, what is refused and with which words."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

import robustlens
from robustlens import parameters
from robustlens.errors import RobustlensError
from robustlens.methods.mail_trades import MailTrades
from robustlens.methods.sat import SAT
from robustlens.methods.weat import Weat
from robustlens.models.resnet import ResNet
from robustlens.parameters import KINDS, component, create, fraction, names, nearest, resolve

PACKAGE = Path(robustlens.__file__).parent

GADGET = '''
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """Not a component: its field is not a parameter."""

    path: Path


@dataclass(frozen=True)
class Gadget:
    size: PositiveInt
    mode: OneOf("fast", "exact") = "fast"
    widths: PositiveInts = (1, 2)
    layers: OrNull(Names) = None
    GIVEN = ("helper",)
    PARTS = ("teacher", "student")
    ALSO = ("clean",)
    HEAD = "cosine"
'''


@pytest.fixture
def gadgets(tmp_path, monkeypatch):
    """A group `gadgets` with one component, `big-gadget`, beside a file that declares none."""
    folder = tmp_path / "gadgets"
    folder.mkdir()
    (folder / "__init__.py").write_text(GADGET)
    (folder / "big_gadget.py").write_text(GADGET)
    (folder / "helper.py").write_text(GADGET.split("@dataclass(frozen=True)\nclass Gadget")[0])
    monkeypatch.setattr(parameters, "PACKAGE", tmp_path)


def test_every_file_of_methods_is_a_method():
    files = sorted(path.stem.replace("_", "-") for path in (PACKAGE / "methods").glob("*.py"))
    files.remove("--init--")
    assert names("methods") == files
    assert {"standard", "sat", "trades", "mart", "mail-trades", "weat"} <= set(files)


def test_a_file_without_parameters_of_the_known_kinds_is_no_component():
    assert "pgd" in names("attacks")
    assert "threat" not in names("attacks")
    assert "prepared" not in names("data")
    assert "resnet" in names("models")


@pytest.mark.parametrize("group", list(KINDS))
def test_every_listed_component_can_be_read(group: str):
    for name in names(group):
        found = component(group, name, "here")
        assert (found.group, found.name) == (group, name)
        assert all(found.kinds[key].accepts(value) for key, value in found.defaults.items())


def test_a_component_as_its_file_declares_it(gadgets):
    assert names("gadgets") == ["big-gadget"]
    found = component("gadgets", "big-gadget", "here")
    assert found.module == "robustlens.gadgets.big_gadget"
    assert found.class_name == "Gadget"
    assert list(found.kinds) == ["size", "mode", "widths", "layers"]
    assert found.defaults == {"mode": "fast", "widths": [1, 2], "layers": None}
    assert (found.given, found.parts, found.also, found.head) == (
        ("helper",),
        ("teacher", "student"),
        ("clean",),
        "cosine",
    )


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        (parameters.Name, ["bn1", "a.b"], ["", 1, None, ["bn1"]]),
        (parameters.Names, [[], ["bn1"], ("a", "b")], ["bn1", [""], [1], None]),
        (parameters.Numbers, [[0], [1, -0.5]], [[], 1, ["1"], [math.nan], [True], None]),
        (parameters.OrNull(parameters.Positive), [None, 0.5], [0, "null", math.inf]),
        (parameters.OrNull(parameters.OneOf("a")), [None, "a"], ["b", ""]),
    ],
)
def test_kinds_of_names_lists_and_what_may_be_null(kind, accepted, refused):
    assert all(map(kind.accepts, accepted)) and not any(map(kind.accepts, refused))


def test_a_component_without_a_default_must_be_given_one(gadgets):
    with pytest.raises(RobustlensError, match=r"^recipes\.x: big-gadget needs the parameter 'size'$"):
        resolve("gadgets", "big-gadget", {"mode": "exact"}, "recipes.x")
    defaults = {"mode": "fast", "widths": [1, 2], "layers": None}
    assert resolve("gadgets", "big-gadget", {"size": 3}, "here") == {"size": 3} | defaults
    given = {"size": 3, "layers": ["layer4.0.bn1", "bn"]}
    assert resolve("gadgets", "big-gadget", given, "here") == defaults | given
    with pytest.raises(RobustlensError, match=r"recipes\.x\.layers: must be a list of names, or null, got \['bn', 1\]"):
        resolve("gadgets", "big-gadget", {"size": 3, "layers": ["bn", 1]}, "recipes.x")


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(RobustlensError, match=r"^recipes\.a: unknown method 'trade'; did you mean 'trades'\?$"):
        resolve("methods", "trade", {}, "recipes.a")
    with pytest.raises(RobustlensError, match="did you mean 'mail-trades'"):
        create("methods", "mail_trades", {})
    with pytest.raises(RobustlensError, match="unknown dataset reader 'zzz'"):
        component("data", "zzz", "datasets.zzz")


def test_unknown_name_that_resembles_none_is_told_all():
    with pytest.raises(RobustlensError, match=r"unknown method 'qqq'; valid are: .*mart.*sat.*weat"):
        resolve("methods", "qqq", {}, "here")


def test_unknown_parameter_is_told_the_nearest():
    with pytest.raises(RobustlensError, match=r"^recipes\.a: weat has no parameter 'betta'; did you mean 'beta'\?$"):
        resolve("methods", "weat", {"betta": 6.0}, "recipes.a")
    with pytest.raises(RobustlensError, match="sat has no parameter 'beta'; valid are: none"):
        resolve("methods", "sat", {"beta": 6.0}, "recipes.a")


@pytest.mark.parametrize(
    ("group", "name", "key", "value", "meaning"),
    [
        ("methods", "trades", "beta", -0.1, "a number of at least 0"),
        ("methods", "trades", "beta", "6", "a number of at least 0"),
        ("methods", "trades", "beta", True, "a number of at least 0"),
        ("methods", "trades", "beta", None, "a number of at least 0"),
        ("methods", "trades", "beta", math.nan, "a number of at least 0"),
        ("methods", "trades", "beta", math.inf, "a number of at least 0"),
        ("methods", "weat", "variant", "Nat", "one of nat, adv"),
        ("methods", "weat", "variant", ["nat"], "one of nat, adv"),
        ("methods", "mail-trades", "slope", 0, "a number above 0"),
        ("methods", "mail-trades", "bias", "0", "a number"),
        ("methods", "mail-trades", "start_epoch", -1, "a whole number of at least 0"),
        ("methods", "mail-trades", "start_epoch", 7.0, "a whole number of at least 0"),
        ("attacks", "pgd", "steps", 0, "a whole number above 0"),
        ("attacks", "pgd", "steps", True, "a whole number above 0"),
        ("models", "resnet", "blocks", [], "a list of whole numbers above 0"),
        ("models", "resnet", "blocks", [2, 0], "a list of whole numbers above 0"),
        ("models", "resnet", "blocks", 2, "a list of whole numbers above 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_place(group, name, key, value, meaning):
    with pytest.raises(RobustlensError) as error:
        resolve(group, name, {key: value}, "recipes.a")
    assert str(error.value) == f"recipes.a.{key}: must be {meaning}, got {value!r}"


@pytest.mark.parametrize(
    ("kind", "accepted", "refused"),
    [
        ("Number", [-1, 0.5, 0], ["1", None, True, math.nan, -math.inf]),
        ("Positive", [1e-9, 3], [0, -1, False]),
        ("NonNegative", [0, 0.0, 3], [-1e-9]),
        ("Fractional", [0, 0.5, 1], [-0.01, 1.01, "0.5"]),
        ("PositiveInt", [1, 10], [0, 1.0, True, "1"]),
        ("NonNegativeInt", [0, 10], [-1, 0.0, False]),
        ("PositiveInts", [[1], (2, 3)], [[], [0], [1.0], "12", [True], 4]),
        ("Flag", [True, False], [0, 1, "true", None]),
    ],
)
def test_kinds(kind: str, accepted: list, refused: list):
    accepts = getattr(parameters, kind).accepts
    assert all(accepts(value) for value in accepted)
    assert not any(accepts(value) for value in refused)


def test_the_limits_of_a_range_belong_to_it():
    resolve("methods", "trades", {"beta": 0}, "here")
    resolve("methods", "mail-trades", {"start_epoch": 0, "bias": -0.5}, "here")
    resolve("attacks", "pgd", {"steps": 1}, "here")


def test_defaults_fill_what_is_not_given():
    weat = {"variant": "adv", "beta": 6.0, "energy": "natural", "weighted": "both", "normalised": False}
    assert resolve("methods", "weat", {}, "here") == weat
    assert resolve("methods", "weat", {"beta": 7}, "here") == weat | {"beta": 7}
    mail = {"beta": 5.0, "slope": 2.0, "bias": 0.0, "start_epoch": 76}
    assert resolve("methods", "mail-trades", {}, "here") == mail
    assert resolve("methods", "sat", {}, "here") == {}
    assert resolve("models", "resnet", {}, "here") == {"blocks": [2, 2, 2, 2], "width": 64, "block": "basic"}
    pgd = {"steps": 20, "loss": "ce", "start": "uniform", "targeted": False}
    assert resolve("attacks", "pgd", {}, "here") == pgd


def test_changing_a_resolved_value_does_not_change_the_default():
    resolve("models", "resnet", {}, "here")["blocks"].append(9)
    assert resolve("models", "resnet", {}, "here")["blocks"] == [2, 2, 2, 2]


def test_create_is_the_direct_construction():
    assert create("methods", "weat", {"variant": "nat", "beta": 3}) == Weat(variant="nat", beta=3)
    assert create("methods", "mail-trades", {"start_epoch": 5}) == MailTrades(start_epoch=5)
    assert create("methods", "sat", {}) == SAT()
    assert create("models", "resnet", {"blocks": [1, 1], "width": 8}) == ResNet(blocks=(1, 1), width=8)
    assert create("models", "resnet", {}) == ResNet()


def test_create_refuses_what_resolve_refuses():
    with pytest.raises(RobustlensError, match=r"^methods\.weat\.variant: must be one of nat, adv, got 'both'$"):
        create("methods", "weat", {"variant": "both"})


def test_checking_the_configuration_does_not_import_torch():
    program = (
        "import sys; from robustlens.parameters import component, names, resolve\n"
        "[component(group, name, 'here') for group in ('methods', 'models') for name in names(group)]\n"
        "resolve('methods', 'trades', {'beta': 3}, 'here')\n"
        "resolve('attacks', 'pgd', {'steps': 3}, 'here')\n"
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'robustlens.methods.trades'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_nearest():
    assert nearest("traeds", ["sat", "trades"]) == "; did you mean 'trades'?"
    assert nearest("xyz", ["sat", "mart"]) == "; valid are: mart, sat"
    assert nearest(12, []) == "; valid are: none"


def test_fraction():
    assert fraction("8/255") == 8 / 255
    assert fraction("0.5") == 0.5
    assert fraction(0.031) == 0.031
    assert fraction(1) == 1.0
    assert isinstance(fraction(1), float)
