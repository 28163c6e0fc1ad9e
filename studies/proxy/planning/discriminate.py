"""Discriminators of real and generated images, at each radius and for each number of steps."""

from robustlens.discrimination.sides import SHARES
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.networks import Network
from robustlens.planning.work import Calls, Work

FLOAT = 4


def work(job: Job, known: Known) -> Work:
    """Training with PGD, but for radius 0; every discriminator attacked at every radius on validation images, and two
    at each radius on test images. On both sides there are counted as many images as there are real ones."""
    dataset, settings = known.dataset(job), job.spec["discriminator"]
    radii, budgets = len(settings["epsilons"]), settings["steps"]
    images = {part: 2 * dataset.sizes["test"] * share / 100 for part, share in SHARES.items()}
    training, attacked = sum(budgets) * radii, len(budgets) * radii * (radii - 1)
    gradients = sum(budgets) * (radii - 1) * settings["attack_steps"]
    validated = attacked * settings["validation_steps"]
    tested = 2 * len(budgets) * (radii - 1) * settings["test_steps"]
    calls = (
        Calls("training", 2 * settings["batch_size"], gradients, gradients, trained=training),
        Calls("tracking", images["validation"], validated, validated),
        Calls("tracking", images["test"], tested, tested),
    )
    return Work(Network.of(job.spec["architecture"], dataset.shape, 2), calls)


def written(job: Job, known: Known) -> dict[str, float]:
    """The state has the discriminators of all radii."""
    settings, weights = job.spec["discriminator"], FLOAT * known.work(job).network.parameters
    return {"training states": (3 + len(settings["epsilons"])) * weights * len(settings["steps"])}
