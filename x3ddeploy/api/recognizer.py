"""`x3ddeploy.open`: a bundle in one runtime, ready to name the actions in videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import FileIO
from os import PathLike, fspath
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Literal, overload

from x3ddeploy.bundle import Bundle
from x3ddeploy.bundle.check import open_whole
from x3ddeploy.contract import WHOLE, Contract
from x3ddeploy.data.decoders import require_decoder
from x3ddeploy.data.feeding import feeding
from x3ddeploy.errors import UsageError, X3DDeployError
from x3ddeploy.evaluation.report import class_names
from x3ddeploy.evaluation.scores import Scorer, open_preparing
from x3ddeploy.modalities import needs_frames
from x3ddeploy.pose.estimate import PoseEstimator
from x3ddeploy.prediction.folder import FolderVideos, answers_by_kind, folder_frames
from x3ddeploy.prediction.inputs import KeypointFiles, find_videos
from x3ddeploy.prediction.live import LiveAnswer, LiveWindows, answers
from x3ddeploy.prediction.live_videos import video_answers
from x3ddeploy.prediction.predict import Prediction, Windowing, open_video, predict_windows
from x3ddeploy.prediction.sources import Frames, Newest, opened_frames, raw_frames
from x3ddeploy.prediction.sources import is_live as is_live
from x3ddeploy.prediction.sources import raw_size as raw_size
from x3ddeploy.prediction.videos import SkippedVideo as SkippedVideo
from x3ddeploy.prediction.videos import (
    VideoPredictor,
    finishing,
    keypoint_source,
    none_only_skipped,
    predict_video,
)
from x3ddeploy.progress import QUIET, Step, counting
from x3ddeploy.runtimes.base import Array, Axes, Session
from x3ddeploy.runtimes.registry import Execution, execution_named, open_part
from x3ddeploy.terms import AnyPath, Decoder, Precision, named

_VIEWS_AT_A_TIME = 10  # of a window; memory stays that of so many


def open(  # noqa: A001 (what it is called)
    bundle: AnyPath = "deploy",
    *,
    runtime: str = "onnxruntime",
    device: str | None = None,
    precision: str | Precision = Precision.FP32,
    threads: int | None = None,
    decoder: str | Decoder = Decoder.PYAV,
) -> Recognizer:
    """Open a bundle in one runtime; nothing else is taken in its place.

    Args:
        bundle: directory.
        runtime: 'torch', 'onnxruntime', 'openvino', 'tensorrt' or 'tensorrt-rtx'.
        device: a device of that runtime, such as 'cuda' or 'gpu'; None for its first.
        precision: precision of the graphs or engines.
        threads: CPU threads; None leaves the runtime's own default.
        decoder: decoder of video files: 'pyav', or 'nvdec' for that of an NVIDIA GPU, whose pixels may be a few levels
            off.

    Raises:
        BundleError: the directory holds no bundle, one that is not what its manifest says, or none of that precision.
        MissingRequirementError: this machine lacks the runtime or the device; the hint says what to install.
        UsageError: there is no such runtime, device or precision.
    """
    opened, execution = open_whole(Path(bundle)), execution_named(runtime, device, precision)
    return opened_in(opened, execution, threads, named(Decoder, decoder))


def opened_in(bundle: Bundle, execution: Execution, threads: int | None, decoder: Decoder) -> Recognizer:
    """See `open`; of a bundle that is opened already."""
    require_decoder(decoder)
    preparing = open_preparing(bundle, execution, threads)
    return Recognizer(bundle, partial(open_part, bundle, execution, threads=threads), preparing, decoder)


class Recognizer:
    """A bundle, opened in one runtime by `x3ddeploy.open`; `with` closes it. Any number of threads may call it.

    Attributes:
        inputs: name of each tensor that the network takes -> its shape; None for a free number of clips.
        outputs: names of the tensors that the network gives.
        labels: names of the classes, 'class 7' where the bundle has none.
        contract: everything that the bundle says of the network.
        prepares_on_device: whether frames of videos go up to a GPU as bytes, and are normalised there, heatmaps drawn.
    """

    def __init__(
        self, bundle: Bundle, open_ready: Callable[[], Session], raw: Session | None, decoder: Decoder
    ) -> None:
        # What prepares clips holds the whole network: the session of clips that are ready is opened beside it for them
        # alone, as it holds the network again.
        self._open_ready, self._ready = open_ready, None if raw is not None else open_ready()
        self._opening = Lock()
        self._decoder, self._closed = decoder, False
        self._raw, self.prepares_on_device = raw, raw is not None
        self.contract: Contract = bundle.contract
        self.inputs: Mapping[str, Axes] = {
            name: tuple(size if isinstance(size, int) else None for size in value.shape)
            for name, value in self.contract.inputs.items()
        }
        self.outputs: tuple[str, ...] = self.contract.parts[WHOLE].outputs
        self.labels: tuple[str, ...] = tuple(class_names(bundle))

    def predict(
        self,
        video: AnyPath,
        keypoints: AnyPath | None = None,
        *,
        window: int | None = None,
        stride: int | None = None,
        num_clips: int | None = None,
        min_keypoint_score: float | None = None,
        workers: int = 2,
    ) -> list[Prediction]:
        """Name the action that a video shows, or each window of it.

        Args:
            video: file.
            keypoints: file of the persons in it (docs/predict.md); None for the one of the video's name beside it.
                A network of frames alone needs none.
            window: length in frames; None takes the whole video.
            stride: frames from one window to the next; None for half a window.
            num_clips: clips of a window, which are averaged; None for as many as the network was tested with.
            min_keypoint_score: joints of a lower score are left out; None counts all, as MMAction2 does.
            workers: threads that load clips.

        Raises:
            DataError: video or keypoints cannot be read, or do not fit each other or the network.
            GateError: the network gives NaN or infinity.
        """
        windowing = Windowing(window, stride, num_clips, min_keypoint_score)
        opened = open_video(Path(video), KeypointFiles(_path(keypoints), 1), self.contract.inputs, self._decoder)
        return list(predict_windows(opened, self.contract, self.labels, self._scorer(), windowing, workers))

    # fmt: off
    @overload
    def predict_videos(
        self, videos: Sequence[AnyPath], keypoints: AnyPath | PoseEstimator | None = ..., *, window: int | None = ...,
        stride: int | None = ..., num_clips: int | None = ..., min_keypoint_score: float | None = ...,
        each_person: bool = ..., workers: int = ..., on_error: Literal["raise"] = ..., annotate: AnyPath | None = ...,
        html: AnyPath | None = ..., progress: Step = ...,
    ) -> Iterator[Prediction]: ...
    @overload
    def predict_videos(
        self, videos: Sequence[AnyPath], keypoints: AnyPath | PoseEstimator | None = ..., *, window: int | None = ...,
        stride: int | None = ..., num_clips: int | None = ..., min_keypoint_score: float | None = ...,
        each_person: bool = ..., workers: int = ..., on_error: Literal["raise", "skip"], annotate: AnyPath | None = ...,
        html: AnyPath | None = ..., progress: Step = ...,
    ) -> Iterator[Prediction | SkippedVideo]: ...
    # fmt: on
    def predict_videos(
        self,
        videos: Sequence[AnyPath],
        keypoints: AnyPath | PoseEstimator | None = None,
        *,
        window: int | None = None,
        stride: int | None = None,
        num_clips: int | None = None,
        min_keypoint_score: float | None = None,
        each_person: bool = False,
        workers: int = 2,
        on_error: Literal["raise", "skip"] = "raise",
        annotate: AnyPath | None = None,
        html: AnyPath | None = None,
        progress: Step = QUIET,
    ) -> Iterator[Prediction | SkippedVideo]:
        """Predictions for the windows of several videos, one by one as they are known; see `predict`.

        Args:
            videos: files, and folders of them.
            keypoints: file or folder with those of all videos; None for a file beside each; or an opened pose model
                that finds them in the videos (`x3ddeploy.PoseEstimator`).
            window: length in frames; None takes each whole video.
            stride: frames from one window to the next; None for half a window.
            num_clips: clips of a window, likewise averaged.
            min_keypoint_score: joints of a lower score are left out.
            each_person: an answer for each person and window, with a crop and heatmaps of that person alone; else one
                for all. Persons are numbered as their keypoints are; where one is not seen, there is none.
            workers: threads that load clips.
            on_error: 'skip' gives a SkippedVideo where a video cannot be used, and goes on with the next.
            annotate: write the videos with skeletons and labels drawn in: an `.mp4` file, or for several a folder.
            html: write a page (.html) that plays the one video, with skeletons, and labels and scores over time. It
                names the video by its place relative to the page, and holds all else itself.
            progress: receives each file that is written, as a line.

        Raises:
            UsageError: a path is not there, or `annotate` or `html` is no place for these videos.
            DataError: a video cannot be used, or none can.
            GateError: the network gives NaN or infinity.
        """
        paths = [Path(path) for path in videos]
        found = find_videos(paths, self.contract.inputs)
        predictor = self.predictor(
            keypoints,
            len(found),
            Windowing(window, stride, num_clips, min_keypoint_score),
            each_person=each_person,
            workers=workers,
            progress=progress,
        )
        several = len(found) > 1 or paths[0].is_dir()
        finish = finishing(_path(annotate), _path(html), found, several, counting(progress))
        return none_only_skipped(predict_video(path, predictor, on_error, finish) for path in found)

    def predictor(
        self,
        keypoints: AnyPath | PoseEstimator | None,
        videos: int,
        windowing: Windowing,
        *,
        each_person: bool,
        workers: int,
        progress: Step = QUIET,
    ) -> VideoPredictor:
        """What `predict_videos` asks for each of so many videos. Raises UsageError where keypoints do not fit them."""
        given = keypoints if isinstance(keypoints, PoseEstimator) else _path(keypoints)
        return VideoPredictor(
            self.contract,
            self.labels,
            self._scorer(),
            keypoint_source(given, self.contract.inputs, videos, counting(progress)),
            windowing,
            each_person,
            workers,
            self._decoder,
        )

    def stream(
        self,
        source: AnyPath | BinaryIO | FileIO,
        estimator: PoseEstimator | None = None,
        *,
        window_s: float = 3.0,
        stride_s: float = 1.0,
        size: tuple[int, int] | None = None,
        num_clips: int | None = None,
        min_keypoint_score: float | None = None,
        each_person: bool = False,
        progress: Step = QUIET,
    ) -> Iterator[LiveAnswer]:
        """Answers about a camera or a stream, as long as it lasts: the last seconds, every `stride_s`.

        Frames that come faster than they can be looked at are dropped, and counted in the answers. An address that is
        lost is opened again.

        Args:
            source: a camera's number ('0'), an address ('rtsp://...'), an open pipe of raw R, G, B pictures, or a
                folder that fills with pictures, or with videos: each is answered as a video of its own once it is
                whole.
            estimator: finds the keypoints; a network of frames alone needs none. Videos in a folder may have files of
                keypoints beside them instead.
            window_s: length of a window in seconds.
            stride_s: seconds from one window to the next.
            size: height and width of a pipe's pictures.
            num_clips: clips of a window, which are averaged; None for as many as the network was tested with.
            min_keypoint_score: joints of a lower score are left out.
            each_person: an answer for each person and window, with a crop and heatmaps of that person alone; else one
                for all. A person keeps his number as long as he is tracked; where nobody is seen, one answer says so.
            progress: receives what happens to the source.

        Raises:
            UsageError: the network needs keypoints and there is no estimator, or it needs none and persons are asked
                for; a pipe has no `size`; there is no such folder.
            DataError: the source cannot be read, or changes the size of its pictures.
            GateError: the network gives NaN or infinity.
        """
        name = fspath(source) if isinstance(source, str | PathLike) else "-"

        def of_frames(frames: Frames) -> Iterator[LiveAnswer]:
            if self._decoder is not Decoder.PYAV:
                raise UsageError(f"{self._decoder} decodes files, and this is live input", hint="leave it out")
            newest = Newest(frames, name, again="://" in name, tell=progress)
            windows = LiveWindows(
                name,
                self.contract,
                self.labels,
                self._scorer(),
                estimator,
                window_s=window_s,
                stride_s=stride_s,
                clips=num_clips,
                min_keypoint_score=min_keypoint_score,
                each_person=each_person,
            )
            return answers(iter(newest), windows, lambda: newest.dropped)

        def of_videos(folder: Path) -> Iterator[LiveAnswer]:
            windowing = Windowing(clips=num_clips, min_keypoint_score=min_keypoint_score)
            predictor = self.predictor(estimator, 1, windowing, each_person=each_person, workers=1)
            posed = estimator is None and not needs_frames(self.contract.inputs)
            videos = FolderVideos(folder, progress, posed=posed)
            return video_answers(videos, predictor, window_s=window_s, stride_s=stride_s, tell=progress)

        if not isinstance(source, str | PathLike):
            if size is None:
                raise UsageError("a pipe does not say how large its pictures are", hint="give size: height and width")
            return of_frames(raw_frames(source, *size))
        if is_live(name):
            return of_frames(opened_frames(name))
        return answers_by_kind(Path(name), lambda folder: of_frames(folder_frames(folder, progress)), of_videos)

    def predict_clips(self, clips: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on clips that are prepared already.

        Args:
            clips: `inputs` by name, (N, ...) float32.

        Returns:
            `outputs` by name, N rows each.

        Raises:
            X3DDeployError: a name or a shape is not the network's.
        """
        self._require_open()
        with self._opening:
            ready = self._ready = self._ready or self._open_ready()
        return ready.run(clips)

    def close(self) -> None:
        """Give back what the runtime holds; the recognizer cannot be used afterwards."""
        for session in filter(None, (self._ready, self._raw)):
            session.close()
        self._ready, self._raw, self._closed = None, None, True

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise X3DDeployError("the recognizer is closed", hint="x3ddeploy.open opens the bundle anew")

    def _scorer(self) -> Scorer:
        self._require_open()
        if self._raw is not None:
            return Scorer(self._raw, self.contract, _VIEWS_AT_A_TIME, feeding(self._raw.inputs))
        assert self._ready is not None
        return Scorer(self._ready, self.contract, _VIEWS_AT_A_TIME)


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
