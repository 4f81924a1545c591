"""The loop of Fast-dLLM (arXiv 2505.22618) in plain PyTorch, to race `conjoint bench` against.

    python bench/fast_dllm.py --cache dual --block-length 32 --model DIR --like REPORT.json --json OUT.json

Reads the report that `conjoint bench --json` wrote and does the same work on the same weights. As in the published
code for Dream (NVlabs/Fast-dLLM, generation_utils_block.py), a block begins with a forward over all positions, whose
keys and values are kept. Further forwards compute the block (`dual`), or everything from the block's start on
(`prefix`), and replace the keys and values of what they compute. Each forward computes the logits of all its positions.
The softmax is that of the masked positions of the block. With K, the K positions of lowest entropy are revealed. With
a threshold, all are revealed whose probability reaches it, and always the most probable one.

Two rules differ from the published code, so that the tokens can be compared:

- The row of a block's first position comes from the position before it. The published code computes that position in
  the block's first forward only. In that forward it reveals the first position, and nothing else. Here a forward
  computes it whenever the first position is masked, and each forward reveals by the same rule.
- The mask id is never drawn.
"""

import math

import torch

import follow
from torch_model import Cache


def computed(tokens, mask, block, cache, is_first):
    """The positions that a forward computes."""
    if cache == "none" or is_first:
        return torch.arange(len(tokens))
    start = block.start - int(tokens[block.start] == mask)
    return torch.arange(start, block.stop if cache == "dual" else len(tokens))


def choose(model, logits, task):
    """The rows to reveal, and the most probable token of every row."""
    logits[:, model.mask] = -math.inf
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    confidence, best = p.max(-1)
    if task.threshold is None:
        entropy = -(p * log_p.masked_fill(p == 0, 0)).sum(-1)
        return torch.argsort(entropy, stable=True)[: task.k], best
    order = torch.argsort(-confidence, stable=True)
    return order[: max(1, int((confidence >= task.threshold).sum()))], best


def generate(model, prompt, task, clock, arguments):
    """Fills the masked positions behind a prompt, block by block."""
    tokens = torch.tensor(prompt + [model.mask] * task.length)
    cache = None if arguments.cache == "none" else Cache(model, len(tokens))
    block_length, steps = arguments.block_length or task.length, 0
    for start in range(len(prompt), len(tokens), block_length):
        block = range(start, min(start + block_length, len(tokens)))
        is_first = True
        while steps != task.steps:
            masked = start + (tokens[block.start : block.stop] == model.mask).nonzero()[:, 0]
            if len(masked) == 0:
                break
            positions = computed(tokens, model.mask, block, arguments.cache, is_first)
            with clock.call("forwards", len(positions)):
                logits = model.head(model.states(tokens[positions], positions, cache))
            # Row i of Dream predicts position i + 1, and the first row also the first position.
            rows = logits[(masked - 1 - positions[0]).clamp(min=0)]
            chosen, best = choose(model, rows, task)
            tokens[masked[chosen]] = best[chosen]
            is_first, steps = False, steps + 1
    return tokens.tolist()


if __name__ == "__main__":
    follow.main(__doc__.split("\n")[0], generate, ["exact", "marginal"], [
        ("--cache", {"choices": ["none", "prefix", "dual"], "default": "none"}),
        ("--block-length", {"type": int, "help": "as given to conjoint bench [default: one block]"}),
    ])
