"""Spreads a large `conjoint` run over a Ray cluster, and collects its output.

    python3 scale/spread.py generate --shards 64 --out s3://bucket/replies.jsonl -- --model models/tiny --prompts prompts.jsonl --gen-length 32
    python3 scale/spread.py trajectories --shards 64 --out runs/trajectories -- --model models/tiny --num 100000 --length 48
    python3 scale/spread.py each --commands points.txt --out runs/points

- `generate` runs `conjoint generate … --shard I/N` for each shard, and joins the replies: the bytes of one run on one machine.
- `trajectories` does the same with `conjoint trajectories`, and collects the files in one folder.
- `each` runs the commands of a file, one per line, such as points of `conjoint eval`. `{out}` in a line is the folder of its results.

What follows `--` goes to the command as it is. The file of --prompts is sent to the nodes. A model is a folder that every node has at the
same path, or an address of fsspec (s3://…), which each node copies once.

The output of a shard is written to storage under a name of its own and then renamed, so that a part is whole or absent. A part that exists
is not made again: the same command resumes. A shard whose node dies runs again elsewhere (--retries). When no shard is left to begin, one
that takes more than --slow times the median is run a second time, and the first result is used; both have the same bytes.

The environment variables AWS_* and FSSPEC_* go with the jobs.

Requires ray, fsspec, tqdm, and for s3:// s3fs (requirements.txt). Without --address, the cluster of the environment is used, or a new one
on this machine.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid

import fsspec
import ray
import tqdm

FILE = "out/made.jsonl"
INVALID = 2  # The exit code of an invalid argument: no retry helps.


@dataclasses.dataclass(frozen=True)
class Job:
    """A command, and the object of storage that its output becomes."""

    name: str
    command: tuple  # With {file} or {out} for its output.
    part: str
    is_folder: bool


class Invalid(Exception):
    """A command that fails on every node."""


def storage(url):
    """The file system and the path of an address or a path."""
    return fsspec.core.url_to_fs(str(url))


def fetched(model):
    """The folder of a model on this node. One of an address is copied once."""
    if "://" not in model:
        return model
    files, path = storage(model)
    folder = pathlib.Path(tempfile.gettempdir()) / "conjoint-models" / uuid.uuid5(uuid.NAMESPACE_URL, model).hex
    if not folder.exists():
        aside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
        aside.mkdir(parents=True)
        files.get(path.rstrip("/") + "/", f"{aside}/", recursive=True)
        with contextlib.suppress(OSError):  # Another process was faster.
            aside.rename(folder)
    return str(folder)


def prepared(command, folder, sent):
    """The command with the model, the sent files and the output on this node."""
    made = list(command)
    for place, argument in enumerate(made):
        before = made[place - 1] if place else ""
        if before == "--model":
            made[place] = fetched(argument)
        elif argument in sent:
            file = folder / pathlib.Path(argument).name
            file.write_bytes(sent[argument])
            made[place] = str(file)
        else:
            made[place] = argument.replace("{file}", str(folder / FILE)).replace("{out}", str(folder / "out"))
    return made


def packed(folder):
    """The files of a folder, as one archive with equal bytes for equal files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(str(file.relative_to(folder)))
            content = file.read_bytes()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def put(part, content):
    """Writes an object aside, then renames it."""
    files, path = storage(part)
    files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    aside = f"{path}.{uuid.uuid4().hex}"
    files.pipe_file(aside, content)
    files.mv(aside, path)


def work(job, sent):
    """Runs a job on a node, unless its part exists. Returns its seconds, 0 if there was nothing to do."""
    files, path = storage(job.part)
    if files.exists(path):
        return 0.0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        (folder / "out").mkdir()
        made = subprocess.run(prepared(job.command, folder, sent), capture_output=True, text=True)
        if made.returncode == INVALID:
            raise Invalid(made.stderr.strip())
        if made.returncode:
            raise RuntimeError(f"{job.name}: exit code {made.returncode}: {made.stderr.strip()[-2000:]}")
        put(job.part, packed(folder / "out") if job.is_folder else (folder / FILE).read_bytes())
    return time.monotonic() - began


