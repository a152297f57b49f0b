"""Cameras: the example that reads a pipe, and the C interface, give what Python gives."""

import ctypes
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.copies import exit_code_of_copy, take_a_signal
from support.cpp_programs import scores_in_python
from support.cpp_project import CPP, HAS_ONNXRUNTIME, checked

from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.files import sha256_of

cv2 = pytest.importorskip("cv2")
pytestmark = pytest.mark.openvino
sys.path.append(str(CPP / "examples" / "python"))
from x3d import Options  # noqa: E402

TINY = PRESETS["tiny"]


def test_a_shared_library_shows_its_interface_and_nothing_else(library, cpp_build):
    process = checked("nm", "-D", "--defined-only", cpp_build / "tests" / "libx3ddeploy_shared.so")
    strong = {line.split()[2] for line in process.stdout.splitlines() if line.split()[1] == "T"}
    names = set(re.findall(r"X3DDEPLOY_API .*?(x3d_\w+)\(", (CPP / "include/x3ddeploy/x3ddeploy.h").read_text()))
    assert names <= strong
    assert not [name for name in strong if "6detail" in name or not re.search("x3d_|9x3ddeploy", name)]
    version = re.findall(r"#define X3DDEPLOY_VERSION_\w+ (\d+)", (CPP / "include/x3ddeploy/version.h").read_text())
    assert library.c.x3d_version().decode() == ".".join(version)


# Every format is converted as OpenCV does it, where the crop looks.
@pytest.mark.parametrize("pixels", ["rgb", "bgr", "rgba", "bgra", "gray", "nv12", "i420"])
def test_scores_of_every_format_are_pythons(library, bundle, pixels):
    random = np.random.default_rng(3)
    height, width = 70, 50
    yuv = [random.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8) for _ in range(9)]
    rgb = [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(9)]
    if pixels in ("nv12", "i420"):
        given, frames = yuv, [cv2.cvtColor(one, getattr(cv2, f"COLOR_YUV2RGB_{pixels.upper()}")) for one in yuv]
    elif pixels == "gray":
        given = [one[..., 0].copy() for one in rgb]
        frames = [cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in given]
    else:
        frames = rgb
        given = (
            rgb if pixels == "rgb" else [cv2.cvtColor(one, getattr(cv2, f"COLOR_RGB2{pixels.upper()}")) for one in rgb]
        )
    keypoints = (random.uniform(0.2, 0.8, (2, 23, 17, 2)) * (width, height)).astype(np.float32)
    scores = random.uniform(0, 1, (2, 23, 17)).astype(np.float32)
    recognizer = library.open(str(bundle))
    found = library.predict(recognizer, given, pixels, (height, width), keypoints, scores, clips=2)
    library.c.x3d_close(recognizer)
    np.testing.assert_allclose(found, scores_in_python(bundle, frames, keypoints, scores, clips=2), atol=1e-4)


def test_the_ctypes_example_runs_and_errors_are_told(library, bundle, tmp_path):
    program = CPP / "examples" / "python" / "x3d.py"
    lines = checked(sys.executable, program, library.c._name, bundle).stdout.splitlines()
    assert len(lines) == 3
    with pytest.raises(RuntimeError, match="holds no manifest"):
        library.open(str(tmp_path))
    assert library.c.x3d_open(None, None) is None
    assert b"NULL" in library.c.x3d_error()


def test_signals_reach_the_host_after_recognizers_were_closed_in_the_order_in_which_they_were_opened(library, bundle):
    """OpenVINO's plugin puts a stack for signal handlers in the place of the process's."""
    first, second = (library.open(str(bundle)) for _ in range(2))
    library.c.x3d_close(first)
    library.c.x3d_close(second)
    assert exit_code_of_copy(take_a_signal) == 0


def test_openvino_keeps_what_it_compiled_and_says_what_it_cannot(library, bundle, tmp_path):
    def said(**options):
        lines = []
        log = Options.LOG(lambda _, line: lines.append(line))
        library.c.x3d_close(library.open(str(bundle), Options(ctypes.sizeof(Options), b"openvino", log=log, **options)))
        return b"\n".join(lines)

    kept = {"cache_dir": str(tmp_path / "ca che").encode(), "requests": 3, "throughput": 1}
    first = said(**kept)
    assert b"was put into" in first
    assert b"3 requests" in first
    assert b"comes from" in said(**kept)
    for blob in (tmp_path / "ca che").glob("*.blob"):
        blob.unlink()
        blob.write_bytes(b"no network")
    assert b"was put into" in said(**kept)
    if Path("/sys/kernel").is_dir():  # Linux takes no file there, whoever asks
        assert b"could not be put into" in said(cache_dir=b"/sys/kernel")
    with pytest.raises(RuntimeError, match="cannot make the folder"):
        said(cache_dir=__file__.encode())
    with pytest.raises(RuntimeError, match=r"no device GPU\.9 here"):
        said(device=b"gpu.9")


@pytest.mark.skipif(not HAS_ONNXRUNTIME, reason="ONNX Runtime's headers are not there")
def test_what_onnx_runtime_says_goes_to_the_log_and_nowhere_else(library, bundle, tmp_path, capfd):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    graph = onnx.load(copy / "recognizer.onnx")
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "of no use"))
    (copy / "recognizer.onnx").write_bytes(graph.SerializeToString())
    manifest = json.loads((copy / "manifest.json").read_text())
    size = (copy / "recognizer.onnx").stat().st_size
    manifest["files"]["recognizer.onnx"] = {"sha256": sha256_of(copy / "recognizer.onnx"), "size_bytes": size}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    lines = []
    options = Options(ctypes.sizeof(Options), b"onnxruntime", log=Options.LOG(lambda _, line: lines.append(line)))
    library.c.x3d_close(library.open(str(copy), options))
    assert any(line.startswith(b"onnxruntime: ") and b"'of no use'" in line for line in lines)
    assert any(b"is loaded in fp32 by onnxruntime" in line for line in lines)
    assert capfd.readouterr().err == ""
