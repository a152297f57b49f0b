"""Pose models and detectors are told apart by what they give, which comes back in pixels of the picture."""

import numpy as np
import pytest
from support.pose_graphs import constant_model, heatmap_model, simcc_model, yolo

from x3ddeploy.errors import UsageError
from x3ddeploy.pose.decode import best_boxes, from_heatmaps, from_simcc, from_yolox
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.pose.models import Kind, Model
from x3ddeploy.pose.pictures import about, fitted, planes
from x3ddeploy.pose.track import Tracker
from x3ddeploy.terms import Pixels

COLOURS = np.eye(3, dtype=np.uint8) * 255
BOX = np.array((40, 30, 76, 78), np.float32)  # of a person in a picture of 160 x 120


def picture(spots, size=(120, 160)):
    """Grey, with a spot of 4 x 4 pixels of each colour about each place (x, y)."""
    shown = np.full((*size, 3), 90, np.uint8)
    for (x, y), colour in zip(spots, COLOURS, strict=True):
        shown[y - 2 : y + 2, x - 2 : x + 2] = colour
    return shown


SPOTS = ((50, 40), (60, 55), (68, 70))


@pytest.mark.parametrize("make", [heatmap_model, simcc_model])
def test_a_top_down_model_finds_the_spots_in_the_persons_box(tmp_path, make):
    model = Model(make(tmp_path / "pose.onnx"))
    assert (model.kind, model.joints) == (Kind.SIMCC if make is simcc_model else Kind.HEATMAPS, 17)
    boxes = [np.stack([BOX, BOX + 2]), np.zeros((0, 4), np.float32)]
    (persons, nobody) = model.in_boxes([picture(SPOTS), picture(SPOTS)], boxes)
    assert nobody.keypoints.shape == (0, 17, 2)
    for person in persons.keypoints:
        np.testing.assert_allclose(person[:3], np.array(SPOTS) - 0.5, atol=1.6)
    assert (persons.scores[:, :3] > 0.3).all()
    assert (persons.scores <= 1).all()


def test_more_persons_than_a_fixed_batch_are_all_found(tmp_path):
    free, fixed = (Model(heatmap_model(tmp_path / f"{batch}.onnx", batch=batch)) for batch in ("N", 4))
    boxes = [np.stack([BOX + shift for shift in range(7)])]
    ours, others = (model.in_boxes([picture(SPOTS)], boxes)[0] for model in (free, fixed))
    np.testing.assert_allclose(ours.keypoints, others.keypoints, atol=1e-4)


def test_a_one_stage_model_gives_the_persons_of_the_whole_picture(tmp_path):
    joints = np.dstack([np.random.default_rng(0).uniform(0, 60, (3, 17, 2)), np.full((3, 17, 1), 0.9)])
    boxes, scores = [(8, 8, 24, 40), (9, 8, 25, 41), (40, 10, 60, 44)], [0.9, 0.8, 0.7]
    at_once = Model(constant_model(tmp_path / "yolo.onnx", (64, 64), yolo(boxes, scores, joints)))
    assert (at_once.kind, at_once.joints) == (Kind.YOLO_POSE, 17)
    (found,) = at_once.persons([picture(SPOTS)])  # 160 pixels are seen as 64
    np.testing.assert_allclose(found.boxes, np.array(boxes)[[0, 2]] * 2.5, rtol=1e-5)
    np.testing.assert_allclose(found.keypoints, joints[[0, 2], :, :2] * 2.5, rtol=1e-5)
    answers = np.dstack([np.array(boxes)[None], np.array(scores)[None, :, None]]), joints[None]
    rtmo = Model(constant_model(tmp_path / "rtmo.onnx", (64, 64), *answers))
    assert rtmo.kind is Kind.RTMO
    np.testing.assert_allclose(rtmo.persons([picture(SPOTS)])[0].keypoints, found.keypoints, rtol=1e-5)


def test_detectors_find_persons_and_nothing_else(tmp_path):
    boxes, scores = [(8, 8, 24, 40), (40, 10, 60, 44)], [0.9, 0.2]
    raw = yolo(boxes, scores)
    raw[0, 5, 2] = 0.99  # a bicycle
    found = Model(constant_model(tmp_path / "yolo.onnx", (64, 64), raw)).persons([picture(SPOTS)])[0]
    np.testing.assert_allclose(found.boxes, np.array(boxes)[:1] * 2.5, rtol=1e-5)
    answers = np.array([[(8, 8, 24, 40, 0.9), (40, 10, 60, 44, 0.8)]]), np.array([[0, 1]])
    path = constant_model(tmp_path / "boxes.onnx", (64, 64), *answers)
    with pytest.raises(UsageError, match="several kinds"):
        Model(path)
    detector = Model(path, pixels="bgr_imagenet")
    assert detector.kind is Kind.BOXES
    np.testing.assert_allclose(detector.persons([picture(SPOTS)])[0].boxes, np.array(boxes)[:1] * 2.5, rtol=1e-5)


