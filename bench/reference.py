"""The published sampling loop in plain PyTorch, to race `conjoint bench` against.

    python bench/reference.py --model DIR --like REPORT.json --json OUT.json

Reads the report that `conjoint bench --json` wrote and does the same work on the same weights: the same
prompts, strategies, K and number of threads, always greedy. The loop is that of the published
implementation of arXiv 2509.22738: each call of the model or of the sampler layer computes the logits of
all positions, their log-softmax and their entropy; positions are then sorted, and the unmasked ones
passed over.
"""

import argparse
import json
import math
import os
import statistics
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


class Model:
    """A Dream checkpoint (a Qwen2 decoder without a causal mask) and its sampler layer, in float32."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        tensors = load_file(os.path.join(folder, "model.safetensors"))
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.mask = self.config["mask_token_id"]
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config["num_key_value_heads"]
        self.head_dim = self.config["hidden_size"] // self.heads

    def norm(self, x, name):
        """RMS norm of [T, D]."""
        rms = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * rms * self.tensors[f"{name}.weight"]

    def linear(self, x, name):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def rotary(self, length):
        """cos and sin [T, d] for split-half rotary embeddings."""
        pairs = torch.arange(0, self.head_dim, 2).float() / self.head_dim
        angles = torch.outer(torch.arange(length).float(), self.config["rope_theta"] ** -pairs)
        angles = torch.cat([angles, angles], -1)
        return angles.cos(), angles.sin()

    def heads_of(self, x, heads):
        """[T, heads · d] → [heads, T, d]."""
        return x.view(-1, heads, self.head_dim).transpose(0, 1)

    def layer(self, x, prefix, rotary):
        """One decoder layer on [T, D]."""
        cos, sin = rotary

        def rotate(x):
            a, b = x.chunk(2, -1)
            return x * cos + torch.cat([-b, a], -1) * sin

        h = self.norm(x, prefix + "input_layernorm")
        q = rotate(self.heads_of(self.linear(h, prefix + "self_attn.q_proj"), self.heads))
        k = rotate(self.heads_of(self.linear(h, prefix + "self_attn.k_proj"), self.kv_heads))
        v = self.heads_of(self.linear(h, prefix + "self_attn.v_proj"), self.kv_heads)
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        x = x + self.linear(mixed.transpose(0, 1).flatten(1), prefix + "self_attn.o_proj")
        h = self.norm(x, prefix + "post_attention_layernorm")
        gate = F.silu(self.linear(h, prefix + "mlp.gate_proj"))
        return x + self.linear(gate * self.linear(h, prefix + "mlp.up_proj"), prefix + "mlp.down_proj")

    def forward(self, tokens):
        """A full forward: hidden states [T, D], row i for position i, and logits [T, V]."""
        x = self.tensors["model.embed_tokens.weight"][tokens]
        rotary = self.rotary(len(tokens))
        for number in range(self.config["num_hidden_layers"]):
            x = self.layer(x, f"model.layers.{number}.", rotary)
        x = self.norm(x, "model.norm")
        hidden = torch.cat([x[:1], x[:-1]])  # row i of Dream predicts position i + 1
        return hidden, self.linear(hidden, "lm_head")

    def refine(self, tokens, hidden):
        """A sampler pass: the next hidden states [T, D] and logits [T, V]."""
        embedded = self.norm(self.tensors["model.embed_tokens.weight"][tokens], "drafter.norm_embed.0")
        both = torch.cat([embedded, self.norm(hidden, "drafter.norm_hidden.0")], -1)
        z = self.linear(both, "drafter.down_project.0")
        z = self.layer(z, "drafter.layers.0.0.", self.rotary(len(tokens)))
        hidden = hidden + self.norm(z, "drafter.norm_postattn.0")
        return hidden, self.linear(hidden, "lm_head")


def choose(model, tokens, logits):
    """Masked positions, most certain first, and the most probable token of every position."""
    logits[:, model.mask] = -math.inf
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    entropy = -(p * log_p.masked_fill(p == 0, 0)).sum(-1)
    best = p.argmax(-1)
    order = torch.argsort(entropy.masked_fill(tokens != model.mask, math.inf), stable=True)
    return order[: int((tokens == model.mask).sum())], best


@torch.inference_mode()
def generate(model, prompt, length, k, joint, clock):
    """Fills `length` masked positions behind a prompt, k tokens a step."""
    tokens = torch.tensor(prompt + [model.mask] * length)
    while (tokens == model.mask).any():
        start = time.perf_counter()
        hidden, logits = model.forward(tokens)
        clock["forwards"].append(time.perf_counter() - start)
        order, best = choose(model, tokens, logits)
        first = order[: 1 if joint else k]
        tokens[first] = best[first]
        for _ in range(min(k, len(order)) - 1 if joint else 0):
            start = time.perf_counter()
            hidden, logits = model.refine(tokens, hidden)
            clock["passes"].append(time.perf_counter() - start)
            order, best = choose(model, tokens, logits)
            tokens[order[:1]] = best[order[:1]]
    return tokens.tolist()


def race(model, report, run):
    """One repeat of a run of the report."""
    strategy = run["strategy"]
    k = 1 if strategy == "exact" else int(run["setting"].removeprefix("K = "))
    clock = {"forwards": [], "passes": []}
    start = time.perf_counter()
    sequences = [
        generate(model, prompt, report["gen_length"], k, strategy == "joint", clock)
        for prompt in report["prompts"]
    ]
    seconds = time.perf_counter() - start
    calls = {name: len(times) for name, times in clock.items()}
    mean = {name: statistics.fmean(times) if times else None for name, times in clock.items()}
    return seconds, calls, mean, sequences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="folder of the checkpoint")
    parser.add_argument("--like", required=True, help="report of conjoint bench to follow")
    parser.add_argument("--json", required=True, help="where to write the times")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    with open(arguments.like) as file:
        report = json.load(file)
    torch.set_num_threads(report["threads"])
    model = Model(arguments.model)
    known = {"exact", "marginal", "joint"}
    strange = {run["strategy"] for run in report["runs"]} - known
    if strange:
        parser.error(f"{', '.join(sorted(strange))}: the loop is written for {', '.join(sorted(known))}")
    with torch.inference_mode():  # warm up
        tokens = torch.tensor(report["prompts"][0] + [model.mask] * report["gen_length"])
        hidden, logits = model.forward(tokens)
        choose(model, tokens, model.refine(tokens, hidden)[1])
    runs = []
    for run in report["runs"]:
        repeats = [race(model, report, run) for _ in range(arguments.repeats)]
        times = [seconds for seconds, *_ in repeats]
        _, calls, mean, sequences = repeats[-1]
        runs.append({
            "strategy": run["strategy"], "setting": run["setting"], "tokens": run["tokens"],
            "all_seconds": times, "seconds": statistics.median(times),
            "forwards": calls["forwards"], "sampler_passes": calls["passes"],
            "forward_seconds": mean["forwards"], "pass_seconds": mean["passes"],
            "sequences": sequences,
        })
    with open(arguments.json + ".tmp", "w") as file:
        json.dump({"torch": torch.__version__, "threads": torch.get_num_threads(), "runs": runs}, file)
    os.replace(arguments.json + ".tmp", arguments.json)


if __name__ == "__main__":
    main()
