"""`Model.generate`: texts, costs and forms of prompts."""

import json
import os
import subprocess
import tempfile
import unittest

import conjoint
import numpy as np
from common import PROMPT, TINY, chat_model, tiny

COMMAND = os.environ.get("CONJOINT_COMMAND")
# Arguments of `generate`, and the flags of the command for them.
SAME = [
    ({}, ""),
    ({"strategy": "balanced", "num_samples": 3}, "--preset balanced --num-samples 3"),
    ({"strategy": "quality", "seed": 11}, "--preset quality --seed 11"),
    (
        {"strategy": "joint:window=3+klass:0.8/wino", "temperature": 0.7, "num_samples": 2},
        "--unmasker joint:window=3 --schedule klass:0.8 --revise wino --temperature 0.7 --num-samples 2",
    ),
    (
        {"strategy": "marginal", "schedule": "linear:8", "order": "margin", "order_temperature": 0.5, "block_length": 8},
        "--unmasker marginal --schedule linear:8 --order margin --order-temperature 0.5 --block-length 8",
    ),
    (
        {"strategy": "confidence", "schedule": "per-step:4", "revise": "rcr", "top_k": 5, "top_p": 0.9, "min_p": 0.01},
        "--unmasker confidence --schedule per-step:4 --revise rcr --top-k 5 --top-p 0.9 --min-p 0.01",
    ),
    (
        {"stop_at_eos": True, "stop": [" it"], "min_length": 3, "repetition_penalty": 1.2, "ban": ["mask", 6, "40-41"]},
        ["--stop-at-eos", "--stop", " it", "--min-length", "3", "--repetition-penalty", "1.2", "--ban", "mask,6,40-41"],
    ),
    ({"cfg_scale": 0.5, "eos_penalty": 2, "temperature": 0}, "--cfg-scale 0.5 --eos-penalty 2 --temperature 0"),
]


def generate(prompts=PROMPT, **settings):
    settings.setdefault("gen_length", 32)
    return tiny().generate(prompts, **settings)


def tokens(results):
    return [result.tokens.tolist() for result in results]


class Command(unittest.TestCase):
    @unittest.skipUnless(COMMAND, "CONJOINT_COMMAND is not set")
    def test_settings_give_the_tokens_of_the_command(self):
        for settings, flags in SAME:
            flags = flags.split() if isinstance(flags, str) else flags
            command = [COMMAND, "generate", "--model", TINY, "--threads", "1", "--json", "--gen-length", "32"]
            run = subprocess.run([*command, "--prompt", PROMPT, *flags], capture_output=True, check=True)
            expected = json.loads(run.stdout)["sequences"]
            with self.subTest(**settings):
                results = generate(**settings)
                keys = ["prompt_tokens", "completion", "finish_reason", "denoiser_calls", "sampler_calls", "steps"]
                for result, sequence in zip(results, expected):
                    self.assertEqual(result.tokens.tolist(), sequence["tokens"])
                    for key in keys:
                        self.assertEqual(getattr(result, key), sequence[key], key)
                self.assertEqual(len(results), len(expected))

    @unittest.skipUnless(COMMAND, "CONJOINT_COMMAND is not set")
    def test_prompts_give_the_replies_of_the_command(self):
        prompts = [PROMPT, "<math>tom has 7 ", "<list>sort: "]
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
            file.writelines(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts)
        self.addCleanup(os.remove, file.name)
        flags = "--preset balanced --num-samples 2 --gen-length 20 --stop-at-eos --seed 5 --threads 1".split()
        command = [COMMAND, "generate", "--model", TINY, "--prompts", file.name, *flags]
        run = subprocess.run(command, capture_output=True, check=True)
        expected = [json.loads(line) for line in run.stdout.splitlines()]
        expected.sort(key=lambda reply: (reply["index"], reply["sample"]))
        settings = {"strategy": "balanced", "num_samples": 2, "gen_length": 20, "stop_at_eos": True, "seed": 5}
        results = generate(prompts, **settings)
        self.assertEqual(len(results), 6)
        for result, reply in zip(results, expected):
            self.assertEqual((result.prompt, result.sample), (reply["index"], reply["sample"]))
            self.assertEqual(result.tokens[result.prompt_tokens : result.end].tolist(), reply["tokens"])
            for key in ("completion", "finish_reason", "denoiser_calls", "sampler_calls", "prompt_tokens"):
                self.assertEqual(getattr(result, key), reply[key], key)


class Costs(unittest.TestCase):
    def test_each_strategy_has_its_numbers_of_calls(self):
        for strategy, schedule, calls in [
            ("exact", None, (32, 0)),
            ("marginal", "per-step:4", (8, 0)),
            ("marginal+per-step:4", None, (8, 0)),
            ("confidence", "per-step:4", (8, 0)),
            ("joint", "per-step:4", (8, 24)),
        ]:
            [result] = generate(strategy=strategy, schedule=schedule)
            self.assertEqual((result.denoiser_calls, result.sampler_calls), calls, strategy)
            self.assertEqual(result.steps, calls[0])

    def test_a_result_describes_the_whole_sequence(self):
        [result] = generate(seed=7)
        given = tiny().encode(PROMPT)
        self.assertEqual(result.tokens.dtype, np.int64)
        self.assertEqual(result.tokens[: len(given)].tolist(), given.tolist())
        self.assertEqual((result.prompt_tokens, len(result.tokens), result.end), (len(given), len(given) + 32, len(given) + 32))
        self.assertNotIn(tiny().mask_id, result.tokens)
        self.assertEqual(result.text, tiny().decode(result.tokens))
        self.assertEqual(result.text, PROMPT + result.completion)
        self.assertEqual((result.finish_reason, result.error), ("length", None))
        self.assertIn(f"text={json.dumps(result.text)}", repr(result))


