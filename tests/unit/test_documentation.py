"""The pages that are written by commands say what the commands would write now."""

import importlib.util

from configured import REPOSITORY as ROOT


def test_the_configuration_page_is_in_step_with_schema_and_components():
    spec = importlib.util.spec_from_file_location("document", ROOT / "scripts" / "document_configuration.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs" / "configuration.md").read_text() == script.page()
