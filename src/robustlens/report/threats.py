"""What tables and figures say of the threats that their evaluations were made under."""

import re
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from robustlens.parameters import fraction
from robustlens.report.context import NORMS, Context
from robustlens.report.published import USUAL, Ball

EVALUATED = re.compile(r"/evaluations/(?P<dataset>[^/]+)/(?P<recipe>[^/]+)/seed\d+/(?P<threat>[^/]+)/")


def evaluated(files: Iterable[str]) -> pd.DataFrame:
    """What the paths of files say of the evaluations among them: dataset, recipe and threat, each combination once."""
    found = dict.fromkeys(match.groups() for file in files if (match := EVALUATED.search(file)))
    return pd.DataFrame(list(found), columns=list(EVALUATED.groupindex))


def label(threat: str, context: Context) -> str:
    """A threat as readers see it, such as "L∞, ε = 8/255"; one that the context doesn't list keeps its identifier."""
    facts = context.threats.get(threat)
    return f"{NORMS.get(facts['norm'], facts['norm'])}, ε = {facts['epsilon']}" if facts else threat


def norm(threat: str, context: Context) -> str:
    """`linf` or `l2`; L-inf, that of nearly all papers, for a threat that the context doesn't list."""
    return context.threats.get(threat, {}).get("norm", "linf")


def ball(threat: str, context: Context) -> Ball:
    """Norm and epsilon; those of nearly all papers for a threat that the context doesn't list."""
    facts = context.threats.get(threat)
    return (facts["norm"], fraction(facts["epsilon"])) if facts else USUAL


def labels(evaluations: pd.DataFrame, context: Context) -> dict[tuple[str, str], str]:
    """(dataset, threat) -> the threat's label where the dataset is evaluated under several, or another dataset in
    another norm; otherwise ""."""
    pairs = _combinations(evaluations, "dataset", "threat")
    datasets = [dataset for dataset, _ in pairs]
    mixed = len({norm(threat, context) for _, threat in pairs}) > 1
    return {(d, threat): label(threat, context) if mixed or datasets.count(d) > 1 else "" for d, threat in pairs}


def groups(evaluations: pd.DataFrame, context: Context) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each dataset and threat, in the order of the datasets, with what a table calls the group: the
    dataset's title if there are several datasets, and the threat where `labels` has it."""
    told_apart, datasets = labels(evaluations, context), evaluations["dataset"].unique()
    for dataset in datasets:
        rows = evaluations[evaluations["dataset"] == dataset]
        for threat in rows["threat"].unique():
            parts = [context.dataset_title(dataset)] * (len(datasets) > 1) + [told_apart[dataset, threat]]
            yield ", ".join(filter(None, _once(parts))), rows[rows["threat"] == threat]


def _combinations(evaluations: pd.DataFrame, *columns: str) -> list[tuple[str, ...]]:
    """The combinations that these columns have, sorted."""
    return sorted(evaluations[list(columns)].drop_duplicates().itertuples(index=False, name=None))


def _once(parts: Sequence[str]) -> list[str]:
    """A dataset's title and the label of a threat, without its norm where the title says it."""
    *title, threat = parts
    norm, _, radius = threat.partition(", ")
    said = any(re.search(rf"(?<!\w){re.escape(norm)}(?!\w)", name) for name in title)
    return [*title, radius if said and radius else threat]


def notes(evaluations: pd.DataFrame, context: Context) -> list[str]:
    """A sentence for every dataset, training threat and evaluation threat that differ, which names the recipes, and one
    for every dataset that is evaluated in L2 alone, which neither those nor the rows' groups name.

    evaluations: with the columns dataset, recipe and threat. Recipes whose training threat the context doesn't know
    are left out.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for dataset, recipe, threat in _combinations(evaluations, "dataset", "recipe", "threat"):
        trained = context.recipes[recipe].threats.get(dataset) if recipe in context.recipes else None
        if trained not in (None, threat):
            found.setdefault((dataset, trained, threat), []).append(context.recipe_label(recipe))
    told = {(dataset, threat) for dataset, _, threat in found}
    return [
        f"Evaluated under {label(threat, context)} on {context.dataset_title(dataset)}."
        for (dataset, threat), group in labels(evaluations, context).items()
        if not group and (dataset, threat) not in told and norm(threat, context) != "linf"
    ] + [
        f"Trained under {label(trained, context)}, but evaluated under {label(threat, context)} on "
        f"{context.dataset_title(dataset)}: {'; '.join(recipes)}."
        for (dataset, trained, threat), recipes in found.items()
    ]


def one(evaluations: pd.DataFrame, context: Context) -> tuple[pd.DataFrame, list[str]]:
    """Those of one dataset under the threat that most of its files are of, of several the first, and a sentence where
    there are others: for claims, which compare recipes under one threat."""
    threat = evaluations.drop_duplicates("source")["threat"].value_counts(sort=False).idxmax()
    kept = evaluations[evaluations["threat"] == threat]
    others = len(kept) < len(evaluations)
    return kept, [f"Judged only on evaluations under {label(threat, context)}; there are others."] * others


def of_training(evaluations: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Those of each recipe on a dataset under the threat that it was trained under; if there are none, those under the
    first other threat. `notes` says which these are."""
    if evaluations.empty:
        return evaluations
    return pd.concat(
        _of_training(rows, context.recipes[recipe].threats.get(dataset) if recipe in context.recipes else None)
        for (dataset, recipe), rows in evaluations.groupby(["dataset", "recipe"], sort=False)
    )


def _of_training(rows: pd.DataFrame, trained: str | None) -> pd.DataFrame:
    shown = trained if (rows["threat"] == trained).any() else rows["threat"].iloc[0]
    return rows[rows["threat"] == shown]
