"""Reads generated strings: replies of `conjoint generate --prompts … --out FILE.jsonl`, or text files with one string a line."""

import json
import sys

END = "[EOS]"


def text(reply):
    """The string of a reply up to its first end token. A request that failed counts as an empty string, which is invalid."""
    if reply.get("error") is not None:
        return ""
    # `text` is the whole text of a request with holes, `completion` the generated part.
    whole = reply["text"] if reply.get("text") is not None else reply.get("completion")
    if whole is None:
        raise ValueError("expected the key `text` or `completion`; models without a tokenizer return neither")
    return whole.split(END)[0].strip()


def lines(path):
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{path}: {error}")


def objects(path):
    """The JSON objects of the lines of a file."""
    found = []
    for number, line in enumerate(lines(path), 1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            sys.exit(f"{path}, line {number}: {error}")
    return found


def replies(path):
    """The `id` and the string of each reply of a .jsonl file."""
    found = []
    for number, reply in enumerate(objects(path), 1):
        try:
            found.append((reply.get("id"), text(reply)))
        except (AttributeError, ValueError) as error:
            sys.exit(f"{path}, line {number}: not a reply of `conjoint generate --prompts`: {error}")
    return found


def strings(path):
    """The strings of a file in their order. Empty lines of a text file count: they are invalid strings."""
    if path.suffix == ".jsonl":
        found = [string for _, string in replies(path)]
    else:
        found = [line.strip() for line in lines(path)]
    if not found:
        sys.exit(f"{path}: expected at least one string, found none")
    return found
