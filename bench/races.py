"""Races `conjoint bench` against llama.cpp and Fast-dLLM's loop. bench/races.sh prepares the folder and runs this.

    python bench/races.py --race FOLDER --conjoint COMMAND --llama LOOP [--rounds N] [--only NAME,NAME]

In each round every program runs once. Every other round runs them in reverse. The ratios are those of tokens/s within a
round. With --steps, the other programs stop after N steps of each sequence, while `conjoint` always runs to the end:
choose a multiple of the steps of a block. Exits with 1 if a race with equal precision and strategy does not generate
equal tokens.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import compare

HERE = pathlib.Path(__file__).parent

# Ours: model, strategy, arguments.
OURS = {
    "exact": ("model", "exact", []),
    "none": ("model", "marginal", []),
    "prefix": ("model", "marginal", ["--cache", "prefix"]),
    "dual": ("model", "marginal", ["--cache", "dual"]),
    "exact-dual": ("model", "exact", ["--cache", "dual"]),
    "joint-dual": ("model", "joint:window=3", ["--cache", "dual"]),
    "none-int8": ("int8", "marginal", []),
    "dual-int8": ("int8", "marginal", ["--cache", "dual"]),
    "joint-dual-int8": ("int8", "joint:window=3", ["--cache", "dual"]),
    "threshold": ("model", "marginal+threshold:TAU", ["--order", "confidence"]),
    "threshold-dual": ("model", "marginal+threshold:TAU", ["--order", "confidence", "--cache", "dual"]),
}

# Theirs: the one of ours whose report they follow, and the arguments of the loop.
THEIRS = {
    "llama-f32": ("none", ["--flash-attention", "off"]),
    "llama-f32-flash": ("none", []),
    "llama-q8_0": ("none", []),
    "llama-q4_0": ("none", []),
    "torch-none": ("none", ["--cache", "none"]),
    "torch-prefix": ("prefix", ["--cache", "prefix"]),
    "torch-dual": ("dual", ["--cache", "dual"]),
    "torch-threshold": ("threshold", ["--cache", "none"]),
    "torch-threshold-dual": ("threshold-dual", ["--cache", "dual"]),
}

# Races: title, ours, theirs (of several, the fastest), whether the tokens must be equal.
LLAMA = ["llama-f32", "llama-f32-flash", "llama-q8_0", "llama-q4_0"]
RACES = [
    ("float32 against llama.cpp, float32", "none", ["llama-f32"], True),
    ("float32 against llama.cpp, float32 with flash attention", "none", ["llama-f32-flash"], False),
    ("float32 against llama.cpp, q8_0", "none", ["llama-q8_0"], False),
    ("float32 against llama.cpp, q4_0", "none", ["llama-q4_0"], False),
    ("int8 against llama.cpp's best", "none-int8", LLAMA, False),
    ("no cache against PyTorch without cache", "none", ["torch-none"], True),
    ("prefix against PyTorch with prefix cache", "prefix", ["torch-prefix"], True),
    ("dual against PyTorch with dual cache", "dual", ["torch-dual"], True),
    ("threshold against PyTorch without cache", "threshold", ["torch-threshold"], True),
    ("threshold, dual against PyTorch with dual cache", "threshold-dual", ["torch-threshold-dual"], True),
    ("joint, dual, int8 against llama.cpp's best", "joint-dual-int8", LLAMA, False),
    ("dual against no cache", "dual", ["none"], False),
    ("exact, dual against exact", "exact-dual", ["exact"], False),
    ("joint, dual against exact", "joint-dual", ["exact"], False),
    ("dual, int8 against float32", "dual-int8", ["dual"], False),
]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--race", type=pathlib.Path, required=True, help="folder with the models")
    parser.add_argument("--conjoint", required=True, help="the command")
    parser.add_argument("--llama", help="the loop that bench/llama/build.sh builds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="parts of titles of races, separated by semicolons [default: all without threshold]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--k", default="4", help="tokens per step, separated by commas")
    parser.add_argument("--tau", default="0.9", help="threshold of the confidence")
    parser.add_argument("--prompt-length", type=int, default=32)
    parser.add_argument("--gen-length", type=int, default=96)
    parser.add_argument("--block-length", type=int, default=32)
    parser.add_argument("--steps", type=int, help="stop the other programs after this number of steps")
    return parser.parse_args()


def conjoint(arguments, name, out):
    """One round of one of ours."""
    model, strategy, flags = OURS[name]
    strategy = strategy.replace("TAU", arguments.tau)
    flags = ["--model", arguments.race / model, "--strategies", strategy, "--json", out, *flags]
    for setting in ("prompt_length", "gen_length", "block_length", "threads"):
        flags += ["--" + setting.replace("_", "-"), getattr(arguments, setting)]
    if strategy.split(":")[0] in ("marginal", "joint"):
        flags += ["--k", arguments.k]
    return [arguments.conjoint, "bench", "--temperature", "0", "--repeats", "1", *flags]


def other(arguments, name, like, out):
    """One round of another program."""
    program, kind = name.split("-", 1)
    flags = [*THEIRS[name][1], "--block-length", arguments.block_length]
    if arguments.steps:
        flags += ["--steps", arguments.steps]
    if program == "llama":
        return [arguments.llama, arguments.race / f"{kind.removesuffix('-flash')}.gguf", like, out, *flags]
    files = ["--model", arguments.race / "model", "--like", like, "--json", out]
    return [sys.executable, HERE / "fast_dllm.py", *files, *flags]


def programs(races):
    """Every program of the races once, each close to its rivals, and behind the one whose report it follows."""
    names = [name for _, ours, theirs, _ in races for name in [ours, *theirs]]
    return list(dict.fromkeys(part for name in names for part in [*THEIRS.get(name, [])[:1], name]))


def run_round(arguments, names, number):
    """Runs every program once. Those of others follow our reports of the first round, which have the same prompts."""
    place = lambda name, round=number: arguments.race / "rounds" / f"{round}.{name}.json"
    for name in names if number % 2 else reversed(names):
        out = place(name)
        if out.exists():
            continue
        temporary = out.with_suffix(".tmp")
        if name in OURS:
            command = conjoint(arguments, name, temporary)
        else:
            command = other(arguments, name, place(THEIRS[name][0], 1), temporary)
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        os.replace(temporary, out)
        print(f"round {number} of {arguments.rounds}: {name}", file=sys.stderr)


def result(arguments, title, ours, theirs, equal):
    """The lines of a race, one for each setting."""
    load = lambda name: compare.load(arguments.race / "rounds", name)
    mine, reports = load(ours), {name: load(name) for name in theirs}
    fastest = lambda name: statistics.median(
        compare.speed(run) for report in reports[name].values() for run in report["runs"])
    best = max((name for name in theirs if reports[name]), key=fastest)
    first = next(iter(mine.values()))
    mask = next(iter(reports[best].values())).get("mask")
    return [
        {"race": title + f": {best}" * (len(theirs) > 1), "ours": ours, "theirs": best, "equal_expected": equal,
         **compare.line(rounds, first["prompts"], mask)}
        for rounds in compare.pairs(mine, reports[best])
    ]


def chosen(arguments):
    if not arguments.only:
        return [race for race in RACES if "threshold" not in race[0]]
    parts = [part.strip() for part in arguments.only.split(";")]
    return [race for race in RACES if any(part in race[0] for part in parts)]


def check_settings(arguments):
    """Rejects rounds that were run with other settings."""
    names = ("threads", "k", "tau", "prompt_length", "gen_length", "block_length", "steps")
    settings = {name: getattr(arguments, name) for name in names}
    file = arguments.race / "rounds" / "settings.json"
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        file.write_text(json.dumps(settings))
    if json.loads(file.read_text()) != settings:
        sys.exit(f"{file.parent} has rounds with other settings: remove it to begin anew")
    return settings


def main():
    arguments = parse()
    races = chosen(arguments)
    if not races:
        titles = "\n".join(race[0] for race in RACES)
        sys.exit(f"invalid value `{arguments.only}` for `--only`: expected a part of one of these titles\n{titles}")
    settings = check_settings(arguments)
    names = programs(races)
    for number in range(1, arguments.rounds + 1):
        run_round(arguments, names, number)
    lines = [line for race in races for line in result(arguments, *race)]
    (arguments.race / "races.json").write_text(json.dumps({"settings": settings, "races": lines}, indent=2))
    print(f"Medians of {lines[0]['rounds']} rounds, {arguments.threads} threads, prompt {arguments.prompt_length}, "
          f"{arguments.gen_length} new tokens, blocks of {arguments.block_length}. In brackets: the least and the largest "
          "ratio of a round.\n")
    print("| race | setting | forwards × rows, theirs | ours | theirs, tokens/s | ours, tokens/s | ratio "
          "| equal tokens |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    work = lambda calls, rows: f"{calls[0]}" + (f" × {rows:.1f}" if rows else "")
    for line in lines:
        theirs = work(line["their_calls"], line["their_rows_per_forward"])
        ours = work(line["calls"], line["rows_per_forward"])
        print(f"| {line['race']} | {line['setting']} | {theirs} | {ours} "
              f"| {line['their_tokens_per_second']['median']:.2f} | {line['tokens_per_second']['median']:.2f} "
              f"| {compare.ratio(line['ratio'])} | {line['equal']} of {line['of']} |")
    wrong = [line["race"] for line in lines if line["equal_expected"] and line["equal"] != line["of"]]
    if wrong:
        sys.exit(f"not the same tokens: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
