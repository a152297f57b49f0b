"""Small edits of ONNX graphs, in place."""

import numpy as np
import onnx
from onnx import helper, numpy_helper


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


def value_of(model, name):
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name)).copy()


def set_value(model, name, value):
    """Give a constant another value of the same type."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    value = np.ascontiguousarray(value, numpy_helper.to_array(tensor).dtype)
    tensor.CopyFrom(numpy_helper.from_array(value, name))


def edit_value(model, name, edit):
    set_value(model, name, edit(value_of(model, name)))


def own_input(model, node, index, value):
    """Give one node a constant of its own; constants of the same value are shared."""
    target = node_of(model, node)
    name = f"{node}/fault/{index}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    target.input[index] = name


def set_attribute(model, node, **values):
    target = node_of(model, node)
    kept = [entry for entry in target.attribute if entry.name not in values]
    del target.attribute[:]
    target.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])


def set_operator(model, node, operator):
    node_of(model, node).op_type = operator


def read_instead(model, old, new, readers=None):
    """Let the nodes that read the tensor `old` read `new`; an output keeps its name."""
    for node in model.graph.node:
        if (readers is None or node.name in readers) and new not in node.output:
            node.input[:] = [new if name == old else name for name in node.input]


def bypass(model, node, index=0):
    """Take a node out: whoever read its output reads its input."""
    target = node_of(model, node)
    source, output = target.input[index], target.output[0]
    if any(value.name == output for value in model.graph.output):
        target.CopyFrom(helper.make_node("Identity", [source], [output], name=node))
    else:
        read_instead(model, output, source)
        model.graph.node.remove(target)


def insert(model, tensor, nodes, output):
    """Put nodes made with helper.make_node behind `tensor`; its readers read `output` instead."""
    read_instead(model, tensor, output)
    producers = [index for index, node in enumerate(model.graph.node) if tensor in node.output]
    place = producers[0] + 1 if producers else 0
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*rest[:place], *nodes, *rest[place:]])


def constant(model, name, value):
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def swap_inputs(model, node, first, second):
    inputs = node_of(model, node).input
    inputs[first], inputs[second] = inputs[second], inputs[first]


def swap_tensors(model, first, second):
    """Exchange two tensors wherever they are made: each node's readers get the other's values."""
    other = {first: second, second: first}
    for node in model.graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]


def bare(model):
    """The graph without the shapes that inference noted: an edit may change them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    return copy


def edited(graph, edit):
    """A copy of a graph with the fault in it."""
    faulty = bare(graph)
    edit(faulty)
    return faulty
