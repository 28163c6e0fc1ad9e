# What the jobs of rules.smk need to know, as JSON.


def class_names_spec(wildcards):
    catalogue = configuration.entry(CONFIG["datasets"][wildcards.dataset]["reader"]["family"])
    return job_spec("studies/classwise/scripts/name_classes", superclasses=catalogue.get("superclasses", {}))


def compare_signs_spec(wildcards):
    found = specs.evaluated(CONFIG, wildcards)
    attacks = {
        attack["name"]: attack["parameters"]["inverse_temperature"]
        for attack in found["attacks"]
        if attack["family"] == "temperature-pgd"
    }
    kept = {key: value for key, value in found.items() if key not in ("suite", "checkpoints")}
    modules = architecture_modules(found["architecture"])
    return job_spec("studies/classwise/scripts/compare_signs", *modules, **kept | {"attacks": attacks})
