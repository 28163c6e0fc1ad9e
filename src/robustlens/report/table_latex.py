"""A laid-out table as LaTeX (booktabs)."""

from itertools import accumulate

from robustlens.report.escape import latex
from robustlens.report.layout import Layout

WRAPPED = r">{\raggedright\arraybackslash}"


def latex_table(name: str, caption: str, corner: str, layout: Layout) -> str:
    """See Table.to_latex."""
    title = rf"\caption{{{latex(caption)}}}\label{{tab:{name}}}"
    head = [r"\toprule", *_header(corner, layout), r"\midrule"]
    body = [line for i in range(len(layout.lines)) for line in _row(layout, i)]
    notes = [rf"\par {latex(note)}" for note in layout.notes]
    if any(column.wide for column in layout.columns):
        columns = "".join(_wrapped(column.wide) if column.wide else "l" for column in layout.columns)
        spec = rf"{WRAPPED}p{{0.13\linewidth}}{columns}"
        body = [f"{line} \\addlinespace" for line in body]
        lines = [
            *(r"\begingroup", r"\footnotesize", rf"\begin{{xltabular}}{{\linewidth}}{{{spec}}}", title + r" \\"),
            *(*head, r"\endfirsthead", *head, r"\endhead", *body, r"\bottomrule"),
            *(r"\end{xltabular}", *notes, r"\par\endgroup"),
        ]
    else:
        spec = "l" + "r" * len(layout.columns)
        lines = [
            *(r"\begin{table}[htbp]", r"\centering\small", title),
            *(r"\begin{adjustbox}{max width=\linewidth}", rf"\begin{{tabular}}{{{spec}}}"),
            *(*head, *body, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"),
            *([r"\begin{flushleft}\footnotesize", *notes, r"\end{flushleft}"] if notes else []),
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _wrapped(part: float) -> str:
    """A column of tabularx; the parts of all of them must add up to their number."""
    return rf">{{\hsize={part:g}\hsize\raggedright\arraybackslash}}X"


def _header(corner: str, layout: Layout) -> list[str]:
    lines = []
    if layout.spans:
        cells = [rf"\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, n in layout.spans]
        lines.append(" & ".join(["", *cells]) + r" \\")
        last = list(accumulate((n for _, n in layout.spans), initial=1))[1:]
        rules = [
            rf"\cmidrule(lr){{{end - n + 1}-{end}}}"
            for (group, n), end in zip(layout.spans, last, strict=True)
            if group
        ]
        lines.append(" ".join(rules))
    return [*lines, " & ".join(latex(label) for label in [corner, *(c.label for c in layout.columns)]) + r" \\"]


def _row(layout: Layout, i: int) -> list[str]:
    line, lines = layout.lines[i], []
    if line.opens:
        lines += [r"\addlinespace"] if i else []
        lines.append(rf"\multicolumn{{{len(layout.columns) + 1}}}{{l}}{{\itshape {latex(line.opens)}}} \\*")
    return [*lines, " & ".join(latex(text) for text in [line.label, *(t.text for t in line.texts)]) + r" \\"]
