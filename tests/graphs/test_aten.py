"""Each operator that networks are made of computes in a graph what it computes in PyTorch, for any number of clips."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.graphs.builder import GraphBuilder
from x3ddeploy.graphs.trace import trace
from x3ddeploy.graphs.write import write
from x3ddeploy.lowering.rewrite import Operation
from x3ddeploy.runtimes.registry import open_session


def graph_of(module, shape, blocks=(), path="net"):
    graph = GraphBuilder("test")
    program = trace(module, {"x": shape})
    written = write(program, graph, path, {"x": graph.input("x", ("N", *shape))}, blocks)
    for name, value in written.outputs.items():
        graph.output(value.name, name or "y", ("N", *value.shape))
    return graph.model({}), written


class Function(nn.Module):
    """A function of a tensor as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def batch_norm(kind=nn.BatchNorm2d, channels=6):
    layer = kind(channels)
    layer.running_mean.data.normal_()
    layer.running_var.data.uniform_(0.5, 2)
    layer.weight.data.normal_()
    layer.bias.data.normal_()
    return layer


IMAGE = (6, 8, 8)
MATRIX = torch.rand(8, 8)
JOINED = torch.rand(2, 8, 8)
CLIP = (4, 5, 6, 6)
CASES = {
    "conv2d strided": (nn.Conv2d(6, 4, 3, stride=2, padding=1), IMAGE),
    "conv2d depthwise": (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), IMAGE),
    "conv2d dilated same": (nn.Conv2d(6, 4, 3, padding="same", dilation=2), IMAGE),
    "conv3d over time": (nn.Conv3d(4, 3, (3, 1, 1), padding=(1, 0, 0)), CLIP),
    "conv1d": (nn.Conv1d(6, 4, 3), (6, 9)),
    "batch norm of its own": (batch_norm(), IMAGE),
    "conv3d and batch norm": (nn.Sequential(nn.Conv3d(4, 6, 3), batch_norm(nn.BatchNorm3d)), CLIP),
    "transposed conv3d and batch norm": (
        nn.Sequential(nn.ConvTranspose3d(4, 6, (2, 3, 3), (2, 1, 2), (0, 1, 1), (1, 0, 1)), batch_norm(nn.BatchNorm3d)),
        CLIP,
    ),
    "linear and batch norm": (nn.Sequential(nn.Linear(6, 5, bias=False), batch_norm(nn.BatchNorm1d, 5)), (6,)),
    "linear on tokens and batch norm": (nn.Sequential(nn.Linear(8, 4), batch_norm(nn.BatchNorm1d, 5)), (5, 8)),
    "layer norm": (nn.LayerNorm(8), IMAGE),
    "linear on vectors": (nn.Linear(6, 4), (6,)),
    "linear on tokens": (nn.Linear(8, 4), (5, 8)),
    "linear without bias": (nn.Linear(6, 4, bias=False), (6,)),
    "relu6": (nn.ReLU6(), IMAGE),
    "hardtanh": (nn.Hardtanh(-0.5, 0.25), IMAGE),
    "leaky relu in place": (Function(lambda x: F.leaky_relu_(x * 2, 0.2)), IMAGE),
    "clamp in place": (Function(lambda x: (x * 2).clamp_(-0.5, 0.7)), IMAGE),
    "hardswish": (nn.Hardswish(), IMAGE),
    "silu": (nn.SiLU(), IMAGE),
    "gelu": (nn.GELU(), IMAGE),
    "softmax": (nn.Softmax(1), IMAGE),
    "max pool 2d": (nn.MaxPool2d(3, 2, 1), IMAGE),
    "max pool 3d": (nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), CLIP),
    "average pool": (nn.AvgPool2d(3, 2, 1), IMAGE),
    "global average pool": (nn.AdaptiveAvgPool3d(1), CLIP),
    "average pool to equal windows": (nn.AdaptiveAvgPool2d(2), IMAGE),
    "clips taken for channels": (nn.AvgPool3d((1, 8, 8), 1), IMAGE),
    "constants of constants": (Function(lambda x: x * (MATRIX * MATRIX[0]).t().softmax(0)), IMAGE),
    "dropout": (nn.Sequential(nn.ReLU(), nn.Dropout()), IMAGE),
    "flatten": (nn.Flatten(), IMAGE),
    "clamp": (Function(lambda x: x.clamp(min=-0.5)), IMAGE),
    "scaled sum": (Function(lambda x: torch.add(x, x * x, alpha=3) - 1), IMAGE),
    "mean, then a sum over the rest": (Function(lambda x: x.mean((2, 3)).sum(1, keepdim=True)), IMAGE),
    "largest": (Function(lambda x: x.amax((-1, -2))), IMAGE),
    "norm": (Function(lambda x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(1e-8)), IMAGE),
    "product of matrices": (Function(lambda x: x @ x.transpose(-1, -2)), IMAGE),
    "constant matrix": (Function(lambda x: torch.einsum("nchw,hk->nckw", x, MATRIX)), IMAGE),
    "graph convolution": (Function(lambda x: torch.einsum("nkctv,kvw->nctw", x.unflatten(1, (2, 3)), JOINED)), IMAGE),
    "graph convolution, features later": (Function(lambda x: torch.einsum("nctv,kvw->nkctw", x, JOINED)), IMAGE),
    "a constant before": (Function(lambda x: torch.einsum("kh,nchw->nckw", MATRIX, x)), IMAGE),
    "two computed tensors": (Function(lambda x: torch.einsum("nctv,nctw->nvw", x, x * x)), IMAGE),
    "a batch of every axis": (Function(lambda x: torch.einsum("nchw,nch->nwc", x, x.mean(3))), IMAGE),
    "permute": (Function(lambda x: x.permute(0, 2, 3, 1)), IMAGE),
    "strided slice": (Function(lambda x: x[:, :, 1::2, :-1]), IMAGE),
    "one frame": (Function(lambda x: x[:, :, -1]), CLIP),
    "every second frame": (Function(lambda x: x[:, :, ::2]), CLIP),
    "split": (Function(lambda x: torch.cat(x.split((1, 2, 3), 1)[::-1], 1)), IMAGE),
    "chunk": (Function(lambda x: torch.mul(*x.chunk(2, 1))), IMAGE),
    "pad": (Function(lambda x: F.pad(x, (0, 1, 2, 0), value=0.5)), IMAGE),
    "pad at the edge": (Function(lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate")), IMAGE),
    "segments in the batch": (Function(lambda x: x.transpose(1, 2).flatten(0, 1).unflatten(0, (-1, 5)) * 2), CLIP),
    "chosen frames": (Function(lambda x: x[:, :, [0, 3, -1]]), CLIP),
    "slower": (Function(lambda x: F.interpolate(x, scale_factor=(1 / 5, 0.5, 1))), CLIP),
    "larger": (Function(lambda x: F.interpolate(x, scale_factor=(1, 2, 2))), CLIP),
    "of another size": (Function(lambda x: F.interpolate(x, size=(7, 4, 9))), CLIP),
    "unsqueeze and squeeze": (Function(lambda x: x.mean((2, 3), keepdim=True).squeeze(-1)[:, None]), IMAGE),
}


@pytest.mark.parametrize("case", CASES)
def test_a_graph_computes_what_the_module_does(case):
    module, shape = CASES[case]
    module.eval()
    model, _ = graph_of(module, shape)
    onnx.checker.check_model(model, full_check=True)
    session = open_session("onnxruntime", model.SerializeToString())
    for batch in (1, 3):
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            expected = module(x)
        np.testing.assert_allclose(session.run({"x": x.numpy()})["y"], expected.numpy(), atol=2e-6, rtol=2e-6)


def test_shapes_are_constants_and_slices_of_one_tensor_are_one_node():
    module = Function(lambda x: x.transpose(1, 2).reshape(-1, 4, 6, 6)[:, 1:3, 2:, :-1].flatten(1))
    model, _ = graph_of(module, CLIP)
    assert [node.op_type for node in model.graph.node] == ["Transpose", "Reshape", "Slice", "Reshape"]


def test_layers_whose_outputs_nobody_reads_are_no_nodes():
    def before_the_last_layers(x):
        found = x.relu()
        found.exp().relu_()
        return found

    model, _ = graph_of(Function(before_the_last_layers), IMAGE)
    assert [node.op_type for node in model.graph.node] == ["Relu"]


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("d and batch norm")])
def test_a_batch_norm_becomes_part_of_the_layer_before_it(case):
    model, _ = graph_of(*CASES[case])
    assert len(model.graph.node) == 1


