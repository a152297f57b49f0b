"""What an exported ONNX file says of itself in metadata_props, so that a part alone can be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import onnx

from x3ddeploy import __version__
from x3ddeploy.contract import Block
from x3ddeploy.errors import BundleError

_PREFIX = "x3ddeploy."
# Files of older versions know no families; they are all of this one, and hold its model under another name.
_ONLY_FAMILY, _ONLY_MODEL = "two_stream_x3d", "spec"


@dataclass(frozen=True)
class PartMetadata:
    """Contents of metadata_props, each under `x3ddeploy.<field>`.

    Attributes:
        part: name of the graph in its bundle.
        precision: 'fp32', 'fp16', 'bf16' or 'int8'.
        target: lowering target.
        family: family of the network.
        model: the whole network in the family's own words.
        fusion: weights of the logits in `scores`.
        source_sha256: SHA-256 of the checkpoint.
        version: version of x3ddeploy.
        blocks: stretches of the part that can be judged alone, in their order; none in files of older versions.
    """

    part: str
    precision: str
    target: str
    family: str
    model: dict[str, Any]
    fusion: tuple[float, ...]
    source_sha256: str
    version: str = __version__
    blocks: tuple[Block, ...] = ()

    def props(self) -> dict[str, str]:
        """As strings for `helper.set_model_props`."""
        values = msgspec.to_builtins(self)
        return {
            _PREFIX + name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in values.items()
        }

    def stamped(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """`model`, with these in the place of its metadata_props."""
        onnx.helper.set_model_props(model, dict(sorted(self.props().items())))
        return model

    @classmethod
    def of(cls, model: onnx.ModelProto) -> PartMetadata:
        """Read it back. Raises BundleError where the model was not exported by x3ddeploy."""
        props = {prop.key: prop.value for prop in model.metadata_props}
        try:
            described = props.get(_PREFIX + "model") or props[_PREFIX + _ONLY_MODEL]
            return cls(
                part=props[_PREFIX + "part"],
                precision=props[_PREFIX + "precision"],
                target=props[_PREFIX + "target"],
                family=props.get(_PREFIX + "family", _ONLY_FAMILY),
                model=msgspec.json.decode(described, type=dict[str, Any]),
                fusion=msgspec.json.decode(props[_PREFIX + "fusion"], type=tuple[float, ...]),
                source_sha256=props[_PREFIX + "source_sha256"],
                version=props[_PREFIX + "version"],
                blocks=recorded_blocks(model),
            )
        except (KeyError, msgspec.DecodeError) as error:
            raise BundleError(
                f"this ONNX file carries no readable x3ddeploy metadata ({error})",
                hint="give a file made by `x3ddeploy export`",
            ) from error


def recorded_blocks(model: onnx.ModelProto) -> tuple[Block, ...]:
    """Stretches of a graph that can be judged alone; none in files of older versions, or of others.

    Raises:
        msgspec.DecodeError: what is recorded is not readable.
    """
    text = next((prop.value for prop in model.metadata_props if prop.key == f"{_PREFIX}blocks"), "[]")
    return msgspec.json.decode(text, type=tuple[Block, ...])
