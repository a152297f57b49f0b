"""MMAction2's own test of a recognizer of video: its data set, its pipeline, its recognizer, its metric."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

import x3ddeploy
from support.recognizers import modules_of, save, untrained
from x3ddeploy.data.synth.video import write_video
from x3ddeploy.mmaction_compat import import_everything
from x3ddeploy.probabilities import softmax


def listed_videos(folder: Path) -> Path:
    """Seven videos of unlike sizes, lengths and colours, and `val.txt`, their list; one of five classes has none."""
    random = np.random.default_rng(3)
    lines = []
    for index, label in enumerate((0, 1, 2, 3, 1, 0, 2)):
        height, width = (48, 64) if index % 2 else (72, 40)
        colours = random.integers(0, 255, (7 + 5 * index, 4, 4, 3), np.uint8)
        write_video(folder / f"{index}.mp4", colours.repeat(height // 4, 1).repeat(width // 4, 2))
        lines.append(f"{index}.mp4 {label}\n")
    (folder / "val.txt").write_text("".join(lines))
    return folder


def scored_by_mmaction(
    config: dict[str, Any], videos: Path, less: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """Scores (videos, classes), and AccMetric's figures.

    Args:
        config: config of a recognizer; its weights are those of `modules_of`.
        videos: the list `val.txt`, a line a video, stands beside them.
        less: is taken off the bias of the last layer, (classes,); None for nothing.
    """
    registry = importlib.import_module("mmaction.registry")
    modules = modules_of(config)
    if less is not None:
        with torch.no_grad():
            modules["cls_head"].get_parameter("fc_cls.bias").sub_(torch.from_numpy(less))
    # What is built of literals goes by MMAction2's registries; the recognizer is given its parts.
    preprocessor = {"type": "ActionDataPreprocessor", **config["model"]["data_preprocessor"]}
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = registry.MODELS.build(
            {
                "type": config["model"]["type"],
                "backbone": untrained(config["model"]["backbone"]),
                "data_preprocessor": preprocessor,
                "test_cfg": config["model"].get("test_cfg"),
            }
        )
    for part, module in modules.items():
        setattr(model, part, module)
    dataset = registry.DATASETS.build(
        {
            "type": "VideoDataset",
            "ann_file": str(videos / "val.txt"),
            "data_prefix": {"video": str(videos)},
            "pipeline": [registry.TRANSFORMS.build(dict(step)) for step in config["test_pipeline"]],
            "test_mode": True,
        }
    )
    metric = registry.METRICS.build({"type": "AccMetric"})
    scores = []
    for index in range(len(dataset)):
        batch = pseudo_collate([dataset[index]])
        np.random.seed(0)  # TRN draws its relations
        with torch.inference_mode():
            samples = model.eval().test_step(batch)
        metric.process(batch, [sample.to_dict() for sample in samples])
        scores += [sample.pred_score.numpy() for sample in samples]
    return np.stack(scores), metric.compute_metrics(metric.results)


def two_videos(folder: Path) -> Path:
    """The first two of `listed_videos`, and their list."""
    listed_videos(folder)
    lines = (folder / "val.txt").read_text().splitlines(keepends=True)
    (folder / "val.txt").write_text("".join(lines[:2]))
    return folder


def compare_scores(config: dict[str, Any], videos: Path, folder: Path) -> None:
    """Hold an exported recognizer's scores of videos, in PyTorch and ONNX Runtime, to those of MMAction2's test."""
    import_everything()
    exported = x3ddeploy.export(save(folder / "best.pth", config), folder / "deploy", target="onnxruntime")
    expected, _ = scored_by_mmaction(config, videos)
    rows = folder / "scores.jsonl"
    x3ddeploy.evaluate(
        exported.bundle.path, data=videos / "val.txt", runtimes=["onnxruntime"], scores=rows, output=folder / "report"
    )
    # TSN, whose head takes the mean over all views, is averaged by score whatever the config says.
    by_score = exported.bundle.contract.outputs["logits"].average == "score"
    of_logits = by_score and config["model"]["cls_head"].get("average_clips") != "score"
    given: dict[str, list[np.ndarray]] = {}
    for row in map(json.loads, rows.read_text().splitlines()):
        mean = np.array([row["averages"]["logits"]])
        given.setdefault(row["runtime"], []).append(softmax(mean)[0] if of_logits else mean[0])
    assert set(given) == {"torch", "onnxruntime"}
    for scores in given.values():
        np.testing.assert_allclose(np.stack(scores), expected, rtol=1e-5, atol=1e-5)
