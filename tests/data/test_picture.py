"""A part of a picture has the very pixels that the whole picture has there, whatever form it was coded in."""

import av
import numpy as np
import pytest
from support.action_data import moving_picture, write_video

from x3ddeploy.data import picture
from x3ddeploy.data.picture import Converter
from x3ddeploy.data.video import iter_pictures, read_frames

SIZES = [(96, 128), (96, 120), (98, 144), (97, 128), (95, 121), (64, 33)]
PARTS = [
    (slice(None), slice(None)),
    (slice(0, 95), slice(0, 17)),
    (slice(1, 2), slice(31, 33)),
    (slice(7, 60), slice(15, 30)),
    (slice(20, 61), slice(16, None)),
    (slice(33, 96), slice(1, 31)),
]


def noise(form, height, width):
    """A frame of random samples: no pixel is like its neighbour."""
    random, frame = np.random.default_rng(0), av.VideoFrame(width, height, form)
    for plane in frame.planes:
        plane.update(random.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    return frame


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray", "bgr24"])
@pytest.mark.parametrize("matrix", [1, 5])  # ITU-R BT.709 and BT.601
def test_a_part_is_the_whole_there(tmp_path, form, size, matrix):
    frame = noise(form, *size)
    frame.colorspace = matrix
    converter = Converter(tmp_path)
    whole, shown = frame.to_ndarray(format="rgb24"), converter.picture(frame)
    assert shown.shape == whole.shape
    for part in PARTS:
        np.testing.assert_array_equal(shown[part], whole[part])


@pytest.mark.parametrize("options", [{}, {"x264-params": "tff=1"}, {"x264-params": "chromaloc=2:range=pc"}], ids=str)
def test_a_part_of_a_decoded_frame_is_that_of_the_whole(tmp_path, options):
    path = write_video(tmp_path / "clip.mp4", moving_picture(4), **options)
    whole = read_frames(path, range(4))
    for index, shown in enumerate(iter_pictures(path, range(4))):
        for part in PARTS:
            np.testing.assert_array_equal(shown[part], whole[index][part])


def test_no_more_is_converted_than_is_looked_at(tmp_path, monkeypatch):
    converted = []
    whole = Converter.whole

    def noted(self, frame):
        converted.append((frame.height, frame.width))
        return whole(self, frame)

    monkeypatch.setattr(picture.Converter, "whole", noted)
    assert Converter(tmp_path).picture(noise("yuv420p", 96, 128))[33:60, 17:40].shape == (27, 23, 3)
    assert converted == [(28, 32)]
