"""Cameras: the example that reads a pipe, and the C interface, give what Python gives."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.cpp_project import CPP, checked, configure_and_build

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.sampling import uniform_indices
from x3ddeploy.runtimes.registry import open_session

cv2 = pytest.importorskip("cv2")
pytestmark = pytest.mark.openvino
sys.path.append(str(CPP / "examples" / "python"))
from x3d import Library  # noqa: E402

TINY = PRESETS["tiny"]


def scores_in_python(bundle, frames, keypoints, scores, clips=1):
    annotation = Annotation("clip", 0, frames[0].shape[:2], keypoints.shape[1], keypoints, scores)
    indices = {
        "imgs": uniform_indices(len(frames), TINY.rgb_input.frames, clips),
        "heatmap_imgs": uniform_indices(keypoints.shape[1], TINY.pose_input.frames, clips),
    }
    prepared = prepare_clips(lambda wanted: (frames[i] for i in wanted), annotation, clip_inputs(TINY), indices)
    return open_session("openvino", bundle / "recognizer.onnx", threads=1).run(prepared)["scores"].mean(0)


@pytest.fixture(scope="module")
def library(cpp_build):
    return Library(str(cpp_build / "tests" / "libx3ddeploy_shared.so"))


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


@pytest.fixture(scope="module")
def live(documented_install, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    configure_and_build(CPP / "examples" / "live", folder, [f"-DCMAKE_PREFIX_PATH={documented_install}"])
    return folder / "live"


@pytest.fixture(scope="module")
def documented_install(cpp_build, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    checked("cmake", "--install", cpp_build, "--prefix", prefix)
    return prefix


def test_live_says_a_label_a_second_for_two_people(live, cpp_build, run, tmp_path):
    pytest.importorskip("av")
    process = run("synth", tmp_path / "synth", "--frames", 48, "--clips-per-class", 2, "--subjects", 2)
    assert process.returncode == 0, process.stderr
    names = sorted(path.stem for path in (tmp_path / "synth" / "videos").iterdir())[:2]
    feed = CPP / "examples" / "live" / "feed.py"
    raw = subprocess.run([sys.executable, feed, tmp_path / "synth", *names], capture_output=True, check=True).stdout
    bundle = cpp_build.parent / "deploy"
    process = subprocess.run([live, bundle, "224", "112", "16"], input=raw, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr.decode()
    lines = [line.split(" ", 3) for line in process.stdout.decode().splitlines()]
    # Windows of two seconds, one each second: they end after 32 and 48 of 48 frames, at 16 a second.
    assert [(float(end), int(person)) for end, _, person, _ in lines] == [
        (end, person) for end in (31 / 16, 47 / 16) for person in (0, 1)
    ]  # fmt: skip
    frame = 112 * 224 * 3 + 4 + 2 * (4 + 17 * 12)
    video = np.frombuffer(raw, np.uint8).reshape(48, frame)
    pictures = video[:, : 112 * 224 * 3].reshape(48, 112, 224, 3)
    people = np.ascontiguousarray(video[:, 112 * 224 * 3 + 4 :]).reshape(48, 2, -1)[:, :, 4:].copy().view(np.float32)
    joints = people.reshape(48, 2, 17, 3).swapaxes(0, 1)
    labels = (Path(bundle) / "labels.txt").read_text().splitlines()
    for index, (_, _, person, label) in enumerate(lines):
        window = slice(0, 32) if index < 2 else slice(16, 48)
        mine = joints[int(person) : int(person) + 1, window]
        expected = scores_in_python(bundle, pictures[window], mine[..., :2].copy(), mine[..., 2].copy())
        assert label == labels[int(expected.argmax())]