def test_yolox_boxes_lie_on_its_grids():
    raw = np.zeros((84, 85), np.float32)  # 64 x 64: 8 x 8, 4 x 4 and 2 x 2 cells
    raw[64 + 5] = [0.5, 0.25, np.log(2), np.log(3), 0.8, 0.5, *np.zeros(79)]  # second row, second column of stride 16
    boxes, scores = from_yolox(raw, 64, 64)
    np.testing.assert_allclose(boxes[69], (24 - 16, 20 - 24, 24 + 16, 20 + 24), atol=1e-4)
    assert scores[69] == pytest.approx(0.4)


def test_peaks_are_moved_towards_the_higher_neighbour_and_scaled():
    heatmaps = np.zeros((1, 2, 8, 6), np.float32)
    heatmaps[0, 0, 3, 2], heatmaps[0, 0, 3, 3], heatmaps[0, 0, 2, 2] = 1.2, 0.5, 0.2
    heatmaps[0, 1, 0, 5] = 0.7
    points, scores = from_heatmaps(heatmaps, 32, 24)
    np.testing.assert_allclose(points[0], [(2.25 * 4, 2.75 * 4), (5 * 4, 0)])
    np.testing.assert_allclose(scores[0], [1.0, 0.7])


def test_simcc_bins_are_scaled_and_the_less_sure_axis_counts():
    along_x, along_y = np.zeros((1, 1, 48), np.float32), np.zeros((1, 1, 128), np.float32)
    along_x[0, 0, 30], along_y[0, 0, 50] = 0.9, 0.4
    points, scores = from_simcc(along_x, along_y, 64, 24)
    assert points.tolist() == [[[15.0, 25.0]]]
    assert scores[0, 0] == pytest.approx(0.4)


def test_pixels_are_given_as_models_take_them():
    shown = np.zeros((2, 2, 3), np.uint8) + np.array((255, 128, 0), np.uint8)
    assert planes(shown, Pixels.UNIT)[:, 0, 0].tolist() == pytest.approx([1, 128 / 255, 0])
    assert planes(shown, Pixels.BGR)[:, 0, 0].tolist() == [0, 128, 255]
    assert planes(shown, Pixels.IMAGENET)[0, 0, 0] == pytest.approx((255 - 123.675) / 58.395)
    assert planes(shown, Pixels.BGR_IMAGENET)[2, 0, 0] == pytest.approx((255 - 123.675) / 58.395)


def test_windows_map_there_and_back():
    window = about(BOX, 64, 48)
    assert window.scale == pytest.approx(max(36 * 1.25 / 48, 48 * 1.25 / 64))
    middle = window.back(np.array([[24, 32]], np.float32))
    np.testing.assert_allclose(middle, [[58, 54]])
    assert fitted(picture(SPOTS), 64, 64).scale == 2.5


def test_persons_keep_their_number_while_they_cross_and_come_back():
    tracker = Tracker()
    left, right = np.array((0, 0, 20, 40), np.float32), np.array((60, 0, 80, 40), np.float32)
    assert tracker.follow(np.stack([left, right])) == [0, 1]
    assert tracker.follow(np.stack([right - 3, left + 3])) == [1, 0]
    assert tracker.follow(left[None] + 5) == [0]
    assert tracker.follow(np.stack([left + 6, right - 4, right + 100])) == [0, 1, 2]
    assert tracker.follow(np.zeros((0, 4), np.float32)) == []
    assert tracker.persons == 3


def test_no_person_is_best_where_none_is_sure():
    assert best_boxes(np.zeros((3, 4), np.float32), np.array((0.1, 0.2, 0.05), np.float32)).tolist() == []


@pytest.mark.parametrize(
    ("shapes", "told"), [([(1, 2)], "which no pose model"), ([(1, 17, 8), (1, 18, 8)], "which no pose model")]
)
def test_what_gives_something_else_is_refused(tmp_path, shapes, told):
    with pytest.raises(UsageError, match=told):
        Model(constant_model(tmp_path / "other.onnx", (64, 64), *(np.zeros(shape) for shape in shapes)))


def test_models_in_each_others_places_are_refused(tmp_path):
    pose, detector = heatmap_model(tmp_path / "pose.onnx"), tmp_path / "detector.onnx"
    constant_model(detector, (64, 64), yolo([(0, 0, 9, 9)], [0.9]))
    whole = constant_model(tmp_path / "whole.onnx", (64, 64), yolo([(0, 0, 9, 9)], [0.9], np.zeros((1, 17, 3))))
    for arguments, told in (
        ((detector,), "is a detector"),
        ((whole, detector), "by itself"),
        ((pose, pose), "finds no"),
    ):
        with pytest.raises(UsageError, match=told):
            PoseEstimator(*arguments)
    with pytest.raises(UsageError, match="cannot read"):
        PoseEstimator(tmp_path / "missing.onnx")


@pytest.mark.parametrize("content", [b"", b"# no model\n", b"\x08\x07" * 40], ids=["empty", "text", "noise"])
@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_a_file_that_no_runtime_takes_is_one_error_of_the_users(tmp_path, content, runtime):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UsageError, match=rf"a\.onnx is no model that {runtime} runs: \S"):
        Model(tmp_path / "a.onnx", runtime=runtime)
