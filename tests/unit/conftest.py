"""Fixtures of the tests of downloads."""

import os
import time
from types import SimpleNamespace

import pytest
from serving import serving

from robustlens.data import download


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The seconds that were waited between attempts, which pass at once. Nothing goes through a proxy."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    waited: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waited.append, monotonic=time.monotonic))
    return waited


@pytest.fixture
def site():
    with serving() as it:
        yield it
