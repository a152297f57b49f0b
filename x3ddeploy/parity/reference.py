"""The training-form network in float64, beside its own float32: what is right, and what float32 makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from x3ddeploy.families.network import Network
from x3ddeploy.lowering.rewrite import replaced
from x3ddeploy.parity.metrics import compare_output
from x3ddeploy.runtimes.base import Array

Arrays = dict[str, Array]

_IN_CACHE = 1 << 18  # values of 8 bytes: about what a core's second-level cache holds
_AT_ONCE = 2  # clips side by side; each holds some of the network's float64 tensors, up to a gigabyte of full size


class Reference:
    """Outputs of a network in float64, and the distance of its float32 from them.

    Clips do not see each other in the training form, so each distinct clip is computed once and by itself, however
    many batches it is in; and two of them side by side, each by half of PyTorch's threads. Threads that share a clip
    wait for each other at every operator, and long where something else computes on the machine.

    Attributes:
        rounding: 'part -> output' -> PyTorch's float32 distance from float64, relative to the output's range (`scores`:
            absolute), the largest over the clips so far.
    """

    def __init__(self, network: Network) -> None:
        """Take a copy of a network in evaluation mode."""
        self._single, self._exact = network, replaced(network, nn.Conv3d, _quicker).double()
        self._known: dict[str, Arrays] = {}
        self.rounding: dict[str, float] = {}

    def outputs(self, inputs: Mapping[str, Array]) -> Arrays:
        """Features, logits and scores in float64, of a batch of clips in float32."""
        (outputs,) = self.outputs_of([inputs])
        return outputs

    def outputs_of(self, batches: Iterable[Mapping[str, Array]]) -> list[Arrays]:
        """The outputs of each of these batches; clips are side by side whatever batch they are in."""
        every = [[(_digest(clip), clip) for clip in _clips(inputs)] for inputs in batches]
        self._learn({digest: clip for clips in every for digest, clip in clips if digest not in self._known})
        known = [[self._known[digest] for digest, _ in clips] for clips in every]
        return [{name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]} for clips in known]

    def _learn(self, clips: Mapping[str, Arrays]) -> None:
        threads = torch.get_num_threads()
        at_once = max(1, min(_AT_ONCE, threads, len(clips)))
        try:
            with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
                made = list(pool.map(self._clip, clips.values()))
        finally:
            torch.set_num_threads(threads)  # what a thread says counts for all that start later
        for digest, (exact, distances) in zip(clips, made, strict=True):
            self._known[digest] = exact
            for label, distance in distances.items():
                self.rounding[label] = max(distance, self.rounding.get(label, 0.0))

    def _clip(self, inputs: Mapping[str, Array]) -> tuple[Arrays, dict[str, float]]:
        """Outputs of a clip in float64, and how far those in float32 are from them."""
        exact = run_network(self._exact, {name: value.astype(np.float64) for name, value in inputs.items()})
        rounded = run_network(self._single, inputs)
        available = {**inputs, **single(exact)}
        distances = {}
        for part, described in self._single.contract().parts.items():
            if set(described.inputs) <= set(inputs):
                outputs = rounded
            else:  # judged alone, on what is right before it
                feeds = [torch.from_numpy(available[name]) for name in described.inputs]
                with torch.inference_mode():
                    outputs = {name: value.numpy() for name, value in self._single.part(part)(*feeds).items()}
            for name in described.outputs:
                distances[f"{part} -> {name}"] = compare_output(name, exact[name], outputs[name]).relative
        return exact, distances


def _clips(inputs: Mapping[str, Array]) -> Iterator[Arrays]:
    """Each clip of a batch, as a batch of one."""
    for index in range(len(next(iter(inputs.values())))):
        yield {name: value[index : index + 1] for name, value in inputs.items()}


def _digest(inputs: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        digest.update(np.ascontiguousarray(inputs[name]).data)
    return digest.hexdigest()


class _AsProduct(nn.Module):
    """A pointwise convolution as one matrix product over all places of a clip: nothing is moved for it."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, clips: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H, W)."""
        made = torch.bmm(self.conv.weight.flatten(1).expand(len(clips), -1, -1), clips.flatten(2))
        if self.conv.bias is not None:
            made = made + self.conv.bias[:, None]
        return made.unflatten(2, clips.shape[2:])


