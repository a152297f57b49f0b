"""Layers in the forms that published answers of the engine inspector have, cut to the fields that are read.

Names of nodes and tensors are ours; fields, words, kernels and the ways of naming are the sources':

- A: NVIDIA/TensorRT v8.6.0, tools/experimental/trt-engine-explorer: examples/pytorch/resnet (A100, fp16 and qat) and
  tests/inputs/mobilenet_v2_residuals.qat.onnx.engine.graph.json;
- B: github.com/NVIDIA/TensorRT/issues/4020 and 4048, trtexec of TensorRT 10: fused names, and names alone where the
  engine was built without detailed profiling verbosity;
- C: layer tables of Myelin parts in TensorRT 10, where names are `__myl_<operations>_myl<part>_<index>` (LayerType
  'kgen') or the node's own with that ending ('gemm'), and the nodes stand in Metadata, parted by control characters;
- D: NVIDIA's documents on horizontal fusion (sampleGoogleNet), which join names by ' || '.
"""

NHWC8 = "Channel major FP16 format where channel % 8 == 0"
INT8_32 = "Thirty-two wide channel vectorized row major Int8 format"


def tensor(text, dimensions=(1, 64, 56, 56)):
    return {"Name": "t", "Location": "Device", "Dimensions": list(dimensions), "Format/Datatype": text}


# What a layer shows -> the ONNX nodes in it that compute, and in what.
LAYERS = {
    "A: a convolution with its ReLU": (
        {
            "Name": "a/Conv + a/Relu",
            "LayerType": "CaskConvolution",
            "Inputs": [tensor(NHWC8)],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Half", "Count": 9408},
            "TacticName": "trt_turing_cutlass_image_network_first_layer_hmma_fprop_f16f16f32_nhwc_nhwc_k64r7s7c4",
        },
        {"a/Conv": "fp16"},
    ),
    "A: weights and their QuantizeLinear come first in the name": (
        {
            "Name": "w + QuantizeLinear_7 + a/Conv",
            "LayerType": "CaskConvolution",
            "Inputs": [tensor("Four wide channel vectorized row major Int8 format", (32, 3, 224, 224))],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Int8", "Count": 9408},
            "TacticName": "ampere_fp32_icudnn_int8x4_128x64_relu_medium_nn_v1",
        },
        {"a/Conv": "int8"},
    ),
    "A: a depthwise convolution without a tactic's name": (
        {
            "Name": "w + QuantizeLinear_21 + a/Conv + PWN(Clip_27)",
            "LayerType": "CudaDepthwiseConvolution",
            "Inputs": [tensor(INT8_32)],
            "ParameterType": "Convolution",
            "Groups": 32,
            "Weights": {"Type": "Int8", "Count": 288},
            "TacticValue": "0x0000000000000001",
        },
        {"a/Conv": "int8"},
    ),
    "A: two convolutions in one": (
        {
            "Name": "w + QuantizeLinear_290 + a/Conv",
            "LayerType": "FusedConvActConvolution",
            "Inputs": [tensor(INT8_32, (1, 192, 14, 14))],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Int8", "Count": 12288},
            "ConvolutionTacticIndex": 102,
        },
        {"a/Conv": "int8"},
    ),
    "A: a Gemm that became a convolution, with a residual sum": (
        {
            "Name": "fc.weight + QuantizeLinear_255 + a/Gemm + fc.bias + (Unnamed Layer* 306) [Shuffle]",
            "LayerType": "CaskConvolution",
            "Inputs": [tensor(INT8_32, (32, 512, 1, 1)), tensor("Row major linear FP32", (32, 512, 1, 1))],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Int8", "Count": 512000},
            "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8f32_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_nchw",
        },
        {"a/Gemm": "int8"},
    ),
    "B: TensorRT 10's words": (
        {
            "Name": "a/Conv + a/Add + a/Relu",
            "LayerType": "CaskGemmConvolution",
            "Inputs": [tensor("Half")],
            "Weights": {"Type": "Half", "Count": 64},
            "TacticName": "sm80_xmma_fprop_implicit_gemm_indexed_wo_smem_f16f16_f16f16_f16_nhwckrsc_nhwc",
            "Metadata": "[ONNX Layer: a/Conv]\x1e[ONNX Layer: a/Add]\x1e[ONNX Layer: a/Relu]",
        },
        {"a/Conv": "fp16"},
    ),
    "C: a Myelin product behind a fused scale": (
        {
            "Name": "a/MatMul_myl109_2",
            "LayerType": "gemm",
            "Inputs": [tensor("Float", (1,)), tensor("Half", (1, 400, 128))],
            "TacticName": "sm80_xmma_gemm_f16f16_f16f16_f16_tn_n_tilesize64x64x32",
            "Metadata": "[ONNX Layer: a/MatMul]\x1f[ONNX Layer: a/Scale]",
        },
        {"a/MatMul": "fp16"},
    ),
    "C: a generated kernel that names its nodes in the metadata alone": (
        {
            "Name": "__myl_MulAddRelu_myl65_8",
            "LayerType": "kgen",
            "Inputs": [tensor("Float", (1, 64, 1, 1)), tensor("Half")],
            "Metadata": "[ONNX Layer: a/Conv]\x1e[ONNX Layer: a/Relu]",
        },
        {"a/Conv": "fp16"},
    ),
    "C: a range of nodes": (
        {
            "Name": "{ForeignNode[a/MatMul...b/Gemm]}",
            "LayerType": "Myelin",
            "Inputs": [tensor("Half", (1, 432))],
        },
        {"a/MatMul": "fp16", "b/Gemm": "fp16"},
    ),
    "D: convolutions side by side": (
        {
            "Name": "a/Conv + a/Relu || b/Conv + b/Relu || c/Conv",
            "LayerType": "CaskConvolution",
            "Inputs": [tensor("Row major linear FP32")],
            "Weights": {"Type": "Float", "Count": 64},
            "TacticName": "ampere_scudnn_128x64_relu_medium_nn_v1",
        },
        {"a/Conv": "fp32", "b/Conv": "fp32", "c/Conv": "fp32"},
    ),
    "no word at all": ({"Name": "a/Conv", "LayerType": "CaskConvolution", "Inputs": []}, {"a/Conv": "unknown"}),
}
