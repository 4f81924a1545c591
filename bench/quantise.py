"""Measures quality, size and speed of quantised weights.

    python bench/quantise.py --conjoint target/release/conjoint --checkpoint models/tiny --sampler tiny-sampler
    conjoint bench --make-model 896,24,4864,14,2,151936 half --dtype bfloat16
    python bench/quantise.py --conjoint target/release/conjoint --checkpoint half --quality 0 --batches 1,32

Exports the checkpoint unchanged, in 8 and in 4 bits, and runs the graphs with ONNX Runtime.

Quality is measured on texts that the model generates, masked at rates that are uniform between 5 % and 100 %: the mean KL
divergence from the model's distribution of a masked token to the quantised model's, in nats, and the share of positions with the
same most probable token. With --sampler, the same is measured for a pass of the sampler layer after one more token is revealed, on
the hidden states of the unquantised model.

Speed is that of forward passes in which the output layer computes half of the rows. The exports run in turn, and medians are compared.

Prints Markdown tables. Requires numpy and onnxruntime.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy

from graphs import Graphs

KINDS = ("float32", "int8", "int4")


class Export(Graphs):
    """The graphs of one kind of export."""

    def __init__(self, arguments, kind, folder):
        folder = pathlib.Path(folder) / kind
        flags = [] if kind == "float32" else ["--quantize", kind]
        if arguments.sampler:
            flags += ["--sampler", arguments.sampler, "--passes", "sequence"]
        conjoint(arguments, "export", arguments.checkpoint, "--out", str(folder), *flags)
        super().__init__(folder, arguments.threads)
        self.kind = kind
        self.bytes = sum(file["bytes"] for file in self.manifest["provenance"]["weights"])


def conjoint(arguments, *command):
    result = subprocess.run([arguments.conjoint, *command], check=True, capture_output=True, text=True)
    return result.stdout


def log_probabilities(logits, mask_id):
    logits = logits.astype(numpy.float64)
    logits[:, mask_id] = -numpy.inf
    logits -= logits.max(axis=1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))


def compare(reference, other):
    """Mean KL divergence in nats, and the share of rows with the same most probable token."""
    known = numpy.isfinite(reference)
    gap = numpy.where(known, reference, 0) - numpy.where(known, other, 0)
    divergence = (numpy.where(known, numpy.exp(reference), 0) * gap).sum(axis=1)
    return divergence.mean(), (reference.argmax(axis=1) == other.argmax(axis=1)).mean()


def quality(arguments, exports):
    """Prints KL divergence and agreement of each export's forward passes, and of its sampler layer's passes."""
    manifest = exports[0].manifest
    length, mask_id = manifest["max_positions"], manifest["tokens"]["mask"]
    generated = conjoint(arguments, "generate", "--model", str(exports[0].folder), "--unconditional", "--json",
                       "--gen-length", str(length), "--num-samples", str(arguments.quality), "--seed", "5")
    texts = numpy.array([sequence["tokens"] for sequence in json.loads(generated)["sequences"]])
    draw = numpy.random.default_rng(1)
    masked = draw.uniform(size=texts.shape) < draw.uniform(0.05, 1, (len(texts), 1))
    masked[:, 0] = True
    ids = numpy.where(masked, mask_id, texts)
    # Reveal the first token, and refine the others.
    revealed = numpy.where(numpy.arange(length) == 0, texts, ids)
    rows, others = (numpy.flatnonzero(ids == mask_id) for ids in (ids, revealed))
    hidden = exports[0].hidden(ids)

    def forward(export):
        return log_probabilities(export.logits(export.hidden(ids), rows), mask_id)

    def sampler_pass(export):
        refined = export.refined(revealed, hidden)
        return log_probabilities(exports[0].logits(refined, others), mask_id)

    print(f"{len(rows)} masked positions of {len(texts)} texts.\n")
    print("| weights | bytes | KL, nats | same most probable token | sampler pass, KL | same |")
    print("|---|--:|--:|--:|--:|--:|")
    reference = forward(exports[0]), arguments.sampler and sampler_pass(exports[0])
    for export in exports:
        divergence, same = compare(reference[0], forward(export))
        line = f"| {export.kind} | {export.bytes:,} | {divergence:.5f} | {100 * same:.2f} % "
        if arguments.sampler:
            divergence, same = compare(reference[1], sampler_pass(export))
            line += f"| {divergence:.5f} | {100 * same:.2f} % |"
        else:
            line += "| – | – |"
        print(line, flush=True)


def speed(arguments, exports):
    manifest = exports[0].manifest
    length = min(arguments.length, manifest["max_positions"])
    draw = numpy.random.default_rng(2)
    print(f"\n[{length}] positions, {arguments.threads} threads, medians of {arguments.rounds}.\n")
    print("| weights | bytes | " + " | ".join(f"batch {b}, ms | ratio" for b in arguments.batches) + " |")
    print("|---|--:|" + "--:|--:|" * len(arguments.batches))
    seconds = {}
    for batch in arguments.batches:
        ids = draw.integers(0, manifest["vocab_size"], (batch, length))
        rows = numpy.arange(0, ids.size, 2)
        for turn in range(arguments.rounds + 1):
            for export in exports:
                start = time.perf_counter()
                export.logits(export.hidden(ids), rows)
                if turn > 0:  # the first turn opens the sessions and warms up
                    seconds.setdefault((export.kind, batch), []).append(time.perf_counter() - start)
    medians = {key: statistics.median(times) for key, times in seconds.items()}
    for export in exports:
        cells = [f"| {export.kind} | {export.bytes:,} "]
        for batch in arguments.batches:
            own, plain = medians[export.kind, batch], medians[exports[0].kind, batch]
            cells.append(f"| {1e3 * own:.1f} | {plain / own:.2f} ")
        print("".join(cells) + "|", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conjoint", required=True, help="the command")
    parser.add_argument("--checkpoint", required=True, help="folder of a checkpoint")
    parser.add_argument("--sampler", help="folder of its sampler layer's checkpoint")
    parser.add_argument("--quality", type=int, default=256, help="texts to measure quality on; 0 measures none")
    parser.add_argument("--batches", default="1,32", help="sequences of a forward pass; empty measures no speed")
    parser.add_argument("--length", type=int, default=128, help="positions of a sequence")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.batches = [int(batch) for batch in arguments.batches.split(",") if batch]
    # Beside the checkpoint, to link its weights.
    beside = os.path.dirname(os.path.abspath(arguments.checkpoint))
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        exports = [Export(arguments, kind, folder) for kind in KINDS]
        if arguments.quality:
            quality(arguments, exports)
        if arguments.batches:
            speed(arguments, exports)


if __name__ == "__main__":
    main()
