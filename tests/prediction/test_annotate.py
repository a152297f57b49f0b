"""The annotated video shows every frame, the skeletons where the joints are, and is whole or absent."""

from fractions import Fraction

import numpy as np
import pytest
from support.made_videos import make_video

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import People
from x3ddeploy.data.video import VideoInfo, probe, read_frames
from x3ddeploy.errors import DataError, X3DDeployError
from x3ddeploy.prediction.annotate import annotate_video
from x3ddeploy.prediction.predict import OpenedVideo, Prediction
from x3ddeploy.prediction.windows import Window

NAMES = ["sit", "stand"]
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)


def opened(path, positions=None, frames=6, joints=17, size=None):
    info = probe(path)
    positions = np.zeros((1, frames, joints, 2), np.float32) if positions is None else positions
    annotation = Annotation("k", 0, size or (info.height, info.width), frames, positions, np.ones(positions.shape[:3]))
    return OpenedVideo(path, info, annotation)


def predictions(path, *windows):
    """The first window shows 'sit', the others 'stand'."""
    scores = [np.array([0.9, 0.1]), *[np.array([0.1, 0.9])] * (len(windows) - 1)]
    return [
        Prediction(path, Window(*window), None, People(6, 6, seen=True), (), {"fused": fused}, NAMES)
        for window, fused in zip(windows, scores, strict=True)
    ]


def nearest(frame, x, y, colour):
    """Distance to `colour` of the most alike picture point about (x, y), in pixels before the fourfold enlargement.

    H.264 halves the resolution of colours and blurs edges.
    """
    around = frame[4 * y - 1 : 4 * y + 5, 4 * x - 1 : 4 * x + 5]
    return np.abs(around - colour).max(-1).min()


def quiet(done, total):
    pass


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """Six grey frames of 96 x 64, which are enlarged four times."""
    from x3ddeploy.data.synth.video import write_video

    path = tmp_path_factory.mktemp("grey") / "grey.mp4"
    write_video(path, np.full((6, 96, 64, 3), 128, np.uint8))
    return path


def test_every_frame_is_there_at_the_same_rate_and_large_enough_to_read(tmp_path, grey):
    annotate_video(opened(grey), predictions(grey, (0, 6)), tmp_path / "out.mp4", quiet)
    assert probe(tmp_path / "out.mp4") == VideoInfo(6, 4 * 96, 4 * 64, Fraction(16))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("scale", [1, 2])
def test_skeletons_lie_where_the_joints_are(tmp_path, grey, scale):
    """Two persons, each one limb: shoulder to elbow. The second one's lost joint draws nothing."""
    positions = np.zeros((2, 6, 17, 2), np.float32)
    positions[0, :, 5], positions[0, :, 7] = (20, 40), (40, 40)
    positions[1, :, 5] = (30, 70)
    video = opened(grey, scale * positions, size=(scale * 96, scale * 64))
    annotate_video(video, predictions(grey, (0, 6)), tmp_path / "out.mp4", quiet)
    frame = read_frames(tmp_path / "out.mp4", [3])[0].astype(int)
    for x, y, colour in ((20, 40, ORANGE), (30, 40, ORANGE), (40, 40, ORANGE), (30, 70, BLUE)):
        assert nearest(frame, x, y, colour) < 60, (x, y)
    for x, y in ((20, 45), (45, 40), (30, 65), (5, 90)):
        assert np.abs(frame[4 * y, 4 * x] - 128).max() < 12
    assert frame[:20].mean() < 90  # the bar of the label


def test_a_frame_shows_the_label_of_the_window_whose_middle_is_nearest(tmp_path, grey):
    """Frames 0 to 2 lie nearer to the middle of 0-3, the others to that of 2-5."""
    annotate_video(opened(grey), predictions(grey, (0, 4), (2, 6)), tmp_path / "two.mp4", quiet)
    annotate_video(opened(grey), predictions(grey, (0, 6)), tmp_path / "one.mp4", quiet)
    two, one = (read_frames(tmp_path / name, range(6))[:, :30].astype(int) for name in ("two.mp4", "one.mp4"))
    differing = [bool(np.abs(a - b).max() > 80) for a, b in zip(two, one, strict=True)]
    assert differing == [False, False, False, True, True, True]


def test_other_joints_than_cocos_and_joints_far_outside_are_drawn_without_limbs(tmp_path, grey):
    positions = np.full((1, 6, 28, 2), np.nan, np.float32)
    positions[0, :, 0], positions[0, :, 1] = (1e9, -1e9), (30, 50)
    annotate_video(opened(grey, positions), predictions(grey, (0, 6)), tmp_path / "out.mp4", quiet)
    frame = read_frames(tmp_path / "out.mp4", [0])[0].astype(int)
    assert nearest(frame, 30, 50, ORANGE) < 60


def test_videos_of_odd_size_can_be_written(tmp_path):
    import av

    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 245, 251, "bgr0"
        for _ in range(6):
            picture = av.VideoFrame.from_ndarray(np.zeros((245, 251, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    annotate_video(opened(path), predictions(path, (0, 6)), tmp_path / "out.mp4", quiet)
    assert probe(tmp_path / "out.mp4") == VideoInfo(6, 246, 252, Fraction(10))


def test_a_video_that_breaks_off_leaves_no_file(tmp_path):
    path = make_video(tmp_path / "clip.mp4")
    video = opened(path, frames=20)
    path.write_bytes(path.read_bytes()[:1500])
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"clip\.mp4"):
        annotate_video(video, predictions(path, (0, 20)), tmp_path / "out" / "a.mp4", quiet)
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path, grey):
    with pytest.raises(X3DDeployError, match="cannot write"):
        annotate_video(opened(grey), predictions(grey, (0, 6)), tmp_path / "none" / "a.mp4", quiet)
