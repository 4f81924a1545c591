"""Compares the export's logits with the reference's, for tiny random checkpoints in every published layout.

    cargo build -p conjoint-cli --no-default-features
    python3 bench/checkpoints.py target/debug/conjoint [--only PART_OF_A_NAME]

prints the table of docs/checkpoints.md: for each layout, the largest difference of a logit on two sequences of 13 random ids, in
float32 on a CPU. Exits with status 1 if a difference is above 1e-4. Requires torch, transformers, safetensors, onnxruntime and numpy.

The reference of Dream and the Qwen-based models is Qwen2 or Qwen3 of Transformers with full attention, or with the block-causal mask
of the model. The checkpoint is written from its state, under the published names. Transformers has no class for LLaDA, so `Llada` below computes it like the published code (split-half RoPE in float32, RMS norms, silu(ff_proj x) * up_proj x).
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from graphs import Graphs

WORDS, MASK, LENGTH, BOUND = 96, 94, 13, 1e-4
SIZES = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=False)
NAMES = {"dream": ("Dream", "DreamModel"), "a2d-qwen2": ("a2d-qwen2", "A2DQwen2LMHeadModel"),
         "a2d-qwen3": ("a2d-qwen3", "A2DQwen3LMHeadModel"), "qwen2": ("qwen2", "Qwen2ForCausalLM"), "sdar": ("sdar", "SDARForCausalLM"),
         "fast-dllm": ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM"), "reasoner": ("Dream", "DreamForCausalLM")}
QWEN3 = ("a2d-qwen3", "sdar", "reasoner")


def randomise(state, dtype, seed):
    """Fills a state with random values that `dtype` represents exactly: norms near one, embeddings with a larger deviation."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in state.items():
        noise = torch.randn(value.shape, generator=generator)
        wide = "embed" in name or "wte" in name
        norm = name.endswith("weight") and ("norm" in name.lower() or "ln_f" in name)
        value.copy_(1 + 0.2 * noise if norm else (0.6 if wide else 0.15) * noise)
        value.copy_(value.to(dtype).float())


class Qwen:
    """Dream and its relatives: a decoder of Transformers without the causal mask, or with the mask of blocks."""

    def __init__(self, kind, dtype, theta=1e6, seed=0, block=None, **sizes):
        self.kind, self.block = kind, block
        normed = kind in QWEN3 or sizes.pop("norms", False)
        config, model = ((transformers.Qwen3Config, transformers.Qwen3ForCausalLM) if normed else
                         (transformers.Qwen2Config, transformers.Qwen2ForCausalLM))
        sizes = SIZES | ({"head_dim": 8} if normed else {}) | sizes
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}
        self.model = model(config(**sizes, **rope, attn_implementation="eager")).float().eval()
        with torch.no_grad():
            randomise(self.model.state_dict(), dtype, seed)
        model_type, name = NAMES[kind]
        self.config = sizes | dict(model_type=model_type, architectures=[name], mask_token_id=MASK, hidden_act="silu",
                                   rope_theta=theta, use_cache=True, eos_token_id=WORDS - 1)
        if block:
            self.config["bd_size" if kind == "fast-dllm" else "block_size"] = block

    def tensors(self):
        tied = self.model.config.tie_word_embeddings
        return {name: value for name, value in self.model.state_dict().items() if not (tied and name == "lm_head.weight")}

    def logits(self, ids):
        blocks = torch.arange(ids.shape[1]) // (self.block or ids.shape[1])
        mask = torch.zeros(len(blocks), len(blocks)).masked_fill(blocks[None] > blocks[:, None], float("-inf"))
        mask = mask.expand(len(ids), 1, -1, -1)
        return self.model(input_ids=ids, attention_mask={"full_attention": mask}, use_cache=False).logits


