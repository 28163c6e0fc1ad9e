"""Clean and robust accuracy: AR-AT against other methods, its parts, and the view of distillation."""

from robustlens.analysis.claims import (
    NOT_LEARNED,
    SUPPORTED,
    Claim,
    NotMeasured,
    Outcome,
    collector,
    decide,
    decide_all,
)
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired
from robustlens.analysis.measured import more_accurate, of
from robustlens.analysis.statistics import Interval, crossed_interval
from studies.invariance.claims.data import InvarianceData
from studies.invariance.results import CLEAN, REFERENCE, STRONG, SUM, under

CLAIMS: list[Claim] = []
OTHERS = ("sat", "trades", "mart", "lbgat")  # of the paper's table 3, as far as both protocols have them
LITTLE = 2.0  # points that "hardly" and "about" stand for
# What avoids a problem of invariance in distillation, or both: with it, and without
AVOIDING = {
    "two networks": ("lbgat", "lbgat-shared"),
    "two BatchNorms": ("lbgat-split", "lbgat-shared"),
    "stop-gradient": ("lbgat-split-stop-gradient", "lbgat-split"),
}
PAIRED = "best checkpoints, paired by seed and image"

claim = collector(CLAIMS)


@claim(
    "more-accurate-than-lbgat",
    "AR-AT is more accurate on clean images than LBGAT.",
    "table 3 (CIFAR-10, ResNet-18: 87.82 to 85.00, beyond the standard deviation over five runs)",
    f"Clean accuracy of AR-AT minus that of LBGAT (beta 0), {PAIRED}, is above 0 points.",
)
def more_accurate_than_lbgat(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "arat", "lbgat", CLEAN)


@claim(
    "larger-sum-than-lbgat",
    "AR-AT has a larger sum of clean and robust accuracy than LBGAT.",
    "table 3 (CIFAR-10, ResNet-18: 136.84 to 133.86, robust accuracies within a standard deviation)",
    "Clean accuracy plus accuracy under AutoAttack of AR-AT minus that of LBGAT (beta 0), on the images that "
    f"AutoAttack was tried on, {PAIRED}, is above 0 points.",
)
def larger_sum_than_lbgat(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "arat", "lbgat", SUM)


@claim(
    "as-robust-as-lbgat",
    "AR-AT is about as robust as LBGAT.",
    "table 3 (CIFAR-10, ResNet-18: 49.02 to 48.85, within the standard deviation over five runs; CIFAR-100: 23.38 to "
    "23.19). Of WRN-34-10 the paper says otherwise: 50.77 to 52.56, and 24.18 to 26.92",
    "The difference, without its sign, of accuracy under AutoAttack between AR-AT and LBGAT (beta 0), "
    f"{PAIRED}: {LITTLE:g} points minus it is above 0 (both ends of the interval count). The bound is ours.",
)
def as_robust_as_lbgat(data: InvarianceData) -> Outcome:
    return about_as_accurate(data, "arat", "lbgat", STRONG)


@claim(
    "largest-sum",
    "AR-AT has the best trade-off between clean and robust accuracy of the methods compared.",
    "abstract, of various settings, each of which is judged by itself; table 3, where it holds among these methods "
    "(with ARREST, and without averaged weights, AR-AT is second on CIFAR-100 with WRN-34-10)",
    "Clean accuracy plus accuracy under AutoAttack of AR-AT minus that of each of SAT, TRADES, MART and LBGAT, "
    f"whichever there are, {PAIRED}: all are above 0 points (together at 95 %).",
)
def largest_sum(data: InvarianceData) -> Outcome:
    rows = under(data.points, SUM) if len(data.points) else {}
    if "arat" not in rows or not (others := [name for name in OTHERS if name in rows]):
        raise NotMeasured("AR-AT and another method, without an attack and under AutoAttack")
    values = {f"minus {name}": paired(rows["arat"], rows[name], "points") for name in others}
    if not all(part.size for part in values.values()):
        raise NotMeasured("seeds and images that all of these methods have")
    files = [file for name in ("arat", *others) for file in sources(rows[name])]
    return decide_all(values, "sum of AR-AT", files, "points")


@claim(
    "stop-gradient-alone-hardly-helps",
    "A stop-gradient alone hardly makes naive invariance more robust.",
    "the authors' replies to their reviewers",
    f"Accuracy under PGD-20 of naive invariance minus that with the stop-gradient, {PAIRED}, is above -{LITTLE:g} "
    "points. The bound is ours.",
)
def stop_gradient_alone_hardly_helps(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "naive", "naive-stop-gradient", REFERENCE, bound=-LITTLE)


@claim(
    "stop-gradient-helps-with-split-batchnorm",
    "Beside split BatchNorm a stop-gradient makes AR-AT more robust.",
    "the authors' replies to their reviewers",
    f"Accuracy under PGD-20 of AR-AT minus that without the stop-gradient, {PAIRED}, is above 0 points.",
)
def stop_gradient_helps_with_split_batchnorm(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "arat", "arat-no-stop-gradient", REFERENCE)


