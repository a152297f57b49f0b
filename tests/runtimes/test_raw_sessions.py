"""Networks behind their preprocessing graphs: the same scores as of clips that the host prepared."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video
from support.fake_cuda import FakeCuda, FakeStream
from support.fake_tensorrt import SHAPES, Module
from support.made_videos import make_keypoints, make_video, write_npz

import x3ddeploy
from x3ddeploy.bundle import Bundle, EngineEntry, add_engine
from x3ddeploy.bundle.engine_options import Batches, BuildOptions, Flavour
from x3ddeploy.data.feeding import fed_clips
from x3ddeploy.data.sources import AnnotatedVideos, open_source
from x3ddeploy.errors import BundleError, UsageError
from x3ddeploy.evaluation import scores as scores_module
from x3ddeploy.evaluation.evaluate import Loading, evaluate
from x3ddeploy.evaluation.scores import open_preparing
from x3ddeploy.modalities import modalities_of
from x3ddeploy.modalities.heatmaps import RAW_KEYPOINTS, RAW_SCORES, Heatmaps
from x3ddeploy.modalities.synthetic import raw_inputs
from x3ddeploy.parity.metrics import compare
from x3ddeploy.runtimes import tensorrt_engines
from x3ddeploy.runtimes.base import FallbackError
from x3ddeploy.runtimes.registry import RUNTIMES, Execution, open_part, open_raw
from x3ddeploy.tensorrt.engine import TensorRTError
from x3ddeploy.tensorrt.place import plan_name
from x3ddeploy.tensorrt.trt import TensorRT
from x3ddeploy.terms import Precision

ON_CPU = Execution("onnxruntime", "cpu", Precision.FP32)
ON_GPU = Execution("tensorrt", "cuda", Precision.FP32)
PIECES = ("rgb_backbone", "pose_backbone", "head")
PREPROCESSING = ("preprocess_rgb", "preprocess_pose")
PERSONS = Batches(1, 2, 4)


def raw_of(bundle, clips, persons=2, seed=3):
    """Raw tensors, and the network's inputs that the host makes of them."""
    made = raw_inputs(bundle.contract.inputs, clips, seed)
    several = {name: np.concatenate([made[name]] * 4, 1)[:, :persons] for name in (RAW_KEYPOINTS, RAW_SCORES)}
    several[RAW_KEYPOINTS] = several[RAW_KEYPOINTS] + np.arange(persons, dtype=np.float32).reshape(1, -1, 1, 1, 1)
    raw = {"frames": made["frames"], **several}
    return raw, {name: kind.from_raw(raw) for name, kind in modalities_of(bundle.contract.inputs).items()}


@pytest.fixture(scope="module")
def scores(bundle):
    """Function: the network's scores of inputs that are prepared already."""
    session = open_part(Bundle.open(bundle), ON_CPU)
    return lambda prepared: session.run(prepared)["scores"]


@pytest.mark.parametrize("persons", [1, 3])
def test_a_chain_of_graphs_gives_the_scores_of_prepared_clips(bundle, scores, persons):
    opened = Bundle.open(bundle)
    session = open_raw(opened, ON_CPU)
    assert set(session.inputs) == {"frames", RAW_KEYPOINTS, RAW_SCORES}
    raw, prepared = raw_of(opened, 2, persons)
    assert compare(scores(prepared), session.run(raw)["scores"]).within(1e-5)


def test_a_bundle_without_preprocessing_graphs_has_no_such_session(bundle):
    opened = Bundle.open(bundle)
    bare = Bundle(opened.path, replace(opened.manifest, preprocessing={}))
    with pytest.raises(BundleError, match="no preprocessing graph of heatmap_imgs and imgs") as error:
        open_raw(bare, ON_CPU)
    assert "export --preprocess" in error.value.hint


