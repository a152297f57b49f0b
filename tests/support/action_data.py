"""Small videos, keypoints and annotation pickles for the tests of the data room."""

import pickle

import av
import numpy as np


def moving_picture(frames=40, height=96, width=128, seed=0):
    """(T, H, W, 3) uint8: a texture that drifts, so that each frame differs from every other."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 255, (-(-height // 8), -(-width // 8), 3))
    texture = np.kron(cells, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)
    return np.stack([np.roll(texture, 3 * time, axis=1) for time in range(frames)])


def write_video(path, frames, codec="libx264", keyframe_distance=12, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"g": str(keyframe_distance), **options})
        (stream.height, stream.width), stream.pix_fmt = frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def annotation(name, label=0, frames=40, size=(96, 128), persons=2, joints=17, seed=0):
    """One entry of the pickle: two persons that sway, some joints lost (zero)."""
    random = np.random.default_rng(seed)
    height, width = size
    centre = random.uniform(0.3, 0.7, (persons, 1, 1, 2)) * (width, height)
    keypoints = centre + random.normal(0, 0.12, (persons, frames, joints, 2)) * (width, height)
    scores = random.uniform(0.3, 1, (persons, frames, joints))
    lost = random.random(scores.shape) < 0.1
    keypoints[lost], scores[lost] = 0, 0
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": size,
        "original_shape": size,
        "total_frames": frames,
        "keypoint": keypoints.astype(np.float16),  # as NTU's files are
        "keypoint_score": scores.astype(np.float16),
    }


def write_annotations(path, entries, splits):
    path.write_bytes(pickle.dumps({"split": splits, "annotations": entries}, protocol=4))
    return path
