"""What `x3ddeploy export` may go on with: graphs of lower precision and engines, by the functions of their verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from x3ddeploy.api.build_trt import build_trt
from x3ddeploy.api.quantize import quantize
from x3ddeploy.bundle.engine_options import Flavour
from x3ddeploy.calibration.recipe import Recipe
from x3ddeploy.contract import Contract
from x3ddeploy.engines.build import Engines
from x3ddeploy.engines.document import EnginesReport
from x3ddeploy.engines.graphs import MADE_UP_CLIPS, CalibrationClips
from x3ddeploy.engines.machine import find_host
from x3ddeploy.errors import UsageError
from x3ddeploy.exporting.export import Exported, ExportReport
from x3ddeploy.precision.prerequisites import make_ready, require_clips
from x3ddeploy.precision.quantize import Quantized, QuantizeReport
from x3ddeploy.precision.request import Request
from x3ddeploy.progress import QUIET, Step
from x3ddeploy.terms import AnyPath, Precision, Target, named


@dataclass(frozen=True)
class OneStepReport(ExportReport):
    """What `x3ddeploy export --json` prints where further steps are asked for; null and empty where one is not."""

    quantized: QuantizeReport | None
    engines: tuple[EnginesReport, ...]


class OneStep:
    """The steps after an export. What they need is checked before it begins: first of this machine, then of the clips.

    Args:
        precisions: graphs of lower precision to make, as `x3ddeploy.quantize` does.
        calib: clips that calibrate and judge.
        calib_random: made-up clips in their place; the result is marked.
        flavour: builder of engines, one set for each of the precisions, or of float32 where there are none; None for
            no engines.

    Raises:
        UsageError: clips are given and nothing to use them for, or none where INT8 is to be made.
        MissingRequirementError: engines are to be built, and there is no GPU or no TensorRT.
    """

    def __init__(
        self,
        precisions: Sequence[str | Precision] = (),
        calib: AnyPath | None = None,
        calib_random: bool = False,
        flavour: str | Flavour | None = None,
    ) -> None:
        self._precisions = tuple(named(Precision, name) for name in precisions)
        self._clips = CalibrationClips(None if calib is None else Path(calib), calib_random)
        if self._clips and not self._precisions:
            raise UsageError("clips are for a lower precision, and none is asked for", hint="give --int8, too")
        if not self._clips:
            require_clips(self._precisions)
        self._flavour = None if flavour is None else Flavour(flavour)
        self._host = None if self._flavour is None else find_host(self._flavour, ())

    def check(self, target: Target, contract: Contract) -> None:
        """Check what takes the network to be known; `x3ddeploy.export` calls it before any graph is made.

        Raises:
            UsageError: the target has no such precision or no engines, or there is no such source of clips.
            DataError: clips cannot be read, or calibration clips show what is judged.
            MissingRequirementError: the runtime that judges is not installed.
        """
        if self._flavour is not None and target is not Target.TENSORRT:
            raise UsageError(
                f"engines are built of graphs for {Target.TENSORRT}, and these are for {target}",
                hint=f"give --target {Target.TENSORRT}, or build none",
            )
        if self._precisions:
            recipe = Recipe(data=str(self._clips.data) if self._clips.data else None)
            make_ready(target, contract, Request(self._precisions, recipe, random=self._clips.made_up))

    def quantize(self, bundle: AnyPath, progress: Step = QUIET) -> Quantized | None:
        """Make the graphs of lower precision; None where none are asked for. Raises what `x3ddeploy.quantize` does."""
        if not self._precisions:
            return None
        return quantize(
            bundle,
            precisions=self._precisions,
            calib=self._clips.data,
            calib_random=self._clips.made_up,
            calib_clips=MADE_UP_CLIPS if self._clips.made_up else None,
            # A weakly typed TensorRT reads no newer opset.
            opset=19 if self._host is None or self._host.strongly_typed else 17,
            progress=progress,
        )

    def build(self, bundle: AnyPath, command: str = "", progress: Step = QUIET) -> list[Engines]:
        """Build the engines, set by set; none where none are asked for. Raises what `x3ddeploy.build_trt` does."""
        if self._flavour is None:
            return []
        return [
            build_trt(
                bundle,
                precision=precision,
                rtx=self._flavour is Flavour.RTX,
                command=command,
                progress=progress,
            )
            for precision in self._precisions or (Precision.FP32,)
        ]

    def document(self, exported: Exported, quantized: Quantized | None, engines: Sequence[Engines]) -> ExportReport:
        """For `--json`: a OneStepReport where something further was asked for."""
        document = exported.document()
        if not (self._precisions or self._flavour):
            return document
        made = quantized.document() if quantized else None
        return OneStepReport(**vars(document), quantized=made, engines=tuple(each.document() for each in engines))