@claim(
    "split-batchnorm-makes-robust",
    "Split BatchNorm makes AR-AT more robust.",
    "a reviewer's remark on the ablation: it gives most of the robustness",
    f"Accuracy under PGD-20 of AR-AT minus that with one BatchNorm for all images, {PAIRED}, is above 0 points.",
)
def split_batchnorm_makes_robust(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "arat", "arat-shared-batchnorm", REFERENCE)


@claim(
    "distillation-needs-a-separate-network",
    "Distillation makes more robust with another network as the teacher than with the classifier itself.",
    "abstract, in our reading",
    "Accuracy under PGD-20 of LBGAT (beta 0), whose teacher is as large as the classifier, minus that of LBGAT whose "
    f"teacher has the classifier's weights and BatchNorm, {PAIRED}, is above 0 points.",
)
def distillation_needs_a_separate_network(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "lbgat", "lbgat-shared", REFERENCE)


@claim(
    "distillation-avoids-both-problems",
    "Distillation makes more robust because its teacher, another network, avoids both problems of invariance: with one "
    "network, avoiding each of them makes it more robust, too.",
    "abstract, in our reading; the rows with one network are ours",
    "Accuracy under PGD-20 of LBGAT (beta 0) minus that of LBGAT whose teacher has the classifier's weights and "
    "BatchNorm; that with shared weights and two BatchNorms minus the latter; and that with the stop-gradient beside "
    f"two BatchNorms minus that without; {PAIRED}: all are above 0 points (together at 95 %). A row whose clean "
    "accuracy is below half of LBGAT's has not learned: what it is compared in is left out, and without that the claim "
    "can be contradicted, but not supported.",
)
def distillation_avoids_both_problems(data: InvarianceData) -> Outcome:
    names = list(dict.fromkeys(name for pair in AVOIDING.values() for name in pair))
    clean = {name: of(data.points, recipe=name, attack=CLEAN)["points"].mean() for name in names}
    idle = [name for name in names if clean[name] < clean["lbgat"] / 2]
    rows = {name: of(data.points, recipe=name, attack=REFERENCE) for name in names}
    pairs = {step: pair for step, pair in AVOIDING.items() if not set(pair) & set(idle)}
    values = {step: paired(*(rows[name] for name in pair), "points") for step, pair in pairs.items()}
    if not values or not all(part.size for part in values.values()):
        raise NotMeasured("seeds and images that these rows have, of rows that have learned")
    out = "".join(f"{name} has not learned (clean {clean[name]:.1f} %) and is left out; " for name in idle)
    found = decide_all(values, f"{out}gain by", [file for part in rows.values() for file in sources(part)], "points")
    return found.opened(NOT_LEARNED) if idle and found.verdict == SUPPORTED else found


@claim(
    "as-released-costs-accuracy",
    "AR-AT as its released code trains it is less accurate on clean images, to which it adds noise.",
    "our prediction",
    "Clean accuracy of AR-AT minus that of AR-AT trained as released (noise in clean images, the ball around them, and "
    f"BatchNorm in train mode in the attack: all three together), {PAIRED}, is above 0 points.",
)
def as_released_costs_accuracy(data: InvarianceData) -> Outcome:
    return more_accurate(data.points, "arat", "arat-as-released", CLEAN)


@claim(
    "ten-iterations-flatter",
    "AutoAttack with 10 iterations, as released, finds fewer adversarial images than the standard one.",
    "our prediction",
    "Accuracy under the released AutoAttack of 10 iterations minus that under the standard one, averaged over all "
    f"recipes that both were tried on, {PAIRED}, is above 0 points.",
)
def ten_iterations_flatter(data: InvarianceData) -> Outcome:
    few, standard = (under(data.points, attack) if len(data.points) else {} for attack in ("autoattack-10", STRONG))
    pairs = {name: paired(few[name], standard[name], "points") for name in few if name in standard}
    values = [part for part in pairs.values() if part.size]
    if not values or len({part.shape for part in values}) > 1:
        raise NotMeasured("recipes under both, on the same seeds and images")
    files = [file for name in pairs for part in (few[name], standard[name]) for file in sources(part)]
    return decide(crossed_interval(sum(values) / len(values)), "points", f"mean over {', '.join(pairs)}", files)


def about_as_accurate(data: InvarianceData, first: str, second: str, attack: str) -> Outcome:
    """Whether two recipes are right about as often, within LITTLE points: paired by seed and image."""
    ours, theirs = (of(data.points, recipe=recipe, attack=attack) for recipe in (first, second))
    values = paired(ours, theirs, "points")
    if not values.size:
        raise NotMeasured(f"a seed and image that both {first} and {second} have")
    found = crossed_interval(values)
    return decide(_room(found), "points", f"difference {found.estimate:.2f}", [*sources(ours), *sources(theirs)])


def _room(difference: Interval) -> Interval:
    """LITTLE minus the size of a difference: from its largest to its smallest possible size."""
    largest = max(abs(difference.low), abs(difference.high))
    smallest = 0.0 if difference.low <= 0 <= difference.high else min(abs(difference.low), abs(difference.high))
    return Interval(LITTLE - abs(difference.estimate), LITTLE - largest, LITTLE - smallest, difference.factors)