class _ByTaps(nn.Module):
    """A depthwise convolution as the sum of its taps, each a product of all places with one number a channel.

    PyTorch's float64 kernel goes through one channel after the other, and copies each tap's values before it multiplies
    them. Here some channels at a time do, so few that they stay in the processor's cache from tap to tap.
    """

    def __init__(self, conv: nn.Conv3d, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.conv, self.padding = conv, padding

    def forward(self, clips: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T', H', W')."""
        sizes = [
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                clips.shape[2:],
                self.padding,
                self.conv.dilation,
                self.conv.kernel_size,
                self.conv.stride,
                strict=True,
            )
        ]
        at_a_time = max(1, _IN_CACHE // clips[:, 0].numel())
        around = [size + 2 * padding for size, padding in zip(clips.shape[2:], self.padding, strict=True)]
        padded = clips.new_zeros(len(clips), at_a_time, *around)
        time, rows, columns = (
            slice(padding, padding + size) for size, padding in zip(clips.shape[2:], self.padding, strict=True)
        )
        made = clips.new_empty(*clips.shape[:2], *sizes)
        for some, weight, result in zip(
            clips.split(at_a_time, 1), self.conv.weight.split(at_a_time), made.split(at_a_time, 1), strict=True
        ):
            places = padded[:, : len(weight)]
            places[:, :, time, rows, columns] = some
            self._sum(places, weight, result)
        return made if self.conv.bias is None else made.add_(self.conv.bias[:, None, None, None])

    def _sum(self, places: Tensor, weight: Tensor, made: Tensor) -> None:
        factors = weight.flatten(1).T[..., None, None, None]
        for index, tap in enumerate(product(*map(range, self.conv.kernel_size))):
            along = zip(tap, self.conv.dilation, made.shape[2:], self.conv.stride, strict=True)
            time, rows, columns = (
                slice(place * dilation, place * dilation + (size - 1) * stride + 1, stride)
                for place, dilation, size, stride in along
            )
            taken = places[:, :, time, rows, columns]
            torch.mul(taken, factors[index], out=made) if index == 0 else made.addcmul_(taken, factors[index])


class _ByImages(nn.Module):
    """A convolution of one frame, computed frame by frame as one of images.

    PyTorch has no float64 kernel of its own for one in three dimensions, and what it takes instead runs in one thread.
    """

    def __init__(self, conv: nn.Conv3d, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv, self.padding = conv, padding

    def forward(self, clips: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        conv, (batch, _, frames, *_) = self.conv, clips.shape
        images, weight = clips.transpose(1, 2).flatten(0, 1), conv.weight[:, :, 0]
        made = F.conv2d(images, weight, conv.bias, conv.stride[1:], self.padding, conv.dilation[1:], conv.groups)
        return made.unflatten(0, (batch, frames)).transpose(1, 2)


def _quicker(conv: nn.Module) -> nn.Module:
    if type(conv) is not nn.Conv3d or isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return conv
    if {*conv.kernel_size, *conv.stride, conv.groups} == {1} and not any(conv.padding):
        return _AsProduct(conv)
    if conv.groups == conv.in_channels == conv.out_channels:
        return _ByTaps(conv, conv.padding)
    along_time, *padding = conv.padding
    is_of_one_frame = (conv.kernel_size[0], conv.stride[0], along_time) == (1, 1, 0)
    return _ByImages(conv, (padding[0], padding[1])) if is_of_one_frame else conv


def single(outputs: Mapping[str, Array]) -> Arrays:
    """The same in float32."""
    return {name: value.astype(np.float32) for name, value in outputs.items()}


def run_network(network: Network, inputs: Mapping[str, Array]) -> Arrays:
    """What the training-form network gives, in its own type: features, logits, scores."""
    with torch.inference_mode():
        outputs = network(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}