@pytest.mark.openvino
def test_a_runtime_that_cannot_leave_tensors_on_its_device_says_so(bundle):
    with pytest.raises(UsageError, match="openvino takes clips that are prepared already"):
        open_raw(Bundle.open(bundle), Execution("openvino", "cpu", Precision.FP32))


# --- engines on a GPU that is played ----------------------------------------------------------------------------------


@pytest.fixture(params=SHAPES)
def gpu(request, monkeypatch):
    """A GPU, and in `module` the TensorRT that is installed beside it."""
    cuda: Any = FakeCuda()
    cuda.module = Module(SHAPES[request.param], cuda)
    monkeypatch.setitem(RUNTIMES, "tensorrt", replace(RUNTIMES["tensorrt"], package="numpy"))  # it is installed
    monkeypatch.setattr(tensorrt_engines, "Cuda", lambda device: cuda)
    monkeypatch.setattr(
        tensorrt_engines, "open_tensorrt", lambda flavour, log: TensorRT(cuda.module, Flavour.TENSORRT, log)
    )
    return cuda


one_version = pytest.mark.parametrize("gpu", ["11"], indirect=True)


def with_engines(bundle, folder, cuda, parts=(*PREPROCESSING, *PIECES)):
    opened = Bundle.open(shutil.copytree(bundle, folder / "deploy"))
    options = BuildOptions(Flavour.TENSORRT, Precision.FP32, Batches(1, 1, 4), persons=PERSONS)
    for part in parts:
        graph = opened.manifest.files[f"{part}.onnx"].sha256
        entry = EngineEntry(part, graph, cuda.module.__version__, cuda.name, ("9.0",), None, options)
        network = TensorRT(cuda.module, Flavour.TENSORRT, print).parse(opened.part_path(part).read_bytes())
        plan, _ = network.build(options, None, lambda text: None)
        opened = add_engine(opened.path, plan_name(entry), entry, plan, b"{}")
    return opened


def test_the_profile_holds_clips_and_persons(bundle, tmp_path, gpu):
    opened = with_engines(bundle, tmp_path, gpu, ("preprocess_pose",))
    (plan,) = opened.manifest.engines
    profile = json.loads((opened.path / plan).read_bytes())["profile"]
    assert [shape[:2] for shape in profile[RAW_KEYPOINTS]] == [[1, 1], [1, 2], [4, 4]]
    assert [shape[:2] for shape in profile[RAW_SCORES]] == [[1, 1], [1, 2], [4, 4]]


def test_frames_go_up_as_bytes_and_the_gpu_prepares_them(bundle, tmp_path, gpu, scores, monkeypatch):
    """Plain, recorded and replayed, for several numbers of clips and persons."""
    opened = with_engines(bundle, tmp_path, gpu)
    copied = []
    plain = FakeStream.to_device

    def counted(stream, target, source, size_bytes):
        copied.append(size_bytes)
        plain(stream, target, source, size_bytes)

    monkeypatch.setattr(FakeStream, "to_device", counted)
    session = open_raw(opened, ON_GPU)
    for clips, persons in ((1, 4), (2, 2)):
        raw, prepared = raw_of(opened, clips, persons)
        expected = scores(prepared)
        for is_put in (True, True, False):  # enqueued, recorded, replayed
            copied.clear()
            assert compare(expected, session.run(raw)["scores"]).within(1e-5)
            assert sum(copied) == is_put * sum(value.nbytes for value in raw.values())
        assert sum(value.nbytes for value in prepared.values()) > 2 * sum(value.nbytes for value in raw.values())
    assert list(session.notes) == []  # all could be recorded
    assert gpu.launches == 4


@one_version
def test_more_persons_than_the_profile_holds_are_refused(bundle, tmp_path, gpu):
    opened = with_engines(bundle, tmp_path, gpu)
    session = open_raw(opened, ON_GPU)
    raw, _ = raw_of(opened, 1, 5)
    with pytest.raises(TensorRTError, match="does not take 'keypoint") as error:
        session.run(raw)
    assert "--max-shapes" in error.value.hint


