"""The configuration: what is refused, and with which words."""

import copy

import pytest
from configured import CONFIG, cohorts, digits, loaded, mine, small

from robustlens.configuration import run_spec
from robustlens.errors import RobustlensError

DIGITS, MINE = "config.datasets.digits", "config.studies.mine"
FEWER = "config.recipes.fewer.leave_out"


def leaving_out(**rule: object):
    """A recipe `fewer` with such a `leave_out`."""
    return lambda raw: raw["recipes"].update(fewer={"method": "sat", "leave_out": rule})


REFUSED = [
    # scales and unknown keys, with the nearest valid name
    (lambda r: r.update(scale="smal"), "config: unknown scale 'smal'; did you mean 'small'?"),
    (lambda r: r.update(scale="paper"), "config: unknown scale 'paper'; valid are: other, small"),
    (lambda r: (r["scales"].update({7: {}}), r.update(scale="smal")), "config: unknown scale 'smal'; did you mean"),
    (
        lambda r: (r["scales"].update(downloads={}), r.update(scale="downloads")),
        "config.scales.downloads: results/downloads/ is what all scales share; give it another name",
    ),
    (lambda r: r.pop("scale"), "config: unknown scale None; valid are: other, small"),
    (lambda r: r.pop("scales"), "config: unknown scale 'small'; valid are: none"),
    (lambda r: r.update(recipees={}), "config: unknown key 'recipees'; did you mean 'recipes'?"),
    (lambda r: digits(r).update(redaer="x"), f"{DIGITS}: unknown key 'redaer'; did you mean 'reader'?"),
    (
        lambda r: digits(r)["training"].update(epochss=3),
        f"{DIGITS}.training: unknown key 'epochss'; did you mean 'epochs'?",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(warmupfraction=0.3),
        f"{DIGITS}.training.schedule: unknown key 'warmupfraction'; did you mean 'warmup_fraction'?",
    ),
    (
        lambda r: digits(r)["generation"]["features"].update(sed=1),
        f"{DIGITS}.generation.features: unknown key 'sed'; did you mean 'seed'?",
    ),
    (lambda r: mine(r).update(sedes=[0]), f"{MINE}: unknown key 'sedes'; did you mean 'seeds'?"),
    (lambda r: cohorts(r)["main"].update(siute="brief"), f"{MINE}.cohorts.main: unknown key 'siute'; did you mean"),
    # values
    (lambda r: digits(r)["training"].update(epochs=0), f"{DIGITS}.training.epochs: 0 is less than the minimum of 1"),
    (lambda r: digits(r)["training"].update(epochs=True), f"{DIGITS}.training.epochs: True is not of type 'integer'"),
    (lambda r: digits(r)["training"].update(epochs=10.0), f"{DIGITS}.training.epochs: 10.0 is not of type 'integer'"),
    (
        lambda r: digits(r)["training"].update(learning_rate="fast"),
        f"{DIGITS}.training.learning_rate: 'fast' is not of type 'number'",
    ),
    (
        lambda r: digits(r)["training"].update(weight_decay=float("inf")),
        f"{DIGITS}.training.weight_decay: inf is not of type 'number' (On all parameters)",
    ),
    (
        lambda r: digits(r)["training"].update(momentum=1),
        f"{DIGITS}.training.momentum: 1 is greater than or equal to the maximum of 1",
    ),
    (
        lambda r: digits(r)["training"].update(attack_batchnorm="both"),
        f"{DIGITS}.training.attack_batchnorm: 'both' is not one of ['eval', 'train', 'batch'] (BatchNorm in",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(name="linear"),
        f"{DIGITS}.training.schedule.name: 'linear' is not one of ['one-cycle', 'step', 'cosine']",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(warmup_fraction=3),
        f"{DIGITS}.training.schedule.warmup_fraction: 3 is greater than or equal to the maximum of 1",
    ),
    (
        lambda r: digits(r)["training"].update(schedule={"name": "step", "milestones": [5]}),
        f"{DIGITS}.training.schedule: 'factor' is a required property",
    ),
    (lambda r: digits(r).pop("threat"), f"{DIGITS}: 'threat' is a required property"),
    (lambda r: small(r).pop("datasets"), "config: 'datasets' is a required property"),
    (lambda r: r["recipes"].update(sat=3), "config.recipes.sat: 3 is not of type 'object'"),
    (lambda r: r["recipes"].update(SAT={"method": "sat"}), "config.recipes: 'SAT' does not match"),
    (lambda r: mine(r).update(seeds=[0, 0]), f"{MINE}.seeds: [0, 0] has non-unique elements"),
    (lambda r: mine(r).update(seeds=[0, -1]), f"{MINE}.seeds[1]: -1 is less than the minimum of 0"),
    (
        lambda r: digits(r)["generation"]["features"].update(kind="inceptio"),
        f"{DIGITS}.generation.features.kind: 'inceptio' is not one of ['classifier', 'inception']",
    ),
    (lambda r: digits(r).update(evaluation={"batch_size": 0}), f"{DIGITS}.evaluation.batch_size: 0 is less than"),
    # components and their parameters
    (
        lambda r: r["recipes"]["trades"].update(betta=3),
        "config.recipes.trades: trades has no parameter 'betta'; did you mean 'beta'?",
    ),
    (
        lambda r: small(r)["recipes"]["trades"].update(beta=-3),
        "config.recipes.trades.beta: must be a number of at least 0, got -3",
    ),
    (
        lambda r: r["recipes"]["trades"].update(method="tradez"),
        "config.recipes.trades: unknown method 'tradez'; did you mean 'trades'?",
    ),
    (lambda r: r["recipes"]["sat"].pop("method"), "config.recipes.sat: 'method' is a required property"),
    (
        lambda r: r["attacks"]["pgd20"].update(family="pdg"),
        "config.attacks.pgd20: unknown attack 'pdg'; did you mean 'pgd'?",
    ),
    (
        lambda r: r["attacks"]["pgd20"].update(loss="cee"),
        "config.attacks.pgd20.loss: must be one of ce, kl, got 'cee'",
    ),
    (
        lambda r: digits(r)["reader"].update(family="digit"),
        f"{DIGITS}.reader: unknown dataset reader 'digit'; did you mean 'digits'?",
    ),
    (
        lambda r: digits(r)["architecture"].update(family="resnett"),
        f"{DIGITS}.architecture: unknown architecture 'resnett'; did you mean 'resnet'?",
    ),
    (
        lambda r: digits(r)["architecture"].update(widht=3),
        f"{DIGITS}.architecture: resnet has no parameter 'widht'; did you mean 'width'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(architecture={"family": "resnet", "width": 0}),
        "config.recipes.sat.architecture.width: must be a whole number above 0, got 0",
    ),
    (
        lambda r: digits(r)["generation"]["sampler"].update(stepss=9),
        f"{DIGITS}.generation.sampler: sampler has no parameter 'stepss'; did you mean 'steps'?",
    ),
    (
        lambda r: digits(r)["generation"].update(grid={"per_class": 5, "values": {"momentun": [0.0]}}),
        f"{DIGITS}.generation.grid.values: sampler has no parameter 'momentun'; did you mean 'momentum'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(training={"epochss": 9}),
        "config.recipes.sat.training: unknown key 'epochss'; did you mean 'epochs'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(training={"batch_size": 0}),
        "config.recipes.sat.training.batch_size: 0 is less than the minimum of 1",
    ),
    # names that must be defined
    (
        lambda r: small(r)["suites"]["robustness"]["attacks"].append("pgd2"),
        "config.suites.robustness.attacks: unknown attack 'pgd2'; did you mean 'pgd20'?",
    ),
    (
        lambda r: small(r)["suites"]["brief"].update(samples={"autoattack": 10}),
        "config.suites.brief.samples: unknown attack 'autoattack'; valid are: pgd20",
    ),
    (
        lambda r: small(r)["suites"]["brief"].update(best_only=["autoattack"]),
        "config.suites.brief.best_only: unknown attack 'autoattack'; valid are: pgd20",
    ),
    (
        lambda r: digits(r)["generation"]["features"].update(recipe="standard"),
        f"{DIGITS}.generation.features.recipe: unknown recipe 'standard'",
    ),
    (lambda r: digits(r).update(like="digitz"), f"{DIGITS}.like: unknown dataset 'digitz'; did you mean 'digits'?"),
    (lambda r: digits(r).update(like=["digits"]), f"{DIGITS}.like: ['digits'] is not the name of a dataset"),
    (lambda r: digits(r).update(like="digits"), f"{DIGITS}.like: digits is like digits: a circle"),
    # entries that do not fit each other
    (
        lambda r: digits(r)["tracking"].update(energy_epochs=[1, 11]),
        f"{DIGITS}.tracking.energy_epochs: 11 is after the last epoch, 10",
    ),
    (
        lambda r: small(r).update(
            models={"sat": {"dataset": "digits", "architecture": {"family": "resnet"}, "weights": {"file": "x"}}}
        ),
        "config.models.sat: a recipe has this name; choose another",
    ),
    (lambda r: digits(r).update(archives={"x": {"bytes": 1}}), f"{DIGITS}.archives: unknown archive 'x'; valid are"),
    # generators
    (
        lambda r: r["generators"]["blurred"].update(family="gausian"),
        "config.generators.blurred: unknown generator 'gausian'; did you mean 'gaussian'?",
    ),
    (
        lambda r: r["generators"]["blurred"].update(shrinkag=0.1),
        "config.generators.blurred: gaussian has no parameter 'shrinkag'; did you mean 'shrinkage'?",
    ),
    (
        lambda r: r["generators"]["blurred"].update(shrinkage=1.1),
        "config.generators.blurred.shrinkage: must be a number between 0 and 1, got 1.1",
    ),
    (
        lambda r: r["generators"]["blurred"].update(covariance="fully"),
        "config.generators.blurred.covariance: must be one of diagonal, full, got 'fully'",
    ),
    (lambda r: r["generators"]["blurred"].pop("per_class"), "config.generators.blurred: 'per_class' is a required"),
    (lambda r: r["generators"]["blurred"].update(per_class=0), "config.generators.blurred.per_class: 0 is less than"),
    (lambda r: r["generators"]["blurred"].update(seed=-1), "config.generators.blurred.seed: -1 is less than the"),
    (lambda r: r["generators"]["blurred"].update(label="ж"), "config.generators.blurred.label: LaTeX cannot print"),
    (lambda r: r["generators"].update(Grey=r["generators"].pop("blurred")), "config.generators: 'Grey' does not match"),
    # images left out
    (
        leaving_out(measured_by="satt", above=-3.0),
        "config.recipes.fewer.leave_out.measured_by: unknown recipe 'satt'; did you mean 'sat'?",
    ),
    (
        leaving_out(measured_by="fewer", above=-3.0),
        "config.recipes.fewer.leave_out.measured_by: fewer leaves images out itself",
    ),
    (
        leaving_out(measured_by="sat", above=-3.0, fraction=0.1),
        f"{FEWER}: measured_by, above, fraction: not one of the forms",
    ),
    (leaving_out(measured_by="sat"), "config.recipes.fewer.leave_out:"),
    (leaving_out(above=-3.0), "config.recipes.fewer.leave_out:"),
    (
        leaving_out(classes=[1], measured_by="sat"),
        f"{FEWER}: classes, measured_by: not one of the forms",
    ),
    (leaving_out(classes=[1], below=0.0), "config.recipes.fewer.leave_out:"),
    (leaving_out(classes=[]), "config.recipes.fewer.leave_out.classes: [] should be non-empty"),
    # threats, looks and names
    (
        lambda r: r["threats"]["near"].update(epsilon="8/0"),
        "config.threats.near.epsilon: '8/0' does not match '^[1-9][0-9]*/[1-9][0-9]*$' (A length in pixel units, as "
        "a number or an exact fraction such as 8/255)",
    ),
    (
        lambda r: r["threats"]["near"].update(epsilon=float("nan")),
        "config.threats.near.epsilon: nan is not of type 'number', 'string'",
    ),
    (lambda r: r["threats"]["far"].update(step_size=-1), "config.threats.far.step_size: -1 is less than or equal to"),
    (lambda r: r["threats"]["far"].update(norm="l1"), "config.threats.far.norm: 'l1' is not one of ['linf', 'l2']"),
    (lambda r: digits(r).update(threat="neer"), f"{DIGITS}.threat: unknown threat 'neer'; did you mean 'near'?"),
    (
        lambda r: r["recipes"]["sat"].update(threat="fer"),
        "config.recipes.sat.threat: unknown threat 'fer'; did you mean 'far'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(changes="tradez"),
        "config.recipes.sat.changes: unknown recipe 'tradez'; did you mean 'trades'?",
    ),
    (
        lambda r: (r["recipes"]["sat"].update(changes="trades"), r["recipes"]["trades"].update(changes="sat")),
        "config.recipes.sat.changes: sat changes trades changes sat: a circle",
    ),
    (lambda r: r["recipes"]["sat"].update(colour="red"), "config.recipes.sat.colour: 'red' does not match"),
    (lambda r: r["recipes"]["sat"].update(marker="oo"), "config.recipes.sat.marker: 'oo' is not one of ['.', ',', 'o'"),
    (lambda r: r["recipes"]["sat"].update(label="a\nb"), "config.recipes.sat.label: 'a\\nb' does not match"),
    (lambda r: r["recipes"]["sat"].update(label="ж"), "config.recipes.sat.label: LaTeX cannot print 'ж' in 'ж'"),
    (lambda r: r["attacks"]["pgd20"].update(label="攻"), "config.attacks.pgd20.label: LaTeX cannot print '攻'"),
    (lambda r: r.update(caveat="Trial ж"), "config.caveat: LaTeX cannot print 'ж' in 'Trial ж'; use another"),
    (
        lambda r: small(r).update(
            models={
                "theirs": {
                    "dataset": "digits",
                    "citation": "王",
                    "architecture": {"family": "resnet"},
                    "weights": {"file": "x.pt"},
                }
            }
        ),
        "config.models.theirs.citation: LaTeX cannot print '王'",
    ),
    (lambda r: digits(r).update(title="MNIST ж"), f"{DIGITS}.title: LaTeX cannot print 'ж' in 'MNIST ж'; use another"),
    # classes that are kept
    (lambda r: digits(r).update(classes=[1]), f"{DIGITS}.classes: [1] is too short"),
    (lambda r: digits(r).update(classes=[1, 1]), f"{DIGITS}.classes: [1, 1] has non-unique elements"),
    (lambda r: digits(r).update(classes=[1, -1]), f"{DIGITS}.classes[1]: -1 is less than the minimum of 0"),
    (
        lambda r: digits(r).update(classes=[1, 10]),
        f"{DIGITS}.classes: scikit-learn digits has no class 10; its classes are 0 to 9",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_mistake_is_refused_with_its_place_and_the_nearest_valid_name(change, message):
    with pytest.raises(RobustlensError) as raised:
        loaded(change)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


def test_the_unchanged_configuration_is_accepted_and_left_alone():
    before = copy.deepcopy(CONFIG)
    loaded()
    assert before == CONFIG


FORMER = [
    ({"studies": {"mine": {"recipes": ["sat"]}}}, "studies.mine.recipes: now studies.mine.cohorts.main.recipes"),
    (
        {"studies": {"mine": {"attack_energies": {"datasets": ["digits"]}}}},
        "studies.mine.attack_energies: now studies.mine.cohorts.attack-energies",
    ),
    ({"studies": {"mine": {"generation": {}}}}, "studies.mine.generation: now studies.mine.cohorts.generation"),
    (
        {"studies": {"mine": {"generation_grid": 0}}},
        "studies.mine.generation_grid: now studies.mine.cohorts.generation-grid",
    ),
    ({"studies": {"mine": {"further": None}}}, "studies.mine.further: now studies.mine.cohorts.further"),
    ({"studies": {"mine": {"subsets": {}}}}, "studies.mine.subsets: now studies.mine.cohorts.subsets"),
    ({"suites": {"brief": {"batch_size": 9}}}, "suites.brief.batch_size: now datasets.<dataset>.evaluation.batch_size"),
    (
        {"datasets": {"digits": {"threat": {"epsilon": 0.1}}}},
        "datasets.digits.threat: now the name of an entry of `threats`, which has norm, epsilon and step_size",
    ),
]


@pytest.mark.parametrize(("overlay", "message"), FORMER, ids=[message.partition(":")[0] for _, message in FORMER])
def test_a_former_key_is_answered_with_its_new_name(overlay, message):
    for given in (overlay, {"scales": {"small": overlay}}):
        with pytest.raises(RobustlensError) as raised:
            loaded(lambda raw: None, given)
        assert str(raised.value).startswith(f"config.{message} (") and "given-0.yaml" in str(raised.value)


STEP = {"name": "step", "milestones": [5], "factor": 0.1}


def of_two_schedules(raw: dict) -> None:
    """`cifar` trains with steps, and `later` with other ones."""
    small(raw)["datasets"]["cifar"] = {
        "like": "digits",
        "reader": {"family": "cifar10"},
        "training": {"schedule": STEP},
    }
    raw["recipes"]["later"] = {"method": "sat", "training": {"schedule": {"milestones": [7]}}}


def test_a_recipe_s_protocol_must_fit_the_datasets_that_it_is_trained_on_and_no_others():
    def used_on(*datasets: str):
        return lambda raw: (
            of_two_schedules(raw),
            cohorts(raw).update(further={"recipes": ["later"], "datasets": [*datasets]}),
        )

    assert run_spec(loaded(used_on("cifar")), "cifar", "later")["training"]["schedule"] == STEP | {"milestones": [7]}
    with pytest.raises(RobustlensError) as raised:
        loaded(used_on("cifar", "digits"))
    assert str(raised.value).startswith("config.recipes.later.training.schedule: unknown key 'milestones'")
    assert str(raised.value).endswith(", on digits")


@pytest.mark.parametrize("by", ["features", "leave_out"])
def test_what_other_runs_need_is_trained_too_and_must_fit(by):
    def change(raw: dict) -> None:
        of_two_schedules(raw)
        if by == "features":
            digits(raw)["generation"]["features"]["recipe"] = "later"
        else:
            raw["recipes"]["fewer"] = {"method": "sat", "leave_out": {"measured_by": "later", "above": 1.0}}
            cohorts(raw)["further"] = {"recipes": ["fewer"]}

    with pytest.raises(RobustlensError, match=r"^config\.recipes\.later\.training\.schedule: .*, on digits$"):
        loaded(change)
