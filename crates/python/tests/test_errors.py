"""Every error names the argument, its value and the fix."""

import json
import pathlib
import shutil
import struct
import tempfile
import unittest

import conjoint
from common import PROMPT, TINY, tiny

INVALID = [
    ({"strategy": "jiont"}, "invalid value `jiont` for `strategy`: expected one of exact, .*did you mean 'joint'"),
    ({"strategy": "joint+soon"}, "for `strategy`: unknown name 'soon'"),
    ({"strategy": "joint:width=3"}, "for `strategy`: unexpected parameter 'width=3': expected joint"),
    ({"strategy": "joint:window=x"}, "invalid value `joint:window=x` for `strategy`: `window` is `x`"),
    ({"schedule": "per-step:0", "strategy": "marginal"}, "invalid value `per-step:0` for `schedule`: `k` is `0`, expected"),
    ({"revise": "vino"}, "invalid value `vino` for `revise`: expected one of .*did you mean 'wino'"),
    ({"order": "entropi"}, "for `order`: .*did you mean 'entropy'"),
    ({"scorer": "gpt"}, "for `scorer`: expected ngram:N:FILE"),
    ({"strategy": "fast", "schedule": "per-step:2"}, "for `schedule`: the strategy has a schedule, 'per-step:12': leave one"),
    ({"strategy": "joint/wino", "revise": "rcr"}, "for `revise`: the strategy has a reviser, 'wino': leave one"),
    ({"strategy": "wino", "revise": "rcr"}, "for `strategy`: .*already has a reviser"),
    ({"strategy": "exact", "schedule": "per-step:2"}, "`schedule=per-step:2` would have no effect: 'exact' does not take it"),
    ({"order_temperature": 1.0, "strategy": "klass"}, "`order_temperature=1` would have no effect"),
    ({"strategy": "energy"}, "for `strategy`: .*give `scorer`"),
    ({"strategy": "p2", "schedule": "threshold:0.9"}, "for `schedule`: 'p2' needs a schedule with a total number of steps"),
    ({"temperature": -1}, "invalid value `-1` for `temperature`"),
    ({"temperature": float("nan")}, "for `temperature`"),
    ({"top_p": 1.5}, "invalid value `1.5` for `top_p`"),
    ({"top_k": 0}, "invalid value `0` for `top_k`"),
    ({"top_k": -1}, "invalid value `-1` for `top_k`: expected a whole number"),
    ({"min_p": 2}, "for `min_p`"),
    ({"repetition_penalty": 0.5}, "for `repetition_penalty`"),
    ({"cfg_scale": -1}, "for `cfg_scale`"),
    ({"order_temperature": 0}, "for `order_temperature`"),
    ({"block_length": 0}, "for `block_length`"),
    ({"open_next_block": 2, "block_length": 8}, "invalid value `2` for `open_next_block`"),
    ({"ban": "masc"}, "invalid value `masc` for `ban`: expected mask, pad"),
    ({"ban": 2**70}, "invalid value `1180591620717411303424` for `ban`"),
    ({"ban": 99}, "invalid value `99` for `ban`: the vocabulary has ids below 56"),
    ({"eos": 99}, "invalid value `99` for `eos`"),
    ({"eos": "nothing"}, "for `eos`: expected an id, or one token"),
    ({"stop": ""}, "for `stop`: expected a text of at least one character"),
    ({"num_samples": 0}, "invalid value `0` for `num_samples`"),
    ({"batch_size": 0}, "invalid value `0` for `batch_size`"),
    ({"seed": -1}, "invalid value `-1` for `seed`"),
    ({"gen_length": None}, "`gen_length` is missing: give the number of tokens"),
    ({"gen_length": 0}, "invalid value `0` for `gen_length`: expected at least 1"),
    ({"infill": True}, "`gen_length=.*` would have no effect: the holes"),
    ({"gen_length": 100}, "invalid value `100` for `gen_length`: .* room for 40 of its 48 positions"),
    ({"sampler": "/no/such/folder", "strategy": "joint"}, "for `sampler`"),
]
PROMPTS = [
    ("", "invalid value `` for `prompt`: the prompt is empty: give at least one token, or use `None`"),
    ("é", "invalid value `é` for `prompt`: .*é"),
    ([2, 56], "invalid value `2,56` for `prompt`: id 56 is outside the vocabulary of 56 ids"),
    ([2, 0], "for `prompt`: token 1 of the prompt is the mask id: use `infill=True` to fill holes"),
    ([2, -1], "invalid value `-1` for `prompt`: a token id"),
    ([2] * 48, "leave none of the model's 48 positions"),
    ([{"role": "user", "content": "hello"}], "for `prompt`: .*template"),
]
TYPES = [
    ({"heat": 1}, r"generate\(\) got an unexpected keyword argument 'heat'"),
    ({"temperature": "hot"}, "`temperature`: expected a number, got str"),
    ({"top_k": 1.5}, "`top_k`: expected a whole number.*, got float"),
    ({"strategy": 3}, "`strategy`: expected a str, got int"),
    ({"stop": 1.5}, "`stop`: expected a str, an int, or a list of them, got float"),
    ({"stop": b"a"}, "`stop`: expected a str, an int, or a list of them, got bytes"),
    ({"ban": bytearray(b"a")}, "`ban`: expected .*, got bytearray"),
    ({"infill": "yes"}, "`infill`: expected True or False, got str"),
    ({"template_args": [1]}, "`template_args`: expected a dict, got list"),
    ({"rows": False}, "unexpected keyword argument 'rows'"),
]


