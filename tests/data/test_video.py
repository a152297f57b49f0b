"""The frames asked for are the frames given, pixel by pixel as MMAction2's decoder gives them; damage is refused."""

import struct
import sys
from typing import Any

import av
import numpy as np
import pytest
from support.action_data import moving_picture, without_reordering, write_video
from support.present import present

from x3ddeploy.data import video
from x3ddeploy.data.video import count_frames, open_video, probe, read_frames
from x3ddeploy.errors import DataError, MissingRequirementError

FORMS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "reordered.mp4": {"bf": "3"},
    "keyframes_close_together.mp4": {"keyframe_distance": 2, "bf": "2", "sc_threshold": "0"},
    "one_keyframe.mp4": {"keyframe_distance": 1000},
    "hevc.mp4": {"codec": "libx265", "x265-params": "bframes=3:log-level=none:keyint=1000", "keyframe_distance": 1000},
    "open_groups.mp4": {"keyframe_distance": 8, "x264-params": "open-gop=1:bframes=3"},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "part4.mp4": {"codec": "mpeg4", "bf": "2"},
    "matroska.mkv": {"bf": "2"},
    "h264.avi": {"bf": "2"},
    "part4.avi": {"codec": "mpeg4"},
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder, frames = tmp_path_factory.mktemp("videos"), moving_picture()
    return {name: write_video(folder / name, frames, **options) for name, options in FORMS.items()}


@pytest.fixture
def plain(videos):
    return videos["plain.mp4"]


@pytest.mark.parametrize("form", FORMS)
def test_equal_to_decord_from_any_place(videos, form):
    decord = pytest.importorskip("decord")
    expected = decord.VideoReader(str(videos[form])).get_batch(range(40)).asnumpy()
    assert count_frames(videos[form]) == 40
    for indices in ([0], [39], [1, 2, 11, 12, 13, 37], list(range(0, 40, 7)), list(range(40))):
        np.testing.assert_array_equal(read_frames(videos[form], indices), expected[indices])


def test_frames_come_in_the_order_asked_for_and_as_often(plain):
    whole = read_frames(plain, range(40))
    np.testing.assert_array_equal(read_frames(plain, [7, 3, 3, 30]), whole[[7, 3, 3, 30]])


