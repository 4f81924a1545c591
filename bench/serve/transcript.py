"""Writes docs/serving-transcript.md: the server, its page in a browser, and lm-evaluation-harness, with the output of every command.

    python3 bench/serve/transcript.py --conjoint target/release/conjoint

Starts `conjoint serve --model models/tiny`, and records what these answer: curl (state, models, a completion, a stream), the page at `/` in
a headless Chromium, the metrics after that, and the command `lm_eval` on two tasks from local files. Two facts are checked on the way: the
page shows the text that curl gets for the same seed, and the harness reports the score that direct requests through the package openai
give. docs/serving-page.png is the page in that moment.

Every command of the transcript is run as it stands there, in the repository's root. Long outputs are cut where `…` stands. Ids of answers
and times differ from run to run, and are replaced by `…` too; everything else is the same on every run of one machine. A newer processor
may round differently.

Requires the packages of requirements.txt, curl, and Chromium or Chrome. Nothing is downloaded.
"""

import argparse
import base64
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

import clients

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
PATIENCE = 60
# Of the tasks. A path relative to the repository's root, so that no other one gets into the transcript.
FOLDER = pathlib.Path("runs/transcript")
PROMPT, SEED, TOKENS, K = "<story>the old", 3, 32, 4
# The texts of the two panes, white space included, and their counters.
TEXTS = """[...document.querySelectorAll(".pane .text")].map((text) =>
    [...text.children].map((cell) => cell.textContent).join("").replaceAll("·", " ").replaceAll("⏎", "\\n"))"""
