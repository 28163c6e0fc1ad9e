"""What becomes of images that were attacked into a class, when that class is not trained on."""

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide
from robustlens.analysis.class_removal import KINDS, ROBUST_WITHOUT_B, Fates, difference_interval, share_interval
from studies.classwise.claims.data import ClasswiseData, in_points

CLAIMS: list[Claim] = []
MOST = 50.0  # %

claim = collector(CLAIMS)


@claim(
    "robust-without-the-confuser",
    "Images that are attacked into one class are robust more often when that class is not trained on than when another "
    "one is not.",
    "abstract of the earlier version (2021), which says more: such images have no adversarial counterpart then",
    "SAT, best checkpoints: of the images of a class A that are classified correctly without an attack and as B under "
    "PGD-20, where B is the class that most images of A are attacked into, the share that is robust when B is not "
    "trained on, minus the share that is robust when a control C is not, is above 0 points, over the images of all "
    "classes. C is the class, other than A and B, that fewest images of A are attacked into.",
)
def robust_without_the_confuser(data: ClasswiseData) -> Outcome:
    found, files = _fates(data)
    return decide(in_points(difference_interval(found)), "points", _shares(found), files)


@claim(
    "no-counterpart-without-the-confuser",
    "Images that are attacked into one class have no adversarial counterpart when that class is not trained on.",
    "abstract of the earlier version (2021)",
    "SAT, best checkpoints: of the images of a class A that are classified correctly without an attack and as B under "
    "PGD-20, where B is the class that most images of A are attacked into, the share that is robust under PGD-20 when "
    f"B is not trained on is above {MOST:g} %, over the images of all classes. The bound is ours, of most of them; it "
    "was set when the estimate of one seed was known.",
)
def no_counterpart_without_the_confuser(data: ClasswiseData) -> Outcome:
    found, files = _fates(data)
    return decide(in_points(share_interval(found, ROBUST_WITHOUT_B)), "%", _shares(found), files, MOST)


def _fates(data: ClasswiseData) -> tuple[Fates, list[str]]:
    removal = data.removal.get("sat")
    found = removal and removal.fates()
    if not found:
        raise NotMeasured("SAT without a class that images are attacked into, and without a control")
    return found, removal.files


def _shares(found: Fates) -> str:
    told = ", ".join(f"{kind} {100 * found.share(number):.0f} %" for number, kind in enumerate(KINDS) if number)
    return f"{found.count} images: {told}"
