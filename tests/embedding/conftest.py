"""The C++ runtime with OpenVINO, built once a test run."""

import pytest
from cpp_project import shared_build, with_openvino


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory):
    return shared_build(tmp_path_factory, "openvino", [*with_openvino(), "-DX3DDEPLOY_BUILD_TESTS=ON"])


@pytest.fixture(scope="session")
def cli(cpp_build):
    return cpp_build / "examples" / "cli" / "x3ddeploy_cli"
