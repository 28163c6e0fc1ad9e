"""The plan where everything is done: known at once, without PyTorch and without timing this machine."""


def nothing_to_do(scale: str, targets: list[str], finished: int) -> dict:
    """A plan like that of `make_plan`, without what only jobs that are to run would need.

    finished: number of jobs whose results are there.
    """
    return {"scale": scale, "targets": targets, "jobs": {}, "finished_jobs": finished, "estimates": []}


def nothing_text(plan: dict) -> str:
    done = f"Nothing to do: all {plan['finished_jobs']} jobs are done."
    return f"PLAN of scale {plan['scale']}: snakemake {' '.join(plan['targets'])}\n\n{done}\n"
