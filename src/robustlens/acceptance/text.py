"""What `make accept` says."""

from collections import Counter
from pathlib import Path

from robustlens.acceptance.jobs import Acceptance, State, name

LEFT = {
    State.ABSENT: "without results",
    State.WAITING: "reading what has to be made first",
    State.REFUSED: "refused",
}


def acceptance_text(found: Acceptance, results: Path, command: str, dry_run: bool) -> str:
    """Counts by rule, reasons, what may be deleted, and the command to continue with.

    results: the folder of the scale. command: what runs the rest.
    """
    accepted, refused = found.having(State.ACCEPTED), found.having(State.REFUSED)
    finished = len(found.having(State.FINISHED))
    if not accepted and not refused and not found.evaluations:
        lines = [f"Nothing to accept in {results}: {finished} of {len(found.jobs)} computations are finished already."]
    else:
        done = "would be accepted" if dry_run else "accepted"
        lines = [f"{results}: {len(accepted)} of {len(found.jobs) - finished} computations {done}"]
        lines += _by_rule(found)
        if found.evaluations:
            lines.append(f"  (evaluations of single attacks {done}: {found.evaluations})")
    if refused:
        lines += [
            "Not accepted, and to be made again:",
            *(f"  {name(job)}: {found.reasons[job.key()]}" for job in refused),
        ]
    if not dry_run and (old := former_files(results)):
        lines += ["May be deleted now, unless another configuration of this scale is to be accepted, too:"]
        lines += [f"  {place}" for place in old]
    last = "This was a dry run: nothing was changed." if dry_run else f"Continue with: {command}"
    return "\n".join([*lines, last])


def _by_rule(found: Acceptance) -> list[str]:
    counts = Counter((job.rule, found.states[job.key()]) for job in found.jobs)
    lines = []
    for rule in dict.fromkeys(job.rule for job in found.jobs):
        asked = sum(counts[rule, state] for state in State if state is not State.FINISHED)
        if asked:
            left = [f"{counts[rule, state]} {words}" for state, words in LEFT.items() if counts[rule, state]]
            accepted = f"{counts[rule, State.ACCEPTED]} of {asked}"
            lines.append(f"  {rule:<20} {accepted:<12} {', '.join(left)}".rstrip())
    return lines


def former_files(results: Path) -> list[str]:
    """Folders and files of the former layout, as patterns of a shell."""
    folders = [results / place / kind for place in ("", "provenance") for kind in ("tables", "figures")]
    suites = [results / "evaluations/*/*/seed*/*.parquet", results / "provenance/evaluations/*/*/seed*/*.json"]
    there = [path for path in suites if any(results.glob(str(path.relative_to(results))))]
    return [str(path) for path in (*filter(Path.is_dir, folders), *there)]
