"""What INT8 costs in accuracy, by calibration method: the full-size network, briefly trained on synthetic actions.

Both streams have the published depth and widths; clips are smaller than the published ones (RGB 8x112x112, heatmaps
24x28x28) so that a few epochs fit into minutes. Trained on some performers of `x3ddeploy synth`'s actions, calibrated
on the same split, judged on the other performers. A brief training on synthetic figures says how the methods compare,
and not what a real model would lose. Writes benchmarks/results/int8_methods.json.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnxruntime.quantization.calibrate import HistogramCollector
from written import measured_by

from x3ddeploy.atomic import write_json
from x3ddeploy.bundle import Source
from x3ddeploy.calibration.collect import collect, plan_runs
from x3ddeploy.calibration.histogram import BINS, Histogram
from x3ddeploy.calibration.ranges import METHODS, choose_range
from x3ddeploy.calibration.statistics import TensorHistograms
from x3ddeploy.data.subset import balanced_choice
from x3ddeploy.data.synth import SynthOptions, make_clip
from x3ddeploy.data.synth.actions import ACTIONS
from x3ddeploy.data.synth.options import clip_names, splits_of
from x3ddeploy.exporting.parts import ExportOptions, build_graphs
from x3ddeploy.families.two_stream_x3d.contract import clip_inputs, two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.families.two_stream_x3d.recognizer import TwoStreamX3D
from x3ddeploy.families.two_stream_x3d.spec import HeadSpec, ModelSpec
from x3ddeploy.modalities import Frames, Heatmaps
from x3ddeploy.precision.accuracy import accuracies, agreement
from x3ddeploy.precision.streams import streams_of
from x3ddeploy.precision.targets import target_named
from x3ddeploy.precision.trials import Quantizer, Trials
from x3ddeploy.runtimes.registry import Execution
from x3ddeploy.terms import Precision

SYNTH = SynthOptions(seed=1, size=(112, 112), frames=32, clips_per_class=48, subjects=12)
BATCH = 16
CALIBRATION_CLIPS, JUDGING_CLIPS = 48, 96


def reduced_spec() -> ModelSpec:
    """The published network on smaller clips."""
    published = PRESETS["ntu60"]
    return replace(
        published,
        head=HeadSpec(432, 216, classes=len(ACTIONS), prototype_dim=64),
        rgb_input=replace(published.rgb_input, frames=8, height=112, width=112),
        pose_input=replace(published.pose_input, frames=24, height=28, width=28),
    )


@dataclass(frozen=True)
class Split:
    """Clips in memory: uint8 frames, float16 heatmaps, labels."""

    frames: np.ndarray
    heatmaps: np.ndarray
    labels: np.ndarray
    names: list[str]

    def batch(self, spec: ModelSpec, indices: np.ndarray) -> dict[str, np.ndarray]:
        """As the recognizer takes them."""
        normalise = Frames.of("imgs", clip_inputs(spec)["imgs"]).normalise
        imgs = np.stack([normalise(self.frames[index]) for index in indices])
        return {"imgs": imgs, "heatmap_imgs": self.heatmaps[indices].astype(np.float32)}


def load(spec: ModelSpec, split: str) -> Split:
    """Frames at equal steps over each clip."""
    names = [name for name in clip_names(SYNTH) if str(name) in set(splits_of(SYNTH, clip_names(SYNTH))[split])]
    at = [np.linspace(0, SYNTH.frames - 1, count).round().astype(int) for count in (8, 24)]
    heatmap = Heatmaps.of("heatmap_imgs", clip_inputs(spec)["heatmap_imgs"])
    frames, heatmaps = [], []
    for name in names:
        clip = make_clip(SYNTH, name.action, name.performer, name.camera, name.repetition)
        frames.append(clip.frames[at[0]])
        drawn = heatmap.draw(clip.keypoints[:, at[1]], clip.scores[:, at[1]])
        heatmaps.append(drawn.astype(np.float16))
    labels = np.array([name.action - 1 for name in names])
    return Split(np.stack(frames), np.stack(heatmaps), labels, [str(name) for name in names])


def train(spec: ModelSpec, data: Split, epochs: int) -> TwoStreamX3D:
    """AdamW with one cycle of the learning rate; both streams' cross-entropies."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = TwoStreamX3D(spec).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out")
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
    batches = len(data.labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * batches, pct_start=0.2)
    for epoch in range(epochs):
        order, total = random.permutation(len(data.labels)), 0.0
        for indices in np.split(order[: batches * BATCH], batches):
            inputs = {name: torch.from_numpy(value) for name, value in data.batch(spec, indices).items()}
            wanted = torch.from_numpy(data.labels[indices])
            outputs = network(**inputs)
            loss = sum(
                (F.cross_entropy(outputs[f"{stream}_logits"], wanted) for stream in ("rgb", "pose")), torch.zeros(())
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 40)
            optimizer.step()
            schedule.step()
            total += loss.item()
        click.echo(f"epoch {epoch + 1} of {epochs}: loss {total / batches:.3f}", err=True)
    return network.eval()


