# What the jobs of rules.smk need to know, as JSON.


def compare_features_spec(wildcards):
    found = specs.evaluated(CONFIG, wildcards)
    modules = architecture_modules(found["architecture"])
    kept = {key: value for key, value in found.items() if key not in ("suite", "checkpoints", "attacks")}
    return job_spec("studies/invariance/scripts/compare_features", *modules, **kept)
