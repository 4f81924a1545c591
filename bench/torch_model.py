"""A Dream checkpoint and its sampler layer in plain PyTorch and float32, for the loops that race `conjoint bench`."""

import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


class Cache:
    """Keys and values of all T positions: a tensor [KV heads, T, d] of each a layer."""

    def __init__(self, model, length):
        shape = (model.config["num_hidden_layers"], model.kv_heads, length, model.head_dim)
        self.keys, self.values = torch.empty(shape), torch.empty(shape)

    def update(self, layer, positions, k, v):
        """Stores the keys and values of some positions, and returns those of all."""
        self.keys[layer, :, positions] = k
        self.values[layer, :, positions] = v
        return self.keys[layer], self.values[layer]


class Model:
    """A Qwen2 decoder without a causal mask."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        self.tensors = {}
        for name in ("model.safetensors", "sampler.safetensors"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                self.tensors |= {name: tensor.float() for name, tensor in load_file(path).items()}
        self.mask = self.config["mask_token_id"]
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config["num_key_value_heads"]
        self.head_dim = self.config["hidden_size"] // self.heads

    def norm(self, x, name):
        """RMS norm of [S, D]."""
        rms = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * rms * self.tensors[f"{name}.weight"]

    def linear(self, x, name):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def rotary(self, positions):
        """cos and sin [S, d] for split-half rotary embeddings."""
        pairs = torch.arange(0, self.head_dim, 2).float() / self.head_dim
        angles = torch.outer(positions.float(), self.config["rope_theta"] ** -pairs)
        angles = torch.cat([angles, angles], -1)
        return angles.cos(), angles.sin()

    def heads_of(self, x, heads):
        """[S, heads · d] → [heads, S, d]."""
        return x.view(-1, heads, self.head_dim).transpose(0, 1)

    def layer(self, x, prefix, rotary, store=lambda k, v: (k, v)):
        """One decoder layer on [S, D]. `store` turns the keys and values of these rows into those attended to."""
        cos, sin = rotary

        def rotate(x):
            a, b = x.chunk(2, -1)
            return x * cos + torch.cat([-b, a], -1) * sin

        h = self.norm(x, prefix + "input_layernorm")
        q = rotate(self.heads_of(self.linear(h, prefix + "self_attn.q_proj"), self.heads))
        k = rotate(self.heads_of(self.linear(h, prefix + "self_attn.k_proj"), self.kv_heads))
        k, v = store(k, self.heads_of(self.linear(h, prefix + "self_attn.v_proj"), self.kv_heads))
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        x = x + self.linear(mixed.transpose(0, 1).flatten(1), prefix + "self_attn.o_proj")
        h = self.norm(x, prefix + "post_attention_layernorm")
        gate = F.silu(self.linear(h, prefix + "mlp.gate_proj"))
        return x + self.linear(gate * self.linear(h, prefix + "mlp.up_proj"), prefix + "mlp.down_proj")

    def states(self, tokens, positions, cache=None):
        """Hidden states [S, D] of the tokens at some positions. With a cache, they attend to all positions in it."""
        x = self.tensors["model.embed_tokens.weight"][tokens]
        rotary = self.rotary(positions)
        for number in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{number}."
            if cache is None:
                x = self.layer(x, prefix, rotary)
            else:
                x = self.layer(x, prefix, rotary, lambda k, v: cache.update(number, positions, k, v))
        return self.norm(x, "model.norm")

    def head(self, hidden):
        """Logits [S, V]."""
        return self.linear(hidden, "lm_head")

    def refine(self, tokens, hidden):
        """A sampler pass over a whole sequence: the next hidden states [T, D]."""
        embedded = self.norm(self.tensors["model.embed_tokens.weight"][tokens], "drafter.norm_embed.0")
        both = torch.cat([embedded, self.norm(hidden, "drafter.norm_hidden.0")], -1)
        z = self.linear(both, "drafter.down_project.0")
        z = self.layer(z, "drafter.layers.0.0.", self.rotary(torch.arange(len(tokens))))
        return hidden + self.norm(z, "drafter.norm_postattn.0")
