"""Follows a report of `conjoint bench --json` with another program: the same prompts, lengths and K, greedy.

A loop calls `main` with its function `generate`. It gets a `Task`, a prompt, and a `Clock` for the calls of the model.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import time

import torch

from torch_model import Model


def base(run):
    """The unmasker of a run: `marginal` of `marginal+threshold@dual`."""
    return run["strategy"].split("+")[0].split("@")[0]


@dataclasses.dataclass
class Task:
    """A run of the report."""

    strategy: str  # the unmasker
    k: int | None  # tokens per step
    threshold: float | None  # least confidence, in place of K
    length: int  # tokens to generate
    steps: int | None  # stops after this number of steps

    @classmethod
    def of(cls, report, run, steps):
        strategy, setting = base(run), run["setting"]
        k = threshold = None
        if setting.startswith("K = "):
            k = int(setting.removeprefix("K = "))
        elif setting.startswith("threshold:"):
            threshold = float(setting.removeprefix("threshold:").removeprefix("tau="))
        else:
            raise SystemExit(f"invalid setting `{setting}` of `{run['strategy']}`: expected K or a threshold")
        return cls(strategy, k, threshold, report["gen_length"], steps)


class Clock:
    """Seconds of each call, and the rows that the forwards computed."""

    def __init__(self):
        self.seconds = {"forwards": [], "passes": []}
        self.rows = 0

    @contextlib.contextmanager
    def call(self, kind, rows=0):
        start = time.perf_counter()
        yield
        self.seconds[kind].append(time.perf_counter() - start)
        self.rows += rows

    def mean(self, kind):
        return statistics.fmean(self.seconds[kind]) if self.seconds[kind] else None


def race(model, report, run, generate, steps):
    """One repeat of a run of the report."""
    task, clock = Task.of(report, run, steps), Clock()
    start = time.perf_counter()
    with torch.inference_mode():
        sequences = [generate(model, prompt, task, clock) for prompt in report["prompts"]]
    return time.perf_counter() - start, clock, sequences


def main(description, generate, strategies, extra=()):
    """Races all runs of a report. `extra` has further arguments: a flag with its settings each.

    `generate` also receives the parsed arguments.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", required=True, help="folder of the checkpoint")
    parser.add_argument("--like", required=True, help="report of conjoint bench to follow")
    parser.add_argument("--json", required=True, help="where to write the times")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, help="stop each sequence after this number of steps")
    for flag, settings in extra:
        parser.add_argument(flag, **settings)
    arguments = parser.parse_args()
    with open(arguments.like) as file:
        report = json.load(file)
    strange = {base(run) for run in report["runs"]} - set(strategies)
    if strange:
        parser.error(f"{', '.join(sorted(strange))}: the loop is written for {', '.join(strategies)}")
    torch.set_num_threads(report["threads"])
    model = Model(arguments.model)
    follow = lambda *of: generate(*of, arguments)
    for run in {run["strategy"]: run for run in report["runs"]}.values():
        race(model, report | {"prompts": report["prompts"][:1]}, run, follow, 1)  # warm up
    runs = []
    for run in report["runs"]:
        repeats = [race(model, report, run, follow, arguments.steps) for _ in range(arguments.repeats)]
        _, clock, sequences = repeats[-1]
        times = [seconds for seconds, *_ in repeats]
        prompt = sum(map(len, report["prompts"]))
        runs.append({
            "strategy": run["strategy"], "setting": run["setting"],
            "tokens": sum(token != model.mask for tokens in sequences for token in tokens) - prompt,
            "all_seconds": times, "seconds": statistics.median(times),
            "forwards": len(clock.seconds["forwards"]), "sampler_passes": len(clock.seconds["passes"]),
            "forward_seconds": clock.mean("forwards"), "pass_seconds": clock.mean("passes"),
            "rows_per_forward": clock.rows / len(clock.seconds["forwards"]), "sequences": sequences,
        })
    result = {
        "program": f"PyTorch {torch.__version__.split('+')[0]}", "threads": torch.get_num_threads(),
        "steps": arguments.steps, "mask": model.mask, "runs": runs,
    }
    with open(arguments.json + ".tmp", "w") as file:
        json.dump(result, file)
    os.replace(arguments.json + ".tmp", arguments.json)
