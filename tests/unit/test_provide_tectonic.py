"""tectonic, where there is no LaTeX: provided where it can be, and told where it can't."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from configured import REPOSITORY

SCRIPT, TEMPLATE = Path("scripts/provide_tectonic.py"), Path("src/robustlens/report/templates/report.tex")
UV = os.environ.get("UV") or shutil.which("uv") or str(REPOSITORY / ".tools/bin/uv")
TOLD = "No report.pdf: no LaTeX is installed, and tectonic is not to be had ("
AGAIN = "). All else is made. To try again: rm .tools/bin/tectonic.failed\n"


@pytest.fixture
def checkout(tmp_path) -> Path:
    for file in (SCRIPT, TEMPLATE):
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / file, tmp_path / file)
    return tmp_path


def provided(checkout: Path, uv: str = "no-such-program", **environment: str) -> tuple[str, bool]:
    """What the script prints, and whether there is a LaTeX engine then."""
    command = [sys.executable, str(checkout / SCRIPT), uv]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout, (checkout / ".tools/bin/tectonic.ready").exists()


def stand_in(checkout: Path, script: str) -> Path:
    engine = checkout / ".tools/bin/tectonic"
    engine.parent.mkdir(parents=True)
    engine.write_text(f"#!/bin/sh\n{script}\n")
    engine.chmod(0o755)
    return engine


@pytest.mark.skipif(not Path(UV).exists(), reason="uv is not installed")
def test_tectonic_starts_here_and_says_that_it_can_not_fetch_its_files(checkout):
    own = runpy.run_path(str(checkout / SCRIPT))
    try:
        own["install"](UV)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"tectonic can't be installed: {own['reason'](error)}")
    version = subprocess.run([own["ENGINE"], "--version"], capture_output=True, text=True, check=True).stdout
    assert "0.17.0" in version
    nowhere = {name: "http://127.0.0.1:9" for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")}
    told, ready = provided(checkout, UV, NO_PROXY="", no_proxy="", **nowhere)
    assert told.startswith(TOLD) and told.endswith(AGAIN) and "from the internet" in told and not ready


NO_ROUTE = 'echo "warning: x"; echo "error: no route to host"; exit 1'


@pytest.mark.parametrize(
    ("script", "said"), [(NO_ROUTE, "error: no route to host"), ("exit 2", "(tectonic ended with code 2")]
)
def test_where_it_can_not_be_had_the_reason_is_told_once_in_one_line(script, said, checkout):
    engine = stand_in(checkout, script)
    told, ready = provided(checkout)
    assert told.startswith(TOLD[:-1]) and told.endswith(f"{said}{AGAIN}") and told.count("\n") == 1 and not ready
    assert provided(checkout) == ("", False)
    (checkout / ".tools/bin/tectonic.failed").unlink()
    engine.rename(checkout / "uv")  # the installing fails in the same way
    assert provided(checkout, str(checkout / "uv")) == (told.replace("(tectonic ended", "(uv ended"), False)


def test_without_uv_the_reason_is_told(checkout):
    told, ready = provided(checkout)
    assert told == f"{TOLD}[Errno 2] No such file or directory: 'no-such-program'{AGAIN}" and not ready


def test_one_that_does_not_end_is_given_up(checkout):
    stand_in(checkout, "echo begun; exec sleep 60")
    script = checkout / SCRIPT
    script.write_text(script.read_text().replace("SECONDS = 300", "SECONDS = 1"))
    assert provided(checkout) == (f"{TOLD}no end after 1 s{AGAIN}", False)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
def test_the_document_that_is_tried_is_one_that_latex_typesets(checkout):
    stand_in(checkout, 'exec pdflatex -halt-on-error "$1"')
    assert provided(checkout) == ("", True)


def test_with_its_files_it_is_ready_and_not_tried_again(checkout):
    engine = stand_in(checkout, 'cp "$1" "$COPY"')
    assert provided(checkout, COPY=str(checkout / "seen.tex")) == ("", True)
    seen = (checkout / "seen.tex").read_text()
    template = (checkout / TEMPLATE).read_text()
    assert all(line in seen for line in template.splitlines() if line.startswith(r"\usepackage"))
    assert seen.splitlines()[0].startswith(r"\documentclass") and "<<" not in seen
    engine.unlink()
    assert provided(checkout) == ("", True)
