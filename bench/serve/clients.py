"""Drives a server with programs that others wrote: the package openai, and lm-evaluation-harness.

    python3 bench/serve/clients.py --conjoint target/release/conjoint --model models/tiny

Starts `conjoint serve` on a free port with a key, and checks:

- openai: completions, streams, log-probabilities, several samples, the list of models, and the errors that the package raises.
- lm-evaluation-harness, model `local-completions`: one task of `generate_until` and one of `loglikelihood` (multiple choice), from local
  files. Their texts are the corpus of models/tiny. The harness takes the tokenizer from the server. The same answers are also
  asked for directly, and the harness must report exactly their score.
- lm-evaluation-harness, model `local-chat-completions`: the first task as chats, on a copy of the model with a chat template.

Requires the packages of requirements.txt. Nothing is downloaded.
"""

import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

KEY = "a-key"
TOKENS = 12
# The tag <code> or <list> is one token.
TAG = 5
GENERATE = {
    "task": "conjoint_answers",
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["<eos>"], "max_gen_toks": TOKENS, "temperature": 0},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
CHOOSE = {
    "task": "conjoint_choices",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_target": 0,
    "doc_to_choice": "{{choices}}",
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--model", default="models/tiny", help="folder of the model")
    parser.add_argument("--num", type=int, default=40, help="questions")
    return parser.parse_args()


@contextlib.contextmanager
def server(command, model, name="tiny", port=0, key=KEY, flags=()):
    """The address of a running server. Other scripts use this too."""
    environment = {variable: value for variable, value in os.environ.items() if variable != "CONJOINT_API_KEY"}
    if key:
        environment["CONJOINT_API_KEY"] = key
    command = [command, "serve", "--model", model, "--name", name, "--port", str(port), "--log", "warn", *flags]
    with_parent = None
    if sys.platform == "linux":
        # The server ends with this process, even if that is killed: PR_SET_PDEATHSIG is 1.
        prctl = ctypes.CDLL(None).prctl

        def with_parent():
            prctl(1, signal.SIGTERM)

    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=with_parent)
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit("the server did not start")
        yield address
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    if code:
        raise SystemExit(f"the server ended with code {code}")


