"""Medians and ratios of the rounds of bench/race.sh: a Markdown table, and JSON.

    python bench/compare.py ROUNDS_DIR OUT.json

A ratio is that of tokens/s in one round. Of all rounds the table has the median, the least and the largest.
Exits with 1 if the two did not generate the same tokens in every round.
"""

import json
import pathlib
import statistics
import sys


def load(folder, name):
    """The reports of a program, by round."""
    files = pathlib.Path(folder).glob(f"*.{name}.json")
    return {int(file.name.split(".")[0]): json.loads(file.read_text()) for file in files}


def partner(run, report):
    """The run of a report with the same strategy and setting, or else with the same setting, or else the only one."""
    alike = [other for other in report["runs"] if other["setting"] == run["setting"]]
    if not alike:
        return report["runs"][0] if len(report["runs"]) == 1 else None
    return next((other for other in alike if other["strategy"] == run["strategy"]), alike[0])


def pairs(ours, theirs):
    """For each of our runs that has a partner, the two of each round that both have."""
    rounds = sorted(ours.keys() & theirs.keys())
    places = range(len(ours[rounds[0]]["runs"])) if rounds else []
    every = [[(ours[n]["runs"][place], partner(ours[n]["runs"][place], theirs[n])) for n in rounds] for place in places]
    return [pair for pair in every if pair[0][1]]


def speed(run):
    """Tokens per second in a round."""
    return run["tokens"] / statistics.median(run["all_seconds"])


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def same(ours, theirs, prompts, mask):
    """How many of the tokens that the other program generated are ours as well, and how many it generated.

    It may have stopped early, and left masks.
    """
    pairs = [
        pair for prompt, a, b in zip(prompts, ours["sequences"], theirs["sequences"])
        for pair in zip(a[len(prompt):], b[len(prompt):])
    ]
    known = [(a, b) for a, b in pairs if b != mask]
    return sum(a == b for a, b in known), len(known)


def line(rounds, prompts, mask):
    """One setting in all rounds."""
    (ours, theirs), *_ = rounds
    equal, of = map(sum, zip(*(same(a, b, prompts, mask) for a, b in rounds)))
    return {
        "strategy": ours["strategy"], "setting": ours["setting"],
        "calls": [ours["forwards"], ours["sampler_passes"]],
        "their_calls": [theirs["forwards"], theirs["sampler_passes"]],
        "rows_per_forward": ours.get("rows_per_forward"),
        "their_rows_per_forward": theirs.get("rows_per_forward"),
        "tokens_per_second": spread([speed(a) for a, _ in rounds]),
        "their_tokens_per_second": spread([speed(b) for _, b in rounds]),
        "ratio": spread([speed(a) / speed(b) for a, b in rounds]),
        "equal": equal, "of": of, "rounds": len(rounds),
    }


def ratio(spread):
    """Such as `**2.07×** (1.98 – 2.11)`."""
    return f"**{spread['median']:.2f}×** ({spread['min']:.2f} – {spread['max']:.2f})"


def main():
    folder, out = sys.argv[1:]
    ours, theirs = load(folder, "conjoint"), load(folder, "reference")
    report, reference = next(iter(ours.values())), next(iter(theirs.values()))
    share = lambda values: statistics.median(values) if values else None
    lines = []
    for rounds in pairs(ours, theirs):
        passes = [a["pass_per_forward"] for a, _ in rounds if a["pass_per_forward"] is not None]
        their_passes = [b["pass_seconds"] / b["forward_seconds"] for _, b in rounds if b["pass_seconds"]]
        lines.append(line(rounds, report["prompts"], reference["mask"]) | {
            "pass_per_forward": share(passes), "their_pass_per_forward": share(their_passes),
            "outside": share([a["outside"] for a, _ in rounds]),
        })
    number = len(ours.keys() & theirs.keys())
    program = reference["program"]
    pathlib.Path(out).write_text(json.dumps({"rounds": number, "reference": program, "runs": lines}, indent=2))
    print(f"Medians of {number} rounds, {report['threads']} threads, {program}. In brackets: the least and the "
          "largest ratio of a round.\n")
    print("| strategy | forwards, passes | reference, tokens/s | conjoint, tokens/s | ratio "
          "| pass / forward, reference | conjoint | outside of ONNX Runtime | equal tokens |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    part = lambda x: "–" if x is None else f"{x:.3f}"
    for run in lines:
        print(f"| {run['strategy']} {run['setting']} | {run['calls'][0]}, {run['calls'][1]} "
              f"| {run['their_tokens_per_second']['median']:.1f} | {run['tokens_per_second']['median']:.1f} "
              f"| {ratio(run['ratio'])} | {part(run['their_pass_per_forward'])} | {part(run['pass_per_forward'])} "
              f"| {100 * run['outside']:.1f} % | {run['equal']} of {run['of']} |")
    wrong = [f"{run['strategy']} {run['setting']}" for run in lines
             if run["equal"] != run["of"] or run["calls"] != run["their_calls"]]
    if wrong:
        sys.exit(f"not the same tokens or calls: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
