"""The detector and the pose network: what they learn from, that they learn it, and their ONNX files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.documents import of_its_type

from x3ddeploy.data.synth import PictureOptions, generate_pictures
from x3ddeploy.errors import DataError, GateError
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.pose.decode import from_heatmaps
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.pose.models import Kind, Model

import_everything()

from x3ddeploy.graphs.write import write  # noqa: E402
from x3ddeploy.training.persons import onnx_files  # noqa: E402
from x3ddeploy.training.persons.finder import FoundMetric, PersonFinder  # noqa: E402
from x3ddeploy.training.persons.onnx_files import write_onnx  # noqa: E402
from x3ddeploy.training.persons.pictures import PersonPictures, heatmaps  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "pose_network.py"
PICTURE, WINDOW = (48, 48), (64, 48)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "people"
    generate_pictures(folder, PictureOptions(1, 20, (64, 64), 8), lambda done, total: None)
    return folder


def pictures(people, split="train", **options):
    return PersonPictures(
        str(people / f"person_keypoints_{split}.json"), str(people / "images"), PICTURE, WINDOW, **options
    )


@pytest.fixture
def finder():
    torch.manual_seed(0)
    return PersonFinder(PICTURE, WINDOW, channels=(2, 2)).eval()


def test_a_window_holds_the_joints_where_the_picture_shows_them(people):
    found = pictures(people, test_mode=True)
    entries = json.loads((people / "person_keypoints_train.json").read_text())
    for index in range(len(found)):
        sample = found[index]
        points, scores = from_heatmaps(sample["heatmaps"][None], *WINDOW)
        seen = sample["joints"][:, 2] > 0
        inside = seen & (sample["joints"][:, :2] > 0).all(1) & (sample["joints"][:, :2] < (46, 62)).all(1)
        assert np.abs(points[0][inside] - sample["joints"][inside, :2]).max() < 1.5
        assert (scores[0][inside] > 0.6).all()
        assert not scores[0][~seen].any()
        x0, y0, x1, y1 = sample["person"]
        assert (sample["joints"][seen, :2] >= (x0 - 0.1, y0 - 0.1)).all()
        assert (sample["joints"][seen, :2] <= (x1 + 0.1, y1 + 0.1)).all()
        boxes = sample["boxes"][sample["boxes"].any(1)]
        assert len(boxes) == sum(
            entry["image_id"] == int(found.samples[index][0][:6]) for entry in entries["annotations"]
        )


def test_joints_that_are_not_there_have_no_peak():
    joints = np.array([(10, 20, 2), (10, 20, 1), (10, 20, 0)], np.float32)
    assert heatmaps(joints, 64, 48).max((1, 2)).tolist() == [1, 1, 0]


def test_samples_of_training_vary_with_the_epoch_and_repeat_with_the_seed(people):
    one, other = pictures(people), pictures(people)
    first = one[3]
    assert np.array_equal(first["window"], other[3]["window"])
    other.seed_and_epoch[1] = 1
    assert not np.array_equal(first["window"], other[3]["window"])
    still = pictures(people, test_mode=True)
    assert np.array_equal(still[3]["window"], still[3]["window"])


def test_pictures_that_cannot_be_used_are_named(people, tmp_path):
    content = json.loads((people / "person_keypoints_train.json").read_text())
    file = tmp_path / "coco.json"

    def refused(told, **changed):
        file.write_text(json.dumps({**content, **changed}))
        with pytest.raises(DataError, match=told):
            PersonPictures(str(file), str(people / "images"), PICTURE, WINDOW)

    person = content["annotations"][0]
    refused("nobody", annotations=[{**person, "iscrowd": 1}])
    refused("not x, y, v of 17 joints", annotations=[{**person, "keypoints": [1, 2, 2]}])
    refused("image 99, which is not there", annotations=[{**person, "image_id": 99}])
    image = {**content["images"][0], "file_name": "../images/000001.jpg"}
    refused("are not in", images=[image], annotations=[{**person, "image_id": image["id"]}])
    refused("no COCO keypoints", images="none")
    with pytest.raises(DataError, match="cannot be read"):
        PersonPictures(str(tmp_path / "absent.json"), str(people), PICTURE, WINDOW)


def test_what_is_right_has_no_loss_of_boxes_and_what_is_shifted_has(people, finder, monkeypatch):
    batch = torch.utils.data.default_collate([pictures(people, test_mode=True)[index] for index in range(4)])
    boxes = batch["boxes"]
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    places = finder.detector.places.T[:, None]
    whose = ((places - centres[:, None]).abs() / sides.clamp(min=1e-3)[:, None]).amax(-1)
    nearest, of = whose.min(-1)
    own = torch.cat((centres, sides.clamp(min=1.0)), -1).gather(1, of[..., None].expand(-1, -1, 4)).transpose(1, 2)
    raw = torch.cat(
        (
            (own[:, :2] - finder.detector.places) / 8,
            (own[:, 2:] / 32).log(),
            torch.where(nearest < 0.25, 20.0, -20.0)[:, None],
        ),
        1,
    )
    monkeypatch.setattr(finder.detector, "raw", lambda pictures: raw)
    right = finder._box_losses(batch["picture"], boxes)
    assert max(map(float, right.values())) < 1e-3
    raw[:, 0] += 1
    assert float(finder._box_losses(batch["picture"], boxes)["loss_box"]) > 0.1
    # The rows that the detector would give are persons to whoever reads them as YOLO's.
    raw[:, 0] -= 1
    found = finder(mode="predict", **batch)
    assert [entry["persons"] for entry in found] == [1.0] * 4


def test_both_networks_learn_a_few_pictures_by_heart(people, finder):
    samples = pictures(people, test_mode=True)
    batch = torch.utils.data.default_collate([samples[index] for index in range(4)])
    finder.train()
    optimizer = torch.optim.Adam(finder.parameters(), 0.02)
    known: list[dict[str, float]] = []
    for _ in range(25):
        losses = finder(mode="loss", **batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        known.append({name: float(value.detach()) for name, value in losses.items()})
    for name, value in known[-1].items():
        assert value < 0.8 * known[0][name], name


def test_the_metric_is_the_mean_of_what_there_is_to_find():
    metric = FoundMetric()
    metric.process({}, [{"joints": 1.0, "persons": 0.5}, {"joints": float("nan"), "persons": 1.0}])
    assert metric.compute_metrics(metric.results) == {"joints": 1.0, "persons": 0.75, "both": 0.875}


def test_files_are_known_for_what_they_are_and_are_the_same_each_time(finder, tmp_path):
    files = write_onnx(finder, tmp_path)
    assert onnx_files._graph("pose", finder.pose_network, WINDOW) == files["pose"].read_bytes()
    assert not [node for node in onnx.load(files["pose"]).graph.node if node.op_type == "BatchNormalization"]
    pose, detector = Model(files["pose"]), Model(files["detector"])
    assert (pose.kind, pose.joints, detector.kind) == (Kind.HEATMAPS, 17, Kind.YOLO)
    picture = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    assert len(pose.in_boxes([picture], [np.array([[10, 10, 60, 70]], np.float32)])[0].keypoints) == 1


def test_a_file_that_is_not_the_network_is_not_written(finder, tmp_path, monkeypatch):
    def other(program, *arguments):
        with torch.no_grad():
            program.module.get_parameter("trunk.stages.0.0.0.weight").add_(0.1)
        return write(program, *arguments)

    monkeypatch.setattr(onnx_files, "write", other)
    with pytest.raises(GateError, match="of its range from PyTorch"):
        write_onnx(finder, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_of_the_config_ends_with_both_files(run, people, tmp_path):
    loaders = [
        f"{loader}_dataloader.{key}={value}"
        for loader in ("train", "val")
        for key, value in {
            "dataset.ann_file": people / f"person_keypoints_{loader}.json",
            "dataset.images": people / "images",
            "dataset.picture": "(48,48)",
            "num_workers": 0,
            "persistent_workers": False,
            "batch_size": 8,
        }.items()
    ]
    options = [*loaders, "model.picture=(48,48)", "model.channels=(2,2)", "train_cfg.max_epochs=1"]
    process = run("train", CONFIG, "--work-dir", tmp_path / "run", "--json", *options)
    assert process.returncode == 0, process.stderr[-3000:]
    result = of_its_type("train", process.stdout)
    assert result["best_score"] is not None
    assert result["onnx"] == {name: str(tmp_path / "run" / f"{name}.onnx") for name in ("detector", "pose")}
    with PoseEstimator(result["onnx"]["pose"], result["onnx"]["detector"]) as estimator:
        assert estimator.joints == 17
    weights = torch.load(tmp_path / "run" / "best.pth", weights_only=False)["state_dict"]
    stored = {tensor.name for tensor in onnx.load(result["onnx"]["pose"]).graph.initializer}
    assert "heatmaps.weight" in stored
    assert "pose_network.heatmaps.weight" in weights
