"""Which strategy at which cost? Compares strategies on molecules or on products of reactions, by RDKit's judgement.

    python3 bench/molecules/compare.py --model models/molecules --requests runs/new.jsonl --block-length 8 --num 1000 --out runs/pareto
    python3 bench/molecules/compare.py --model runs/reactions/joint --requests runs/reactions/test.jsonl --num 200 \\
        --answers runs/reactions/test.answers.jsonl --strategies exact,marginal,joint:window=3 --metrics nll --out runs/reactions/compared

`conjoint compare` draws the texts and measures cost, likelihood and diversity. It resumes where it was interrupted. RDKit then judges
the texts of each point. Requests are those of prompts.py or reactions.py; all points share them.

Prints Markdown tables, and writes judged.json and pareto.svg into --out. Columns:

- forwards per token (the cost): full forwards and sampler passes. A pass counts as the share of a forward that it took in the same run;
- tokens per forward: without the passes;
- valid: the share of strings that RDKit parses, with the 95 % interval of Wilson; distinct: distinct molecules among them;
- recovered (with --answers): the share of products that equal the recorded one;
- front: "yes" if no other point is both cheaper and better.

Requires the packages rdkit and matplotlib.
"""

import argparse
import json
import pathlib
import re
import subprocess

import fetch  # Makes the modules of the folder above importable.
import matplotlib.pyplot as plt
import points as shared
import replies
from intervals import wilson
from judge import positive
from rdkit import Chem, RDLogger
from tables import table

def texts(folder, point):
    """The file of a point's texts, as `conjoint compare` names it."""
    escaped = [re.sub(r"[^A-Za-z0-9.]", lambda found: f"%{ord(found[0]):02x}", point[key]) for key in ("strategy", "parameter")]
    return folder / f"texts-{'-'.join(escaped)}-{point['seed']}.jsonl"


def judged(folder, point, answers):
    """A point with the judgement of its strings."""
    found = [replies.text(reply) for reply in replies.objects(texts(folder, point))]
    if answers:
        # Points have the requests in turn.
        pairs = [(text, answers[index % len(answers)]) for index, text in enumerate(found)]
        found = [text.removeprefix(answer["before"]).removesuffix("[SEP]") for text, answer in pairs]
    canonical = [canon(text) for text in found]
    valid = [text for text in canonical if text]
    metrics = {**point["metrics"], "valid": share(len(valid), len(found)), "distinct": share(len(set(valid)), len(valid))}
    if answers:
        wanted = [canon(answer["molecule"]) for _, answer in pairs]
        metrics["recovered"] = share(sum(text == want for text, want in zip(canonical, wanted)), len(found))
    return {**point, "metrics": metrics}


def canon(text):
    mol = Chem.MolFromSmiles(text) if text else None
    return Chem.MolToSmiles(mol) if mol is not None else None


def share(hits, count):
    if count == 0:
        return None
    low, high = wilson(hits, count)
    return {"value": hits / count, "low": low, "high": high}


def page(points, answers):
    ahead = shared.front(points, "valid")
    columns = {"valid": "Valid", "distinct": "Distinct", **({"recovered": "Recovered"} if answers else {}), "NLL": "NLL, nats a token"}
    columns = {key: label for key, label in columns.items() if any(point["metrics"].get(key) for point in points)}
    rows = []
    for point in sorted(points, key=shared.cost):
        cells = [f"{shared.cost(point):.3f}", f"{shared.tokens_per_forward(point):.2f}", *(shared.figure(point, key) for key in columns)]
        rows.append([shared.name(point), *cells, "yes" if point in ahead else ""])
    parts = [table(["Strategy", "Forwards per token", "Tokens per forward", *columns.values(), "Front"], rows)]
    rows = []
    for budget in shared.BUDGETS:
        cells = [f"{budget:.2f}"]
        for trained in (True, False):
            best = shared.best(shared.side(points, trained), budget, "valid")
            cells += ["none", "–"] if best is None else [f"{shared.name(best)} ({shared.cost(best):.2f})", shared.figure(best, "valid")]
        rows.append(cells)
    parts.append(table(["Forwards per token at most", "Best with the layer", "Valid", "Best without training", "Valid"], rows))
    return "\n\n".join(parts)


def draw(points, path):
    """Validity against cost, with the fronts of both sides."""
    drawn, panel = plt.subplots(figsize=(7, 4.4), layout="constrained")
    shared.draw_fronts(panel, points, "valid", "share of valid strings")
    panel.set_xlim(0, None)
    shared.save(drawn, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder of the exported model")
    parser.add_argument("--requests", type=pathlib.Path, required=True, help="file of requests with holes")
    parser.add_argument("--answers", type=pathlib.Path, help="answers of reactions.py: judge the products alone")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the comparison")
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--strategies", default=",".join(shared.UNTRAINED + shared.TRAINED), help="separated by commas")
    parser.add_argument("--k", default="2,4,8", help="tokens per forward, separated by commas")
    parser.add_argument("--num", type=positive, default=1000, help="texts of each point")
    parser.add_argument("--metrics", default="diversity", help="metrics of `conjoint compare`; nll takes as long as exact for each point")
    parser.add_argument("--temperature", default="1", help="temperature of all draws")
    parser.add_argument("--block-length", type=positive, help="decode in blocks of this many tokens [default: one block]")
    parser.add_argument("--stop-at-eos", action="store_true", help="for requests of `prompts.py --canvas`")
    parser.add_argument("--batch-size", type=positive, default=64, help="sequences in a batch")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    chosen = parser.parse_args()
    command = [chosen.conjoint, "compare", "--model", chosen.model, "--prompts", chosen.requests, "--out", chosen.out]
    command += ["--strategies", chosen.strategies, "--k", chosen.k, "--num-samples", chosen.num, "--metrics", chosen.metrics]
    command += ["--temperature", chosen.temperature, "--batch-size", chosen.batch_size, "--seeds", chosen.seed]
    if chosen.stop_at_eos:
        command.append("--stop-at-eos")
    if chosen.block_length:
        command += ["--block-length", chosen.block_length]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    RDLogger.DisableLog("rdApp.*")
    answers = replies.objects(chosen.answers) if chosen.answers else None
    report = json.loads((chosen.out / "report.json").read_text(encoding="utf-8"))
    points = [judged(chosen.out, point, answers) for point in report["points"]]
    fetch.write(chosen.out / "judged.json", (json.dumps(points, indent=1, ensure_ascii=False) + "\n").encode())
    draw(points, chosen.out / "pareto.svg")
    print(page(points, answers))


if __name__ == "__main__":
    main()
