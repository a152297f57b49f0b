"""A traced module as ONNX nodes: which name each gets, and what the weights are called.

A node is named for the module whose `forward` asks for it, and for its operator: `layer2.3/conv1/Relu`. Modules that
are one operation by nature, PyTorch's own (`nn.Linear`) and `Operation`, give it their own name where they became one
node: `layer2.3/se_module/fc1`. A second node of a name gets a number.

A parameter is stored under its dotted name (`rgb_backbone.conv5.weight`), under another module's where the module has
an attribute `weights_of`. A buffer is a constant of the lowered form and named as nodes are: `head/rgb/strength`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from x3ddeploy.contract import Block
from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.aten import HANDLERS
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.draft import Constant, Draft, Node, Operand, same
from x3ddeploy.graphs.trace import Program, shape_of, value_of
from x3ddeploy.lowering.rewrite import Operation

_CALL = re.compile(r"@\d+")  # torch.export marks the second call of a module so


@dataclass(frozen=True)
class Value:
    """A tensor in the graph: its name, and its shape without the clips' axis."""

    name: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Written:
    """What a module became.

    Attributes:
        outputs: outputs by the names that the module gives them.
        blocks: the stretches that were asked for, each with the tensor that it ends in.
    """

    outputs: dict[str, Value]
    blocks: tuple[Block, ...]


def write(
    program: Program, graph: GraphBuilder, path: str, inputs: Mapping[str, str], blocks: Iterable[str] = ()
) -> Written:
    """Append the nodes of a traced module to a graph.

    Args:
        program: the module, traced.
        graph: path of the file to write.
        path: the module's dotted name in the network; '' where its submodules have their names in it already.
        inputs: name of each of the module's inputs -> the tensor that it is given.
        blocks: names of modules in it that are blocks.

    Raises:
        X3DDeployError: an operator has no ONNX form.
    """
    return _Writer(program, graph, path).write(inputs, blocks)


def scope(path: str) -> str:
    """A module's dotted name as names of nodes have it: 'layer2.3.conv1' is 'layer2.3/conv1'."""
    return re.sub(r"\.(?!\d+(?:\.|$))", "/", path)


class _Writer:
    def __init__(self, program: Program, graph: GraphBuilder, path: str) -> None:
        self._program, self._graph, self._path = program, graph, path
        self._modules = dict(program.module.named_modules())

    def write(self, inputs: Mapping[str, str], blocks: Iterable[str]) -> Written:
        draft = Draft()
        for node, name in self._program.inputs.items():
            draft.values[node] = inputs[name]
        for node, name in self._program.weights.items():
            draft.values[node] = Constant(self._weight_name(name), value_of(self._program, name).detach().cpu().numpy())
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._draw(node, draft)
        ends = {block: end for block in blocks if (end := self._end(block)) is not None}
        for node in (*self._program.outputs.values(), *ends.values()):
            draft.tensor(node)  # slices are written when something reads them
        names = self._finish(draft.nodes)

        def value(node: torch.fx.Node) -> Value:
            tensor = draft.tensor(node)
            assert isinstance(tensor, str)
            return Value(names.get(tensor, tensor), shape_of(node)[1:])

        return Written(
            {name: value(node) for name, node in self._program.outputs.items()},
            tuple(Block(self._scope(block), value(node).name) for block, node in ends.items()),
        )

    def _draw(self, node: torch.fx.Node, draft: Draft) -> None:
        if not isinstance(node.meta.get("val"), (torch.Tensor, tuple, list)):
            return  # a size, or a check of one: handlers read sizes off the shapes
        handler = HANDLERS.get(str(node.target))
        if handler is None:
            raise X3DDeployError(
                f"{_module_of(node) or type(self._program.module).__name__}: no ONNX form of {node.target}",
                hint="rewrite the module in a lowering, or add a handler to x3ddeploy/graphs/aten/",
            )
        draft.path = _module_of(node)
        read = [draft.values[value] for value in node.all_input_nodes if value in draft.values]
        if handler is not same and read and all(isinstance(value, Constant) for value in read):
            draft.values[node] = self._computed(node, draft)
        else:
            draft.values[node] = handler(draft, node)

    def _computed(self, node: torch.fx.Node, draft: Draft) -> Constant:
        """What is made of constants alone, as one."""

        def value(read: torch.fx.Node) -> torch.Tensor:
            constant = draft.values[read]
            assert isinstance(constant, Constant)
            return torch.as_tensor(constant.value)

        assert callable(node.target)
        arguments, keywords = torch.fx.map_arg((node.args, node.kwargs), value)
        made = node.target(*arguments, **keywords)
        return Constant(f"{self._scope(_CALL.sub('', draft.path))}/{node.name}", made.numpy())

    def _finish(self, nodes: list[Node]) -> dict[str, str]:
        """Give the drafted nodes their names and append them; drafted tensor -> its name."""
        calls = [list(group) for _, group in groupby(nodes, key=lambda node: node.path)]
        alone = {group[0].tensor for group in calls if len(group) == 1}
        taken: Counter[str] = Counter()
        names: dict[str, str] = {}
        for node in nodes:
            module = self._modules.get(_CALL.sub("", node.path))
            own = node.tensor in alone and _is_one_operation(module)
            name = self._scope(_CALL.sub("", node.path))
            if not own:
                name = "/".join(filter(None, (name, node.op)))
            taken[name] += 1
            if taken[name] > 1:
                name = f"{name}_{taken[name] - 1}"
            inputs = [self._stored(operand, names) for operand in node.inputs]
            tensor = self._graph.node(node.op, *inputs, name=name, outputs=node.outputs, **node.attributes)
            if node.outputs > 1:
                names |= {node.piece(index): output for index, output in enumerate(tensor)}
                continue
            names[node.tensor] = self._graph.know(tensor, node.dims) if node.dims else tensor
        return names

    def _stored(self, operand: Operand, names: Mapping[str, str]) -> str:
        if isinstance(operand, Constant):
            return self._graph.constant(operand.name, operand.value)
        if isinstance(operand, tuple):
            return self._graph.integers(*operand)
        return names.get(operand, operand)

    def _end(self, block: str) -> torch.fx.Node | None:
        """The one tensor of a block that is read outside of it; None where the module has no such block."""
        inside = {
            node
            for node in self._program.graph.nodes
            if node.op == "call_function" and _is_within(_CALL.sub("", _module_of(node)), block)
        }
        ends = [node for node in inside if any(user not in inside for user in node.users)]
        if not inside:
            return None
        if len(ends) != 1:
            raise X3DDeployError(f"block {block!r} gives {len(ends)} tensors: a block is judged by one")
        return ends[0]

    def _scope(self, path: str) -> str:
        """A module's name in names of nodes, behind the network's part."""
        return scope(".".join(filter(None, (self._path, path))))

    def _weight_name(self, name: str) -> str:
        path, _, leaf = name.rpartition(".")
        module = self._modules[path]
        if not isinstance(getattr(module, leaf, None), nn.Parameter):
            return f"{self._scope(path)}/{leaf}"
        inner = leaf
        while (source := getattr(self._modules[path], "weights_of", None)) is None and path:
            path, _, last = path.rpartition(".")
            inner = f"{last}.{inner}"
        return ".".join(filter(None, (source or self._path, inner)))


def _module_of(node: torch.fx.Node) -> str:
    stack = list(node.meta["nn_module_stack"].values())
    return str(stack[-1][0])


def _is_within(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.")


def _is_one_operation(module: nn.Module | None) -> bool:
    return isinstance(module, Operation) or type(module).__module__.startswith("torch.nn.")
