# REQUIRED INPUTS   none
# OUTPUTS           none: files of the former layout of results/ are answered with their new place


rule former_layout:
    input:
        named_with_its_new_place,
    output:
        "results/{scale}/{former}",
    wildcard_constraints:
        former=r"(tables|figures)/[^/]+|evaluations/[^/]+/[^/]+/seed[0-9]+/[^/]+\.parquet",
    message:
        "{wildcards.former} has another place now"


rule unknown:
    input:
        refused_as_unknown,
    output:
        "{word}",
    wildcard_constraints:
        word="[A-Za-z0-9_-]+",
    message:
        "{wildcards.word} is unknown"
