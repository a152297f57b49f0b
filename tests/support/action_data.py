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


def without_reordering(content):
    """A file of x264's high profile without the VUI, which says how far its frames are reordered."""
    content = bytearray(content)
    start = content.index(b"\x67\x64")  # the sequence parameter set, ITU-T H.264 7.3.2.1.1
    size = int.from_bytes(content[start - 2 : start], "big")
    bits, place = "".join(f"{byte:08b}" for byte in content[start : start + size]), 32

    def numbers(count):
        nonlocal place
        for _ in range(count):  # Exp-Golomb
            zeros = bits.index("1", place) - place
            place += 2 * zeros + 1

    numbers(4)  # its id, chroma, depths
    place += 2
    numbers(4)  # frame numbers, order of output, references
    place += 1
    numbers(2)  # width and height
    place += 3
    if bits[place - 1] == "1":
        numbers(4)  # cropping
    assert bits[place] == "1"
    changed = (bits[:place] + "01").ljust(len(bits), "0")
    content[start : start + size] = int(changed, 2).to_bytes(size, "big")
    return bytes(content)


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