@one_version
def test_tensors_of_unequal_numbers_of_clips_are_refused(bundle, tmp_path, gpu):
    opened = with_engines(bundle, tmp_path, gpu)
    session = open_raw(opened, ON_GPU)
    raw, _ = raw_of(opened, 2)
    with pytest.raises(UsageError, match="1 and 2 clips"):
        session.run({**raw, "frames": raw["frames"][:1]})


@one_version
def test_without_engines_of_the_preprocessing_the_host_prepares(bundle, tmp_path, gpu):
    opened = with_engines(bundle, tmp_path, gpu, PIECES)
    with pytest.raises(BundleError, match="no fp32 engine of preprocess_rgb"):
        open_raw(opened, ON_GPU)
    assert not x3ddeploy.open(opened.path, runtime="tensorrt").prepares_on_device


@one_version
def test_videos_are_prepared_on_the_gpu_where_it_can(bundle, tmp_path, gpu, scores, monkeypatch):
    """The network's engines are loaded once, and again for clips that are prepared already."""
    opened, loaded = with_engines(bundle, tmp_path, gpu), []
    plain = TensorRT.load

    def counted(tensorrt, plan, **others):
        loaded.append(plan)
        return plain(tensorrt, plan, **others)

    monkeypatch.setattr(TensorRT, "load", counted)
    video, keypoints = make_video(tmp_path / "a.mp4"), write_npz(tmp_path / "a.npz", *make_keypoints())
    with x3ddeploy.open(opened.path, runtime="tensorrt") as recognizer:
        assert recognizer.prepares_on_device
        (there,) = recognizer.predict(video, keypoints)
        assert set(recognizer.inputs) == set(opened.contract.inputs)
        assert len(loaded) == len(PREPROCESSING) + len(PIECES)
        _, prepared = raw_of(opened, 1)
        np.testing.assert_allclose(recognizer.predict_clips(prepared)["scores"], scores(prepared), atol=1e-5)
        assert len(loaded) == len(PREPROCESSING) + 2 * len(PIECES)
    (here,) = x3ddeploy.open(opened.path).predict(video, keypoints)
    np.testing.assert_allclose(there.deployed, here.deployed, atol=1e-5)
    assert there.people == here.people


# --- what a session is fed with ---------------------------------------------------------------------------------------


def test_who_is_drawn_takes_the_first_places_of_as_few_as_are_needed(bundle):
    """In each frame by themselves: of seven persons two are seen at once."""
    opened = Bundle.open(bundle)
    raw, _ = raw_of(opened, 1, 1)
    frames = raw[RAW_KEYPOINTS].shape[2]
    keypoints = np.repeat(raw[RAW_KEYPOINTS], 7, 1) + np.arange(7, dtype=np.float32).reshape(1, 7, 1, 1, 1)
    scores = np.zeros((*keypoints.shape[:-1], 1), np.float32)
    for frame in range(frames):
        scores[:, [frame % 7, (frame + 3) % 7], frame] = 0.5
    keypoints[0, 0, 0, 0] = np.inf  # a joint that is left out
    fed = fed_clips({RAW_KEYPOINTS: keypoints, RAW_SCORES: scores}, {RAW_KEYPOINTS, RAW_SCORES})
    assert fed[RAW_KEYPOINTS].shape[1] == 2
    assert np.isfinite(fed[RAW_KEYPOINTS]).all()
    kind = modalities_of(opened.contract.inputs)["heatmap_imgs"]
    assert isinstance(kind, Heatmaps)
    whole = kind.from_raw({RAW_KEYPOINTS: keypoints, RAW_SCORES: scores})
    np.testing.assert_array_equal(kind.from_raw(fed), whole)
    without = replace(kind, use_score=False)
    nowhere = np.where(scores > 0, keypoints, np.nan)
    fed = fed_clips({RAW_KEYPOINTS: nowhere, RAW_SCORES: scores}, {RAW_KEYPOINTS})
    assert (set(fed), fed[RAW_KEYPOINTS].shape[1]) == ({RAW_KEYPOINTS}, 2)
    np.testing.assert_array_equal(
        without.from_raw({**fed, RAW_SCORES: np.zeros((*fed[RAW_KEYPOINTS].shape[:-1], 1))}),
        without.from_raw({RAW_KEYPOINTS: nowhere, RAW_SCORES: scores}),
    )