ENDS = '[...document.querySelectorAll(".pane .end")].map((end) => end.textContent)'
STRATEGIES = '[...document.querySelectorAll(".strategy")].map((select) => select.selectedOptions[0].textContent)'
COUNTS = """[...document.querySelectorAll(".pane .counts")].map((counts) =>
    [...counts.children].filter((pair) => !pair.hidden).map((pair) => [...pair.children].map((part) => part.textContent)))"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--port", type=int, default=8000, help="port of the server")
    parser.add_argument("--num", type=int, default=40, help="questions of the harness")
    parser.add_argument("--out", type=pathlib.Path, default="docs", help="folder of serving-transcript.md and serving-page.png")
    return parser.parse_args()


class Page:
    """A page of a headless Chromium, driven by its DevTools protocol over a pipe."""

    def __init__(self, profile):
        command = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        if command is None:
            sys.exit(f"none of {', '.join(BROWSERS)} is on the PATH")
        # The browser reads from descriptor 3 and writes to descriptor 4. Ours have larger numbers, so that none is overwritten.
        theirs_in, self.write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        read, theirs_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in os.pipe())
        actions = [
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"]
        # Chromium's own sandbox does not run as root.
        flags += ["--no-sandbox"] * (os.geteuid() == 0)
        self.process = os.posix_spawn(command, [command, *flags, f"--user-data-dir={profile}"], os.environ, file_actions=actions)
        os.close(theirs_in)
        os.close(theirs_out)
        self.answers, self.number, self.session = open(read, "rb"), 0, None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.command("Emulation.setDeviceMetricsOverride", width=960, height=760, deviceScaleFactor=1, mobile=False)

    def message(self):
        """The next message. Each ends with a zero byte."""
        content = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            if not byte:
                raise SystemExit("the browser ended")
            content += byte
        return json.loads(content)

    def command(self, method, **parameters):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters, **({"sessionId": self.session} if self.session else {})}
        os.write(self.write, json.dumps(asked).encode() + b"\0")
        while (answer := self.message()).get("id") != self.number:
            pass
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        return answer["result"]

    def value(self, expression):
        made = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in made:
            raise SystemExit(f"{expression}: {made['exceptionDetails']}")
        return made["result"].get("value")

    def wait_for(self, expression):
        end = time.monotonic() + PATIENCE
        while self.value(f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()") is not True:
            if time.monotonic() > end:
                raise SystemExit(f"{expression} stays false")
            time.sleep(0.02)

    def close(self):
        with contextlib.suppress(OSError):
            self.command("Browser.close")
        os.waitpid(self.process, 0)


class Transcript:
    """Markdown of commands and their outputs."""

    def __init__(self, chosen):
        # The commands are found by their bare names.
        folders = [str(pathlib.Path(chosen.conjoint).resolve().parent), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {
            "PATH": os.pathsep.join(folders), "HF_HOME": str(FOLDER / "cache"), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1",
        }
        self.parts = []

    def say(self, text):
        self.parts.append(text + "\n")

    def show(self, content, language="text"):
        self.parts.append(f"```{language}\n{content.rstrip()}\n```\n")

    def run(self, command, keep=None):
        """Runs a command, and records it with its output. `keep` chooses and changes lines of the output."""
        done = subprocess.run(command, shell=True, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{command}\n{done.stdout}{done.stderr}\nended with code {done.returncode}")
        output = re.sub(r'"id":( ?)"cmpl-[^"]*"', r'"id":\1"…"', done.stdout)
        output = re.sub(r'"created":( ?)[1-9]\d*', r'"created":\1…', output)
        if keep:
            output = "\n".join(keep(output.splitlines()))
        self.show(f"$ {command}\n{output}", "console")
        return done.stdout


def some(first, last):
    """Keeps the first and the last lines."""
    return lambda lines: [*lines[:first], "…", *lines[-last:]] if len(lines) > first + last else lines


def request(**more):
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": TOKENS, "seed": SEED, **more}
    return json.dumps(body)


def completions(url, body):
    return f"curl -sN {url}/v1/completions -H 'Content-Type: application/json' \\\n    -d '{body}'"


def indented(command):
    return f"{command} |\n    python3 -m json.tool"


def drive(page, url, transcript, whole, picture):
    """Opens the page, clicks on the button, and records what it shows."""
    query = urllib.parse.urlencode(
        {"prompt": PROMPT, "tokens": TOKENS, "seed": SEED, "pace": 0, "k": K, "left": "marginal", "right": "joint:window=3"},
        quote_via=urllib.parse.quote)
    page.command("Page.navigate", url=f"{url}/?{query}")
    page.wait_for('document.getElementById("model").textContent === "tiny"')
    page.value('document.getElementById("run").click()')
    page.wait_for(f'{ENDS}.length === 2 && {ENDS}.every((end) => end.startsWith("finished"))')
    transcript.say("A headless Chromium opens this address and clicks on *Unmask*:")
    transcript.show(f"{url}/?{query}")
    transcript.say("When both panes say that they are finished, they show:")
    rows = []
    for name, text, counts, end in zip(page.value(STRATEGIES), page.value(TEXTS), page.value(COUNTS), page.value(ENDS)):
        counts = ", ".join(f"{label.lower()} {value}" for label, value in counts)
        rows.append(f"{name}\n    {text!r}\n    {counts}; {end}")
    transcript.show("\n".join(rows))
    picture.write_bytes(base64.b64decode(page.command("Page.captureScreenshot", format="png")["data"]))
    transcript.say(f"![The page: settings above, two strategies side by side with their counters and texts below.]({picture.name})")
    shown = page.value(TEXTS)
    assert shown[0].startswith(PROMPT + whole["choices"][0]["text"]), (shown, whole)


def main():
    chosen = arguments()
    out = Transcript(chosen)
    os.environ |= {"OPENAI_API_KEY": "none", "PATH": out.environment["PATH"]}
    url = f"http://localhost:{chosen.port}"
    out.say("# A session with the server")
    out.say("The server of [Serving](serving.md), its page in a browser, and lm-evaluation-harness ([Evaluation](evaluation.md)), with every\n"
            "command and what it printed. `bench/serve/transcript.py` writes this page. Ids, times and what was left out are `…`.")
    with contextlib.ExitStack() as stack:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        stack.callback(shutil.rmtree, FOLDER)
        stack.enter_context(clients.server("conjoint", "models/tiny", "tiny", chosen.port, None))
        out.say("## The server")
        out.show(f"$ conjoint serve --model models/tiny --name tiny --port {chosen.port} --log warn &\nhttp://127.0.0.1:{chosen.port}", "console")
        out.run(f"curl -s -w '\\n%{{http_code}}\\n' {url}/health")
        out.run(f"curl -s {url}/v1/models | python3 -c 'import json, sys; print(*[model[\"id\"] for model in json.load(sys.stdin)[\"data\"]])'")
        out.say("## A completion, and the same as a stream")
        independent = {"conjoint": {"unmasker": "marginal", "schedule": f"per-step:{K}"}}
        whole = json.loads(out.run(indented(completions(url, request(**independent)))))
        streamed = out.run(completions(url, request(**independent, stream=True)), lambda lines: some(2, 2)([line for line in lines if line]))
        events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        joined = "".join(event["choices"][0]["text"] for event in events if event["choices"])
        assert joined == whole["choices"][0]["text"], (joined, whole)
        out.say(f"The parts of the {len(events)} events, one after the other, are the text above.")
        layered = {"conjoint": {"unmasker": "joint:window=3", "schedule": f"per-step:{K}"}}
        out.say("The sampler layer draws the tokens of a step jointly, for the same number of forwards:")
        out.run(indented(completions(url, request(**layered))), some(15, 1))
        out.say("## The page")
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        page = Page(profile)
        try:
            drive(page, url, out, whole, chosen.out / "serving-page.png")
        finally:
            page.close()
        out.say("The left pane has the text that curl got for the same seed.")
        out.say("## The metrics")
        names = "requests|sequences|forwards|sampler_passes|revealed_tokens"
        out.run(f"curl -s {url}/metrics | grep -E '^conjoint_({names})_total' | sort")
        out.say("## lm-evaluation-harness")
        asked = clients.questions(argparse.Namespace(conjoint=chosen.conjoint, num=chosen.num))
        generates, chooses = clients.write_tasks(asked, FOLDER)
        out.say(f"Two tasks on {len(asked)} problems of the corpus of `models/tiny`, from local files that `bench/serve/clients.py` writes:\n"
                "an answer to generate, and one of four answers to choose. The harness takes the tokenizer from the server.")
        model = f"model=tiny,base_url={url}/v1/completions,tokenizer_backend=remote,num_concurrent=4,max_length=48"
        harness = out.run(
            f"lm_eval --model local-completions --include_path {FOLDER} --tasks {generates},{chooses} \\\n    --model_args {model}",
            lambda lines: [line for line in lines if line.startswith("|")])
        out.say("The answers of the server until now:")
        out.run(f"curl -s {url}/metrics | grep -E '^conjoint_({names})_total' | sort")
        import openai

        right, best = clients.ask_directly(openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0), asked)
        out.say(f"The same questions, sent directly through the package openai, give {right:.3f} right answers and {best:.3f} right choices.")
        scores = {line.split("|")[5].strip(): float(line.split("|")[7]) for line in harness.splitlines() if line.startswith("|") and "↑" in line}
        assert abs(scores["exact_match"] - right) < 1e-3 and abs(scores["acc"] - best) < 1e-3, (scores, right, best)
    text = "\n".join(out.parts).rstrip() + "\n"
    aside = chosen.out / ".serving-transcript.md-new"
    aside.write_text(text)
    aside.replace(chosen.out / "serving-transcript.md")


if __name__ == "__main__":
    main()
