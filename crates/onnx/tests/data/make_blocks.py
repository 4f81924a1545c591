"""Writes the block-causal models of tests/fixtures: tiny random checkpoints, their logits, and greedy decodes.

    pip install torch transformers safetensors && python make_blocks.py

`sdar-tiny` has SDAR's configuration (JetAstra/SDAR: Qwen3, norms of queries and keys) and attention blocks of 4, `fast-dllm-tiny`
that of Fast-dLLM v2 (NVlabs/Fast-dLLM: Qwen2, biases, tied, shifted) and attention blocks of 8. The reference is Qwen3 or Qwen2 of
transformers in float32 with a block-causal mask: position p sees position q if q // B <= p // B.

reference.safetensors holds `input_ids` i64 [3, 14], partly masked, `hidden` f32 [3, 14, D] after the final norm, and `logits` f32
[3, 14, V]. Both are the raw model's: for fast-dllm-tiny row i predicts position i + 1.

block_decode_cases.json holds greedy decodes by the loops below, one object a case, `history` with the canvas after each step:
- `sdar`: the published `block_diffusion_generate`. Blocks count from position 0, so the first one begins with the end of the prompt. A step
  reveals the `tokens_per_step` most probable tokens (`low_confidence_static`), or all above `threshold` and always the best
  (`low_confidence_dynamic`).
- `bd3lm`: dLLM's `BD3LMSampler` with `steps` in total. It pads prompts on the left to whole blocks; these ones fill whole blocks.
- `fast-dllm`: the published `generate`. The first token of a block comes from the last row of the finished block before, alone. The
  others are revealed by `threshold` in one `sub_block` after the other.

Each argmax is checked to differ from the mask id, and each choice to be clear by 1e-4, so that rounding decides nothing.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

FIXTURES = Path(__file__).parents[4] / "tests" / "fixtures"
WORDS, MASK, END = 64, 62, 63
SIZES = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6)
KEYS = dict(attention_dropout=0.0, hidden_act="silu", initializer_range=0.02, rope_theta=1e6, torch_dtype="bfloat16",
            use_sliding_window=False, bos_token_id=END, eos_token_id=END, pad_token_id=END, mask_token_id=MASK)
SDAR = SIZES | KEYS | dict(
    model_type="sdar", architectures=["SDARForCausalLM"], head_dim=8, attention_bias=False, block_size=4,
    tie_word_embeddings=False, fuse_cross_entropy=True, debug=False, ep_size=1, micro_forward=False, skip_checkpoint=False,
    use_deepep=False)
FAST_DLLM = SIZES | KEYS | dict(
    model_type="Fast_dLLM_Qwen", architectures=["Fast_dLLM_QwenForCausalLM"], bd_size=8, tie_word_embeddings=True,
    layer_types=["full_attention"] * 2)


class Model:
    def __init__(self, name, config, kind, block, seed):
        self.name, self.config, self.block = name, config, block
        settings, model = kind
        sizes = SIZES | {key: config[key] for key in ("head_dim", "tie_word_embeddings") if key in config}
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": config["rope_theta"]}}
        self.model = model(settings(**sizes, **rope, attn_implementation="eager")).float().eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                noise = torch.randn(value.shape, generator=generator)
                norm = name.endswith("norm.weight")
                scale = 0.5 if "embed" in name else 0.3
                value.copy_((1 + 0.2 * noise if norm else scale * noise).bfloat16().float())

    @torch.no_grad()
    def __call__(self, ids):
        """The hidden states and the logits of the raw model."""
        blocks = torch.arange(ids.shape[1]) // self.block
        mask = torch.zeros(ids.shape[1], ids.shape[1]).masked_fill(blocks[None] > blocks[:, None], float("-inf"))
        mask = {"full_attention": mask.expand(ids.shape[0], 1, -1, -1)}
        hidden = self.model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return hidden, self.model.lm_head(hidden)

    def write(self):
        folder = FIXTURES / self.name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        tied = self.config["tie_word_embeddings"]
        tensors = {name: value.bfloat16().contiguous() for name, value in self.model.state_dict().items()
                   if not (tied and name == "lm_head.weight")}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        ids = torch.randint(MASK, (3, 14), generator=torch.Generator().manual_seed(5))
        for row, masked in enumerate(([4, 6, 7, 9, 10, 11, 12, 13], [0, 3, 8, 9], range(14))):
            ids[row, list(masked)] = MASK
        hidden, logits = self(ids)
        save_file({"input_ids": ids, "hidden": hidden.contiguous(), "logits": logits.contiguous()}, folder / "reference.safetensors")


class Loop:
    """A canvas, and its history."""

    def __init__(self, model, prompt, length):
        self.model, self.history = model, []
        self.x = torch.tensor([prompt + [MASK] * length])

    def masked(self, positions):
        return [p for p in positions if self.x[0, p] == MASK]

    def rows(self, end, shift=False):
        """Tokens and probabilities of the positions before `end`, from a forward of no later positions."""
        _, logits = self.model(self.x[:, :end])
        if shift:
            logits = torch.cat((logits[:, :1], logits[:, :-1]), 1)
        probabilities, tokens = logits[0].softmax(-1).max(-1)
        return tokens, probabilities

    def reveal(self, positions, tokens):
        for position in positions:
            assert tokens[position] != MASK
            self.x[0, position] = tokens[position]
        self.history.append(self.x[0].tolist())

    def best(self, masked, probabilities, count, threshold=None):
        """The `count` most probable positions, and all above the threshold."""
        ranked = sorted(masked, key=lambda p: -probabilities[p])
        if threshold is not None:
            assert all(abs(probabilities[p] - threshold) > 1e-4 for p in masked)
            count = max(count, sum(bool(probabilities[p] > threshold) for p in masked))
        if count < len(ranked):
            assert probabilities[ranked[count - 1]] - probabilities[ranked[count]] > 1e-4
        return ranked[:count]


def sdar(model, prompt, length, tokens_per_step=1, threshold=None):
    loop, block = Loop(model, prompt, length), model.block
    assert (len(prompt) + length) % block == 0
    for start in range(len(prompt) // block * block, len(prompt) + length, block):
        while masked := loop.masked(range(start, start + block)):
            tokens, probabilities = loop.rows(start + block)
            loop.reveal(loop.best(masked, probabilities, tokens_per_step, threshold), tokens)
    return loop


def bd3lm(model, prompt, length, steps):
    loop, block = Loop(model, prompt, length), model.block
    assert len(prompt) % block == length % block == steps % (length // block) == 0
    each = block // (steps // (length // block))
    for start in range(len(prompt), len(prompt) + length, block):
        while masked := loop.masked(range(start, start + block)):
            tokens, probabilities = loop.rows(start + block)
            loop.reveal(loop.best(masked, probabilities, each), tokens)
    return loop


def fast_dllm(model, prompt, length, threshold, sub_block):
    loop, block = Loop(model, prompt, length), model.block
    assert (len(prompt) + length) % block == 0
    for start in range(len(prompt) // block * block, len(prompt) + length, block):
        if loop.masked([start]):
            tokens, _ = loop.rows(start + block, shift=True)
            loop.reveal([start], tokens)
        for sub in range(start, start + block, sub_block):
            while masked := loop.masked(range(sub, sub + sub_block)):
                tokens, probabilities = loop.rows(start + block, shift=True)
                loop.reveal(loop.best(masked, probabilities, 1, threshold), tokens)
    return loop


def main():
    blocks = Model("sdar-tiny", SDAR, (Qwen3Config, Qwen3ForCausalLM), 4, seed=1)
    shifted = Model("fast-dllm-tiny", FAST_DLLM, (Qwen2Config, Qwen2ForCausalLM), 8, seed=2)
    for model in (blocks, shifted):
        model.write()
    cases = []

    def add(model, loop, prompt_length, length, seed, **settings):
        prompt = torch.randint(MASK, (prompt_length,), generator=torch.Generator().manual_seed(seed)).tolist()
        done = loop(model, prompt, length, **settings)
        cases.append({"model": model.name, "loop": loop.__name__.replace("_", "-"), "prompt_ids": prompt, "gen_length": length}
                     | settings | {"tokens": done.x[0].tolist(), "history": done.history})
        print(cases[-1]["loop"], settings, prompt_length, length, "steps:", len(done.history))

    add(blocks, sdar, 5, 11, 10)
    add(blocks, sdar, 2, 10, 11, tokens_per_step=2)
    add(blocks, sdar, 8, 8, 12, tokens_per_step=2)
    add(blocks, sdar, 7, 13, 13, threshold=0.15)
    add(blocks, sdar, 6, 14, 14, threshold=0.2)
    add(blocks, bd3lm, 8, 12, 15, steps=12)
    add(blocks, bd3lm, 4, 12, 16, steps=6)
    add(shifted, fast_dllm, 5, 19, 17, threshold=0.2, sub_block=4)
    add(shifted, fast_dllm, 8, 16, 18, threshold=0.3, sub_block=8)
    add(shifted, fast_dllm, 11, 13, 19, threshold=0.2, sub_block=2)
    (FIXTURES / "block_decode_cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
