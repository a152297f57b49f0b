"""The C++ runtime with OpenVINO, built once a test run; a bundle with graphs of lower precision."""

import shutil

import pytest
from cpp_project import shared_build, with_openvino


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory):
    return shared_build(tmp_path_factory, "openvino", [*with_openvino(), "-DX3DDEPLOY_BUILD_TESTS=ON"])


@pytest.fixture(scope="session")
def cli(cpp_build):
    return cpp_build / "examples" / "cli" / "x3ddeploy_cli"


@pytest.fixture(scope="session")
def quantized(bundle, run, tmp_path_factory):
    path = shutil.copytree(bundle, tmp_path_factory.mktemp("quantized") / "deploy")
    process = run("quantize", path, "--fp16", "--int8", "--calib-random", "--calib-clips", 2)
    assert process.returncode == 0, process.stderr
    return path
