"""A small video and the keypoints of two persons in it, in every form that is read."""

import json
import pickle

import numpy as np

from x3ddeploy.data.synth.video import write_video

FRAMES, HEIGHT, WIDTH = 20, 64, 48


def make_video(path, frames=FRAMES, height=HEIGHT, width=WIDTH):
    """A texture that drifts, so that each frame differs from every other."""
    cells = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3))
    texture = np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)
    write_video(path, np.stack([np.roll(texture, 2 * time, axis=1) for time in range(frames)]))
    return path


def make_keypoints(frames=FRAMES, persons=2, seed=0):
    """(persons, frames, 17, 2) pixels and (persons, frames, 17) scores; some joints are lost."""
    random = np.random.default_rng(seed)
    middle = random.uniform(0.3, 0.7, (persons, 1, 1, 2)) * (WIDTH, HEIGHT)
    positions = (middle + random.normal(0, 8, (persons, frames, 17, 2))).clip(1).astype(np.float32)
    scores = random.uniform(0.3, 1, (persons, frames, 17)).astype(np.float32)
    lost = random.random(scores.shape) < 0.1
    positions[lost], scores[lost] = 0, 0
    return positions, scores


def write_npz(path, positions, scores):
    np.savez(path, keypoints=positions, keypoint_scores=scores)
    return path


def coco(positions, scores):
    """Images in reverse order and with ids of their own, told apart by frame_index."""
    persons, frames = scores.shape[:2]
    images = [
        {"id": 100 - frame, "frame_index": frame, "height": HEIGHT, "width": WIDTH} for frame in reversed(range(frames))
    ]
    annotations = [
        {
            "image_id": 100 - frame,
            "keypoints": np.concatenate([positions[person, frame], scores[person, frame, :, None]], 1).ravel().tolist(),
        }
        for frame in range(frames)
        for person in range(persons)
    ]
    return {"images": images, "annotations": annotations}


def write_coco(path, content):
    path.write_text(json.dumps(content))
    return path


def write_pickle(path, *entries):
    path.write_bytes(pickle.dumps({"split": {}, "annotations": list(entries)}, protocol=4))
    return path


def entry(name, positions, scores):
    return {
        "frame_dir": name,
        "img_shape": (HEIGHT, WIDTH),
        "total_frames": positions.shape[1],
        "keypoint": positions,
        "keypoint_score": scores,
    }
