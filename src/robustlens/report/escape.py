"""Plain Unicode text as LaTeX, and what keeps together where a line ends."""

import re
import unicodedata

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
    "\u2010": "-",
    "\u2011": "-",
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2018": r"\textquoteleft{}",
    "\u2019": r"\textquoteright{}",
    "\u201c": r"\textquotedblleft{}",
    "\u201d": r"\textquotedblright{}",
    "…": r"\textellipsis{}",
    "•": r"\textbullet{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "™": r"\texttrademark{}",
    "€": r"\texteuro{}",
    "\u00a0": "~",
    "\u2009": r"\,",
    "\u202f": r"\,",
}
GREEK = {
    **{
        letter: rf"\{name}"
        for letter, name in zip(
            "ΓΔΘΛΞΠΣΥΦΨΩ",
            ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
            strict=True,
        )
    },
    **{
        letter: rf"\{name}"
        for letter, name in zip(
            "αβγδεζηθικλμνξπρςστυφχψω",
            (
                *("alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"),
                *("mu", "nu", "xi", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi", "chi", "psi"),
                "omega",
            ),
            strict=True,
        )
    },
    # They look like Latin letters, and have no commands.
    **{
        letter: rf"\mathrm{{{latin}}}"
        for letter, latin in zip(
            "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7\u03bf",
            "ABEZHIKMNOPTXo",
            strict=True,
        )
    },
}
SYMBOLS = {
    "\u2212": "-",
    "±": r"\pm",
    "∓": r"\mp",
    "\u00d7": r"\times",
    "·": r"\cdot",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "≡": r"\equiv",
    "\u223c": r"\sim",
    "∝": r"\propto",
    "∞": r"\infty",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↔": r"\leftrightarrow",
    "⇒": r"\Rightarrow",
    "∈": r"\in",
    "∇": r"\nabla",
    "∂": r"\partial",
    "∑": r"\sum",
    "∏": r"\prod",
    "√": r"\surd",
    "\u2113": r"\ell",
    "‖": r"\Vert",
    "\u2032": r"\prime",
    **{digit: f"_{{{number}}}" for number, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{digit: f"^{{{number}}}" for number, digit in zip((0, 4, 5, 6, 7, 8, 9), "⁰⁴⁵⁶⁷⁸⁹", strict=True)},
}
SPECIAL |= {character: f"${command}$" for character, command in (GREEK | SYMBOLS).items()}
NORMS = {"L∞": r"$\ell_\infty$", "L2": r"$\ell_2$"}
FORMULA = re.compile(rf"Δ?E\(x\*?(?:, ?y)?\)|(?<!\w)(?:{'|'.join(NORMS)})(?!\w)")  # energies and norms
APART = re.compile(r"(?<=\d) (?=[%±])|(?<=±) (?=\d)")
LAST_LATIN = "\u017e"  # T1 fonts hold Latin-1 and Latin Extended-A, but for these letters
NOT_IN_T1 = "ĦħĸĿŀŉŦŧ"


def tied(text: str) -> str:
    """With spaces at which no line ends before % and around ± in numbers."""
    return APART.sub("\u00a0", text)


def latex(text: str) -> str:
    """`text` for LaTeX's text mode: every special character escaped, energies such as ΔE(x*, y) and the norms L∞
    and L2 set as formulas, numbers `tied`.

    Raises RobustlensError for a character that pdfTeX's standard fonts do not have.
    """
    text = tied(unicodedata.normalize("NFC", text))  # macOS writes an accent as a character of its own
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
        if character not in SPECIAL and not _has_a_font(character):
            raise RobustlensError(f"LaTeX cannot print {character!r} in {text[:60]!r}; use another character")
        if character == previous and character in "-,?!":  # --, ,, and the like are ligatures of T1 fonts
            escaped.append("{}")
        escaped.append(SPECIAL.get(character, character))
    return "".join(escaped)


def _has_a_font(character: str) -> bool:
    if character > LAST_LATIN or character in NOT_IN_T1:
        return False
    return character == "\n" or unicodedata.category(character) != "Cc"  # no control character