def theirs(histogram: Histogram, *, zeros: bool) -> float:
    """ONNX Runtime's entropy threshold, with the zeros counted as it counts them, or without."""
    counts = histogram.counts.copy()
    if zeros:
        counts[BINS // 2] += histogram.zeros
    collector = HistogramCollector("entropy", True, BINS, 128, 99.9, "same")
    edges = np.linspace(-histogram.limit, histogram.limit, BINS + 1).astype(np.float32)
    content = (counts, edges, np.float32(histogram.low), np.float32(histogram.high))
    return float(collector.get_entropy_threshold(content, 128)[1])


def measure(network: TwoStreamX3D, target: str, calibrating: Split, judging: Split) -> dict[str, object]:
    """Accuracy of fully quantized graphs by method, and what zeros do to the pose stream's ranges."""
    spec, chosen = network.spec, target_named(target)
    options = ExportOptions(target, batch=None, preprocess=False, tolerance=1e-5, labels=None, overwrite=False)
    recognizer: onnx.ModelProto = build_graphs(network, Source("brief training", "0" * 64), options)["recognizer"]

    def clips(data: Split, count: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for index in balanced_choice(data.labels.tolist(), count, 0):
            yield index, data.batch(spec, np.array([index]))

    sites = Quantizer(chosen, {}).eligible(recognizer)
    sources = tuple(sorted({site.source for site in sites}))
    loaded = ((calibrating.names[index], clip) for index, clip in clips(calibrating, CALIBRATION_CLIPS))
    counted = collect(recognizer, plan_runs(recognizer, sources), loaded, TensorHistograms.empty("", sources))
    found = deque(counted, maxlen=1).pop()
    judges = list(clips(judging, JUDGING_CLIPS))
    labels = [int(judging.labels[index]) for index, _ in judges]
    names = [judging.names[index] for index, _ in judges]
    contract = two_stream_contract(spec, (1.0, 1.0), None, {})
    streams, execution = streams_of(contract), Execution(chosen.runtime, "cpu", Precision.INT8)
    methods = {}
    for method in METHODS:
        ranges = {
            name: choose_range(values, method, unsigned=chosen.scheme.unsigned)
            for name, values in found.histograms.items()
        }
        trials = Trials(recognizer, streams, execution, Quantizer(chosen, ranges), [clip for _, clip in judges])
        before = {stream: trials.reference(stream) for stream in streams}
        after = {stream: trials.logits(stream, {site.node for site in sites}) for stream in streams}
        measured = accuracies(before, after, labels, names, contract)
        methods[method] = {
            "accuracy": {
                name: {"top1_before": a.top1_before, "top1_after": a.top1_after, "agreement": a.agreement}
                for name, a in measured.items()
            },
            "logits": {stream: asdict(agreement(before[stream], after[stream])) for stream in streams},
        }
        click.echo(f"{target} {method}: {methods[method]['accuracy']}", err=True)
    pose = [found.histograms[name] for name in sources if name.startswith("pose_backbone") and name.endswith("/Relu")]
    shares = [theirs(histogram, zeros=True) / theirs(histogram, zeros=False) for histogram in pose]
    lower, median, upper = np.percentile(shares, (25, 50, 75))
    return {
        "methods": methods,
        "onnxruntime_entropy_threshold_with_zeros_over_without": {
            "tensors": "inputs of the pose stream's layers that a ReLU gives",
            "median": median,
            "lower_quartile": lower,
            "upper_quartile": upper,
        },
    }


@click.command(help=__doc__)
@click.option("--epochs", default=8, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results/int8_methods.json"))
def main(epochs: int, threads: int, output: Path) -> None:
    """Train, measure and write."""
    torch.set_num_threads(threads)
    spec = reduced_spec()
    calibrating, judging = load(spec, "xsub_train"), load(spec, "xsub_val")
    network = train(spec, calibrating, epochs)
    write_json(
        output,
        {
            **measured_by(__file__, "x3ddeploy", "torch", "onnxruntime", "openvino"),
            "epochs": epochs,
            "calibration_clips": CALIBRATION_CLIPS,
            "judging_clips": JUDGING_CLIPS,
            "targets": {target: measure(network, target, calibrating, judging) for target in ("tensorrt", "openvino")},
        },
    )


if __name__ == "__main__":
    main()