def questions(chosen):
    """Problems of the corpus with their answers, short enough for 48 positions, with wrong answers to choose from."""
    found, draw = [], random.Random(1)
    for domain in ("code", "list"):
        lines = []
        for extra in (["--questions"], []):
            command = [chosen.conjoint, "corpus", "--num", "600", "--seed", "11", "--domain", domain, *extra]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            lines.append([line.replace("\\n", "\n") for line in printed.splitlines()])
        pairs = []
        for question, text in zip(*lines):
            assert text.startswith(question), (question, text)
            answer = text[len(question):]
            if 0 < len(answer) <= TOKENS and len(question) <= 48 + TAG - TOKENS:
                pairs.append((question, answer))
        answers = sorted({answer for _, answer in pairs})
        for question, answer in pairs[:chosen.num // 2]:
            others = draw.sample([other for other in answers if other != answer], 3)
            found.append({"question": question, "answer": answer, "choices": [answer, *others]})
    return found


def check_openai(url, asked):
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    assert [model.id for model in client.models.list()][0] == "tiny"
    request = {"model": "tiny", "prompt": "<story>the old", "max_tokens": 32, "seed": 3}
    whole = client.completions.create(**request)
    parts = client.completions.create(**request, stream=True, stream_options={"include_usage": True})
    parts = list(parts)
    streamed = "".join(part.choices[0].text for part in parts if part.choices)
    assert streamed == whole.choices[0].text and parts[-1].usage == whole.usage, (streamed, whole)
    assert whole.usage.completion_tokens > 0
    strategy = {"conjoint": {"unmasker": "joint:window=3", "schedule": "per-step:4"}}
    several = client.completions.create(**request | {"n": 3}, logprobs=2, extra_body=strategy)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.conjoint["denoiser_calls"] < several.usage.completion_tokens
    assert all(value <= 0 for value in several.choices[0].logprobs.token_logprobs)
    for error, wrong in (
        (openai.BadRequestError, {"temperature": -1}),
        (openai.NotFoundError, {"model": "huge"}),
        (openai.BadRequestError, {"presence_penalty": 1}),
    ):
        try:
            client.completions.create(**request | wrong)
        except error as raised:
            assert raised.body["message"], raised
        else:
            raise AssertionError(f"{wrong} was accepted")
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()
    except openai.AuthenticationError:
        pass
    else:
        raise AssertionError("a wrong key was accepted")
    return ask_directly(client, asked)


def ask_directly(client, asked):
    """The judge of the harness: the share of right answers, and that of right choices, of the same questions asked here."""
    right = 0
    for item in asked:
        made = client.completions.create(model="tiny", prompt=item["question"], max_tokens=TOKENS, temperature=0, stop=["<eos>"])
        right += made.choices[0].text == item["answer"]
    chosen = 0
    for item in asked:
        sums = []
        for choice in item["choices"]:
            made = client.completions.create(
                model="tiny", prompt=item["question"] + choice, max_tokens=1, temperature=0, logprobs=1, echo=True)
            sums.append(sum(made.choices[0].logprobs.token_logprobs[-1 - len(choice):-1]))
        chosen += sums.index(max(sums)) == 0
    return right / len(asked), chosen / len(asked)


def check_chats(url, asked):
    """The share of right answers to chats."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    right = 0
    for item in asked:
        messages = [{"role": "user", "content": item["question"]}]
        made = client.chat.completions.create(model="tiny", messages=messages, max_tokens=TOKENS, temperature=0, stop=["<eos>"])
        assert made.choices[0].message.role == "assistant"
        right += made.choices[0].message.content == item["answer"]
    return right / len(asked)


def with_template(chosen, folder):
    """A copy of the model with a chat template."""
    copy = folder / "chat"
    shutil.copytree(chosen.model, copy)
    (copy / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    return str(copy)


def write_tasks(asked, folder):
    """Writes the questions and the two tasks of the harness. Returns the names of the tasks."""
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(item) + "\n" for item in asked))
    source = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test"}
    for task in (GENERATE, CHOOSE):
        # JSON is YAML.
        (folder / f"{task['task']}.yaml").write_text(json.dumps(task | source))
    return [GENERATE["task"], CHOOSE["task"]]


def check_harness(url, asked, folder, is_chat=False):
    os.environ |= {"OPENAI_API_KEY": KEY, "HF_HOME": str(folder), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    import lm_eval
    from lm_eval.tasks import TaskManager

    names = write_tasks(asked, folder)
    common = {"bootstrap_iters": 0, "task_manager": TaskManager(include_path=str(folder), include_defaults=False)}
    if is_chat:
        model = f"model=tiny,base_url={url}/v1/chat/completions,num_concurrent=4"
        results = lm_eval.simple_evaluate(
            model="local-chat-completions", model_args=model, tasks=names[:1], apply_chat_template=True, **common)["results"]
        return results[names[0]]["exact_match,none"]
    model = f"model=tiny,base_url={url}/v1/completions,tokenizer_backend=remote,auth_token={KEY},num_concurrent=4,max_length=48,batch_size=1"
    results = lm_eval.simple_evaluate(model="local-completions", model_args=model, tasks=names, **common)["results"]
    return results[names[0]]["exact_match,none"], results[names[1]]["acc,none"]


def main():
    chosen = arguments()
    asked = questions(chosen)
    with tempfile.TemporaryDirectory() as folder, server(chosen.conjoint, chosen.model) as url:
        direct = check_openai(url, asked)
        print(f"openai: right answers {direct[0]:.3f}, chosen answers {direct[1]:.3f} of {len(asked)}")
        harness = check_harness(url, asked, pathlib.Path(folder))
        print(f"lm-evaluation-harness: right answers {harness[0]:.3f}, chosen answers {harness[1]:.3f}")
        assert all(abs(one - other) < 1e-9 for one, other in zip(direct, harness)), (direct, harness)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        # The harness strips spaces at the end of a message.
        asked = [item for item in asked if item["question"] == item["question"].strip()]
        with server(chosen.conjoint, with_template(chosen, folder)) as url:
            direct = check_chats(url, asked)
            harness = check_harness(url, asked, folder, is_chat=True)
            print(f"chats: right answers {direct:.3f}, by the harness {harness:.3f}, of {len(asked)}")
            assert abs(direct - harness) < 1e-9, (direct, harness)


if __name__ == "__main__":
    main()
