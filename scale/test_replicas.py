"""Tests of replicas.py: two servers behind one address, one of which is killed.

    CONJOINT=target/release/conjoint python3 -m pytest scale/test_replicas.py

Requires the packages of requirements.txt.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONJOINT = str(pathlib.Path(os.environ.get("CONJOINT", ROOT / "target/release/conjoint")).resolve())
BODY = {"model": "tiny", "prompt": "<story>the old", "max_tokens": 32}


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def text(url, seed):
    made = httpx.post(f"{url}/v1/completions", json=BODY | {"seed": seed}, timeout=60)
    made.raise_for_status()
    return made.json()["choices"][0]["text"]


def streamed(url, seed):
    with httpx.stream("POST", f"{url}/v1/completions", json=BODY | {"seed": seed, "stream": True}, timeout=60) as made:
        data = [line[6:] for line in made.iter_lines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in data[:-1])


def servers():
    """The processes of `conjoint serve` of this test."""
    found = subprocess.run(["pgrep", "-f", f"^{CONJOINT} serve .*--threads 1 --name tiny"], capture_output=True, text=True)
    return [int(process) for process in found.stdout.split()]


def test_two_replicas_answer_and_a_killed_one_is_replaced():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    script = [sys.executable, str(ROOT / "scale/replicas.py"), "--replicas", "2", "--cpus", "1", "--port", str(port), "--conjoint", CONJOINT]
    running = subprocess.Popen([*script, "--", "--model", str(ROOT / "models/tiny"), "--threads", "1", "--name", "tiny"], stdout=subprocess.PIPE, text=True)
    try:
        assert "2 replicas" in running.stdout.readline()
        expected = {seed: text(url, seed) for seed in range(4)}
        assert all(text(url, seed) == expected[seed] == streamed(url, seed) for seed in range(4) for _ in range(3))
        assert httpx.get(f"{url}/v1/models").json()["data"][0]["id"] == "tiny"
        assert httpx.post(f"{url}/v1/completions", json=BODY | {"temperature": -1}).status_code == 400
        before = servers()
        assert len(before) == 2, before
        os.kill(before[0], signal.SIGKILL)
        began = time.monotonic()
        while not (len(servers()) == 2 and set(servers()) != set(before)):
            assert time.monotonic() - began < 120, "the replica was not replaced"
            time.sleep(0.5)
        began = time.monotonic()
        good = 0
        # A request may still go to the dead replica for a moment.
        while good < 12:
            assert time.monotonic() - began < 120, "requests still fail"
            try:
                assert text(url, good % 4) == expected[good % 4]
                good += 1
            except httpx.HTTPError:
                good = 0
                time.sleep(0.5)
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(timeout=120)
    assert servers() == []
