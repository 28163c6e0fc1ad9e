"""The pages that are written by commands say what the commands would write now."""

import importlib.util
import itertools
import re

from configured import REPOSITORY as ROOT
from configured import own


def test_the_configuration_page_is_in_step_with_schema_and_components():
    spec = importlib.util.spec_from_file_location("document", ROOT / "scripts" / "document_configuration.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs" / "configuration.md").read_text() == script.page()


def test_the_plan_in_the_docs_and_the_table_of_scales_have_as_many_trainings_as_the_configuration():
    cohorts = own(scale="paper")["studies"]["energy"]["cohorts"].values()
    names = ("datasets", "recipes", "seeds")
    trainings = len({run for cohort in cohorts for run in itertools.product(*(cohort[name] for name in names))})
    plan = (ROOT / "docs" / "plan-of-paper.md").read_text()
    assert re.search(r"^  train +(\d+)$", plan, re.MULTILINE)[1] == str(trainings)
    assert f"| `paper` | {trainings} " in (ROOT / "docs" / "scales.md").read_text()
