"""An application finds the installed library, and may carry a bundle inside its own binary."""

import shutil
import subprocess

import numpy as np
import pytest
from cpp_project import CPP, checked, configure_and_build, with_openvino

from x3ddeploy.runtimes.registry import open_session


@pytest.fixture
def installed(cpp_build, tmp_path):
    checked("cmake", "--install", cpp_build, "--prefix", tmp_path / "installed")
    return tmp_path / "installed"


def built(installed, folder, example, *arguments):
    """The example's build, away from the repository: it sees what is installed and nothing else."""
    source = shutil.copytree(CPP / "examples" / example, folder / example)
    openvino = next(argument for argument in with_openvino() if argument.startswith("-DOpenVINO_DIR"))
    return configure_and_build(source, folder / "build", [f"-DCMAKE_PREFIX_PATH={installed}", openvino, *arguments])


def output_of(program, *arguments):
    process = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_what_is_installed_finds_its_libraries(installed, bundle):
    assert "passed" in output_of(installed / "bin" / "x3ddeploy_cli", bundle, "--self-test")[-1]


def test_an_application_finds_the_package_and_predicts(installed, bundle, tmp_path):
    build = built(installed, tmp_path, "find_package")
    lines = output_of(build / "uses_x3ddeploy", bundle)
    scores = [float(line.split()[1]) for line in lines]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_a_bundle_inside_the_binary_gives_pythons_scores(installed, bundle, tmp_path):
    inputs = {name: np.zeros_like(np.load(bundle / "golden" / f"{name}.npy")) for name in ("imgs", "heatmap_imgs")}
    expected = open_session("openvino", bundle / "recognizer.onnx", threads=1).run(inputs)["scores"][0]
    carried = shutil.copytree(bundle, tmp_path / "carried")
    build = built(installed, tmp_path, "embedded", f"-DBUNDLE={carried}", "-DFILES=recognizer.onnx")
    shutil.rmtree(carried)  # it is in the binary now
    scores = [float(line) for line in output_of(build / "carries_x3ddeploy")]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
