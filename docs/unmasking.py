"""Draws docs/unmasking.svg: the same six forwards with independent and with joint draws.

    python3 docs/unmasking.py [CONJOINT_BINARY]

Both columns are the first sample of seed 1 from models/tiny: no text was selected by its quality.
"""

import json
import pathlib
import subprocess
import sys
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).parent.parent
END = "·"  # how an end-of-sequence token is drawn
PROMPT, LENGTH, K, SEED = "<story>", 47, 8, 1
COLUMNS = [
    ("marginal", "drawn independently", "wrong: misspelt words"),
    ("joint:window=3", "drawn jointly, with the sampler layer", "right"),
]
CELL, LINE, LEFT, TOP, GAP = 9.4, 30, 84, 92, 36
COLOURS = {"new": "#0b6bcb", "old": "#1f2328", "mask": "#d0d7de", "soft": "#656d76"}


def states(binary, unmasker):
    """Every state of the generated positions, each a list of pieces (None: masked), and the cost."""
    command = [
        binary, "generate", "--model", ROOT / "models/tiny", "--prompt", PROMPT, "--gen-length", LENGTH,
        "--unmasker", unmasker, "--schedule", f"per-step:{K}", "--seed", SEED, "--json", "--history",
    ]
    run = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    sequence = json.loads(run.stdout)["sequences"][0]
    vocabulary = json.loads((ROOT / "models/tiny/tokenizer.json").read_text())["model"]["vocab"]
    pieces = {token: piece for piece, token in vocabulary.items()}
    added = json.loads((ROOT / "models/tiny/tokenizer.json").read_text())["added_tokens"]
    mask = next(token["id"] for token in added if "mask" in token["content"].lower())
    eos = next(token["id"] for token in added if "eos" in token["content"].lower())
    show = lambda token: None if token == mask else END if token == eos else pieces[token]
    history = [[show(token) for token in state[-LENGTH:]] for state in sequence["history"]]
    return [[None] * LENGTH, *history], sequence


def column(x, unmasker, title, verdict, binary):
    history, sequence = states(binary, unmasker)
    width = max(i for state in history for i, piece in enumerate(state) if piece not in (None, END)) + 2
    cost = f"{sequence['denoiser_calls']} forwards, {sequence['sampler_calls']} sampler passes"
    yield f'<text x="{x}" y="34" class="title">{escape(title)}</text>'
    yield f'<text x="{x}" y="56" class="soft">{escape(cost)}</text>'
    before = [None] * LENGTH
    for row, state in enumerate(history):
        y = TOP + row * LINE
        for i, piece in enumerate(state[:width]):
            if piece is None:
                yield f'<rect x="{x + i * CELL + 1:.1f}" y="{y - 13}" width="{CELL - 2:.1f}" height="17" rx="2" class="mask"/>'
            elif piece.strip():
                style = "old" if before[i] is not None else "new"
                yield f'<text x="{x + (i + 0.5) * CELL:.1f}" y="{y}" class="{style}">{escape(piece)}</text>'
        before = state
    yield f'<text x="{x}" y="{TOP + len(history) * LINE + 4}" class="title">{escape(verdict)}</text>'
    column.width, column.rows = width * CELL, len(history)


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else "conjoint"
    body, x = [], LEFT
    for unmasker, title, verdict in COLUMNS:
        body += column(x, unmasker, title, verdict, binary)
        x += column.width + GAP
    for row in range(column.rows):
        label = "start" if row == 0 else f"forward {row}"
        body.append(f'<text x="16" y="{TOP + row * LINE}" class="soft">{label}</text>')
    width, height = int(x - GAP + 24), TOP + column.rows * LINE + 26
    style = (
        "text{font-family:system-ui,sans-serif;font-size:13px}"
        f".old,.new{{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:15px;text-anchor:middle;fill:{COLOURS['old']}}}"
        f".new{{fill:{COLOURS['new']};font-weight:700}}"
        f".mask{{fill:{COLOURS['mask']}}}.soft{{fill:{COLOURS['soft']}}}"
        f".title{{font-size:15px;font-weight:600;fill:{COLOURS['old']}}}"
    )
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>The same six forwards, with independent and with joint draws</title>",
        f"<style>{style}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        *body,
        "</svg>",
    ]
    (ROOT / "docs/unmasking.svg").write_text("\n".join(svg) + "\n")


main()
