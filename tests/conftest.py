"""One thread for every test and every process that a test starts: fast on small tensors, the same sums everywhere.

`make test` gives the tests to three processes, the longest first. Those of failures on SLURM stay together: they mostly
wait, and meanwhile the others have both cores. The tests of the workflow are two groups, because one would take too
long. All of them share a finished run: the first group makes it, and the next two begin with tests that run everything
from nothing, too, and then compare.
"""

import gc
import os
import re
import signal

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; the tests' processes would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
LONGEST = (  # how the names of tests begin that stay together
    r"tests/workflow/test_slurm_failures\.py",
    r"tests/workflow/test_[a-q]",
    r"tests/workflow/test_[r-z]",
    r"tests/fault/",
    r"tests/unit/test_portable_bytes\.py",  # alone it would end last
)
BEGINS_GROUP = ("tests/workflow/test_determinism.py", "tests/workflow/test_slurm.py")


def together(name: str) -> str:
    """What the test of that name shares a process with: the rest of its group or of its file."""
    return next((group for group in LONGEST if re.match(group, name)), name.partition("::")[0])


class Groups(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


@pytest.hookimpl(optionalhook=True)  # without xdist (-p no:xdist) nobody asks
def pytest_xdist_make_scheduler(config, log):
    return Groups(config, log)


def pytest_addoption(parser):
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test fails the session (for CI)")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Imports leave no garbage, so that none is looked for meanwhile. What they leave is left out of later searches,
    which in forked processes would also copy its memory."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[int, bool]:
        return order.get(together(item.nodeid), len(order)), not item.nodeid.startswith(BEGINS_GROUP)

    items.sort(key=place)


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # only the first process has it
    if reporter and session.config.getoption("--fail-on-skip") and reporter.stats.get("skipped"):
        session.exitstatus = 1
