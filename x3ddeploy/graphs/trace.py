"""A module as a graph of ATen operators, every size a number but that of the clips' axis.

`torch.export` in its non-strict mode runs the module's own Python once on tensors without data: no bytecode is
analysed, and composite operators (`linear`, `conv3d`, `softmax`) stay whole, so that one of them is one node. Both
full-size backbones take 5 s of CPU time together, a third of which is the symbolic N; `make_fx` with the same symbolic
N takes as long, and gives neither the modules' names nor the outputs' structure.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx import config as fx_config
from torch.utils import _pytree as pytree

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.builder import BATCH_AXIS

_NO_TRACES = "do_not_emit_stack_traces"
_KEPT = ("placeholder", "output")
_EXAMPLE_BATCH = 2  # torch.export takes sizes of 0 and 1 for constants


@dataclass(frozen=True)
class Program:
    """A traced module.

    Attributes:
        module: what was traced.
        graph: its ATen operators.
        inputs: placeholder -> name of the input.
        weights: placeholder -> name of the parameter or buffer in the module.
        constants: tensors that are no parameters, by name: buffers, and those that `forward` made of nothing.
        outputs: name -> node, '' for the only output of a module that gives one tensor.
    """

    module: nn.Module
    graph: torch.fx.Graph
    inputs: dict[torch.fx.Node, str]
    weights: dict[torch.fx.Node, str]
    constants: dict[str, Tensor]
    outputs: dict[str, torch.fx.Node]


def trace(module: nn.Module, inputs: Mapping[str, tuple[int, ...]]) -> Program:
    """Trace a module in evaluation mode.

    Args:
        module: takes tensors, gives a tensor or a dictionary of them.
        inputs: name of each argument of `forward`, in their order -> the shape of one clip, without N.

    Raises:
        X3DDeployError: the module's computation depends on the number of clips or on a tensor's values.
    """
    batch = Dim(BATCH_AXIS)
    example = tuple(torch.empty(_EXAMPLE_BATCH, *shape) for shape in inputs.values())
    try:
        with torch.no_grad(), _without_stack_traces():
            exported = torch.export.export(module, example, dynamic_shapes=_alike(module, example, {0: batch}))
    except Exception as error:  # torch.export raises a dozen kinds, all of which say that it cannot be traced
        raise X3DDeployError(
            f"{type(module).__name__} cannot be traced for any number of clips: {str(error).splitlines()[0]}",
            hint="sizes other than the clips' axis must be numbers, and no branch may look at a tensor's values",
        ) from error
    # Also what is computed in place: layers whose outputs nobody reads would be nodes of the graph.
    exported.graph.eliminate_dead_code(lambda node: node.op in _KEPT)
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    names = iter(inputs)
    given, weights = {}, {}
    for spec in exported.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT:
            given[node] = next(names)
        else:
            assert spec.target is not None
            weights[node] = spec.target
    returned = next(node for node in exported.graph.nodes if node.op == "output").args[0]
    outputs = pytree.tree_unflatten(list(returned), exported.call_spec.out_spec)
    return Program(
        module=module,
        graph=exported.graph,
        inputs=given,
        weights=weights,
        constants={name: value for name, value in exported.constants.items() if isinstance(value, Tensor)},
        outputs=outputs if isinstance(outputs, dict) else {"": outputs},
    )


@contextlib.contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Nobody reads where in `forward` a node was made; it takes an eighth of the time. Older PyTorch lacks the flag."""
    before = getattr(fx_config, _NO_TRACES, False)
    setattr(fx_config, _NO_TRACES, True)
    try:
        yield
    finally:
        setattr(fx_config, _NO_TRACES, before)


def _alike(module: nn.Module, example: tuple[Tensor, ...], dims: dict[int, Any]) -> tuple[Any, ...]:
    """The same dynamic axes for every argument; those that `forward` gathers by `*` are one to torch.export."""
    every = tuple(dims for _ in example)
    parameters = inspect.signature(module.forward).parameters.values()
    return (every,) if any(value.kind is value.VAR_POSITIONAL for value in parameters) else every


def value_of(program: Program, weight: str) -> Tensor:
    """A parameter, buffer or constant of the traced module by its name."""
    if weight in program.constants:
        return program.constants[weight]
    path, _, name = weight.rpartition(".")
    value: Tensor = getattr(program.module.get_submodule(path), name)
    return value


def size(value: int | torch.SymInt) -> int | str:
    """A size as a number, or as 'N' or 'N*16' where it counts clips or their frames.

    Raises:
        X3DDeployError: it depends on the number of clips in another way.
    """
    if isinstance(value, int):
        return value
    expression = value.node.expr
    (symbol,) = expression.free_symbols
    factor = expression / symbol
    if not factor.is_Integer:
        raise X3DDeployError(
            f"a tensor's size is {str(expression).replace(str(symbol), BATCH_AXIS)}, N being the number of clips",
            hint="only multiples of the number of clips can be written as a graph of constants",
        )
    return BATCH_AXIS if factor == 1 else f"{BATCH_AXIS}*{factor}"


def shape_of(node: torch.fx.Node) -> tuple[int | str, ...]:
    """Shape of the tensor that a node gives, as `size` says it."""
    return tuple(size(value) for value in node.meta["val"].shape)