class Errors(unittest.TestCase):
    def test_an_invalid_argument_is_named_with_its_value(self):
        for settings, message in INVALID:
            settings = {"gen_length": 32, **settings}
            for call in (tiny().generate, tiny().steps):
                if call == tiny().steps and {"num_samples", "batch_size"} & settings.keys():
                    continue
                with self.subTest(call=call.__name__, **settings), self.assertRaisesRegex(ValueError, message) as caught:
                    call(PROMPT, **settings)
                self.assertLessEqual(str(caught.exception).count("invalid value"), 1)
                self.assertNotIn("--", str(caught.exception))

    def test_an_invalid_prompt_is_named_with_the_reason(self):
        for prompt, message in PROMPTS:
            with self.subTest(prompt=prompt), self.assertRaisesRegex(ValueError, message):
                tiny().generate(prompt, gen_length=8)
        with self.assertRaisesRegex(ValueError, r"invalid value `é` for `prompt`: .*\(prompts\[1\]\)$"):
            tiny().generate([PROMPT, "é"], gen_length=8)
        for wrong in (5, b"text", {"role": "user"}, [1.5], [["a"]], [b"text"]):
            with self.subTest(prompt=wrong), self.assertRaisesRegex(TypeError, "`prompt`: expected a str"):
                tiny().generate(wrong, gen_length=8)
        with self.assertRaisesRegex(ValueError, r"for `prompt`: \[MASK\*0\]: expected \[MASK\]"):
            tiny().generate("<list>[MASK*0]", infill=True)
        with self.assertRaisesRegex(ValueError, "has no holes"):
            tiny().generate(None, infill=True)

    def test_types_are_checked(self):
        for settings, message in TYPES:
            with self.subTest(**settings), self.assertRaisesRegex(TypeError, message):
                tiny().generate(PROMPT, gen_length=8, **settings)
        with self.assertRaisesRegex(TypeError, "unexpected keyword argument 'num_samples'"):
            tiny().steps(PROMPT, gen_length=8, num_samples=2)

    def test_a_long_value_is_cut(self):
        with self.assertRaises(ValueError) as caught:
            tiny().generate("é" * 100_000, gen_length=8)
        self.assertLess(len(str(caught.exception)), 1000)


class Failures(unittest.TestCase):
    def broken(self):
        """A model in which the token "z" makes every row NaN."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name)
        for file in TINY.iterdir():
            shutil.copy(file, path)
        weights = path / "model.safetensors"
        data = bytearray(weights.read_bytes())
        (length,) = struct.unpack("<Q", data[:8])
        tensor = json.loads(data[8 : 8 + length])["model.embed_tokens.weight"]
        row = 8 + length + tensor["data_offsets"][0] + 2 * tensor["shape"][1] * int(tiny().encode("z")[0])
        data[row : row + 2] = struct.pack("<e", float("nan"))
        weights.write_bytes(data)
        with self.assertWarnsRegex(UserWarning, "had a sampler layer, and this one has none: give its folder with `sampler`"):
            conjoint.export(path)
        return conjoint.open(path, threads=1)

    def test_a_failure_is_that_of_its_sequence(self):
        model = self.broken()
        with self.assertWarnsRegex(UserWarning, "1 of 3 sequences failed: see `error` of each result"):
            results = model.generate([PROMPT, "<story>z", PROMPT], gen_length=5, temperature=0)
        [expected] = tiny().generate(PROMPT, gen_length=5, temperature=0)
        for result in (results[0], results[2]):
            self.assertEqual((result.tokens.tolist(), result.error), (expected.tokens.tolist(), None))
        failed = results[1]
        self.assertEqual((failed.prompt, failed.finish_reason, failed.text), (1, "error", None))
        self.assertEqual((failed.tokens.tolist(), failed.denoiser_calls), ([], 0))
        self.assertRegex(failed.error, "position 2: logit of token 0 is NaN: a weight of the model is not finite")
        with self.assertRaisesRegex(conjoint.Error, "logit of token 0 is NaN"):
            model.generate("<story>z", gen_length=5, num_samples=2)
        steps = model.steps("<story>z", gen_length=5)
        with self.assertRaisesRegex(conjoint.Error, "logit of token 0 is NaN"):
            next(steps)
        with self.assertRaises(StopIteration):
            next(steps)
        self.assertIsNone(steps.result)

    def test_a_changed_weight_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            for file in TINY.iterdir():
                shutil.copy(file, folder)
            with open(pathlib.Path(folder) / "model.safetensors", "ab") as weights:
                weights.write(b"more")
            with self.assertRaisesRegex(conjoint.Error, "model.safetensors"):
                conjoint.open(folder)

    def test_a_failure_is_no_invalid_argument(self):
        self.assertTrue(issubclass(conjoint.Error, Exception))
        self.assertFalse(issubclass(conjoint.Error, ValueError))
        self.assertEqual(conjoint.Error.__module__, "conjoint")


if __name__ == "__main__":
    unittest.main()
