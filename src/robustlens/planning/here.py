"""A plan for this machine, as data and as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from robustlens import arithmetic
from robustlens.device import use_device
from robustlens.planning.dry_run import Job
from robustlens.planning.known import Known
from robustlens.planning.plan import make_plan
from robustlens.planning.text import plan_text


def planned(spec: Mapping[str, Any], everything: Sequence[Job], needed: Sequence[Job]) -> tuple[dict, str]:
    """The plan of the jobs that are needed, some of them timed on the device that they would use, and its text.

    spec: what scripts/plan.py is told. everything: also the jobs that have run.
    """
    with use_device(max(one.threads for one in needed), arithmetic.of(spec)) as device:
        known = Known(everything, needed, spec["stages"], device)
        plan = make_plan(spec["scale"], spec["targets"], spec["studies"], known)
    return plan, plan_text(plan)
