"""What somebody who uses a result cites: the entries of docs/references.bib."""

import re
from collections.abc import Iterator

SOFTWARE = "robustlens"  # the key of this project's own entry


def entries_for(references: str, study: str) -> str:
    """The entries of a study's paper, which say `study <name>` in their note, and of robustlens, as BibTeX.

    references: the text of a .bib file, each entry ending with a brace at the start of a line.
    """
    note = re.compile(rf"\bstudy {re.escape(study)}\b(?!-)")
    return "\n\n".join(text for key, text in _entries(references) if key == SOFTWARE or note.search(text))


def _entries(references: str) -> Iterator[tuple[str, str]]:
    """Key and text of each."""
    for found in re.finditer(r"^@\w+\{([^,\s]+),.*?^\}", references, re.DOTALL | re.MULTILINE):
        yield found[1], found[0]
