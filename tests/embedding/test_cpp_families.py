"""Bundles of MMAction2 networks of heatmaps, of skeletons and of frames in several views run in C++ as in Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cpp_pipelines import HEIGHT, WIDTH, in_python, video_for

from x3ddeploy.bundle import Bundle
from x3ddeploy.modalities import needs_frames
from x3ddeploy.runtimes.registry import open_session

sys.path.append(str(Path(__file__).parents[1] / "families"))
from support.recognizers import save
from support.small_recognizers import STGCNPP, posec3d, stgcn, tsm

pytestmark = pytest.mark.openvino
CONFIGS = {"posec3d": posec3d, "stgcn": lambda: stgcn(STGCNPP), "tsm": tsm}


@pytest.mark.parametrize("family", CONFIGS)
def test_a_familys_bundle_gives_pythons_scores(cli, run, tmp_path, family):
    pytest.importorskip("mmaction")
    pytest.importorskip("cv2")
    save(tmp_path / "best.pth", CONFIGS[family]())
    process = run("export", tmp_path / "best.pth", "-o", tmp_path / "deploy")
    assert process.returncode == 0, process.stderr
    contract = Bundle.open(tmp_path / "deploy").contract
    (name, value), *others = contract.inputs.items()
    assert not others
    video = video_for(value, seed=4)
    prepared, clips = in_python(value, video)
    session = open_session("openvino", tmp_path / "deploy" / "recognizer.onnx", threads=1)
    expected = session.run({name: prepared})["scores"].mean(0)
    arrays = {**video, "frame_size": np.array([HEIGHT, WIDTH], np.float32)}
    if not needs_frames(contract.inputs):
        del arrays["frames"]
    np.savez(tmp_path / "clip.npz", **arrays)
    command = [cli, tmp_path / "deploy", tmp_path / "clip.npz", "--clips", str(clips), "--json"]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr.decode()
    found = json.loads(process.stdout)["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert subprocess.run([cli, tmp_path / "deploy", "--self-test"], capture_output=True, check=False).returncode == 0
