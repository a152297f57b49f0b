"""Frames of NVIDIA's decoder: asked for by index, held to FFmpeg's, and refused where there is no such decoder."""

import ast
import inspect
import sys
import zipfile

import numpy as np
import pytest
from support.action_data import moving_picture, write_video
from support.fake_nvdec import Module
from support.tensorrt_wheels import FOLDER

from x3ddeploy.data import decoders
from x3ddeploy.data.decoders import frames_of, require_decoder
from x3ddeploy.data.video import iter_frames, read_frames
from x3ddeploy.errors import DataError, MissingRequirementError
from x3ddeploy.terms import Decoder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", moving_picture())


@pytest.fixture
def nvdec(monkeypatch):
    module = Module()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    return module


def test_frames_are_those_that_ffmpeg_gives(video, nvdec, monkeypatch):
    """In pieces, each kept though the decoder uses its memory again; one decoder serves all windows."""
    monkeypatch.setattr(decoders, "_AT_A_TIME", 3)
    read = frames_of(Decoder.NVDEC, video)
    wanted = [2, 3, 11, 12, 30, 31, 39]
    for _ in range(2):
        np.testing.assert_array_equal(np.stack([picture[:, :] for picture in read(wanted)]), read_frames(video, wanted))
    assert nvdec.made == 1
    assert nvdec.calls == [[0], *2 * [[2, 3, 11], [12, 30, 31], [39]]]


def test_ffmpeg_decodes_where_nothing_else_is_said(video):
    read = frames_of(Decoder.PYAV, video)
    np.testing.assert_array_equal(next(iter(read([5])))[:, :], next(iter_frames(video, [5])))


@pytest.mark.parametrize(
    "change",
    [lambda picture: picture[:, :, ::-1], lambda picture: np.rot90(picture, 2)],
    ids=["red for blue", "turned"],
)
def test_pictures_that_are_not_ffmpegs_are_refused(video, nvdec, change):
    nvdec.change = change
    with pytest.raises(DataError, match="otherwise than FFmpeg"):
        next(iter(frames_of(Decoder.NVDEC, video)([0])))


def test_pictures_of_another_yuv_matrix_are_taken(video, nvdec):
    """BT.709 for BT.601, say, of which files seldom say which they are."""
    nvdec.change = lambda picture: np.clip(picture.astype(np.int16) + 5, 0, 255).astype(np.uint8)
    assert next(iter(frames_of(Decoder.NVDEC, video)([0]))).shape == (96, 128, 3)


def test_frames_of_another_size_are_refused(video, nvdec):
    nvdec.change = lambda picture: picture[:-2]
    with pytest.raises(DataError, match="frames of 36096 bytes"):
        next(iter(frames_of(Decoder.NVDEC, video)([0])))


def test_a_frame_that_is_not_there_is_named(video, nvdec):
    with pytest.raises(DataError, match="has 40 frames, and frame 40 was asked for"):
        [*frames_of(Decoder.NVDEC, video)([39, 40])]


def test_what_the_decoder_raises_is_an_error_of_the_file(video, nvdec):
    def fail(picture):
        raise RuntimeError("HW decoder: codec not supported\n and a trace")

    nvdec.change = fail
    with pytest.raises(DataError, match=r"cannot decode .*a\.mp4: HW decoder: codec not supported\n->"):
        next(iter(frames_of(Decoder.NVDEC, video)([0])))


@pytest.mark.parametrize("error", [ImportError("No module named 'PyNvVideoCodec'"), RuntimeError("no libnvcuvid.so")])
def test_without_such_a_decoder_it_is_said_what_to_install(monkeypatch, error):
    def missing(name):
        raise error

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingRequirementError, match=str(error)) as raised:
        require_decoder(Decoder.NVDEC)
    assert raised.value.exit_code == 4
    assert "x3ddeploy[nvdec]" in raised.value.hint
    require_decoder(Decoder.PYAV)


def test_the_command_exits_4_without_such_a_decoder(bundle, run, video, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    process = run("predict", video, "--bundle", bundle, "--decoder", "nvdec")
    assert process.returncode == 4
    assert "NVDEC cannot be used here" in process.stderr


def test_the_stand_in_has_the_signatures_of_the_wheel():
    """The wheel needs a driver to be imported: its source is read."""
    wheel = next(FOLDER.glob("pynvvideocodec-*.whl"), None)
    if wheel is None:
        pytest.skip("no wheel of PyNvVideoCodec: `make bindings` brings it")
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("PyNvVideoCodec/decoders/SimpleDecoder.py"))
    (kind,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    theirs = {
        node.name: [argument.arg for argument in node.args.args]
        for node in kind.body
        if isinstance(node, ast.FunctionDef)
    }
    for name in ("__init__", "__len__", "get_batch_frames_by_index"):
        assert list(inspect.signature(getattr(Module().SimpleDecoder, name)).parameters) == theirs[name], name
