"""C++ programs at work on bundles and videos, and what Python makes of the same."""

import json
import subprocess

import numpy as np

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.prepare import prepare_clips
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.modalities.sampling import uniform_indices
from x3ddeploy.runtimes.registry import open_session

HEIGHT, WIDTH = 60, 84  # of the videos
TINY = PRESETS["tiny"]


def start(program, *arguments):
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, timeout=120, check=False)


def damage_manifest(bundle, change):
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def video_for(value, seed, count=23, persons=2):
    random = np.random.default_rng(seed)
    in_space = any(step.type == "PreNormalize3D" for step in value.pipeline)
    joints, size = (25, (1.0, 1.0, 2.0)) if in_space else (17, (WIDTH, HEIGHT))
    path = random.normal(0, 0.02, (persons, count, joints, len(size))).cumsum(1)
    keypoints = ((random.uniform(0.3, 0.7, (persons, 1, joints, len(size))) + path) * size).astype(np.float32)
    keypoints[random.random(keypoints.shape[:3]) < 0.1] = 0
    return {
        "frames": random.integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8),
        "keypoints": keypoints,
        "keypoint_scores": random.uniform(0.2, 1, keypoints.shape[:3]).astype(np.float32),
    }


def scores_in_python(bundle, frames, keypoints, scores, clips=1):
    annotation = Annotation("clip", 0, frames[0].shape[:2], keypoints.shape[1], keypoints, scores)
    indices = {
        "imgs": uniform_indices(len(frames), TINY.rgb_input.frames, clips),
        "heatmap_imgs": uniform_indices(keypoints.shape[1], TINY.pose_input.frames, clips),
    }
    prepared = prepare_clips(lambda wanted: (frames[i] for i in wanted), annotation, clip_inputs(TINY), indices)
    return open_session("openvino", bundle / "recognizer.onnx", threads=1).run(prepared)["scores"].mean(0)
