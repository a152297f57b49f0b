"""The C++ runtime that a bundle's archive builds, made once a test run."""

import shutil
import sys
import tarfile

import pytest
from support.cpp_project import (
    CPP,
    FEWER_COMPILATIONS,
    LESS_OPTIMISED,
    checked,
    configure_and_build,
    generator,
    require_tools,
    with_runtimes,
)
from support.shared import once

sys.path.append(str(CPP / "examples" / "python"))
from x3d import Library

from x3ddeploy.bundle import LABELS, Bundle
from x3ddeploy.bundle.store import BundleUpdate, update
from x3ddeploy.embedding.pack import pack


@pytest.fixture(scope="session")
def unpacked(quantized, tmp_path_factory):
    """The archive of the bundle with labels, unpacked and built by its own script, and what that said."""

    def make(folder):
        require_tools()
        with_runtimes()
        path = shutil.copytree(quantized, folder / "packed")
        labels = "".join(f"action {index}\n" for index in range(Bundle.open(path).contract.classes))
        pack(update(path, lambda manifest: BundleUpdate(manifest, {LABELS: labels.encode()})), folder / "app.tar")
        with tarfile.open(folder / "app.tar") as tar:
            tar.extractall(folder, filter="data")
        arguments = [*generator(), *with_runtimes(), *FEWER_COMPILATIONS, LESS_OPTIMISED]
        return checked(folder / "app" / "self_test.sh", *arguments).stdout

    folder, said = once(tmp_path_factory, "archive", make)
    return folder / "app", said


@pytest.fixture(scope="session")
def cpp_build(unpacked, tmp_path_factory):
    """What the archive's script built, beside `cpp` and `deploy`; with programs of the tests, which it has not."""
    app, _ = unpacked

    def make(folder):
        shutil.copytree(CPP / "tests", app / "cpp" / "tests")
        programs = ("x3ddeploy_prepare", "x3ddeploy_fit", "x3ddeploy_shared")
        configure_and_build(app / "cpp", app / "build", ["-DX3DDEPLOY_BUILD_TESTS=ON"], programs)
        checked("cmake", "-DX3DDEPLOY_BUILD_TESTS=OFF", app / "build")  # who builds again builds what he would without

    once(tmp_path_factory, "archive-tests", make)
    return app / "build"


@pytest.fixture(scope="session")
def library(cpp_build):
    """The shared library, called as the ctypes example calls it."""
    return Library(str(cpp_build / "tests" / "libx3ddeploy_shared.so"))


@pytest.fixture(scope="session")
def cli(cpp_build):
    return cpp_build / "examples" / "cli" / "x3ddeploy_cli"
