"""Lists of names in a sentence."""

import re
from collections.abc import Iterable, Sequence

BRACKETED = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")


def separated(parts: Iterable[str]) -> str:
    """ "a, b", or "a, b; c" where a part has a comma of its own, as a name like "PGD-20, margin" has."""
    parts = list(parts)
    return f"{_separator(parts)} ".join(parts)


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"; with semicolons where a part has commas of its own: "a, b; c; and d"."""
    if len(parts) < 2:
        return "".join(parts)
    between = _separator(parts)
    last = "; and" if between == ";" else " and"
    return f"{f'{between} '.join(parts[:-1])}{last} {parts[-1]}"


def _separator(parts: Iterable[str]) -> str:
    """What stands between the parts: a semicolon if there is a comma within one, outside of its brackets."""
    return ";" if any("," in BRACKETED.sub("", part) for part in parts) else ","
