"""What is beside the code: citation, references, contributing, the workflow catalogue, continuous integration."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from configured import REPOSITORY

ARXIV = re.compile(r"(?:arxiv\.org/abs/|arXiv:)(\d{4}\.\d{5})", re.IGNORECASE)
BIB = (REPOSITORY / "docs" / "references.bib").read_text()


def papers() -> dict[str, str]:
    """arXiv number of each study's paper: the first one in its README."""
    readmes = {path.parent.name: path.read_text() for path in sorted((REPOSITORY / "studies").glob("*/README.md"))}
    return {study: ARXIV.search(text)[1] for study, text in readmes.items()}


def test_citation_names_the_papers_of_the_studies():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys() and citation["license"] == "MIT"
    assert sorted(ARXIV.search(reference["url"])[1] for reference in citation["references"]) == sorted(
        papers().values()
    )


def test_citation_has_the_version_of_the_package_and_the_date_of_its_release():
    """A release is a section of the changelog such as "## 0.1.0 (2027-01-31)"; without one there is no date."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    released = re.search(rf"^## {re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)$", changelog, re.MULTILINE)
    assert citation["version"] == version
    assert str(citation.get("date-released", "")) == (released[1] if released else "")


def test_the_bibliography_has_this_software_as_it_is_to_be_cited():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    entry = re.search(r"^@misc\{robustlens,.*?^\}", BIB, re.DOTALL | re.MULTILINE)[0]
    assert f"{{{citation['title']}}}" in entry
    assert f"{{{{{citation['authors'][0]['name']}}}}}" in entry and len(citation["authors"]) == 1


def test_the_bibliography_has_each_study_s_paper_under_its_name():
    found = dict(re.findall(r"arXiv:([\d.]+); study (\w+)", BIB))
    assert {study: number for number, study in found.items()} == papers()


@pytest.mark.skipif(shutil.which("bibtex") is None, reason="no bibtex is installed")
def test_bibtex_has_nothing_to_say_of_the_bibliography(tmp_path):
    (tmp_path / "a.aux").write_text("\\citation{*}\n\\bibstyle{plain}\n\\bibdata{references}\n")
    folder = f"{REPOSITORY / 'docs'}:"
    done = subprocess.run(
        ["bibtex", "a"], cwd=tmp_path, env=os.environ | {"BIBINPUTS": folder}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Warning" not in done.stdout, done.stdout
    assert (tmp_path / "a.bbl").read_text().count("\\bibitem") == len(re.findall("^@", BIB, re.MULTILINE))


def test_files_that_contributing_names_are_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    named = {
        word
        for word in re.findall(r"[\w./-]+/[\w./-]+", text)
        if word.startswith(("tests/", "src/", "scripts/", "docs/"))
    }
    missing = [name for name in named if "<" not in name and not (REPOSITORY / name.rstrip("/.")).exists()]
    assert len(named) > 15 and not [name for name in missing if f"{name}<" not in text]


def test_continuous_integration_and_the_catalogue_name_what_is_there():
    (job,) = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1]["run"].endswith(".ci/run") and os.access(REPOSITORY / ".ci/run", os.X_OK)
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] and (REPOSITORY / "envs/robustlens.yaml").exists()


def installed(text: str) -> set[str]:
    """Names of Debian packages in a script: the words after `apt-get install`, or of `packages="..."`."""
    words = " ".join(re.findall(r"apt-get install((?:[^&\\]|\\\n)*)", text) + re.findall(r'packages="([^"]*)"', text))
    return {word for word in words.split() if re.fullmatch(r"[a-z][a-z0-9.+-]+", word)}


def test_the_container_has_the_latex_of_continuous_integration_and_the_environment_of_the_lock():
    container = (REPOSITORY / "Containerfile").read_text()
    tested = installed((REPOSITORY / ".ci/run").read_text())
    bare = installed((REPOSITORY / ".github/workflows/ci.yml").read_text())
    latex = {name for name in tested if name.startswith(("texlive", "latexmk", "lmodern", "tex-gyre"))}
    assert len(latex) >= 5
    assert installed(container) == latex | {"ca-certificates", "git", "make"} and bare >= {"git", "make"}
    assert "\nRUN make environment\n" in container and "(UV) sync --locked" in (REPOSITORY / "Makefile").read_text()
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    assert {".venv", ".tools", "results"} <= set(ignored)