@pytest.mark.parametrize(("persons", "places"), [(1, 1), (2, 2), (3, 4), (5, 8)])
def test_few_numbers_of_persons_are_asked_for(bundle, persons, places):
    raw, _ = raw_of(Bundle.open(bundle), 2, persons)
    assert fed_clips(raw, raw)[RAW_KEYPOINTS].shape[1] == places


# --- eval: labelled videos go up as bytes, too ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(bundle, tmp_path_factory):
    """Four videos of one, two, three and two persons, two clips of each."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "videos").mkdir()
    names = [f"v{index}" for index in range(4)]
    for index, name in enumerate(names):
        write_video(folder / "videos" / f"{name}.mp4", moving_picture(frames=12, seed=index))
    entries = [
        annotation(name, frames=12, label=index, persons=(1, 2, 3, 2)[index], seed=index)
        for index, name in enumerate(names)
    ]
    write_annotations(folder / "annotations.pkl", entries, {"test": names})
    return open_source(folder, Bundle.open(bundle).contract, clips=2)


def scores_in(opened, source, executions):
    """Execution -> name of the logits -> scores of the videos; and the tensors that clips were loaded as."""
    loaded: set[str] = set()
    plain = AnnotatedVideos.load

    def seen(self, index):
        clip = plain(self, index)
        loaded.update(clip.inputs)
        return clip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AnnotatedVideos, "load", seen)
        found = evaluate(opened, source, executions, Loading(batch=3), lambda *_: None)
    return found.outcomes, loaded


@pytest.mark.parametrize("gpu", ["8.6", "11"], indirect=True)
def test_eval_sends_frames_up_as_bytes_and_scores_them_as_prepared_clips(bundle, tmp_path, gpu, labelled):
    opened = with_engines(bundle, tmp_path, gpu)
    raw = {"frames", RAW_KEYPOINTS, RAW_SCORES}
    (alone,), loaded = scores_in(opened, labelled, [ON_GPU])
    assert loaded == raw  # nothing is normalised or drawn here
    (here, beside), loaded = scores_in(opened, labelled, [ON_CPU, ON_GPU])
    assert loaded == raw | set(opened.contract.inputs)
    for found in (alone, beside):
        assert found.device.endswith("(prepares clips, too)")
        for name, expected in here.scores.by_logits.items():
            np.testing.assert_allclose(found.scores.by_logits[name], expected, atol=1e-5)


@one_version
def test_eval_prepares_here_what_the_gpu_cannot(bundle, tmp_path, gpu, labelled):
    opened = with_engines(bundle, tmp_path, gpu, PIECES)
    (there,), loaded = scores_in(opened, labelled, [ON_GPU])
    assert loaded == set(opened.contract.inputs)
    assert there.device == gpu.name


def test_a_preparation_that_would_leave_the_gpu_is_the_hosts_and_a_warning_says_so(bundle, monkeypatch, caplog):
    def refused(*arguments, **others):
        raise FallbackError("CUDAExecutionProvider would leave nodes to the CPU: Sign")

    monkeypatch.setattr(scores_module, "open_raw", refused)
    assert open_preparing(Bundle.open(bundle), Execution("onnxruntime", "cuda", Precision.FP32)) is None
    assert "clips are prepared on the CPU: CUDAExecutionProvider would leave nodes" in caplog.text
