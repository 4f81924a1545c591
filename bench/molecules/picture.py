"""Draws generated molecules side by side: a row for each point, a column for each request.

    python3 bench/molecules/picture.py exact=exact-1-0.jsonl "joint K 4"=joint-4-0.jsonl --out runs/molecules.svg
    python3 bench/molecules/picture.py exact=exact-1-0.jsonl joint=joint-4-0.jsonl --task 0.answers.jsonl --out runs/linkers.svg

A file has replies of `conjoint generate --prompts … --out FILE.jsonl`, or one SMILES string a line. The strings are the first of each
file, not a selection: points with the same requests have the same number of tokens in a column. RDKit draws a valid string. An invalid
one is printed in red. The share of valid strings beside a row is that of the whole file.

With `--task`, a column is a task of prompts.py, with its first sample. What the model filled in is highlighted.

Requires rdkit.
"""

import argparse
import html
import pathlib
import re

import fetch
import replies
from judge import point, positive
from rdkit import Chem, RDLogger
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

WIDTH, HEIGHT, LABEL, GAP = 190, 140, 150, 8
FILLED = (0.65, 0.84, 1.0)


def drawing(mol, filled):
    """The SVG elements of a molecule, without the element around them."""
    rdDepictor.SetPreferCoordGen(True)
    drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    options = drawer.drawOptions()
    options.clearBackground = False
    options.setHighlightColour(FILLED)
    inside = [bond.GetIdx() for bond in mol.GetBonds() if {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} <= set(filled)]
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol, highlightAtoms=filled, highlightBonds=inside)
    drawer.FinishDrawing()
    return re.search(r"<svg[^>]*>(.*)</svg>", drawer.GetDrawingText(), re.DOTALL).group(1)


def invalid(string):
    """An invalid string, in lines."""
    lines = re.findall(".{1,22}", string) or ["(empty)"]
    first = HEIGHT / 2 - 8 * (len(lines) - 1)
    spans = "".join(f'<tspan x="{WIDTH / 2}" y="{first + 16 * row}">{html.escape(line)}</tspan>' for row, line in enumerate(lines))
    return f'<text class="invalid">{spans}</text>'


def cell(string, answer):
    mol = Chem.MolFromSmiles(string) if string else None
    if mol is None:
        return invalid(string)
    kept = mol.GetSubstructMatch(Chem.MolFromSmarts(answer["kept"])) if answer else range(mol.GetNumAtoms())
    # No atom is highlighted if the fill changed the kept part.
    return drawing(mol, [atom for atom in range(mol.GetNumAtoms()) if kept and atom not in kept])


def row(name, files, columns, answers):
    """The name of a point, its share of valid strings, and its cells."""
    first, every = [], []
    for file in files:
        found = replies.replies(file) if file.suffix == ".jsonl" else list(enumerate(replies.strings(file)))
        every += [string for _, string in found]
        first = first or found
    valid = sum(bool(string) and Chem.MolFromSmiles(string) is not None for string in every)
    if answers:
        chosen = {}
        for identity, string in first:
            chosen.setdefault(identity, string)
        cells = [(chosen.get(identity, ""), answer) for identity, answer in list(answers.items())[:columns]]
    else:
        cells = [(string, None) for _, string in first[:columns]]
    return name, valid / len(every), [cell(*parts) for parts in cells]


def page(rows, columns):
    width, height = LABEL + columns * (WIDTH + GAP), len(rows) * (HEIGHT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<style>text { font: 15px sans-serif; fill: #1f2328 } .share { font-size: 13px; fill: #59636e }"
        " .invalid { font: 12px monospace; fill: #b42318; text-anchor: middle }</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for number, (name, share, cells) in enumerate(rows):
        top = GAP + number * (HEIGHT + GAP)
        parts.append(f'<text x="14" y="{top + HEIGHT / 2}">{html.escape(name)}</text>')
        parts.append(f'<text class="share" x="14" y="{top + HEIGHT / 2 + 20}">{share:.1%} valid</text>')
        for column, inside in enumerate(cells):
            left = LABEL + column * (WIDTH + GAP)
            edge = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="none" stroke="#d1d9e0"/>'
            parts.append(f'<g transform="translate({left} {top})">{edge}{inside}</g>')
    return "\n".join([*parts, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=point, nargs="+", metavar="NAME=FILE[,FILE…]", help="a row, and the files of its seeds")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="SVG", help="file of the picture")
    parser.add_argument("--columns", type=positive, default=5, help="strings in a row")
    parser.add_argument("--task", type=pathlib.Path, metavar="ANSWERS", help="the tasks of these replies, a file of prompts.py")
    chosen = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    answers = {answer["id"]: answer for answer in replies.objects(chosen.task)} if chosen.task else None
    rows = [row(name, files, chosen.columns, answers) for name, files in chosen.points]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    fetch.write(chosen.out, page(rows, chosen.columns).encode())
    print(chosen.out)


if __name__ == "__main__":
    main()