class Encoder:
    """BERT, ALBERT or ModernBERT, which have full attention."""

    def __init__(self, name, dtype, seed=0, **sizes):
        sizes = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=56, num_hidden_layers=4, num_attention_heads=4,
                     max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=1, cls_token_id=1,
                     sep_token_id=1) | sizes
        config = getattr(transformers, f"{name}Config")(**sizes, attn_implementation="eager")
        self.model = getattr(transformers, f"{name}ForMaskedLM")(config).float().eval()
        with torch.no_grad():
            randomise(self.model.state_dict(), dtype, seed)
        self.config = config.to_dict() | dict(architectures=[f"{name}ForMaskedLM"], mask_token_id=MASK)

    def tensors(self):
        seen = set()  # tied tensors are stored once, under their first name
        return {name: value for name, value in self.model.state_dict().items()
                if value.is_floating_point() and not (value.data_ptr() in seen or seen.add(value.data_ptr()))}

    def logits(self, ids):
        return self.model(input_ids=ids).logits


class Llada:
    def __init__(self, dtype, tied=False, kv_heads=4, seed=0):
        width, heads, ffn, layers = 32, 4, 56, 2
        self.heads, self.kv_heads, self.tied = heads, kv_heads, tied
        shapes = {"model.transformer.wte.weight": (WORDS, width), "model.transformer.ln_f.weight": (width,)}
        for layer in range(layers):
            kv = width // heads * kv_heads
            block = {"attn_norm": (width,), "ff_norm": (width,), "q_proj": (width, width), "k_proj": (kv, width),
                     "v_proj": (kv, width), "attn_out": (width, width), "ff_proj": (ffn, width), "up_proj": (ffn, width),
                     "ff_out": (width, ffn)}
            shapes |= {f"model.transformer.blocks.{layer}.{name}.weight": shape for name, shape in block.items()}
        if not tied:
            shapes["model.transformer.ff_out.weight"] = (WORDS, width)
        self.state = {name: torch.zeros(shape) for name, shape in shapes.items()}
        randomise(self.state, dtype, seed)
        self.layers, self.theta, self.eps = layers, 5e5, 1e-5
        self.config = dict(
            model_type="llada", architectures=["LLaDAModelLM"], activation_type="silu", block_type="llama", d_model=width,
            n_heads=heads, n_kv_heads=kv_heads, n_layers=layers, mlp_hidden_size=ffn, mlp_ratio=4, rope=True,
            rope_theta=self.theta, rms_norm_eps=self.eps, layer_norm_type="rms", include_bias=False, weight_tying=tied,
            vocab_size=WORDS, embedding_size=WORDS, max_sequence_length=128, mask_token_id=MASK, eos_token_id=WORDS - 1)

    def tensors(self):
        return self.state

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.state[f"model.transformer.{name}.weight"]

    def rotate(self, x):
        half = x.shape[-1] // 2
        frequencies = self.theta ** (-torch.arange(half) / half)
        angles = torch.arange(x.shape[-2])[:, None] * frequencies
        cos, sin = angles.cos(), angles.sin()
        first, second = x[..., :half], x[..., half:]
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)

    def logits(self, ids):
        state = self.state
        x = state["model.transformer.wte.weight"][ids]
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            linear = lambda x, name: x @ state[f"model.transformer.{block}.{name}.weight"].T
            split = lambda x, heads: x.unflatten(-1, (heads, -1)).transpose(1, 2)
            y = self.norm(x, f"{block}.attn_norm")
            q = self.rotate(split(linear(y, "q_proj"), self.heads))
            k, v = (split(linear(y, name), self.kv_heads) for name in ("k_proj", "v_proj"))
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (self.rotate(k), v))
            weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            x = x + linear((weights @ v).transpose(1, 2).flatten(2), "attn_out")
            y = self.norm(x, f"{block}.ff_norm")
            x = x + linear(torch.nn.functional.silu(linear(y, "ff_proj")) * linear(y, "up_proj"), "ff_out")
        head = "wte" if self.tied else "ff_out"
        return self.norm(x, "ln_f") @ state[f"model.transformer.{head}.weight"].T


