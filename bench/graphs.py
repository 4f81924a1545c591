"""Runs the graphs of an export on whole sequences, with ONNX Runtime alone. Other scripts import it.

docs/design.md describes the graphs' inputs. Requires numpy and onnxruntime.
"""

import json
import pathlib

import numpy
import onnxruntime


class Graphs:
    """The graphs of an exported model. Sessions are opened when they are first used."""

    def __init__(self, folder, threads=0):
        self.folder, self.threads, self.sessions = pathlib.Path(folder), threads, {}
        self.manifest = json.loads((self.folder / "conjoint.json").read_text())

    def session(self, graph):
        if graph not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.enable_mem_pattern = False
            options.intra_op_num_threads = self.threads
            path = self.folder / self.manifest["graphs"][graph]
            self.sessions[graph] = onnxruntime.InferenceSession(str(path), options)
        return self.sessions[graph]

    def hidden(self, ids):
        """Hidden states [B · T, D] of ids [B, T]. Row i of a sequence belongs to position i."""
        session = self.session("backbone")
        batch, length = ids.shape
        rows = numpy.arange(ids.size)
        positions = numpy.tile(numpy.arange(length), batch)
        before = numpy.where(positions > 0, rows - 1, rows)
        inputs = packed(ids) | {
            "cached": numpy.zeros(ids.shape, numpy.int64),
            "computed": places(ids),
            "sources": before if self.manifest["shift"] else rows,
        }
        width = self.manifest["kv_heads"] * self.manifest["head_dim"]
        # A pool that no key comes from.
        pools = (node.name for node in session.get_inputs() if node.name.startswith(("keys.", "values.")))
        inputs |= {name: numpy.zeros((1, width), numpy.float32) for name in pools}
        return session.run(["hidden"], inputs)[0]

    def refined(self, ids, hidden):
        """Hidden states [B · T, D] after a pass of the sampler layer over whole sequences."""
        inputs = packed(ids) | {"hidden": hidden, "from": numpy.arange(ids.size)}
        return self.session("sampler").run(None, inputs)[0]

    def logits(self, hidden, rows):
        """Logits [N, V] of rows [N] of hidden states."""
        return self.session("head").run(None, {"hidden": hidden, "rows": rows})[0]


def places(ids):
    """(sequence, position) of every position: [B · T, 2]."""
    return numpy.stack(numpy.indices(ids.shape), -1).reshape(-1, 2)


def packed(ids):
    """The inputs that all graphs with attention share, for whole sequences."""
    batch, length = ids.shape
    return {
        "input_ids": ids.reshape(-1),
        "positions": numpy.tile(numpy.arange(length), batch),
        "slots": numpy.arange(ids.size).reshape(ids.shape),
        "lanes": places(ids),
        "key_positions": numpy.tile(numpy.arange(length), (batch, 1)),
    }
