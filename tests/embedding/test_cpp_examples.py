"""The commands of docs/embed.md, as they stand there; an application may carry bundles inside its own binary."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.cpp_programs import scores_in_python
from support.cpp_project import CPP, PATH, ROOT, checked, configure_and_build

from x3ddeploy.runtimes.registry import open_session

av = pytest.importorskip("av")
pytestmark = pytest.mark.openvino
ENVIRONMENT = {"PATH": PATH, "PYTHONPATH": str(ROOT)}
PAGE = (ROOT / "docs" / "embed.md").read_text(encoding="utf-8")
# Where there is no ffmpeg: the one command that the page shows, by the library that has its decoders.
FFMPEG = f"""#!{sys.executable}
import sys, av
assert sys.argv[1:] == "-i clip.mp4 -pix_fmt rgb24 -f rawvideo clip.rgb".split(), sys.argv
with av.open("clip.mp4") as video, open("clip.rgb", "wb") as raw:
    for frame in video.decode(video=0):
        raw.write(frame.to_ndarray(format="rgb24").tobytes())
"""


def commands():
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def write_clips(folder, bundle):
    """What the page's commands read: a video, its keypoints, and ready tensors."""
    random = np.random.default_rng(0)
    with av.open(folder / "clip.mp4", "w") as video:
        stream = video.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        picture = av.VideoFrame.from_ndarray(random.integers(0, 256, (720, 1280, 3), dtype=np.uint8), "rgb24")
        for packet in (*(packet for _ in range(8) for packet in stream.encode(picture)), *stream.encode()):
            video.mux(packet)
    keypoints = random.uniform(200, 600, (1, 8, 17, 2)).astype(np.float32)
    np.savez(folder / "keypoints.npz", keypoints=keypoints, keypoint_scores=np.ones((1, 8, 17), np.float32))
    ready = {name: np.load(bundle / "golden" / f"{name}.npy") for name in ("imgs", "heatmap_imgs")}
    np.savez(folder / "clip.npz", **ready)


