"""Annotations of moving skeletons, in pixels, as MMAction2's PoseDataset reads them."""

import pickle

import numpy as np

CLASSES, JOINTS, FRAMES = 5, 17, 20


def entry(index):
    """Two persons who sway; each class at a pace of its own, so that not all videos look alike to a network."""
    random = np.random.default_rng(index)
    middle = random.uniform(0.2, 0.8, (2, 1, JOINTS, 2)) * (320, 240)
    time = np.arange(FRAMES)[None, :, None, None]
    keypoints = middle + 40 * np.sin(time * (index % CLASSES + 1) / 4 + random.uniform(0, 6, (2, 1, JOINTS, 2)))
    return {
        "frame_dir": f"c{index}",
        "label": index % CLASSES,
        "img_shape": (240, 320),
        "total_frames": FRAMES,
        "keypoint": keypoints.astype(np.float16),
        "keypoint_score": random.uniform(0.3, 1, (2, FRAMES, JOINTS)).astype(np.float16),
    }


def write(path, **splits):
    """A pickle of as many videos as the splits ask for: name of a split -> their numbers."""
    numbers = sorted({index for indices in splits.values() for index in indices})
    named = {split: [f"c{index}" for index in indices] for split, indices in splits.items()}
    content = {"split": named, "annotations": [entry(index) for index in numbers]}
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path
