"""Tests of judge.py, prompts.py and what they use.

    MOLECULES=runs/molecules python3 -m pytest bench/molecules

MOLECULES is the folder of fetch.py. The figures of `test_the_figures_of_moses_own_tests` are those of tests/test_metrics.py of MOSES,
which were computed with the packages of 2020.
"""

import json
import math
import os
import pathlib
import random
import re

import fetch
import numpy
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
FOLDER = pathlib.Path(os.environ.get("MOLECULES", "runs/molecules")).resolve()
if not (FOLDER / "train.txt").exists():
    pytest.exit(f"{FOLDER} lacks train.txt: run python3 bench/molecules/fetch.py {FOLDER}, or set MOLECULES", returncode=2)

import cuts
import intervals
import metrics
import moses_package
import prompts
import replies
import tasks
from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def modules():
    return moses_package.load(FOLDER)


@pytest.fixture(scope="module")
def references():
    return moses_package.statistics(FOLDER)


@pytest.fixture(scope="module")
def test_set():
    return replies.strings(FOLDER / "test.txt")


def test_the_figures_of_moses_own_tests(modules):
    reference = modules[0].compute_intermediate_statistics(["Oc1ccccc1-c1cccc2cnccc12", "COc1cccc(NC(=O)Cc2coc3ccc(OC)cc23)c1"])
    generated = [
        "CNC", "Oc1ccccc1-c1cccc2cnccc12", "INVALID", "CCCP", "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1", "Cc1nc(NCc2ccccc2)no1-c1ccccc1",
    ]  # fmt: skip
    expected = {
        "FCD/Test": 52.58371754126664, "SNN/Test": 0.3152585653588176, "Frag/Test": 0.3, "Scaf/Test": 0.5, "IntDiv": 0.7189187309761661,
        "Filters": 0.75, "logP": 1.63229, "SA": 0.5238335295121783, "QED": 0.20370891752648637, "weight": 106.87,
    }  # fmt: skip
    # Today's RDKit takes the phosphorus of CCCP, one molecule of four, for a stereo centre. MOSES' molecules have no phosphorus.
    expected["SA"] += 9 / 6.5 * math.log10(2) / 4
    found = metrics.measure(modules, generated, {"Test": reference}, set())["metrics"]
    assert found["valid"] == 2 / 3 and found["unique@1000"] == 1
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_known_invalid_and_repeated_strings(modules, references, test_set):
    # 120 different molecules, 40 of them again with another spelling, 40 invalid strings. 30 of the molecules are for training.
    molecules = test_set[:120]
    respelled = [modules[1].Chem.MolToSmiles(modules[1].get_mol(molecule), canonical=False, rootedAtAtom=3) for molecule in molecules[:40]]
    assert all(one != other for one, other in zip(molecules, respelled))
    invalid = ["", "C1CC", "c1cccc1(", "CC(C)(C)(C)C"] * 10
    strings = molecules + respelled + invalid
    random.Random(0).shuffle(strings)
    found = metrics.measure(modules, strings, references, set(molecules[:30]))
    assert found["metrics"]["valid"] == 160 / 200
    assert found["metrics"]["unique@1000"] == found["metrics"]["unique@10000"] == 120 / 160
    assert found["metrics"]["Novelty"] == 90 / 120
    assert found["metrics"]["SNN/Test"] == pytest.approx(1)
    assert found["shares"]["valid"] == {"hits": 160, "count": 200} and found["shares"]["Novelty"] == {"hits": 90, "count": 120}
    assert found["shares"]["unique@1000"] == {"hits": 120, "count": 160}
    assert all(sum(counts) == 160 for counts in found["histograms"].values())


def test_without_two_valid_strings_only_validity_is_measured(modules, references):
    found = metrics.measure(modules, ["C1", "CCO", "x"], references, set())
    assert found == {"metrics": {"valid": 1 / 3}, "shares": {"valid": {"hits": 1, "count": 3}}, "histograms": {}}


def test_the_statistics_of_the_archive_are_those_of_todays_packages(modules, references, test_set):
    utils, mols = modules[1], [modules[1].get_mol(string) for string in test_set[:300]]
    for name in metrics.PROPERTIES:
        assert [getattr(utils, name)(mol) for mol in mols] == pytest.approx(references["Test"][name]["values"][:300], abs=1e-9)
    assert numpy.array_equal(utils.fingerprints(mols, fp_type="morgan"), references["Test"]["SNN"]["fps"][:300])
    for name, counts in (("Frag", utils.compute_fragments(mols)), ("Scaf", utils.compute_scaffolds(mols))):
        assert counts and counts.keys() <= references["Test"][name][name.lower()].keys()