def write(folder, reference, dtype, shards=1, mixed=False, pickled=False, extra=None):
    """The checkpoint as it is published: one file, or shards with their index; with `mixed`, norms in float32."""
    folder.mkdir(parents=True)
    config = {key: value for key, value in (reference.config | (extra or {})).items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(config))
    in_float32 = lambda name: mixed and "norm" in name
    tensors = {name: (value if in_float32(name) else value.to(dtype)).contiguous().clone()
               for name, value in reference.tensors().items()}
    if pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
        return
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    names, weight_map = list(tensors), {}
    for shard in range(shards):
        part = names[shard * len(names) // shards:(shard + 1) * len(names) // shards]
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        weight_map |= {name: file for name in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def into_cache(folder, root):
    """Moves a checkpoint into the layout of the Hub's cache; returns its snapshot."""
    snapshot = root / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    for file in folder.iterdir():
        blob = root / "blobs" / f"blob-{file.name}"
        shutil.move(file, blob)
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def difference(model, reference):
    """The largest difference of a logit, and the largest logit."""
    graphs = Graphs(model)
    ids = torch.from_numpy(np.random.default_rng(3).integers(0, WORDS, (2, LENGTH)))
    with torch.no_grad():
        expected = reference.logits(ids).numpy()
    got = graphs.logits(graphs.hidden(ids.numpy()), np.arange(ids.numel()))
    got = got.reshape(expected.shape)
    if graphs.manifest["shift"]:  # row i belongs to position i - 1 of the reference, and row 0 to position 0
        expected = np.concatenate((expected[:, :1], expected[:, :-1]), 1)
    return np.abs(got - expected).max(), np.abs(expected).max()


BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
OF_5 = {"rope_theta": "absent", "rope_parameters": {"rope_type": "default", "rope_theta": 5e3}}

# Architecture, layout, reference, arguments of `write`, flags of the export.
LAYOUTS = [
    ("Dream", "bfloat16, 4 shards", lambda: Qwen("dream", BF16), dict(dtype=BF16, shards=4), []),
    ("Dream", "float32, one file", lambda: Qwen("dream", F32), dict(dtype=F32), []),
    ("Dream", "float16, `--portable`", lambda: Qwen("dream", F16), dict(dtype=F16), ["--portable"]),
    ("Dream", "from the Hub's cache, in place", lambda: Qwen("dream", BF16), dict(dtype=BF16, shards=2, cached=True), []),
    ("Dream", "from the Hub's cache, `--out`", lambda: Qwen("dream", BF16), dict(dtype=BF16, cached=True), ["--out"]),
    ("Dream", "norms of queries and keys, no biases", lambda: Qwen("dream", BF16, norms=True), dict(dtype=BF16), []),
    ("LLaDA", "bfloat16, 6 shards", lambda: Llada(BF16), dict(dtype=BF16, shards=6), []),
    ("LLaDA", "float32, one file", lambda: Llada(F32), dict(dtype=F32), []),
    ("LLaDA", "grouped keys and values", lambda: Llada(BF16, kv_heads=2), dict(dtype=BF16), []),
    ("LLaDA", "tied", lambda: Llada(BF16, tied=True), dict(dtype=BF16), []),
    ("a2d-qwen3", "bfloat16, tied", lambda: Qwen("a2d-qwen3", BF16, tie_word_embeddings=True), dict(dtype=BF16), []),
    ("a2d-qwen3", "`head_dim` that is not the quotient of width and heads", lambda: Qwen("a2d-qwen3", BF16, head_dim=16), dict(dtype=BF16), []),
    ("a2d-qwen3", "configuration is tied, weights hold a head", lambda: Qwen("a2d-qwen3", BF16), dict(dtype=BF16, extra={"tie_word_embeddings": True}), []),
    ("a2d-qwen3", "norms in float32, the rest in bfloat16", lambda: Qwen("a2d-qwen3", BF16), dict(dtype=BF16, mixed=True), []),
    ("a2d-qwen2", "bfloat16, tied", lambda: Qwen("a2d-qwen2", BF16, tie_word_embeddings=True), dict(dtype=BF16), []),
    ("a2d-qwen2", "as written by Transformers 5 (`rope_parameters`)", lambda: Qwen("a2d-qwen2", BF16, theta=5e3), dict(dtype=BF16, extra=OF_5), []),
    ("a2d-qwen2", "no `rope_theta`", lambda: Qwen("a2d-qwen2", BF16, theta=1e4), dict(dtype=BF16, extra={"rope_theta": "absent"}), []),
    ("a2d-qwen3 bd3lm", "blocks of 4, bfloat16, tied", lambda: Qwen("a2d-qwen3", BF16, block=4, tie_word_embeddings=True), dict(dtype=BF16), []),
    ("a2d-qwen3 bd3lm", "no key, `--attention-block 4`", lambda: Qwen("a2d-qwen3", BF16, block=4), dict(dtype=BF16, extra={"block_size": "absent"}), ["--attention-block", "4"]),
    ("a2d-qwen2 bd3lm", "blocks of 8, bfloat16, tied", lambda: Qwen("a2d-qwen2", BF16, block=8, tie_word_embeddings=True), dict(dtype=BF16), []),
    ("SDAR", "blocks of 4, bfloat16", lambda: Qwen("sdar", BF16, block=4), dict(dtype=BF16, shards=2), []),
    ("SDAR", "blocks of 4, float32, `--portable`", lambda: Qwen("sdar", F32, block=4), dict(dtype=F32), ["--portable"]),
    ("Fast-dLLM v2", "blocks of 8, bfloat16, tied", lambda: Qwen("fast-dllm", BF16, block=8, tie_word_embeddings=True), dict(dtype=BF16), []),
    ("Fast-dLLM v2", "blocks of 8, float32, `--portable`", lambda: Qwen("fast-dllm", F32, block=8), dict(dtype=F32), ["--portable"]),
    ("DreamReasoner", "blocks of 8, bfloat16", lambda: Qwen("reasoner", BF16, block=8, head_dim=8), dict(dtype=BF16, extra={"head_dim": "absent"}), []),
    ("Qwen2ForCausalLM with a mask", "`--shift true`", lambda: Qwen("qwen2", BF16), dict(dtype=BF16), ["--shift", "true"]),
    ("Qwen2ForCausalLM with a mask", "`--shift false`", lambda: Qwen("qwen2", BF16), dict(dtype=BF16), ["--shift", "false"]),
    ("BERT", "bfloat16", lambda: Encoder("Bert", BF16), dict(dtype=BF16), []),
    ("BERT", "float32, `--portable`", lambda: Encoder("Bert", F32), dict(dtype=F32), ["--portable"]),
    ("BERT", "pytorch_model.bin", lambda: Encoder("Bert", F32), dict(dtype=F32, pickled=True), []),
    ("ALBERT", "bfloat16", lambda: Encoder("Albert", BF16, embedding_size=16), dict(dtype=BF16), []),
    ("ModernBERT", "bfloat16", lambda: Encoder("ModernBert", BF16, local_attention=6), dict(dtype=BF16), []),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("conjoint", type=pathlib.Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    command, worst = options.conjoint.resolve(), 0.0
    print("| architecture | layout | largest difference | largest logit |\n|---|---|---:|---:|")
    for architecture, layout, make, form, flags in LAYOUTS:
        if options.only not in f"{architecture} {layout}":
            continue
        with tempfile.TemporaryDirectory() as root:
            root, form = pathlib.Path(root), dict(form)
            reference, cached = make(), form.pop("cached", False)
            write(root / "checkpoint", reference, **form)
            folder = into_cache(root / "checkpoint", root / "models--a--b") if cached else root / "checkpoint"
            model = root / "out" if "--out" in flags else folder
            flags = [part for flag in flags for part in ((flag, model) if flag == "--out" else (flag,))]
            subprocess.run([command, "export", folder, *flags], check=True, stdout=subprocess.DEVNULL)
            found, largest = difference(model, reference)
        worst = max(worst, found)
        print(f"| {architecture} | {layout} | {found:.1e} | {largest:.1f} |", flush=True)
    if worst > BOUND:
        sys.exit(f"a difference of {worst:.1e} is above {BOUND:.0e}")


if __name__ == "__main__":
    main()
