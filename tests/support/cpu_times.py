"""Processor time of each test and its children, for `pytest --cpu-times FILE`: wall time tells of a machine's load.

A fixture counts for the test that set it up first; a child that outlives its test counts where it is waited for.
"""

import json
import resource
from collections import defaultdict
from pathlib import Path

import pytest


def _spent() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class CpuTimes:
    """Times are taken where tests run (xdist's workers) and gathered where reports arrive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, dict[str, float]] = defaultdict(dict)
        self.phase = 0.0

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.phase = _spent()
        yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        now = _spent()
        outcome.get_result().cpu_s, self.phase = now - self.phase, now

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid][report.when] = round(getattr(report, "cpu_s", 0.0), 3)  # none of a crash

    def pytest_sessionfinish(self, session):
        if not hasattr(session.config, "workerinput"):
            longest_first = sorted(self.seconds.items(), key=lambda item: -sum(item[1].values()))
            self.path.write_text(json.dumps(dict(longest_first), indent=1))
