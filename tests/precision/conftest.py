"""Quantized forms of the tiny network, made once."""

import onnx
import pytest

from x3ddeploy.calibration.ranges import Range
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.synthetic import batch_inputs
from x3ddeploy.precision.sites import find_sites
from x3ddeploy.runtimes.registry import open_session


@pytest.fixture(scope="session")
def recognizer(bundle):
    return onnx.load(bundle / "recognizer.onnx")


@pytest.fixture(scope="session")
def clip_recognizer(checkpoint, run, tmp_path_factory):
    """The same network in OpenVINO's layout."""
    path = tmp_path_factory.mktemp("clip_layout") / "deploy"
    process = run("export", checkpoint, "-o", path, "--target", "openvino")
    assert process.returncode == 0, process.stderr
    return onnx.load(path / "recognizer.onnx")


@pytest.fixture(scope="session")
def clips():
    return [batch_inputs(clip_inputs(PRESETS["tiny"]), 1, seed=seed) for seed in range(6)]


@pytest.fixture(scope="session")
def ranges_of(clips):
    """Function: the extremes of every site's source over the clips."""

    def measure(model):
        inputs = {"imgs", "heatmap_imgs"}
        sources = {site.source for site in find_sites(model)}
        session = open_session("onnxruntime", model.SerializeToString(), outputs=tuple(sorted(sources - inputs)))
        found = dict.fromkeys(sources, Range(0, 0))
        for clip in clips:
            values = {**session.run(clip), **clip}
            for name, known in found.items():
                low, high = float(values[name].min()), float(values[name].max())
                found[name] = Range(min(known.low, low), max(known.high, high))
        return found

    return measure
