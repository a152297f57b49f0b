"""x3d.py LIBRARY BUNDLE: the C interface from a language that has nothing but C; the classes of a still grey video.

Structures are those of x3ddeploy.h, field by field; Rust, Go and C# write them the same way.
"""

import ctypes
import sys

import numpy as np


class Options(ctypes.Structure):
    LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
    _fields_ = [
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_char_p) for name in ("runtime", "precision", "device", "cache_dir")),
        *((name, ctypes.c_int) for name in ("throughput", "requests", "threads", "warm_up")),
        ("min_keypoint_score", ctypes.c_float),
        ("log", LOG),
        ("user", ctypes.c_void_p),
    ]


class Frame(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("format", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("planes", ctypes.c_void_p * 3),
        ("row_bytes", ctypes.c_size_t * 3),
    ]


class Video(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("frames", ctypes.POINTER(Frame)),
        ("frame_count", ctypes.c_size_t),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("persons", ctypes.c_int64),
        ("pose_frames", ctypes.c_int64),
        ("joints", ctypes.c_int64),
        ("keypoints", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("coordinates", "keypoints_height", "keypoints_width")),
    ]


class Poses(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("persons", ctypes.c_int64),
        ("joints", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("keypoints", "scores", "tracks")),
        ("coordinates", ctypes.c_int),
    ]


class StreamOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_int) for name in ("window", "stride", "clips", "each_person")),
        *((name, ctypes.c_double) for name in ("frames_per_second", "largest_gap", "smoothing", "hysteresis")),
    ]


class PoolOptions(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("batch", ctypes.c_int),
        ("wait_ms", ctypes.c_double),
        ("give_up_ms", ctypes.c_double),
    ]


class Found(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("has_track", ctypes.c_int),
        ("track", ctypes.c_int64),
        ("start", ctypes.c_double),
        ("end", ctypes.c_double),
        ("label", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("score", ctypes.c_float),
        ("changed", ctypes.c_int),
        ("scores", ctypes.POINTER(ctypes.c_float)),
        ("classes", ctypes.c_size_t),
        ("problem", ctypes.c_char_p),
    ]


FOUND = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Found))
FORMATS = {"rgb": 0, "bgr": 1, "rgba": 2, "bgra": 3, "gray": 4, "nv12": 5, "i420": 6}


class Library:
    """The functions that this example needs, with their types."""

    def __init__(self, path: str) -> None:
        self.c = ctypes.CDLL(path)
        for name in ("x3d_version", "x3d_error", "x3d_runtime", "x3d_label", "x3d_note"):
            getattr(self.c, name).restype = ctypes.c_char_p
        self.c.x3d_open.restype = ctypes.c_void_p
        self.c.x3d_classes.restype = ctypes.c_size_t
        self.c.x3d_label.argtypes = self.c.x3d_note.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        for name in ("x3d_stream_open", "x3d_pool_open"):
            getattr(self.c, name).restype = ctypes.c_void_p
            getattr(self.c, name).argtypes = [ctypes.c_void_p, ctypes.POINTER(StreamOptions)]
        self.c.x3d_pool_open.argtypes += [ctypes.POINTER(PoolOptions), FOUND, ctypes.c_void_p]
        pushed = [ctypes.POINTER(Frame), ctypes.POINTER(Poses), ctypes.c_double]
        self.c.x3d_stream_push.argtypes = [ctypes.c_void_p, *pushed, FOUND, ctypes.c_void_p]
        self.c.x3d_pool_push.argtypes = [ctypes.c_void_p, ctypes.c_int64, *pushed]
        for name in (
            "x3d_classes",
            "x3d_runtime",
            "x3d_close",
            "x3d_stream_close",
            "x3d_pool_finish",
            "x3d_pool_close",
        ):
            getattr(self.c, name).argtypes = [ctypes.c_void_p]
        self.c.x3d_predict.argtypes = [
            *(ctypes.c_void_p, ctypes.POINTER(Video), ctypes.c_int),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)),
        ]

    def error(self) -> RuntimeError:
        return RuntimeError(self.c.x3d_error().decode())

    def open(self, bundle: str, options: Options | None = None) -> int:
        recognizer = self.c.x3d_open(bundle.encode(), None if options is None else ctypes.byref(options))
        if recognizer is None:
            raise self.error()
        return int(recognizer)

    def predict(
        self, recognizer: int, pictures: list[np.ndarray], pixels: str, size: tuple[int, int], keypoints: np.ndarray,
        scores: np.ndarray, clips: int = 1,
    ) -> np.ndarray:  # fmt: skip
        """Probabilities of the classes.

        Args:
            pictures: uint8, each as the format says.
            pixels: format.
            size: height and width.
            keypoints, scores: (persons, frames, joints, 2 or 3) and (persons, frames, joints), float32.
        """
        frames = (Frame * len(pictures))()
        for frame, picture in zip(frames, pictures, strict=True):
            frame.size, frame.format = ctypes.sizeof(Frame), FORMATS[pixels]
            frame.height, frame.width = size
            frame.planes[0] = picture.ctypes.data
        video = Video(ctypes.sizeof(Video), frames, len(frames), *size, *keypoints.shape[:3])
        video.coordinates = keypoints.shape[3]
        video.keypoints, video.scores = keypoints.ctypes.data, scores.ctypes.data
        found = np.zeros(self.c.x3d_classes(recognizer), np.float32)
        if self.c.x3d_predict(recognizer, video, clips, found.ctypes.data, found.size, None) != 0:
            raise self.error()
        return found


def main(library: Library, bundle: str) -> None:
    recognizer = library.open(bundle)
    picture = np.full((240, 320, 3), 128, np.uint8)
    keypoints = np.tile(np.linspace((150, 60), (170, 160), 17, dtype=np.float32), (1, 60, 1, 1))
    scores = library.predict(recognizer, [picture] * 60, "rgb", (240, 320), keypoints, np.ones((1, 60, 17), np.float32))
    for index in np.argsort(-scores)[:3]:
        label = library.c.x3d_label(recognizer, int(index))
        print(label.decode() if label else index, f"{scores[index]:.4f}")
    library.c.x3d_close(recognizer)


if __name__ == "__main__":
    main(Library(sys.argv[1]), sys.argv[2])
