"""Plain Unicode text as LaTeX."""

import re

from robustlens.errors import RobustlensError

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "\u2013": r"\textendash{}",
    "\u2212": "$-$",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "Δ": r"$\Delta$",
    "ε": r"$\varepsilon$",
    "β": r"$\beta$",
    "·": r"$\cdot$",
}
NORMS = {"L∞": r"$\ell_\infty$", "L2": r"$\ell_2$"}
FORMULA = re.compile(rf"Δ?E\(x\*?(?:, ?y)?\)|(?<!\w)(?:{'|'.join(NORMS)})(?!\w)")  # energies and norms
LAST_LATIN = "\u017f"  # T1 fonts hold Latin-1 and Latin Extended-A


def latex(text: str) -> str:
    """`text` for LaTeX's text mode: every special character escaped, energies such as ΔE(x*, y) and the norms L∞
    and L2 set as formulas.

    Raises RobustlensError for a character that pdfTeX's standard fonts do not have.
    """
    pieces, position = [], 0
    for match in FORMULA.finditer(text):
        pieces.append(_plain(text[position : match.start()]))
        energy = match[0].replace("Δ", r"\Delta ").replace("*", "^*")
        pieces.append(NORMS.get(match[0], f"${energy}$"))
        position = match.end()
    whole = "".join([*pieces, _plain(text[position:])])
    # At the beginning of a line, an argument of the \\ before it, or a variant of it.
    return f"{{{whole[0]}}}{whole[1:]}" if whole.startswith(("[", "*")) else whole


def _plain(text: str) -> str:
    escaped = []
    for previous, character in zip("\0" + text, text, strict=False):
        if character not in SPECIAL and (character > LAST_LATIN or (character < " " and character != "\n")):
            raise RobustlensError(f"LaTeX cannot print {character!r} in {text[:60]!r}; use another character")
        if character == previous and character in "-,?!":  # --, ,, and the like are ligatures of T1 fonts
            escaped.append("{}")
        escaped.append(SPECIAL.get(character, character))
    return "".join(escaped)
