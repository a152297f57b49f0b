"""The micro network's bundle with lower precisions, made once."""

import shutil

import pytest
from support.faults.micro import SOURCE, network, options

from x3ddeploy.bundle import Bundle
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.exporting.export import export_bundle
from x3ddeploy.loading import Loaded
from x3ddeploy.precision.quantize import quantize_bundle
from x3ddeploy.precision.request import Request
from x3ddeploy.progress import QUIET
from x3ddeploy.terms import Precision

FP16_INT8 = Request((Precision.FP16, Precision.INT8), Recipe(clips=4), random=True)


@pytest.fixture(scope="session")
def exported_micro(tmp_path_factory):
    """In float32, with the preprocessing. Tests must not change it."""
    loaded = Loaded(network(), SOURCE, {}, None, ())
    path = tmp_path_factory.mktemp("micro") / "deploy"
    return export_bundle(loaded, path, options("tensorrt", preprocess=True), lambda text: None).bundle


@pytest.fixture(scope="session")
def add_lower_precisions():
    """Function: adds FP16 and INT8 to a bundle, through every gate but accuracy on labelled clips."""

    def add(path):
        quantize_bundle(Bundle.open(path), FP16_INT8, QUIET)
        return Bundle.open(path)

    return add


@pytest.fixture(scope="session")
def deployed(exported_micro, add_lower_precisions, tmp_path_factory):
    """The bundle with FP16 and INT8, opened. Tests must not change it."""
    return add_lower_precisions(shutil.copytree(exported_micro.path, tmp_path_factory.mktemp("deployed") / "deploy"))
