"""Freed memory stays with the process for as long as it is asked to, and no longer."""

import platform
import resource
from pathlib import Path

import numpy as np
import pytest

from x3ddeploy.memory import kept_by_malloc

BYTES = 128 << 20


def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_what_is_freed_is_kept_inside_and_given_back_behind():
    before = held()
    with kept_by_malloc():
        array = np.ones(BYTES, np.uint8)
        del array
        assert held() > before + BYTES * 3 // 4
    assert held() < before + BYTES // 4
    array = np.ones(BYTES, np.uint8)
    del array
    assert held() < before + BYTES // 4