class Spread:
    """Runs jobs on the cluster until each has a part."""

    def __init__(self, chosen, sent):
        self.chosen, self.sent = chosen, ray.put(sent)
        # The driver retries, so that it can tell failures of nodes from those of commands.
        self.remote = ray.remote(work).options(num_cpus=chosen.cpus, max_retries=0, scheduling_strategy="SPREAD")
        self.running, self.seconds, self.attempts, self.again = {}, [], {}, set()

    def begin(self, job):
        self.running[self.remote.remote(job, self.sent)] = (job, time.monotonic())

    def slots(self):
        """The number of jobs that the nodes of this moment can run."""
        return max(1, int(ray.cluster_resources().get("CPU", 0) // self.chosen.cpus))

    def is_slow(self, job, began):
        enough = len(self.seconds) >= 3 and job.name not in self.again
        return enough and time.monotonic() - began > max(self.chosen.least, self.chosen.slow * statistics.median(self.seconds))

    def run(self, jobs):
        waiting, done = list(reversed(jobs)), set()
        with tqdm.tqdm(total=len(jobs), unit="shard", disable=self.chosen.quiet) as bar:
            while len(done) < len(jobs):
                while waiting and len(self.running) < self.slots():
                    self.begin(waiting.pop())
                if not waiting:
                    slow = [job for job, began in self.running.values() if self.is_slow(job, began)]
                    for job in slow[:max(0, self.slots() - len(self.running))]:
                        self.again.add(job.name)
                        tqdm.tqdm.write(f"{job.name} is slow: it runs a second time", file=sys.stderr)
                        self.begin(job)
                ready, _ = ray.wait(list(self.running), timeout=1)
                for reference in ready:
                    job, _ = self.running.pop(reference)
                    if job.name in done:
                        continue
                    if self.finished(job, reference):
                        done.add(job.name)
                        bar.update()
                        self.cancel(job)
                    else:
                        waiting.append(job)

    def finished(self, job, reference):
        """Whether the job has its part. A failure is reported; it raises once the retries are used up."""
        try:
            seconds = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Invalid):
                sys.exit(f"{job.name}: {error.cause}")
            return self.failed(job, error.cause)
        except ray.exceptions.RayError as error:
            return self.failed(job, f"its node or its process died ({type(error).__name__})")
        if seconds:
            self.seconds.append(seconds)
        return True

    def failed(self, job, reason):
        self.attempts[job.name] = self.attempts.get(job.name, 0) + 1
        if self.attempts[job.name] > self.chosen.retries:
            sys.exit(f"{job.name} failed {self.attempts[job.name]} times, the last time: {reason}\nThe same command resumes.")
        tqdm.tqdm.write(f"{job.name} runs again: {reason}", file=sys.stderr)
        return False

    def cancel(self, job):
        """Cancels the second run of a job that is done."""
        for reference in [reference for reference, (other, _) in self.running.items() if other is job]:
            ray.cancel(reference, force=True)


def joined(jobs, out):
    """Joins the parts in their order: aside, then renamed."""
    files, path = storage(out)
    if "/" in path:
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    aside = f"{path}.{uuid.uuid4().hex}"
    with files.open(aside, "wb") as whole:
        for job in jobs:
            with fsspec.open(job.part, "rb") as part:
                while block := part.read(1 << 22):
                    whole.write(block)
    files.mv(aside, path)


def unpacked(jobs, out, by_name):
    """Unpacks the parts into one folder, or each into a folder of its own."""
    files, path = storage(out)
    for job in jobs:
        with fsspec.open(job.part, "rb") as part, tarfile.open(fileobj=part, mode="r|") as tar:
            for entry in tar:
                target = "/".join([path, *([job.name] if by_name else []), entry.name])
                files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                aside = f"{target}.{uuid.uuid4().hex}"
                files.pipe_file(aside, tar.extractfile(entry).read())
                files.mv(aside, target)


def sharded(chosen):
    """The jobs of `generate` and `trajectories`."""
    is_folder = chosen.what == "trajectories"
    jobs = []
    for shard in range(1, chosen.shards + 1):
        name = f"shard-{shard:05}-of-{chosen.shards:05}"
        out = "{out}" if is_folder else "{file}"
        extra = ["--quiet"] if is_folder else []
        command = (chosen.conjoint, chosen.what, *chosen.rest, "--shard", f"{shard}/{chosen.shards}", "--out", out, *extra)
        jobs.append(Job(name, command, f"{chosen.parts}/{name}", is_folder))
    return jobs


def commands(chosen):
    """The jobs of `each`."""
    lines = pathlib.Path(chosen.commands).read_text(encoding="utf-8").splitlines()
    jobs = []
    for number, line in enumerate((line for line in lines if line.strip()), 1):
        words = shlex.split(line)
        if words[0] == "conjoint":
            words[0] = chosen.conjoint
        if not any("{out}" in word for word in words):
            sys.exit(f"{chosen.commands}: the command {line!r} has no {{out}}")
        name = f"{number:05}"
        jobs.append(Job(name, tuple(words), f"{chosen.parts}/{name}", True))
    return jobs


def sent_files(chosen):
    """The content of the files that the nodes need."""
    pairs = zip(chosen.rest, chosen.rest[1:])
    return {value: pathlib.Path(value).read_bytes() for flag, value in pairs if flag == "--prompts"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["generate", "trajectories", "each"], help="the command to spread")
    parser.add_argument("--out", required=True, help="file or folder of the output: a path, or an address of fsspec")
    parser.add_argument("--shards", type=int, default=16, help="number of parts; several for each node balance the load")
    parser.add_argument("--commands", help="file of commands, for each")
    parser.add_argument("--parts", help="folder of the parts [default: that of --out, with .parts]")
    parser.add_argument("--keep-parts", action="store_true", help="keep the parts after they are collected")
    parser.add_argument("--conjoint", default="conjoint", help="the command, on every node")
    parser.add_argument("--cpus", type=float, default=2, help="cores of a job; give the command --threads to match")
    parser.add_argument("--retries", type=int, default=3, help="times that a job runs again after a failure")
    parser.add_argument("--slow", type=float, default=2, help="run a job again if it takes this many times the median")
    parser.add_argument("--least", type=float, default=30, help="but not before this many seconds")
    parser.add_argument("--address", help="address of the Ray cluster")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    own, rest = sys.argv[1:], []
    if "--" in own:
        place = own.index("--")
        own, rest = own[:place], own[place + 1:]
    chosen = parser.parse_args(own)
    chosen.rest = rest
    chosen.parts = chosen.parts or f"{str(chosen.out).rstrip('/')}.parts"
    if (chosen.what == "each") != bool(chosen.commands):
        parser.error("--commands is for each, which needs it")
    for flag in ("--shard", "--out"):
        if flag in rest:
            parser.error(f"{flag} after `--` is set by this script")
    return chosen


def main():
    chosen = arguments()
    jobs = commands(chosen) if chosen.what == "each" else sharded(chosen)
    # Credentials and addresses of storage go with the jobs.
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "FSSPEC_"))}
    ray.init(address=chosen.address or os.environ.get("RAY_ADDRESS"), log_to_driver=False, logging_level="error",
             runtime_env={"env_vars": variables} if variables else None)
    Spread(chosen, sent_files(chosen)).run(jobs)
    if chosen.what == "generate":
        joined(jobs, chosen.out)
    else:
        unpacked(jobs, chosen.out, chosen.what == "each")
    if not chosen.keep_parts:
        files, path = storage(chosen.parts)
        files.rm(path, recursive=True)
    print(f"{chosen.out}: {len(jobs):,} parts")


if __name__ == "__main__":
    main()