def test_threads_of_the_decoder_change_nothing(videos):
    path = videos["reordered.mp4"]
    np.testing.assert_array_equal(read_frames(path, range(40), threads=2), read_frames(path, range(40)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["reordered.mp4", "open_groups.mp4", "hevc.mp4"])
def test_what_no_frame_leans_on_is_not_decoded_and_changes_nothing(videos, form, threads, monkeypatch):
    whole = read_frames(videos[form], range(40))
    decoded: list[int] = []

    def counted(*arguments):
        for picture in decode(*arguments):
            decoded.append(present(picture.pts))
            yield picture

    decode = video._File._onwards
    monkeypatch.setattr(video._File, "_onwards", counted)
    for indices in (list(range(0, 40, 9)), [7], [38, 39], list(range(1, 40, 2))):
        np.testing.assert_array_equal(read_frames(videos[form], indices, threads), whole[indices])
    decoded.clear()
    read_frames(videos[form], [38], threads)
    assert len(decoded) < 38 * 2 / 3, decoded


@pytest.mark.parametrize("name", ["reordered.mkv", "reordered.mp4"])
def test_every_frame_comes_where_a_stream_does_not_say_how_far_it_reorders_them(tmp_path, name):
    path = write_video(tmp_path / name, moving_picture(), keyframe_distance=1000, bf="3")
    whole = read_frames(path, range(40))
    path.write_bytes(without_reordering(path.read_bytes()))
    np.testing.assert_array_equal(read_frames(path, range(40)), whole)


def test_probe_tells_frames_size_and_rate(plain):
    info = probe(plain)
    assert (info.frames, info.height, info.width, info.fps) == (40, 96, 128, 30)


@pytest.mark.parametrize("form", ["reordered.mp4", "open_groups.mp4", "hevc.mp4", "h264.avi"])
@pytest.mark.parametrize("indices", [[0, 20, 21], [1, 2, 3], [7, 38, 39]], ids=str)
def test_a_file_that_was_opened_once_gives_its_frames_and_gives_them_again(videos, form, indices, monkeypatch):
    """First from where the probe left it, then, with others in other threads, from a file that is opened anew."""
    whole, opened = read_frames(videos[form], range(40)), []
    plain = video._opened

    def counted(path):
        opened.append(path)
        return plain(path)

    monkeypatch.setattr(video, "_opened", counted)
    info, read = open_video(videos[form], threads=2)
    assert info == probe(videos[form])
    opened[1:] = []
    for times in (1, 2, 3):
        np.testing.assert_array_equal(np.stack([picture[:, :] for picture in read(indices)]), whole[indices])
        assert len(opened) == times


@pytest.mark.parametrize(
    ("matrix", "quarters"),
    [((0, 1, 0, -1, 0, 0, 0, 0), -1), ((-1, 0, 0, 0, -1, 0, 0, 0), 2), ((0, -1, 0, 1, 0, 0, 0, 0), 1)],
)
def test_a_video_filmed_upright_is_given_as_it_is_shown(plain, tmp_path, matrix, quarters):
    content = bytearray(plain.read_bytes())
    place = content.index(b"tkhd") + 44  # the track's display matrix, in 16.16 fixed point
    content[place : place + 36] = struct.pack(">9i", *(value << 16 for value in matrix), 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    upright = np.rot90(read_frames(plain, [5, 20]), quarters, axes=(1, 2))
    np.testing.assert_array_equal(read_frames(turned, [5, 20]), upright)
    assert (probe(turned).height, probe(turned).width) == upright.shape[1:3]


@pytest.mark.parametrize("indices", [[3, 40], [-1]])
def test_a_frame_that_is_not_there_is_named(plain, indices):
    with pytest.raises(DataError, match=rf"plain\.mp4 has 40 frames, and frame {indices[-1]} was"):
        read_frames(plain, indices)


@pytest.fixture(params=["plain.mp4", "h264.avi"])
def damaged(videos, request, tmp_path):
    """A video with one frame overwritten, the eighth of the keyframe's group that starts at frame 12."""
    video = videos[request.param]
    with av.open(str(video)) as container:
        places = [(packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    _, position, size = sorted(places)[20] if video.suffix == ".mp4" else places[20]
    content = bytearray(video.read_bytes())
    content[position : position + size] = b"\x55" * size
    path = tmp_path / video.name
    path.write_bytes(content)
    return path, video


def test_damage_is_refused_also_where_it_is_only_leant_on(damaged):
    path, _ = damaged
    for indices in (range(40), [23]):
        with pytest.raises(DataError, match=rf"frame \d+ of .*{path.name}"):
            read_frames(path, indices)


@pytest.mark.parametrize("damaged", ["plain.mp4"], indirect=True)
def test_frames_that_do_not_lean_on_the_damage_are_read(damaged):
    path, whole = damaged
    np.testing.assert_array_equal(read_frames(path, [2, 10, 25, 39]), read_frames(whole, [2, 10, 25, 39]))


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_file_that_is_cut_short_is_told(tmp_path, options):
    whole = write_video(tmp_path / "whole.mp4", moving_picture(), **options).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"cut\.mp4"):
        read_frames(tmp_path / "cut.mp4", range(40))


@pytest.mark.parametrize("content", [None, b"", b"no video at all" * 100])
def test_what_is_no_video_is_told(tmp_path, content):
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    for function in (probe, count_frames, lambda path: read_frames(path, [0])):
        with pytest.raises(DataError, match=r"x\.mp4"):
            function(path)


def test_without_pyav_it_is_said_what_to_install(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingRequirementError, match=r"x3ddeploy\[video\]"):
        read_frames(plain, [0])
