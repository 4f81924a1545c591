"""Writes the encoders of tests/fixtures: tiny random checkpoints of the BERT family, and what transformers computes from them.

    pip install torch transformers safetensors && python make_encoders.py

reference.safetensors holds `input_ids` and `attention_mask` i64 [2, T], the second row right-padded, `hidden` f32 [2, T, D] before
the head, and `logits` f32 [2, T, V]. Rows of padding mean nothing. adjust-albert-tiny is a sampler layer for albert-tiny, with a
reference as adjust-dream-tiny has. bert-tiny has the same weights three times: as
`model.safetensors`, and pickled in PyTorch's two formats as `pytorch_model.bin` and `legacy.bin`; `expanded.bin` is malformed.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForMaskedLM

FIXTURES = Path(__file__).parents[4] / "tests" / "fixtures"

BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 24,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 96,
    "pad_token_id": 0,
    "mask_token_id": 4,
}
MODERN = {
    "architectures": ["ModernBertForMaskedLM"],
    "model_type": "modernbert",
    "hidden_size": 16,
    "intermediate_size": 20,
    "local_attention": 6,
    "max_position_embeddings": 64,
    "norm_eps": 1e-5,
    "num_attention_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 96,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "mask_token_id": 4,
}
MODELS = {
    "bert-tiny": BERT,
    "bert-untied": BERT
    | {"hidden_act": "gelu_new", "type_vocab_size": 1, "tie_word_embeddings": False},
    "albert-tiny": BERT
    | {
        "architectures": ["AlbertForMaskedLM"],
        "model_type": "albert",
        "hidden_act": "gelu_new",
        "embedding_size": 8,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "num_hidden_layers": 4,
        "bos_token_id": 2,
        "eos_token_id": 3,
    },
    # As transformers 4 wrote it.
    "modernbert-tiny": MODERN
    | {
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "hidden_activation": "gelu",
        "position_embedding_type": "absolute",
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    },
    # As transformers 5 writes it, with every bias and other activations.
    "modernbert-biased": MODERN
    | {
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
        "hidden_activation": "silu",
        "classifier_activation": "relu",
        "attention_bias": True,
        "classifier_bias": True,
        "decoder_bias": False,
        "mlp_bias": True,
        "norm_bias": True,
        "tie_word_embeddings": False,
    },
}
LENGTH = 20
PADDING = 9


def model(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_gain = "norm" in name.lower() and name.endswith("weight")
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.3 * noise if is_gain else 0.5 * noise)
    return model


def reference(model, config):
    ids = torch.randint(5, config.vocab_size, (2, LENGTH))
    ids[torch.rand(ids.shape) < 0.3] = config.mask_token_id
    mask = torch.ones_like(ids)
    mask[1, LENGTH - PADDING :] = 0
    ids[mask == 0] = config.pad_token_id
    with torch.no_grad():
        answer = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        base = getattr(model, model.base_model_prefix)
        hidden = base(input_ids=ids, attention_mask=mask)[0]
    return {"input_ids": ids, "attention_mask": mask, "hidden": hidden, "logits": answer.logits}


def tensors(name, model):
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    if name == "bert-tiny":
        # What a BERT for pretraining leaves beside the head for masked tokens, and a buffer of older versions.
        for key, shape in [
            ("bert.pooler.dense.weight", (16, 16)),
            ("bert.pooler.dense.bias", (16,)),
            ("cls.seq_relationship.weight", (2, 16)),
            ("cls.seq_relationship.bias", (2,)),
        ]:
            state[key] = torch.randn(shape)
        state["bert.embeddings.position_ids"] = torch.arange(24)[None]
        return state
    if name == "bert-untied":
        # As checkpoints that came from TensorFlow have it.
        renamed = {}
        for key, value in state.items():
            key = key.replace("LayerNorm.weight", "LayerNorm.gamma")
            renamed[key.replace("LayerNorm.bias", "LayerNorm.beta")] = value
        return renamed
    tied = model.all_tied_weights_keys if model.config.tie_word_embeddings else ()
    return {key: value for key, value in state.items() if key not in tied}


def rms(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gain


def rotate(x, theta=10000.0):
    """[B, heads, T, d], the first half of d paired with the second."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * theta ** (-torch.arange(half) / half)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def sampler(config):
    """A random sampler layer under its published names: a pre-norm decoder layer with the encoder's sizes."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes = {"down_project.0.weight": (width, 2 * width), "down_project.0.bias": (width,)}
    shapes |= {f"{norm}.0.weight": (width,) for norm in ["norm_embed", "norm_hidden", "norm_postattn"]}
    layer = {"input_layernorm.weight": (width,), "post_attention_layernorm.weight": (width,)}
    for name in "qkv":
        layer[f"self_attn.{name}_proj.weight"] = (width, width)
        layer[f"self_attn.{name}_proj.bias"] = (width,)
    layer["self_attn.o_proj.weight"] = (width, width)
    layer |= {f"mlp.{name}_proj.weight": (inner, width) for name in ["gate", "up"]}
    layer["mlp.down_proj.weight"] = (width, inner)
    shapes |= {f"layers.0.0.{name}": shape for name, shape in layer.items()}
    return {f"drafter.{name}": 0.4 * torch.randn(shape) for name, shape in shapes.items()}


def sampler_pass(weights, config, embedded, hidden):
    of = lambda name: weights[f"drafter.{name}"]
    part = lambda name: of(f"layers.0.0.{name}")
    linear = lambda x, name: x @ part(f"{name}.weight").T
    heads = config.num_attention_heads
    by_head = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
    both = [rms(embedded, of("norm_embed.0.weight")), rms(hidden, of("norm_hidden.0.weight"))]
    x = torch.cat(both, -1) @ of("down_project.0.weight").T + of("down_project.0.bias")
    normed = rms(x, part("input_layernorm.weight"))
    q, k, v = (
        by_head(linear(normed, f"self_attn.{name}_proj") + part(f"self_attn.{name}_proj.bias"))
        for name in "qkv"
    )
    q, k = rotate(q), rotate(k)
    weights_of = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    x = x + linear((weights_of @ v).transpose(1, 2).flatten(2), "self_attn.o_proj")
    normed = rms(x, part("post_attention_layernorm.weight"))
    gate = torch.nn.functional.silu(linear(normed, "mlp.gate_proj"))
    x = x + linear(gate * linear(normed, "mlp.up_proj"), "mlp.down_proj")
    return hidden + rms(x, of("norm_postattn.0.weight"))


def sampler_reference(model, weights, config):
    """Three passes, each after one more position of each row was revealed."""
    ids = torch.randint(5, config.vocab_size, (2, 12))
    masked = [[1, 4, 9], [0, 7, 11]]
    revealed = ids.clone()
    for row, positions in enumerate(masked):
        ids[row, positions] = config.mask_token_id
    with torch.no_grad():
        hidden = model.albert(input_ids=ids)[0]
        steps = {"step0.input_ids": ids.clone(), "step0.hidden": hidden}
        for step in range(1, 4):
            for row, positions in enumerate(masked):
                ids[row, positions[step - 1]] = revealed[row, positions[step - 1]]
            # The token's row of the factorised table, without positions, types and norm.
            embedded = model.albert.embeddings.word_embeddings(ids)
            embedded = model.albert.encoder.embedding_hidden_mapping_in(embedded)
            hidden = sampler_pass(weights, config, embedded, hidden)
            steps[f"step{step}.input_ids"] = ids.clone()
            steps[f"step{step}.hidden"] = hidden
            steps[f"step{step}.logits"] = model.predictions(hidden)
    return steps


def main():
    for seed, (name, keys) in enumerate(MODELS.items()):
        folder = FIXTURES / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(keys, indent=2) + "\n")
        config = AutoConfig.from_pretrained(folder)
        own = model(config, seed)
        state = tensors(name, own)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        save_file(reference(own, config), folder / "reference.safetensors")
        if name == "bert-tiny":
            # As PyTorch has it: one storage under two names.
            tied = own.all_tied_weights_keys
            state = {key: state[tied.get(key, key)] for key in state}
            torch.save(state, folder / "pytorch_model.bin")
            torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
            # One number under the name of a billion.
            torch.save({"x": torch.zeros(1).expand(10**9)}, folder / "expanded.bin")
        if name == "albert-tiny":
            adjust = FIXTURES / f"adjust-{name}"
            adjust.mkdir(exist_ok=True)
            weights = sampler(config)
            save_file(weights, adjust / "model.safetensors")
            save_file(sampler_reference(own, weights, config), adjust / "reference.safetensors")
        # What was written is the model.
        again = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
        for key, value in own.state_dict().items():
            assert torch.equal(value, again.state_dict()[key]), (name, key)


if __name__ == "__main__":
    main()
