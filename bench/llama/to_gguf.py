"""Writes a checkpoint of Dream's architecture as a GGUF file in float32, for llama.cpp.

    python bench/llama/to_gguf.py CHECKPOINT_DIR OUT.gguf

Takes a checkpoint that `conjoint bench --make-model` wrote, in one `model.safetensors`. The sampler layer is left out. The
vocabulary has the ids alone, without text. Requires gguf, numpy, torch and safetensors.
"""

import json
import os
import pathlib
import sys

import gguf
import numpy
from safetensors import safe_open

# Parts of the names in llama.cpp's files, by the names of Dream's tensors.
LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def renamed(name):
    """The name of a tensor in GGUF, or None for the sampler layer's."""
    if name.startswith("drafter."):
        return None
    module, _, kind = name.rpartition(".")
    if module in OUTSIDE:
        return f"{OUTSIDE[module]}.{kind}"
    parts = module.split(".", 3)
    if parts[:2] != ["model", "layers"] or parts[3] not in LAYER:
        raise SystemExit(f"invalid tensor `{name}`: expected those of Dream's architecture")
    return f"blk.{parts[2]}.{LAYER[parts[3]]}.{kind}"


def numbers(weights, name):
    """A tensor in float32. NumPy has no bfloat16, so PyTorch reads such a file."""
    tensor = weights.get_tensor(name)
    return numpy.ascontiguousarray(tensor.float().numpy(), dtype=numpy.float32)


def main():
    checkpoint, out = map(pathlib.Path, sys.argv[1:])
    config = json.loads((checkpoint / "config.json").read_text())
    vocabulary, heads = config["vocab_size"], config["num_attention_heads"]
    temporary = out.with_name(out.name + ".tmp")
    writer = gguf.GGUFWriter(temporary, "dream")
    writer.add_name(checkpoint.name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(vocabulary)
    writer.add_causal_attention(False)
    writer.add_tokenizer_model("none")
    writer.add_mask_token_id(config["mask_token_id"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    with safe_open(checkpoint / "model.safetensors", "pt") as weights:
        for name in weights.keys():
            if gguf_name := renamed(name):
                writer.add_tensor(gguf_name, numbers(weights, name))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    writer.close()
    os.replace(temporary, out)


if __name__ == "__main__":
    main()
