# What the jobs of rules.smk need to know, as JSON.
from robustlens.configuration import facts

# Ours. Images of a pool that copies and labels are looked for in; images of each class between which distances are
# optimal transports (twice as many real ones must be there), and how often they are drawn anew.
CLOSENESS = {"most": 2000, "per_class": 60, "draws": 5}


def measure_closeness_spec(wildcards):
    found = specs.features(CONFIG, wildcards)
    modules = architecture_modules(found["architecture"])
    mix = CONFIG["recipes"][wildcards.recipe]["mix"]
    return job_spec(
        "studies/proxy/scripts/measure_closeness",
        *modules,
        **found,
        generator=mix["generator"],
        seed=int(wildcards.seed),
        closeness=CLOSENESS,
    )


def discriminate_spec(wildcards):
    """The network is the dataset's, with two classes."""
    if not CONFIG["discrimination"]:
        sys.exit("config.discrimination: is missing; add it, with its `epsilons`, to the scale, or name no such files")
    found = facts.seen(CONFIG, wildcards.dataset)
    settings = CONFIG["datasets"][wildcards.dataset]
    return job_spec(
        "studies/proxy/scripts/discriminate",
        component_module("discrimination", "discriminator"),
        *architecture_modules(settings["architecture"]),
        **found,
        generator=CONFIG["recipes"][wildcards.recipe]["mix"]["generator"],
        seed=int(wildcards.seed),
        architecture=settings["architecture"],
        discriminator=CONFIG["discrimination"] | {"norm": CONFIG["threats"][settings["threat"]]["norm"]},
    )
