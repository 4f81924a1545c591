"""Writes requests for `conjoint generate --prompts`: new molecules, or infilling tasks made from the test set of MOSES.

    python3 bench/molecules/prompts.py runs/molecules --num 30000 --out new.jsonl
    python3 bench/molecules/prompts.py runs/molecules --task linker --num 1000 --out linker.jsonl
    conjoint generate --model MODEL --prompts linker.jsonl --num-samples 8 --out replies.jsonl

Without a task, a request is n masks and the end token. n is the number of tokens of a random string of train.txt. With `--canvas N`, it is
N masks: for models that end a string by themselves (`conjoint generate --stop-at-eos`).

With a task, a request is a string of test.txt with one hole, of as many masks as tokens are hidden. The model thus knows the length of
the hidden part. `scaffold` hides the only side chain of a scaffold, `linker` what links two fragments (cuts.py). Test molecules
whose hidden part is not one range of the string are left out. With `--rewrite`, RDKit may write the string from another
atom. Such a string is rarely RDKit's canonical one, and all strings of train.txt are. The file beside the requests, NAME.answers.jsonl,
has what judge.py needs. Each request is checked: with the hidden tokens in their place, it is the test molecule.

Requires the packages of requirements.txt.
"""

import argparse
import json
import pathlib
import random
import sys

import fetch
import judge
from tokenizers import Tokenizer


def write_lines(path, objects):
    path.parent.mkdir(parents=True, exist_ok=True)
    fetch.write(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in objects).encode())


def request(before, masks, after, index, draw):
    """A request with a seed of its own."""
    return {"infill": f"{before}[MASK*{masks}]{after}{fetch.END}", "id": index, "seed": draw.getrandbits(32)}


def canvases(masks, num, draw):
    return [{"infill": f"[MASK*{masks}]", "id": index, "seed": draw.getrandbits(32)} for index in range(num)]


def unconditional(tokenizer, texts, num, draw):
    drawn = draw.choices(texts, k=num)
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(drawn)]
    return [request("", length, "", index, draw) for index, length in enumerate(lengths)]


def check(tokenizer, hole, smiles):
    """Checks that the filled string is the molecule, and that the parts are tokenized as the whole."""
    from rdkit import Chem

    whole = "".join(hole.parts())
    if Chem.CanonSmiles(whole) != Chem.CanonSmiles(smiles):
        sys.exit(f"{smiles}: the filled string {whole} is another molecule")
    ids = [tokenizer.encode(part).ids for part in hole.parts()]
    if sum(ids, []) != tokenizer.encode(hole.text).ids or len(ids[1]) != hole.end - hole.start:
        sys.exit(f"{smiles}: the parts {hole.parts()} are not tokenized as the whole")


def infilling(tokenizer, texts, task, num, rewrite, draw):
    """The requests, their answers, and the number of test molecules that were tried."""
    import cuts
    from rdkit import RDLogger

    RDLogger.DisableLog("rdApp.*")
    requests, answers = [], []
    for tried, smiles in enumerate(draw.sample(texts, len(texts)), 1):
        if hole := cuts.holes(task, smiles, rewrite, draw):
            check(tokenizer, hole, smiles)
            before, hidden, after = hole.parts()
            index = len(requests)
            requests.append(request(before, hole.end - hole.start, after, index, draw))
            parts = {"before": before, "hidden": hidden, "after": after, "hidden_tokens": [hole.start, hole.end], "kept": hole.kept}
            answers.append({"id": index, "task": task, "molecule": smiles, "rewritten": hole.text != smiles, **parts})
        if len(requests) == num:
            return requests, answers, tried
    sys.exit(f"test.txt has {len(requests):,} molecules for --task {task}: expected --num of at most that")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of fetch.py")
    parser.add_argument("--num", type=judge.positive, required=True, help="number of requests")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="file of the requests, a .jsonl file")
    parser.add_argument("--task", choices=["scaffold", "linker"], help="make infilling tasks")
    parser.add_argument("--rewrite", action="store_true", help="with --task: also strings that begin at another atom")
    parser.add_argument("--canvas", type=judge.positive, metavar="N", help="requests of N masks without an end token")
    parser.add_argument("--seed", type=int, default=0, help="seed of lengths, molecules, holes, and of the seed of each request")
    chosen = parser.parse_args()
    if chosen.out.suffix != ".jsonl":
        parser.error(f"invalid value {chosen.out} for --out: expected a .jsonl file")
    if chosen.rewrite and not chosen.task:
        parser.error("--rewrite requires --task")
    if chosen.canvas and chosen.task:
        parser.error("--canvas is not for --task")
    draw = random.Random(chosen.seed)
    name = "test.txt" if chosen.task else "train.txt"
    try:
        tokenizer = Tokenizer.from_str((chosen.folder / "tokenizer.json").read_text(encoding="utf-8"))
        texts = (chosen.folder / name).read_text(encoding="ascii").split()
    except OSError as error:
        sys.exit(f"{error}: run python3 bench/molecules/fetch.py {chosen.folder}")
    if chosen.canvas:
        requests = canvases(chosen.canvas, chosen.num, draw)
    elif not chosen.task:
        requests = unconditional(tokenizer, texts, chosen.num, draw)
    else:
        requests, answers, tried = infilling(tokenizer, texts, chosen.task, chosen.num, chosen.rewrite, draw)
        place = chosen.out.with_suffix(".answers.jsonl")
        write_lines(place, answers)
        rewritten = sum(answer["rewritten"] for answer in answers)
        print(f"{place}: from {tried:,} test molecules; {rewritten:,} strings begin at another atom")
    write_lines(chosen.out, requests)
    print(f"{chosen.out}: {len(requests):,} requests")


if __name__ == "__main__":
    main()