def test_a_batch_norm_stays_where_others_read_the_layer_as_well():
    conv, norm = nn.Conv2d(6, 6, 1), batch_norm()

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = conv, norm

        def forward(self, x):
            x = self.conv(x)
            return x + self.norm(x)

    module = Both().eval()
    model, _ = graph_of(module, IMAGE)
    x = torch.randn(2, *IMAGE)
    given = open_session("onnxruntime", model.SerializeToString()).run({"x": x.numpy()})["y"]
    np.testing.assert_allclose(given, module(x).detach().numpy(), atol=5e-6)


@pytest.mark.parametrize(
    ("function", "shape", "nodes"),
    [
        (lambda x: torch.einsum("nchw,hk->nckw", x, MATRIX), IMAGE, ["Transpose", "MatMul", "Transpose"]),
        (lambda x: torch.einsum("nchw,wk->nchk", x, MATRIX), IMAGE, ["MatMul"]),
        (lambda x: x @ (MATRIX + MATRIX.t()), IMAGE, ["MatMul"]),
        (lambda x: F.interpolate(x, scale_factor=(1 / 2, 1, 1)), (4, 8, 6, 6), ["Slice"]),
    ],
)
def test_what_is_one_product_or_one_slice_takes_no_other_node(function, shape, nodes):
    model, _ = graph_of(Function(function), shape)
    assert [node.op_type for node in model.graph.node] == nodes


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.scale = Operation(torch.mul)
        self.register_buffer("factor", torch.tensor(0.5))

    def forward(self, x):
        return self.relu(self.scale(self.relu(self.conv1(x)), self.factor) + x)


