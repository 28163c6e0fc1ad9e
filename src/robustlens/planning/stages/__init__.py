"""How much work each stage is, one file per stage (rule).

The .smk file that declares a rule names the module, which is here or in a study's folder: PLANNED["train"] =
"robustlens.planning.stages.train". It may define any of the following. A job without a module counts as what Python
takes to start.

    work(job, known) -> Work | None             passes through networks; None: there are none
    left(job, known) -> Work | None             those still to be made, if a job uses earlier results again
    seconds(job, known) -> float | None         time in addition to those passes, at an assumed rate; None: unknown
    written(job, known) -> dict[str, float]     bytes on disk by kind of file: the large ones
    fetched(job) -> list[dict]                  what it downloads: folder, file, bytes (None: unknown), by_hand
    dataset(job) -> Dataset                     what it prepares
    trial(job, known, device, budget) -> dict[str, float] | None
                                                seconds per FLOP, by the names of its calls, from a real run of about
                                                `budget` FLOPs; None: the shortest one takes far more
    START_UP = "network"                        its process imports PyTorch, although it has no `work`
    NOTES = ("...",)                            assumptions that the reader of a plan should know

`job` is a `planning.dry_run.Job`, and `known` a `planning.known.Known`: it tells which other jobs make a job's inputs.
"""
