"""FP16 and BF16: half-typed graphs that kept within their tolerance and, where clips judge, their accuracy."""

from __future__ import annotations

from collections.abc import Mapping

from x3ddeploy.contract import WHOLE
from x3ddeploy.errors import GateError
from x3ddeploy.precision.accuracy import StreamAccuracy, accuracies
from x3ddeploy.precision.faithful import Intent, require_faithful
from x3ddeploy.precision.golden import Graphs
from x3ddeploy.precision.half import float32_nodes, to_half
from x3ddeploy.precision.job import Job
from x3ddeploy.precision.request import MadePrecision
from x3ddeploy.terms import Precision

# Largest error of logits and features of half-typed graphs on the golden clip, relative to their range: float16 has 11
# significant bits and bfloat16 8, and some 80 layers add up; ten times what was seen on trained networks.
_TOLERANCE = {Precision.FP16: 1e-2, Precision.BF16: 8e-2}


def make_half(job: Job, precision: Precision) -> tuple[Graphs, MadePrecision]:
    """The parts, half-typed where that is safe.

    Raises:
        GateError: a graph is not float32's in another type, an error is beyond the tolerance, or a loss of accuracy
            beyond the recipe's.
    """
    # bfloat16 has float32's range.
    kept = {**float32_nodes(job.recognizer), **(job.overflow if precision is Precision.FP16 else {})}
    parts = {part: to_half(graph, precision, {*float32_nodes(graph), *kept}) for part, graph in job.parts.items()}
    for part, graph in job.parts.items():
        intent = Intent(precision, {*float32_nodes(graph), *kept})
        require_faithful(graph, parts[part], intent, f"{precision}/{part}.onnx")
    execution = job.judge(precision)
    graphs = job.checked(parts, precision)
    errors = job.golden_error(graphs)
    require_close(precision, errors)
    accuracy = None
    if job.judges:
        job.progress(f"judging {precision} on {len(job.judges.indices)} clips in {execution.place}")
        recognizers = (job.recognizer, graphs.parts[WHOLE])
        before, after = (job.judged_logits(graph, execution) for graph in recognizers)
        accuracy = accuracies(before, after, job.judges.labels(), job.judges.names(), job.contract)
        _require_accuracy(precision, accuracy, job.request.recipe.max_drop)
    return graphs, MadePrecision(precision, kept, accuracy, errors, graphs.rounding)


def require_close(precision: Precision, errors: Mapping[str, float]) -> None:
    """Raise GateError where an output is further from float32's than the precision explains.

    Args:
        precision: FP16 or BF16.
        errors: 'part -> output' -> error on the golden clip, relative to the output's range.
    """
    for name, error in errors.items():
        if not error <= _TOLERANCE[precision]:
            raise GateError(
                f"{precision} differs from float32 by {error:.1e} of the range of {name}",
                hint=f"at most {_TOLERANCE[precision]:g} is usual: stay in float32, or try another precision",
            )


def _require_accuracy(precision: str, accuracy: Mapping[str, StreamAccuracy], max_drop: float) -> None:
    problems = [text for name, entry in accuracy.items() for text in entry.failures(name, max_drop)]
    if problems:
        raise GateError(
            f"{precision} loses too much accuracy", details=problems, hint="stay in float32, or raise --max-drop"
        )
