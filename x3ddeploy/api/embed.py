"""`x3ddeploy.pack` and `x3ddeploy.triton`: a bundle on its way to where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from x3ddeploy.bundle import Bundle
from x3ddeploy.embedding.pack import Packed
from x3ddeploy.embedding.pack import pack as pack_bundle
from x3ddeploy.embedding.triton import TritonOptions, write_repository
from x3ddeploy.embedding.triton import TritonReport as TritonReport
from x3ddeploy.terms import AnyPath, Precision, named


def pack(bundle: AnyPath, archive: AnyPath) -> Packed:
    """Write a bundle, the C++ runtime's sources and a self-test into one tar; the same bundle gives the same bytes.

    Args:
        bundle: directory.
        archive: file to write; its stem is the archive's top folder.

    Raises:
        BundleError: the bundle is not what its manifest says.
        UsageError: something else than an archive lies there.
    """
    return pack_bundle(Bundle.open(Path(bundle)), Path(archive))


def triton(
    bundle: AnyPath = "deploy",
    output: AnyPath = "model_repository",
    *,
    name: str = "x3d",
    precision: str | Precision = Precision.FP32,
    engines: str | None = None,
    max_batch: int = 8,
    queue_delay_us: int = 100,
    instances: int = 1,
    device: Literal["auto", "cpu", "gpu"] = "auto",
) -> list[str]:
    """Write a bundle as a model repository of Triton Inference Server; gives the models' names, ensembles last.

    Args:
        bundle: directory.
        output: new directory.
        name: name of the ensemble; the other models' names begin with it.
        precision: precision of the graphs or engines.
        engines: folder in the bundle's `engines/` whose plans are taken in the place of the graphs.
        max_batch: clips that Triton may put together.
        queue_delay_us: microseconds that a request may wait for others.
        instances: instances of each model.
        device: where they run.

    Raises:
        BundleError: the bundle is not what its manifest says, or has no such graphs or engines.
        UsageError: the name is none, the output is not empty, or the bundle's number of clips is fixed.
    """
    options = TritonOptions(name, named(Precision, precision), engines, max_batch, queue_delay_us, instances, device)
    return write_repository(Bundle.open(Path(bundle)), Path(output), options)
