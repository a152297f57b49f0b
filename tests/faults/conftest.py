"""The micro network's bundle with lower precisions, made once."""

import shutil
import sys
from pathlib import Path

import pytest
from support.faults.micro import SOURCE, network, options

from x3ddeploy.bundle import Bundle
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.exporting.export import export_bundle
from x3ddeploy.loading import Loaded
from x3ddeploy.precision import quantize
from x3ddeploy.precision.request import Request
from x3ddeploy.progress import QUIET
from x3ddeploy.terms import Precision

sys.path.append(str(Path(__file__).parents[1] / "engines"))  # the TensorRT stand-ins
FP16_INT8 = Request((Precision.FP16, Precision.INT8), Recipe(clips=4), random=True)


@pytest.fixture(scope="session")
def exported_micro(tmp_path_factory):
    """In float32, with the preprocessing. Tests must not change it."""
    loaded = Loaded(network(), SOURCE, {}, None, ())
    path = tmp_path_factory.mktemp("micro") / "deploy"
    return export_bundle(loaded, path, options("tensorrt", preprocess=True), lambda text: None).bundle


@pytest.fixture(scope="session")
def deployed(exported_micro, tmp_path_factory):
    """The bundle with FP16 and INT8, opened. Tests must not change it."""
    path = shutil.copytree(exported_micro.path, tmp_path_factory.mktemp("deployed") / "deploy")
    with pytest.MonkeyPatch.context() as patch:  # it ends with stopwatches, which no gate reads
        patch.setattr(quantize, "judge", lambda *arguments: None)
        patch.setattr(quantize, "block_times", lambda *arguments: ())
        quantize.quantize_bundle(Bundle.open(path), FP16_INT8, QUIET)
    return Bundle.open(path)
