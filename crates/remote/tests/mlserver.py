"""Runs models/tiny on MLServer, and restarts it in the middle of a run of examples/remote.rs.

    python3 crates/remote/tests/mlserver.py --example target/release/examples/remote      # the test
    python3 crates/remote/tests/mlserver.py --serve 8080                                  # the server alone

The server's model runs the graphs of the export with ONNX Runtime (bench/graphs.py). The example fails if a token differs from those of ONNX
Runtime in its own process. Requires mlserver 1.7.1, onnxruntime and numpy.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
RUNTIME = '''
import sys

import numpy
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor

sys.path.insert(0, {bench!r})
import graphs


class Tiny(MLModel):
    async def load(self):
        self.graphs = graphs.Graphs({model!r}, threads=1)
        self.inputs = [MetadataTensor(name="input_ids", datatype="INT64", shape=[-1, -1])]
        self.outputs = [MetadataTensor(name="logits", datatype="FP32", shape=[-1, -1, {size}])]
        return True

    async def predict(self, payload):
        ids = NumpyCodec.decode_input(payload.inputs[0]).astype(numpy.int64)
        rows = numpy.stack(numpy.indices(ids.shape), -1).reshape(-1, 2)
        logits = self.graphs.logits(self.graphs.hidden(ids), numpy.arange(len(rows))).reshape(*ids.shape, -1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])
'''


def files(folder, port):
    """The settings of the server and its model."""
    size = json.loads((ROOT / "models/tiny/config.json").read_text())["vocab_size"]
    model = folder / "tiny"
    model.mkdir()
    (folder / "tiny_runtime.py").write_text(RUNTIME.format(bench=str(ROOT / "bench"), model=str(ROOT / "models/tiny"), size=size))
    (folder / "settings.json").write_text(json.dumps({
        "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0, "host": "127.0.0.1"}))
    (model / "model-settings.json").write_text(json.dumps({"name": "tiny", "implementation": "tiny_runtime.Tiny"}))


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def start(folder):
    command = [str(pathlib.Path(sys.executable).parent / "mlserver"), "start", str(folder)]
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_ready(port, server):
    began = time.monotonic()
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/tiny/ready", timeout=5)
            return
        except OSError:
            if server.poll() is not None or time.monotonic() - began > 120:
                sys.exit("the server did not start")
            time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve until Ctrl-C")
    parser.add_argument("--example", type=pathlib.Path, default=ROOT / "target/release/examples/remote", help="the example")
    parser.add_argument("--texts", type=int, default=96, help="texts of the run")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, port = pathlib.Path(place), chosen.serve or free_port()
        files(folder, port)
        server = start(folder)
        try:
            wait_ready(port, server)
            if chosen.serve:
                print(f"http://127.0.0.1:{port}", flush=True)
                signal.pause()
            run = subprocess.Popen([str(chosen.example), f"http://127.0.0.1:{port}", str(chosen.texts)], stdout=subprocess.PIPE, text=True)
            time.sleep(1.5)
            if run.poll() is not None:
                sys.exit("the run ended before the restart: give more --texts")
            server.kill()
            server.wait()
            time.sleep(1)
            if run.poll() is not None:
                sys.exit("the run ended without its server")
            server = start(folder)
            said, _ = run.communicate(timeout=300)
            print(said, end="")
            if run.returncode or "tokens equal" not in said:
                sys.exit(f"the example ended with code {run.returncode}")
            print("the server was killed and started again in the middle of the run")
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
