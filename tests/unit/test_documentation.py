"""The pages that are written by commands say what the commands would write now."""

import importlib.util

from configured import REPOSITORY as ROOT


def written(script: str) -> str:
    spec = importlib.util.spec_from_file_location("document", ROOT / "scripts" / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


def test_the_configuration_page_is_in_step_with_schema_and_components():
    assert (ROOT / "docs" / "configuration.md").read_text() == written("document_configuration.py")


def test_the_page_of_licences_is_in_step_with_the_catalogue():
    assert (ROOT / "docs" / "data-licences.md").read_text() == written("document_data.py")