@pytest.fixture(scope="module")
def documented(cpp_build, bundle, tmp_path_factory):
    """A clone in which every command of the page was run, in the order shown; what each printed."""
    clone = cpp_build.parent
    write_clips(clone, bundle)
    tools = tmp_path_factory.mktemp("tools")
    if shutil.which("ffmpeg") is None:
        (tools / "ffmpeg").write_text(FFMPEG)
        (tools / "ffmpeg").chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{PATH}:{tools}", "HOME": str(tools)}
    printed = {}
    for command in commands():
        briefly = re.sub(r"--seconds 1\b", "--seconds 0.1", command)
        process = subprocess.run(
            ["bash", "-c", briefly], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, f"{command}\n{process.stdout[-4000:]}\n{process.stderr[-4000:]}"
        printed[command] = process.stdout
    return clone, printed


def test_every_command_of_the_page_runs(documented):
    _, printed = documented
    of = {command.split()[0]: text.splitlines() for command, text in printed.items()}
    assert of["build/examples/cli/x3ddeploy_cli"][-1].endswith("passed")
    words = [line.split() for line in of["app/uses_x3ddeploy"]]
    assert len(words) == 3
    assert all(label == "action" for label, _, _ in words)
    scores = [float(score) for _, _, score in words]
    assert scores == sorted(scores, reverse=True)


def test_what_is_installed_finds_its_libraries(documented):
    clone, _ = documented
    process = checked(clone / "installed" / "bin" / "x3ddeploy_cli", clone / "deploy", "--self-test")
    assert process.stdout.splitlines()[-1].endswith("passed")


def scores_of_zeros(bundle):
    inputs = {name: np.zeros_like(np.load(bundle / "golden" / f"{name}.npy")) for name in ("imgs", "heatmap_imgs")}
    return open_session("openvino", bundle / "recognizer.onnx", threads=1).run(inputs)["scores"][0]


def test_a_bundle_inside_the_binary_gives_pythons_scores(documented):
    clone, printed = documented
    scores = [float(line) for line in printed["carries/carries_x3ddeploy"].splitlines()]
    np.testing.assert_allclose(scores, scores_of_zeros(clone / "deploy"), atol=1e-4)


C_PROGRAM = """
#include <stdio.h>
#include <x3ddeploy/x3ddeploy.h>
int main(int count, char **words) {
  x3d_recognizer *recognizer = x3d_open(words[count - 1], NULL);
  if (!recognizer) return fprintf(stderr, "%s", x3d_error());
  printf("%s %u\\n", x3d_version(), (unsigned)x3d_classes(recognizer));
  x3d_close(recognizer);
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is not installed")
def test_a_c99_program_is_built_by_pkg_config_where_the_library_was_moved(documented, tmp_path):
    clone, _ = documented
    moved = shutil.copytree(clone / "installed", tmp_path / "mo ved", ignore=shutil.ignore_patterns("bin"))
    (tmp_path / "app.c").write_text(C_PROGRAM)
    command = "eval cc -std=c99 -pedantic-errors -Wall -Werror app.c $(pkg-config --cflags --libs x3ddeploy) -o app"
    (found,) = moved.glob("lib*/pkgconfig")
    environment = {**ENVIRONMENT, "PKG_CONFIG_PATH": str(found)}
    subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, check=True)
    classes = len(np.load(clone / "deploy" / "golden" / "scores.npy")[0])
    assert checked(tmp_path / "app", clone / "deploy").stdout.split()[1] == str(classes)


PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(two LANGUAGES CXX)
find_package(x3ddeploy REQUIRED)
add_library(other STATIC other.cpp)  # a library with a bundle of the same name as the program's
x3ddeploy_embed(other {other} NAME deploy)
add_executable(two main.cpp)
x3ddeploy_embed(two {deploy})
x3ddeploy_embed(two {other} NAME second)
target_link_libraries(two PRIVATE other)
add_library(page OBJECT page.cpp)
target_link_libraries(page PRIVATE x3ddeploy::x3ddeploy)
target_compile_options(page PRIVATE -Wall -Wextra -Werror -Wno-unused-variable -Wno-unused-parameter)
"""
# What the page's C++ stands in: other libraries' types as far as it looks at them, and an application's variables.
STUBS = """
#include <iostream>
#include <x3ddeploy/stream.hpp>
namespace cv {
struct MatStep { operator std::size_t() const { return 0; } };
struct Mat { int rows, cols; unsigned char* data; MatStep step; };
}
struct AVFrame { unsigned char* data[8]; int linesize[8]; int width, height; };
struct GstVideoFrame { void* data[4]; int stride[4]; int width, height; };
#define GST_VIDEO_FRAME_PLANE_DATA(f, p) ((f)->data[p])
#define GST_VIDEO_FRAME_PLANE_STRIDE(f, p) ((f)->stride[p])
#define GST_VIDEO_FRAME_WIDTH(f) ((f)->width)
#define GST_VIDEO_FRAME_HEIGHT(f) ((f)->height)
int first(const std::vector<const std::uint8_t*>& frame_pointers, const float* xy, const float* confidence,
          std::int64_t persons, std::int64_t frames, std::int64_t joints) { {
"""
FUNCTION = """
} return 0; }
int block_NUMBER(x3ddeploy::Result<x3ddeploy::Recognizer>& recognizer, const x3ddeploy::Video& video,
                 const cv::Mat& mat, const AVFrame* av_frame, GstVideoFrame* gst_frame,
                 x3ddeploy::StreamOptions options,
                 const x3ddeploy::Frame& frame, const x3ddeploy::Poses& poses, double seconds) {
  { // the block's own names may be those of its surroundings
"""


def page_in_cpp():
    """The page's blocks, a function each; the first opens a recognizer and fills in a video of its own."""
    first, *others = re.findall(r"^```cpp\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    include, code = first.split("\n", 1)
    functions = [FUNCTION.replace("NUMBER", str(number)) + block for number, block in enumerate(others)]
    return "\n".join([include, STUBS, code, *functions, "} return 0; }\n"])


OTHER = """
#include <x3ddeploy_bundles/deploy.hpp>
std::size_t of_the_library() { return x3ddeploy::bundles::deploy().size(); }
"""
MAIN = """
#include <cstdio>
#include <x3ddeploy_bundles/deploy.hpp>
#include <x3ddeploy_bundles/second.hpp>
std::size_t of_the_library();
int main() {
  const auto deploy = x3ddeploy::Recognizer::open(x3ddeploy::bundles::deploy());
  const auto second = x3ddeploy::Recognizer::open(x3ddeploy::bundles::second());
  if (!deploy || !second) return 1;
  std::printf("%zu %zu %zu\\n", deploy->contract().labels.size(), second->contract().labels.size(), of_the_library());
}
"""


def test_a_program_carries_two_bundles(documented, bundle, tmp_path):
    clone, _ = documented
    deploy = shutil.copytree(clone / "deploy", tmp_path / "deploy")
    other = shutil.copytree(bundle, tmp_path / "other")
    sources = {"CMakeLists.txt": PROJECT.format(deploy=deploy, other=other), "other.cpp": OTHER, "main.cpp": MAIN}
    sources["page.cpp"] = page_in_cpp()
    source = tmp_path / "source"
    source.mkdir()
    for name, text in sources.items():
        (source / name).write_text(text)
    build = configure_and_build(source, tmp_path / "build", [f"-DCMAKE_PREFIX_PATH={clone / 'installed'}"])
    shutil.rmtree(deploy)  # both are in the binary now
    shutil.rmtree(other)
    classes = len(np.load(clone / "deploy" / "golden" / "scores.npy")[0])
    assert checked(build / "two").stdout.split() == [str(classes), "0", "2"]


def test_live_says_a_label_a_second_for_two_people(documented):
    clone, printed = documented
    (feed,) = (command for command in printed if "feed.py" in command)
    lines = [line.split(" ", 3) for line in printed[feed].splitlines()]
    # Windows of two seconds, one each second: they end after 32 and 48 of 48 frames, at 16 a second.
    assert [(float(end), int(person)) for end, _, person, _ in lines] == [
        (end, person) for end in (31 / 16, 47 / 16) for person in (0, 1)
    ]  # fmt: skip
    raw = subprocess.run(
        ["bash", "-c", feed.rpartition("|")[0]], cwd=clone, env=ENVIRONMENT, capture_output=True, check=True
    )
    frame = 112 * 224 * 3 + 4 + 2 * (4 + 17 * 12)
    video = np.frombuffer(raw.stdout, np.uint8).reshape(48, frame)
    pictures = video[:, : 112 * 224 * 3].reshape(48, 112, 224, 3)
    people = np.ascontiguousarray(video[:, 112 * 224 * 3 + 4 :]).reshape(48, 2, -1)[:, :, 4:].copy().view(np.float32)
    joints = people.reshape(48, 2, 17, 3).swapaxes(0, 1)
    labels = (clone / "deploy" / "labels.txt").read_text().splitlines()
    for index, (_, _, person, label) in enumerate(lines):
        window = slice(0, 32) if index < 2 else slice(16, 48)
        mine = joints[int(person) : int(person) + 1, window]
        expected = scores_in_python(clone / "deploy", pictures[window], mine[..., :2].copy(), mine[..., 2].copy())
        assert label == labels[int(expected.argmax())]
    assert len((CPP / "examples" / "live" / "main.cpp").read_text().splitlines()) < 60
