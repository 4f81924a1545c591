"""The published sampling loop in plain PyTorch, to race `conjoint bench` against.

    python bench/reference.py --model DIR --like REPORT.json --json OUT.json

Reads the report that `conjoint bench --json` wrote and does the same work on the same weights: the same
prompts, strategies, K and number of threads, always greedy. The loop is that of the published
implementation of arXiv 2509.22738: each call of the model or of the sampler layer computes the logits of
all positions, their log-softmax and their entropy; positions are then sorted, and the unmasked ones
passed over.
"""

import math

import torch

import follow


def choose(model, tokens, logits):
    """Masked positions, most certain first, and the most probable token of every position."""
    logits[:, model.mask] = -math.inf
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    entropy = -(p * log_p.masked_fill(p == 0, 0)).sum(-1)
    best = p.argmax(-1)
    order = torch.argsort(entropy.masked_fill(tokens != model.mask, math.inf), stable=True)
    return order[: int((tokens == model.mask).sum())], best


def generate(model, prompt, task, clock, _):
    """Fills the masked positions behind a prompt, K tokens a step."""
    tokens = torch.tensor(prompt + [model.mask] * task.length)
    joint, k, steps = task.strategy == "joint", task.k, 0
    while (tokens == model.mask).any() and steps != task.steps:
        with clock.call("forwards", len(tokens)):
            states = model.states(tokens, torch.arange(len(tokens)))
            hidden = torch.cat([states[:1], states[:-1]])  # row i of Dream predicts position i + 1
            logits = model.head(hidden)
        order, best = choose(model, tokens, logits)
        first = order[: 1 if joint else k]
        tokens[first] = best[first]
        for _ in range(min(k, len(order)) - 1 if joint else 0):
            with clock.call("passes"):
                hidden = model.refine(tokens, hidden)
                logits = model.head(hidden)
            order, best = choose(model, tokens, logits)
            tokens[order[:1]] = best[order[:1]]
        steps += 1
    return tokens.tolist()


if __name__ == "__main__":
    follow.main(__doc__.split("\n")[0], generate, ["exact", "marginal", "joint"])
