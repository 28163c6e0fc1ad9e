"""Every command and every overlay that README and pages show is tried, as a dry run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from flow import REPOSITORY, Outcome, command_line
from processes import Child

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
OVERLAYS = [*PAGES, *sorted((REPOSITORY / "studies").rglob("*.md"))]
COMMAND = re.compile(r"^ *(?:uv run )?(snakemake .+|make (?:reproduce|accept) SNAKEMAKE=.+)$", re.MULTILINE)
YAML = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SMALL = "small.yaml"
# What the pages call overlays of theirs.
FILES = {SMALL: "docs/scales.md-0", "mine.yaml": "docs/scales.md-1", "leaves.yaml": "docs/datasets.md-0"}
RESULTS_NEEDED = ("--report", "--unlock")  # tried on a finished run by test_command_lines.py
ELLIPSIS = re.compile(r"^ *\.\.\.$|: +\.\.\.", re.MULTILINE)  # left out by the page


def commands() -> list[str]:
    """Each once, as the arguments of Snakemake; `make reproduce SNAKEMAKE="..."` hands its own to it."""
    found = {}
    for page in PAGES:
        for command in COMMAND.findall(page.read_text()):
            first, *words = shlex.split(command, comments=True)
            words = shlex.split(words[1].removeprefix("SNAKEMAKE=")) if first == "make" else words
            if "..." not in words and not set(words) & set(RESULTS_NEEDED):
                found[shlex.join(words)] = None
    return list(found)


def overlays() -> dict[str, dict]:
    """By page and number, those that are written out in full."""
    found = {}
    for page in OVERLAYS:
        for number, (indent, text) in enumerate(YAML.findall(page.read_text())):
            if not ELLIPSIS.search(text):
                lines = [line.removeprefix(indent) for line in text.replace("<64 digits>", "0" * 64).splitlines()]
                found[f"{page.relative_to(REPOSITORY)}-{number}"] = yaml.safe_load("\n".join(lines))
    return found


def dry_run(folder: Path, *arguments: str) -> Outcome:
    output = folder / ".output"
    code, text = Child(output, command_line, folder, ["--quiet", "host", "reason", "-n", *arguments]).wait()
    output.unlink()
    return Outcome(code, text)


@pytest.fixture(scope="module")
def overlaid(sources) -> Path:
    """A checkout with the overlays that pages have names for."""
    for file, name in FILES.items():
        (sources / file).write_text(yaml.safe_dump(overlays()[name]))
    return sources


def test_pages_show_commands_and_overlays():
    assert {"energy", "plan --config scale=paper"} <= set(commands()) and len(commands()) >= 12
    assert {"docs/scales.md-0", "docs/certification.md-0", "studies/README.md-0"} <= overlays().keys()


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_pages_can_be_run(command, overlaid):
    words = [word for word in shlex.split(command) if word != "-n"]
    code, output = dry_run(overlaid, *words)
    assert code == 0, output
    assert not (overlaid / "results").exists()


@pytest.mark.parametrize("name", overlays())
def test_every_overlay_of_the_pages_is_accepted(name, overlaid):
    overlay = overlays()[name]
    (overlaid / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    scale = next(iter(overlay.get("scales", {"embedded": None})))
    code, output = dry_run(overlaid, "--configfile", "overlay.yaml", "--config", f"scale={scale}")
    assert code == 0, output


def test_cifar10_alone_with_one_seed_plans_that_dataset_and_that_seed(overlaid):
    (command,) = [command for command in commands() if SMALL in command and "-n" not in command]
    code, output = dry_run(overlaid, *shlex.split(command))
    trained = set(re.findall(r"Train \S+ on (\S+), seed (\d+)", output))
    assert code == 0 and trained == {("cifar10", "0")}, trained
