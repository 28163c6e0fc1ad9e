"""The pages that are written by commands say what the commands would write now."""

import importlib.util
import re
from pathlib import Path

from robustlens import configuration

ROOT = Path(__file__).parents[2]


def test_the_configuration_page_is_in_step_with_schema_and_components():
    spec = importlib.util.spec_from_file_location("document", ROOT / "scripts" / "document_configuration.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs" / "configuration.md").read_text() == script.page()


def test_the_plan_in_the_docs_and_the_table_of_scales_have_as_many_trainings_as_the_configuration():
    raw = configuration.read_yaml(ROOT / "config.yaml") | {"scale": "paper"}
    study = configuration.load(raw, ROOT / "schemas" / "config.schema.yaml")["studies"]["energy"]
    parts = (study, study["further"], study["subsets"])
    trainings = sum(len(part["datasets"]) * len(part["recipes"]) * len(part["seeds"]) for part in parts)
    plan = (ROOT / "docs" / "plan-of-paper.md").read_text()
    assert re.search(r"^  train +(\d+)$", plan, re.MULTILINE)[1] == str(trainings)
    assert f"| `paper` | {trainings} " in (ROOT / "docs" / "scales.md").read_text()
