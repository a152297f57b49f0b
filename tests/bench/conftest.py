"""What a machine can do at most is measured thrice a benchmark; here on matrices and copies that take milliseconds."""

import pytest

from x3ddeploy.benchmarking import ceilings


@pytest.fixture(scope="session", autouse=True)
def small_ceilings():
    """For commands in this process; one in a process of its own measures what a user's does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ceilings, "_MATRIX", 256)
        patch.setattr(ceilings, "_COPIED_BYTES", 8 << 20)
        yield
