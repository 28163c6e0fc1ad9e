"""What a report holds, before it is LaTeX or HTML."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from robustlens.report.chapter import Chapter, Fact, count
from robustlens.report.front import sentences
from robustlens.report.headlines import accuracies
from robustlens.report.jobs import Jobs
from robustlens.report.ledger import read_ledger

FEW = 2  # networks or threats of a study that the front names
TEMPLATES = Path(__file__).parent / "templates"  # not seen by the code digest: declare them as inputs


@dataclass(frozen=True)
class Document:
    """The parts of a report.

    caveat: what a reader must know of the scale first; empty where there is nothing to know.
    datasets: their sheets (`sheet.json`), each with its title and citation. chapters: one per study, in order. claims:
    the CSV of the collected claims. provenance: what to print at the end, such as the configuration's digest and the
    versions of the libraries. seeds: those of all cohorts. arithmetic: as configured. jobs: what the results took;
    of_studies: what those of each study did. commit: of the code that put the report together; empty where it is not
    known. picture: the PNG of the figure on the first page, with its PDF beside it. references: as BibTeX, what may be
    cited.
    """

    title: str
    scale: str
    caveat: str
    datasets: list[dict]
    chapters: list[Chapter]
    claims: Path
    provenance: dict[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    arithmetic: str = ""
    jobs: Jobs | None = None
    of_studies: Mapping[str, Jobs] = field(default_factory=dict)
    commit: str = ""
    picture: Path | None = None
    references: str = ""

    @property
    def facts(self) -> list[Fact]:
        """What was run; what is not known is left out."""
        jobs = self.jobs
        told = [
            Fact("Scale", [self.scale]),
            Fact("Data", [_dataset_sentence(sheet) for sheet in self.datasets]),
            Fact("Studies", [line for chapter in self.chapters if (line := _study_line(chapter))]),
            Fact("Seeds", [", ".join(map(str, self.seeds))]),
            Fact("Runs", [jobs.runs] if jobs else []),
            Fact("Arithmetic", [self.arithmetic]),
            Fact("Hardware", [jobs.hardware] if jobs else [], measured=True),
            Fact("Time", [jobs.time, *self._times()] if jobs else [], measured=True),
            Fact("Code", [f"commit {self.commit}"] if self.commit else [], measured=True),
        ]
        return [fact for fact in told if any(fact.lines)]

    @property
    def findings(self) -> list[str]:
        """Sentences: how many claims hold, and what `front.sentences` says."""
        return [*self._verdicts(), *sentences(self.chapters)]

    def _times(self) -> list[str]:
        """That of each study, in a line, where there are several."""
        parts = [f"{study} {jobs.taken}" for study, jobs in self.of_studies.items() if jobs.count]
        return [f"by study, shared jobs counted for each: {', '.join(parts)}"] if len(parts) > 1 else []

    def _verdicts(self) -> list[str]:
        """Over all studies."""
        rows = read_ledger(self.claims)
        studies = list(dict.fromkeys(row["study"] for row in rows))
        papers = {chapter.study: chapter.paper for chapter in self.chapters}
        if not studies:
            return []
        return [count(rows, papers[studies[0]] if len(studies) == 1 else f"{len(studies)} papers")]


def without(text: str, caveat: str) -> str:
    """A caption, or a whole table, without the sentence that every one ends with because it may travel alone; a report
    says it on every page. caveat: written as in the text."""
    return text.replace(f" {caveat}", "") if caveat else text


def environment(**settings: object) -> Environment:
    """Jinja's environment for the templates of this package; an undefined name is an error."""
    return Environment(
        loader=PackageLoader("robustlens.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **settings,
    )


def _study_line(chapter: Chapter) -> str:
    """Network, threat, and how many recipes have how many seeds; empty where nothing of it is known."""
    told = {fact.label: fact.lines for fact in chapter.setup}
    parts = [_few(told.get(label, ()), what) for label, what in (("Network", "networks"), ("Threat", "threats"))]
    parts = [part for part in (*parts, _seeds(chapter)) if part]
    return f"{chapter.study}: {'; '.join(parts)}" if parts else ""


def _few(lines: Sequence[str], what: str) -> str:
    """One or two, or how many there are."""
    return "; ".join(lines) if len(lines) <= FEW else f"{len(lines)} {what} (see its chapter)"


def _seeds(chapter: Chapter) -> str:
    """Such as "main table: 7 recipes with 3 seeds, 11 with 1"."""
    if not (chapter.accuracies and chapter.robustness):
        return ""
    _, of_datasets = accuracies(chapter.accuracies, chapter.robustness)
    seeds = [recipe.seeds for recipes in of_datasets.values() for recipe in recipes]
    first, *others = sorted(Counter(seeds).items(), reverse=True)
    told = [f"{first[1]} recipe{'s' * (first[1] > 1)} with {first[0]} seed{'s' * (first[0] > 1)}"]
    return "main table: " + ", ".join([*told, *(f"{count} with {n}" for n, count in others)])


def _dataset_sentence(sheet: dict) -> str:
    sizes, shape = sheet["sizes"], " \u00d7 ".join(str(n) for n in sheet["shape"])
    name = f"{sheet['title']} ({sheet['citation'].rstrip('.')})"
    return (
        f"{name}: {len(sheet['classes'])} classes, images of {shape} values; "
        f"{sizes['train']} to train, {sizes['validation']} to validate and select checkpoints, {sizes['test']} to test."
    )
