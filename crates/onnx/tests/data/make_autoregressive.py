"""Writes autoregressive.onnx and its variants: tiny causal language models for the tests.

    pip install onnx numpy && python make_autoregressive.py

The logits after position t are W · Σ_{s ≤ t} E[x_s] for fixed E [5, 3] and W [3, 5]; see weights().
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights():
    table = np.sin(np.arange(15, dtype=np.float32) * 1.7).reshape(5, 3)
    head = np.cos(np.arange(15, dtype=np.float32) * 0.9).reshape(3, 5)
    return table, head


def model(inputs, outputs, length="T", output="logits"):
    table, head = weights()
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["embedded"])]
    summed = "embedded"
    if "attention_mask" in inputs:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["embedded", "column"], ["kept"]),
        ]
        summed = "kept"
    nodes += [
        helper.make_node("CumSum", [summed, "one"], ["states"]),
        helper.make_node("MatMul", ["states", "head"], [output]),
    ]
    if len(outputs) > 1:
        nodes.append(helper.make_node("Identity", ["states"], [outputs[1]]))
    shape = ["B", length]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "autoregressive",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [
                numpy_helper.from_array(table, "table"),
                numpy_helper.from_array(head, "head"),
                numpy_helper.from_array(np.array(1, dtype=np.int64), "one"),
                numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


VARIANTS = {
    "autoregressive": (["input_ids"], ["logits"]),
    # As exporters write them: everything declared, and outputs beside the logits.
    "autoregressive-full": (["input_ids", "attention_mask", "position_ids"], ["logits", "hidden"]),
    "autoregressive-cached": (["input_ids", "past_key_values.0.key"], ["logits"]),
    "autoregressive-nameless": (["input_ids"], ["scores"]),
}

if __name__ == "__main__":
    for name, (inputs, outputs) in VARIANTS.items():
        onnx.save(model(inputs, outputs, output=outputs[0]), f"{name}.onnx")
