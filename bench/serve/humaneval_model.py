"""Trains a small model on Python functions, so that humaneval.py has something to run on any machine.

    python3 bench/serve/humaneval_model.py runs/functions --conjoint target/release/conjoint --minutes 8

The texts are the functions of the Python standard library that have a docstring: every machine with Python has them. HumanEval's problems
are functions with docstrings too, so the model knows the form of a prompt. It is far too small to solve the problems. Its use is to run
the harness from end to end. Writes into the folder:

- functions.jsonl: the functions, one object with the key "text" a line, each dedented and once;
- tokenizer.json: byte-level BPE, trained on them;
- base/: the checkpoint of `conjoint train base`, which `conjoint export` makes a model of.

A line break is always a token of its own. Prompts of HumanEval end with one, and a model continues best if its texts have a border between
tokens at the same place.

Rows have --length tokens, and several functions each (--packed). An interrupted run resumes when the command runs again with the same
version of Python. Requires the package `tokenizers`.
"""

import argparse
import ast
import json
import pathlib
import subprocess
import sys
import sysconfig
import textwrap

from humaneval import write

MASK, END = "[MASK]", "[EOS]"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the files and of the model")
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--minutes", type=float, default=8, help="time of training")
    parser.add_argument("--length", type=int, default=640, help="tokens of a row: the longest prompt and what is generated")
    parser.add_argument("--vocabulary", type=int, default=2048, help="number of tokens")
    parser.add_argument("--hidden", type=int, default=128, help="width of the model")
    parser.add_argument("--layers", type=int, default=4, help="layers of the model")
    parser.add_argument("--batch", type=int, default=4, help="rows of a training step")
    parser.add_argument("--device", default="cpu", help="as for `conjoint train base --device`")
    return parser.parse_args()


def functions():
    """The functions of the standard library that have a docstring, without the tests of the library."""
    library, found, skipped = pathlib.Path(sysconfig.get_paths()["stdlib"]), {}, 0
    for path in sorted(library.rglob("*.py")):
        folders = set(path.relative_to(library).parts[:-1])
        if folders & {"site-packages", "dist-packages", "test", "tests", "idle_test", "__phello__"}:
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError, ValueError):
            skipped += 1
            continue
        lines = source.splitlines(keepends=True)
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or ast.get_docstring(node) is None or len(node.body) == 1:
                continue
            text = textwrap.dedent("".join(lines[node.lineno - 1:node.end_lineno])).expandtabs(4).rstrip() + "\n"
            if text.startswith("def ") and MASK not in text and END not in text:
                found[text] = None
    if skipped:
        print(f"{skipped} files of the library could not be parsed")
    return list(found)


def tokenizer(texts, size):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split("\n", "isolated"), bytes_])
    made.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in (MASK, END)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts, trainer)
    lengths = []
    for text in texts:
        ids = made.encode(text).ids
        if made.decode(ids, skip_special_tokens=False) != text:
            sys.exit(f"the tokenizer does not return a function unchanged:\n{text}")
        lengths.append(len(ids))
    return made, lengths


def main():
    chosen = arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    texts = functions()
    made, lengths = tokenizer(texts, chosen.vocabulary)
    long = sum(length >= chosen.length for length in lengths)
    print(f"{len(texts):,} functions of Python {sys.version.split()[0]}, {sum(map(len, texts)):,} characters, {sum(lengths):,} tokens")
    print(f"{long:,} functions are longer than a row of {chosen.length} tokens, and are left out", flush=True)
    path, vocabulary = chosen.folder / "functions.jsonl", chosen.folder / "tokenizer.json"
    write(path, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    write(vocabulary, made.to_str(pretty=True))
    sizes = ["--hidden", chosen.hidden, "--layers", chosen.layers, "--ffn", 3 * chosen.hidden, "--heads", 4, "--kv-heads", 4]
    train = [
        chosen.conjoint, "train", "base", "--texts", path, "--tokenizer", vocabulary, "--dir", chosen.folder / "base",
        "--packed", "--skip-long", "--length", chosen.length, "--rope-theta", 10000, *sizes, "--batch", chosen.batch,
        "--held-out", 256, "--validation-rows", 16, "--warmup", 40, "--average-decay", 0.98, "--minutes", chosen.minutes, "--device", chosen.device,
    ]
    for command in (train, [chosen.conjoint, "export", chosen.folder / "base"]):
        print("+", *command, flush=True)
        subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()