def test_nodes_are_named_for_their_modules_and_blocks_for_what_they_end_in():
    net = nn.Sequential()
    net.layer1 = nn.Sequential(Residual(), Residual())
    model, written = graph_of(net, IMAGE, blocks=["layer1.0", "layer1.1"])
    names = [node.name for node in model.graph.node]
    block = "net/layer1.0/"
    assert names[:5] == [block + name for name in ("conv1", "relu", "scale", "Add", "relu_1")]
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {"net.layer1.0.conv1.weight", "net/layer1.0/factor"} <= weights
    assert [(entry.name, entry.tensor) for entry in written.blocks] == [
        ("net/layer1.0", "net/layer1.0/relu_1"),
        ("net/layer1.1", "net/layer1.1/relu_1"),
    ]


def test_the_same_module_gives_the_same_bytes():
    module = Residual()
    first, second = (graph_of(module, IMAGE)[0].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: torch.cumsum(x, 1), "no ONNX form of aten.cumsum"),
        (lambda x: x[: x.shape[0] // 2], "cannot be traced|size is"),
        (lambda x: x if x.sum() > 0 else -x, "cannot be traced"),
        (lambda x: x[1:], "clips' axis|size is"),
        (lambda x: torch.einsum("nchw->nwhc", x), "einsum 'nchw->nwhc' has no handler"),
        (lambda x: x[:, x.mean((0, 2, 3)).argsort()[:2]], "no ONNX form|computed ones"),
        (nn.AvgPool3d((2, 8, 8)), "over a tensor of 4 axes"),
        (nn.GELU("tanh"), "GELU by tanh"),
        (nn.AdaptiveAvgPool2d(3), "windows of pooling"),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), "no ONNX form|mode 'circular'"),
    ],
)
def test_what_has_no_form_is_refused_by_name(function, said):
    with pytest.raises(X3DDeployError, match=said):
        graph_of(Function(function) if not isinstance(function, nn.Module) else function, IMAGE)