def test_large_counts_of_fragments_do_not_overflow(modules):
    counts = {"a": 3 * 10**5, "b": 10**5}
    assert modules[0].cos_similarity(counts, {"a": 3 * 10**4, "b": 10**4}) == pytest.approx(1)
    assert modules[0].cos_similarity(counts, {"a": 10**5, "b": 3 * 10**5}) == pytest.approx(0.6)


def test_a_reply_is_its_string_up_to_the_end(tmp_path):
    lines = [
        {"index": 0, "completion": "CC", "text": "CCO[EOS]", "finish_reason": "length"},
        {"index": 1, "completion": "CC[EOS]CC", "finish_reason": "length"},
        {"index": 2, "completion": None, "finish_reason": "error", "error": "failed"},
    ]
    path = tmp_path / "replies.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replies.strings(path) == ["CCO", "CC", ""]
    (tmp_path / "plain.txt").write_text("CCO\n\nCC\n")
    assert replies.strings(tmp_path / "plain.txt") == ["CCO", "", "CC"]


def test_intervals_of_known_shares():
    assert intervals.wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert intervals.wilson(0, 20)[0] == 0 and intervals.wilson(20, 20)[1] == 1
    low, high = intervals.bootstrap([(1, 1)] * 50 + [(0, 1)] * 50)
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.02) and high - low == pytest.approx(4 * math.sqrt(0.25 / 100), abs=0.05)
    spread = intervals.spread([1, 2, 3])
    assert spread == {"mean": 2, "sd": 1, "min": 1, "max": 3} and intervals.spread([1, None]) is None


def test_a_hidden_part_is_one_whole_range():
    tokens = re.findall(fetch.TOKEN, "CC(C)Cc1ccccc1")
    assert cuts.span(tokens, {0, 1, 2, 3}) == (0, 6)
    assert cuts.span(tokens, {2}) == (3, 4)
    assert cuts.span(tokens, {1, 2}) == (1, 5)  # Up to the end of the branch.
    assert cuts.span(tokens, {0, 3}) is None and cuts.span(tokens, {2, 3}) is None
    assert cuts.span(tokens, {4, 5}) is None  # Opens a ring that it does not close.


@pytest.mark.parametrize("rewrite", [False, True])
@pytest.mark.parametrize("task", ["scaffold", "linker"])
def test_every_task_hides_one_range_of_a_test_molecule(modules, test_set, task, rewrite):
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    requests, answers, _ = prompts.infilling(tokenizer, test_set, task, 150, rewrite, random.Random(1))
    assert len({answer["molecule"] for answer in answers}) == 150
    for request, answer in zip(requests, answers):
        start, end = answer["hidden_tokens"]
        assert request["infill"] == f"{answer['before']}[MASK*{end - start}]{answer['after']}[EOS]"
        whole = answer["before"] + answer["hidden"] + answer["after"]
        assert modules[1].canonic_smiles(whole) == modules[1].canonic_smiles(answer["molecule"])
        assert (whole != answer["molecule"]) == answer["rewritten"] and (rewrite or not answer["rewritten"])
        judged = tasks.judge_task(modules, answer, [whole, answer["molecule"], answer["before"] + "(" + answer["after"]])
        assert judged["exact"] == (2, 3) and judged["kept"] == (2, 2) and judged["distinct"] == (1, 3)
    assert any(answer["rewritten"] for answer in answers) == rewrite


def test_a_fill_that_changes_the_kept_part_is_counted(modules):
    answer = {"molecule": "CCCc1ccccc1", "kept": "[#6]1:[#6]:[#6]:[#6]:[#6]:[#6]:1"}
    judged = tasks.judge_task(modules, answer, ["CCCc1ccccc1", "OCCc1ccccc1", "OCCC1CCCCC1", "CCCc1ccccc"])
    assert judged["valid"] == (3, 4) and judged["exact"] == (1, 4) and judged["kept"] == (2, 3) and judged["distinct"] == (3, 4)


def test_canvases_are_masks_alone_with_seeds_of_their_own():
    requests = prompts.canvases(56, 50, random.Random(0))
    assert {request["infill"] for request in requests} == {"[MASK*56]"}
    assert len({request["seed"] for request in requests}) == 50 and [request["id"] for request in requests] == list(range(50))
    assert requests == prompts.canvases(56, 50, random.Random(0))


def test_lengths_of_new_molecules_are_those_of_random_strings():
    tokenizer, texts = Tokenizer.from_file(str(FOLDER / "tokenizer.json")), ["CCO", "Clc1ccccc1"]
    requests = prompts.unconditional(tokenizer, texts, 400, random.Random(0))
    assert {request["infill"] for request in requests} == {"[MASK*3][EOS]", "[MASK*9][EOS]"}
    assert 150 < sum(request["infill"] == "[MASK*3][EOS]" for request in requests) < 250
    assert len({request["seed"] for request in requests}) == 400