class Randomness(unittest.TestCase):
    def test_a_seed_decides_the_tokens(self):
        one, same, other = (generate(seed=seed, num_samples=2) for seed in (3, 3, 4))
        self.assertEqual(tokens(one), tokens(same))
        self.assertNotEqual(tokens(one), tokens(other))
        self.assertNotEqual(*tokens(one))

    def test_a_sample_has_its_own_stream(self):
        many = generate([PROMPT, "<math>"], num_samples=2)
        self.assertEqual([(r.prompt, r.sample, r.stream) for r in many], [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)])
        self.assertEqual(tokens(generate(num_samples=2)), tokens(many[:2]))
        # The size of a batch changes no random number.
        self.assertEqual(tokens(generate([PROMPT, "<math>"], num_samples=2, batch_size=1)), tokens(many))

    def test_temperature_0_takes_the_most_probable_tokens(self):
        one, other = (generate(seed=seed, temperature=0) for seed in (1, 2))
        self.assertEqual(tokens(one), tokens(other))
        # The order reads the filtered rows, in which the entropy of one token is 0.
        leftmost = generate(temperature=0, order="left-to-right")
        self.assertEqual(tokens(leftmost), tokens(generate(top_k=1, order="left-to-right")))

    def test_banned_tokens_are_not_drawn(self):
        letter = int(tiny().encode("e")[0])
        free, banned = (generate(seed=2, num_samples=4, ban=ban) for ban in (None, ["mask", letter]))
        self.assertTrue(any(letter in result.tokens[result.prompt_tokens :] for result in free))
        self.assertFalse(any(letter in result.tokens[result.prompt_tokens :] for result in banned))


class Prompts(unittest.TestCase):
    def test_a_prompt_has_several_forms(self):
        ids = tiny().encode(PROMPT)
        [expected] = tokens(generate(PROMPT))
        for form in (ids, ids.tolist(), tuple(ids.tolist()), [PROMPT], [ids], [ids.tolist()], iter([PROMPT]), ids[None, :]):
            self.assertEqual(tokens(generate(form)), [expected])
        self.assertEqual(generate([]), [])
        self.assertEqual(len(generate([PROMPT, ids, None])), 3)

    def test_none_starts_from_masks(self):
        [result] = generate(None, gen_length=48)
        self.assertEqual((result.prompt_tokens, len(result.tokens)), (0, 48))
        self.assertEqual(result.text, result.completion)

    def test_holes_are_filled(self):
        text = "<math>tom has 7 [MASK*4] and buys 5. [MASK*11]"
        results = tiny().generate(text, infill=True, strategy="balanced", num_samples=3)
        ids = np.concatenate([tiny().encode("<math>tom has 7 "), [0] * 4, tiny().encode(" and buys 5. "), [0] * 11])
        for result in results:
            self.assertTrue(np.all((result.tokens == ids) | (ids == 0)))
            self.assertNotIn(0, result.tokens)
            self.assertEqual(result.prompt_tokens, int(np.argmax(ids == 0)))
        self.assertEqual(tokens(tiny().generate(ids, infill=True, strategy="balanced", num_samples=3)), tokens(results))

    def test_a_chat_uses_the_template_and_ends_with_the_turn(self):
        chat = [{"role": "user", "content": "the old"}]
        with chat_model() as model:
            [plain] = model.generate("<story>the old", gen_length=30, seed=1, stop_at_eos=True)
            for form in (chat, [chat]):
                [answer] = model.generate(form, gen_length=30, seed=1)
                self.assertEqual(answer.tokens.tolist(), plain.tokens.tolist())
            [more] = model.generate(chat, gen_length=20, template_args={"tail": " man"})
            self.assertTrue(more.text.startswith("<story>the old man"))
            with self.assertRaisesRegex(ValueError, "expected dicts with role and content"):
                model.generate([{"content": "no role"}], gen_length=4)


class Ends(unittest.TestCase):
    def test_a_sequence_ends_at_a_token_or_a_text(self):
        dot = int(tiny().encode(".")[0])
        for stops, reason in [({"eos": "."}, "eos"), ({"eos": dot}, "eos"), ({"stop": "."}, "stop"), ({"stop": ["."]}, "stop")]:
            [result] = generate(seed=7, gen_length=34, **stops)
            with self.subTest(**stops):
                self.assertEqual(result.finish_reason, reason)
                self.assertNotIn(".", result.completion)
                self.assertEqual(int(result.tokens[result.end - 1]), dot)
                self.assertTrue(np.all(result.tokens[result.end :] == tiny().pad_id))
                self.assertEqual(result.text, PROMPT + result.completion + ("." if reason == "eos" else ""))


class Caches(unittest.TestCase):
    def test_a_cache_is_that_of_the_model_or_of_the_strategy(self):
        plain = generate(gen_length=32, block_length=8, num_samples=2)
        cached = conjoint.open(TINY, threads=1, cache="dual:every=1")
        # A refresh in every forward is exact.
        same = cached.generate(PROMPT, gen_length=32, block_length=8, num_samples=2)
        self.assertEqual(tokens(plain), tokens(same))
        dual = generate(strategy="exact@dual", block_length=8, num_samples=2)
        own = conjoint.open(TINY, threads=1, cache="dual").generate(PROMPT, gen_length=32, block_length=8, num_samples=2)
        self.assertEqual(tokens(dual), tokens(own))
        with self.assertRaisesRegex(ValueError, "for `cache`: guidance"):
            generate(strategy="exact@dual", cfg_scale=1)


if __name__ == "__main__":
    unittest.main()
