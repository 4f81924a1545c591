"""Tests of spread.py on a cluster of two nodes, one of which is killed, and on storage like that of S3.

    CONJOINT=target/release/conjoint python3 -m pytest scale

Requires the packages of requirements.txt.
"""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import threading
import time

import pytest
from ray.cluster_utils import Cluster

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONJOINT = str(pathlib.Path(os.environ.get("CONJOINT", ROOT / "target/release/conjoint")).resolve())
MODEL = str(ROOT / "models/tiny")
SETTINGS = ["--model", MODEL, "--gen-length", "30", "--batch-size", "4", "--threads", "1"]


@pytest.fixture
def cluster():
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [made.head_node, made.add_node(num_cpus=1)]
    made.wait_for_nodes()
    yield made, nodes
    made.shutdown()


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.jsonl"
    tags = ["<story>", "<math>", "<code>", "<list>"]
    file.write_text("".join(json.dumps({"prompt": tags[i % 4], "id": i}) + "\n" for i in range(96)))
    return file


@pytest.fixture
def expected(prompts, tmp_path):
    """The replies of one run on one machine."""
    out = tmp_path / "one.jsonl"
    subprocess.run([CONJOINT, "generate", *SETTINGS, "--prompts", str(prompts), "--out", str(out)], check=True, capture_output=True)
    return out.read_bytes()


def wrapped(tmp_path, script):
    """A command that runs `script` before conjoint."""
    file = tmp_path / "conjoint.sh"
    file.write_text(f'#!/bin/sh\n{script}\nexec {CONJOINT} "$@"\n')
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    return str(file)


def command(made, what, out, *options, conjoint=CONJOINT, rest=()):
    script = [sys.executable, str(ROOT / "scale/spread.py"), what, "--address", made.address, "--cpus", "1", "--conjoint", conjoint, "--quiet"]
    return [*script, "--out", str(out), *options, *(["--", *rest] if rest else [])]


def test_a_node_dies_and_nothing_is_lost(cluster, prompts, expected, tmp_path):
    made, (_, second) = cluster
    out, parts = tmp_path / "spread.jsonl", tmp_path / "spread.jsonl.parts"
    # Slow enough for the node to die while it works.
    log = tmp_path / "log"
    log.touch()
    conjoint = wrapped(tmp_path, f"echo begins >> {log}\nsleep 2")
    running = subprocess.Popen(command(made, "generate", out, "--shards", "8", conjoint=conjoint, rest=[*SETTINGS, "--prompts", str(prompts)]),
                               stderr=subprocess.PIPE, text=True)
    # Both nodes work, and some part is done.
    while True:
        begun, done = len(log.read_text().splitlines()), len(list(parts.glob("shard-?????-of-00008")))
        if done and begun >= done + 2:
            break
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    made.remove_node(second, allow_graceful=False)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert "runs again" in said
    assert out.read_bytes() == expected
    assert not parts.exists()


def test_a_stopped_run_resumes_and_a_slow_shard_runs_twice(cluster, prompts, expected, tmp_path):
    made, _ = cluster
    out, log = tmp_path / "spread.jsonl", tmp_path / "log"
    # Shard 6 sleeps the first time it runs.
    script = f'echo "$*" >> {log}\ncase "$*" in *"--shard 6/6"*) mkdir {tmp_path}/first 2>/dev/null && sleep 600;; esac'
    conjoint = wrapped(tmp_path, script)
    rest = [*SETTINGS, "--prompts", str(prompts)]
    parts = tmp_path / "spread.jsonl.parts"
    run = command(made, "generate", out, "--shards", "6", "--least", "2", conjoint=conjoint, rest=rest)
    first = subprocess.Popen(run, stderr=subprocess.PIPE, text=True)
    while not (parts.exists() and len(list(parts.glob("shard-?????-of-00006"))) >= 2):
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    first.kill()
    first.wait()
    kept = len(list(parts.glob("shard-?????-of-00006")))
    shutil.rmtree(tmp_path / "first", ignore_errors=True)
    log.write_text("")
    second = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    assert "it runs a second time" in second.stderr
    assert out.read_bytes() == expected
    # Those that had a part did not run again; the slow one ran twice.
    ran = [line for line in log.read_text().splitlines() if "--shard" in line]
    assert len(ran) <= 6 - kept + 1 and sum("--shard 6/6" in line for line in ran) == 2, ran


def test_invalid_arguments_end_the_run_and_failures_are_limited(cluster, prompts, tmp_path):
    made, _ = cluster
    wrong = command(made, "generate", tmp_path / "a.jsonl", "--shards", "2", rest=[*SETTINGS, "--prompts", str(prompts), "--top-p", "2"])
    said = subprocess.run(wrong, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1 and "--top-p" in said.stderr, said.stderr
    failing = wrapped(tmp_path, "echo broken disk >&2; exit 1")
    run = command(made, "generate", tmp_path / "b.jsonl", "--shards", "2", "--retries", "1", conjoint=failing, rest=[*SETTINGS, "--prompts", str(prompts)])
    said = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1 and "failed 2 times" in said.stderr and "broken disk" in said.stderr, said.stderr


def test_trajectories_and_commands(cluster, tmp_path):
    made, _ = cluster
    one, out = tmp_path / "one", tmp_path / "spread"
    settings = ["--model", MODEL, "--num", "64", "--length", "24", "--batch-size", "8", "--per-file", "8", "--threads", "1"]
    subprocess.run([CONJOINT, "trajectories", *settings, "--out", str(one), "--quiet"], check=True)
    run = command(made, "trajectories", out, "--shards", "4", rest=settings)
    subprocess.run(run, check=True, timeout=300)
    files = lambda folder: {file.name: file.read_bytes() for file in folder.glob("*.parquet")}
    assert files(out) == files(one) and len(files(one)) == 8
    # The folder is one of trajectories: the command finds nothing left to do.
    again = subprocess.run([CONJOINT, "trajectories", *settings, "--out", str(out), "--quiet"], capture_output=True, text=True)
    assert again.returncode == 0 and "0 trajectories made" in again.stdout + again.stderr, again
    points = tmp_path / "points.txt"
    line = f"conjoint compare --model {MODEL} --strategies exact,marginal --k 4 --num-samples 8 --metrics parses --threads 1"
    points.write_text("".join(f"{line} --seeds {seed} --out {{out}}/report\n" for seed in (0, 1)))
    folder = tmp_path / "points"
    subprocess.run(command(made, "each", folder, "--commands", str(points)), check=True, timeout=300)
    assert all((folder / name / "report/report.json").is_file() for name in ("00001", "00002"))


def test_storage_like_s3(cluster, prompts, expected, tmp_path):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(environment)
    try:
        import s3fs

        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        files.put(MODEL + "/", "bucket/tiny/", recursive=True)
        rest = ["--model", "s3://bucket/tiny", *SETTINGS[2:], "--prompts", str(prompts)]
        # The nodes began before the server: the address comes with the command.
        conjoint = CONJOINT
        made, _ = cluster
        run = command(made, "generate", "s3://bucket/replies.jsonl", "--shards", "4", conjoint=conjoint, rest=rest)
        made_here = subprocess.run(run, capture_output=True, text=True, timeout=300)
        assert made_here.returncode == 0, made_here.stderr
        replies = files.cat_file("bucket/replies.jsonl")
        assert replies.splitlines() == expected.splitlines()
        assert not files.exists("bucket/replies.jsonl.parts")
    finally:
        server.stop()
        for name in environment:
            del os.environ[name]
