"""Adds 2-D pictures to a page of `conjoint generate --trace` on a model of molecules. RDKit draws them.

    conjoint generate --model MODEL --infill '[MASK*36][EOS]' --num-samples 4 --trace trace.html
    python3 bench/molecules/page.py trace.html

The picture of a sample appears under its text when the last frame is shown. An invalid string has a line in its place. The page is
replaced, and still loads nothing from the network. Requires rdkit.
"""

import argparse
import json
import pathlib
import re
import sys

import fetch
import picture
import replies
from rdkit import Chem, RDLogger

DATA = re.compile(r'<script type="application/json" id="trace">(.*?)</script>', re.DOTALL)
SCRIPT = """<script>
(() => {
  const figures = document.querySelectorAll("#molecules figure");
  const [slider, sample] = ["slider", "sample"].map((id) => document.getElementById(id));
  const update = () => figures.forEach((figure, index) => {
    figure.hidden = index !== Number(sample.value || 0) || slider.value !== slider.max;
  });
  new MutationObserver(update).observe(document.getElementById("now"), { childList: true, characterData: true, subtree: true });
  slider.addEventListener("input", update);
  update();
})();
</script>
"""


def final(sequence, pieces):
    """The string of a recorded sequence after its last frame."""
    tokens = list(sequence["start"])
    for frame in sequence["frames"]:
        for event in frame["events"]:
            (kind, what), = event.items()
            if kind == "remask":
                tokens[what] = None
            else:
                tokens[what[0]] = what[1]
    text = "".join("" if token is None else pieces.get(str(token), "") for token in tokens)
    return text.split(replies.END)[0]


def figure(string):
    mol = Chem.MolFromSmiles(string) if string else None
    if mol is None:
        return '<figure hidden><figcaption role="note">RDKit does not parse this string: it is no molecule.</figcaption></figure>'
    size = f'viewBox="0 0 {picture.WIDTH} {picture.HEIGHT}" width="{2 * picture.WIDTH}" role="img" aria-label="The molecule"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="background: #fff; border-radius: 8px; max-width: 100%">'
    return f'<figure hidden>{svg}{picture.drawing(mol, [])}</svg></figure>'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=pathlib.Path, help="the page")
    chosen = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    html = "\n".join(replies.lines(chosen.page)) + "\n"
    found = DATA.search(html)
    if not found or 'id="molecules"' in html:
        sys.exit(f"{chosen.page}: expected a page of `conjoint generate --trace` without pictures")
    trace = json.loads(found.group(1))
    strings = [final(sequence, trace["pieces"]) for sequence in trace["sequences"]]
    section = f'<section id="molecules" aria-label="Molecules">\n{"".join(map(figure, strings))}\n</section>\n'
    html = html.replace("</main>\n", f"{section}</main>\n", 1).replace("</body>", f"{SCRIPT}</body>", 1)
    fetch.write(chosen.page, html.encode())
    print(f"{chosen.page}: {len(strings):,} samples")


if __name__ == "__main__":
    main()
