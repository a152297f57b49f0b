"""Options of a test run, and its fixtures, which are of support/fixtures.py."""

from pathlib import Path

from support.cpu_times import CpuTimes


def pytest_addoption(parser):
    parser.addoption("--cpu-times", type=Path, metavar="FILE", help="write each test's processor time to FILE (JSON)")


def pytest_configure(config):
    if config.getoption("--cpu-times"):
        config.pluginmanager.register(CpuTimes(config.getoption("--cpu-times")))
    if not config.getoption("numprocesses", None):  # a process that hands tests out to others need not import all this
        config.pluginmanager.import_plugin("support.fixtures")
