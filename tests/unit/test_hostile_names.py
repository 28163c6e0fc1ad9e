"""Names, files and titles of a configuration that could be a path, a command or an escape are refused."""

import jsonschema
import pytest
import yaml
from configured import REPOSITORY, SCHEMA, own

from robustlens.errors import RobustlensError

TINY = REPOSITORY / "tests" / "tiny.yaml"
SCALE = yaml.safe_load(TINY.read_text())["scales"]["tiny"]
DEFINITIONS = yaml.safe_load(SCHEMA.read_text())["$defs"]


HOSTILE = {
    "a command": "$(touch pwned)",
    "a command in backticks": "`touch pwned`",
    "two commands": "a;b",
    "a pipe": "a|b",
    "a folder above": "../x",
    "dots": "..",
    "a path": "a/b",
    "an absolute path": "/etc/passwd",
    "a space": "a b",
    "a quote": "it's",
    "double quotes": 'a"b',
    "a newline": "sat\nmart",
    "a newline at its end": "sat\n",
    "nothing": "",
    "a leading dash": "-rf",
    "a wildcard": "{recipe}",
    "a pattern": "*",
    "a home": "~root",
    "an escape sequence": "\x1b[31msat",
    "capitals": "SAT",
    "an accent": "é",
    "digits of another script": "\u0661",
    "a letter like s": "\u017fat",
    "no width": "sat\u200b",
}


def entries(what: str, name: str) -> dict:
    """What `--config` adds to the tiny scale: an entry of that name, with good contents."""
    if what == "scale":
        return {"scale": name, "scales": {name: SCALE}}
    model = {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": {"file": "w.pt"}}
    contents = {"recipes": {"method": "sat"}, "attacks": {"family": "clean"}, "models": model}
    contents |= {key: next(iter(SCALE[key].values())) for key in ("threats", "datasets", "suites", "studies")}
    contents["cohorts"] = {"recipes": ["sat"]}
    if what == "cohorts":  # of a study without a folder, which may have any
        return {"scales": {"tiny": {"studies": {"own": {"datasets": ["digits"], "seeds": [0], "cohorts": {
            name: contents[what]}}}}}}  # fmt: skip
    return {"scales": {"tiny": {what: {name: contents[what]}}}}


KINDS = ["recipes", "attacks", "threats", "datasets", "models", "suites", "studies", "cohorts"]


@pytest.mark.parametrize("what", ["scale", *KINDS])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_be_a_path_or_a_command_is_refused_in_one_line(name, what):
    where = {"scale": "config", "cohorts": "config.studies.own.cohorts: "}.get(what, f"config.{what}: ")
    with pytest.raises(RobustlensError) as error:
        own(TINY, **entries(what, HOSTILE[name]))
    message = str(error.value)
    assert message.startswith(where) and repr(HOSTILE[name]) in message and message.isprintable(), message


@pytest.mark.parametrize("what", KINDS)
def test_a_good_name_is_admitted(what):
    config = own(TINY, **entries(what, "8-bit-x"))
    found = config["studies"]["own"]["cohorts"] if what == "cohorts" else config[what]
    assert "8-bit-x" in found


def definition(*path: str) -> dict:
    """What the schema has at a place of its definitions."""
    node = DEFINITIONS
    for key in path:
        node = node[key]
    return node


def admitted(kind: dict, value: str) -> bool:
    return jsonschema.Draft202012Validator(kind).is_valid(value)


def test_names_are_of_lower_case_letters_digits_and_hyphens_wherever_a_character_stands():
    kind = definition("name")
    letters = set("abcdefghijklmnopqrstuvwxyz0123456789")
    for number in range(0x300):
        character = chr(number)
        assert admitted(kind, f"{character}a") == (character in letters), repr(character)
        assert admitted(kind, f"a{character}a") == (character in letters | {"-"}), repr(character)
        assert admitted(kind, f"a{character}") == (character in letters | {"-"}), repr(character)


@pytest.mark.parametrize(
    "file", ["../x", "..", ".", ".hidden", "-x", "a/b", "/etc/passwd", "a b", "$(x)", "a\n", "", "{x}", "ä.pt", "~"]
)
def test_a_file_of_weights_stays_in_its_folder(file):
    kind = definition("model", "properties", "weights", "properties", "file")
    assert not admitted(kind, file)
    assert admitted(kind, "Wang2023Better_WRN-70-16.v1.pt")


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_title_is_one_line_without_control_characters(kind):
    assert definition(kind, "properties", "title")["$ref"] == "#/$defs/title"
    title = definition("title")
    for number in [*range(0x20), *range(0x7F, 0xA0)]:
        for text in (f"a{chr(number)}b", f"a{chr(number)}"):
            assert not admitted(title, text), repr(text)
    assert not admitted(title, "")
    assert admitted(title, "Better DM (Wang2023), ε = 8/255: $x_1$ & <b>")
