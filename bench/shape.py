"""What one sampler pass costs beside a full forward of a deep model, from one layer of it.

    conjoint bench --make-model 3584,1,18944,28,4,152064 DIR --dtype bfloat16
    python3 bench/shape.py --conjoint target/release/conjoint --model DIR --layers 28

Runs `conjoint bench` on a model of one layer and takes from its reports the time of the layer, of the
sampler layer, and of the head on as many rows as are asked for. A forward of the deep model is the layer
`--layers` times, and the head. Prints a Markdown table; needs nothing but Python.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

LENGTH = 128


def bench(arguments, strategy, generated):
    """One step that reveals `generated` of LENGTH positions, in milliseconds, with its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        subprocess.run(
            [arguments.conjoint, "bench", "--model", arguments.model, "--temperature", "0",
             "--strategies", strategy, "--k", str(generated), "--gen-length", str(generated),
             "--prompt-length", str(LENGTH - generated), "--threads", str(arguments.threads),
             "--repeats", str(arguments.repeats), "--json", str(report)],
            check=True, stdout=subprocess.DEVNULL,
        )
        run = json.loads(report.read_text())["runs"][0]
    assert run["forwards"] == 1
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conjoint", required=True, help="the command")
    parser.add_argument("--model", required=True, help="folder of a model of one layer")
    parser.add_argument("--layers", type=int, required=True, help="layers of the deep model")
    parser.add_argument("--rows", default="96,48,16", help="rows of the head")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    # Seven passes are enough to tell what one takes.
    passes = bench(arguments, "joint", 8)
    sampler = passes["step"]["sampler"] / passes["sampler_passes"]
    print(f"[{LENGTH}] positions, {arguments.threads} threads, medians of {arguments.repeats}.\n")
    print(f"| rows of the head | layer, ms | head, ms | sampler layer, ms | sampler pass, ms "
          f"| forward of {arguments.layers} layers, ms | pass / forward |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for rows in map(int, arguments.rows.split(",")):
        step = bench(arguments, "marginal", rows)["step"]
        layer, head = step["backbone"], step["backbone_head"]
        forward = layer * arguments.layers + head
        print(f"| {rows} | {layer:.0f} | {head:.0f} | {sampler:.0f} | {sampler + head:.0f} "
              f"| {forward:.0f} | {100 * (sampler + head) / forward:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
