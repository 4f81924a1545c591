"""Opening a model, its attributes and its tokenizer."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import conjoint
import numpy as np
from common import FIXTURES, ROOT, TINY, tiny


class Attributes(unittest.TestCase):
    def test_a_model_has_the_values_of_its_manifest(self):
        model = tiny()
        self.assertEqual(model.path, TINY)
        self.assertEqual((model.vocab_size, model.max_length), (56, 48))
        self.assertEqual((model.mask_id, model.eos_id, model.pad_id, model.bos_id), (0, 1, 1, 1))
        self.assertEqual(model.eos_ids, [1])
        self.assertIsNone(model.attention_block)
        self.assertTrue(model.has_sampler_layer and model.has_tokenizer)
        self.assertIn("56 tokens, 48 positions, with a sampler layer", repr(model))
        with self.assertRaises(AttributeError):
            model.mask_id = 3

    def test_the_version_is_that_of_the_workspace(self):
        manifest = (ROOT / "Cargo.toml").read_text()
        self.assertIn(f'version = "{conjoint.__version__}"', manifest)


class Tokenizer(unittest.TestCase):
    def test_texts_become_tokens_and_back(self):
        tokens = tiny().encode("<story>the cat")
        self.assertEqual(tokens.tolist(), [2, 46, 34, 31, 7, 29, 27, 46])
        self.assertEqual(tokens.dtype, np.int64)
        for form in (tokens, tokens.tolist(), tokens.astype(np.uint16), iter(tokens)):
            self.assertEqual(tiny().decode(form), "<story>the cat")
        self.assertEqual([tiny().piece(token) for token in (2, 46)], ["<story>", "t"])

    def test_special_tokens_may_be_text(self):
        self.assertEqual(tiny().encode("<eos>").tolist(), [1])
        # Its characters have no tokens of their own.
        with self.assertRaisesRegex(ValueError, "for `text`: .*'<'"):
            tiny().encode("<eos>", literal=True)

    def test_what_has_no_token_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "invalid value `aéb` for `text`: .*é"):
            tiny().encode("aéb")
        for wrong in ([-1], [2**40]):
            with self.assertRaisesRegex(ValueError, "for `tokens`: a token id is a whole number"):
                tiny().decode(wrong)
        for wrong in (["a"], [1.5], "abc", b"ab", bytearray(b"ab"), memoryview(b"ab"), 5):
            with self.assertRaisesRegex(TypeError, "`tokens`: expected token ids"):
                tiny().decode(wrong)
        for wrong in (-1, 2**40):
            with self.assertRaisesRegex(ValueError, "for `token`: a token id is a whole number"):
                tiny().piece(wrong)


class Opening(unittest.TestCase):
    def test_a_folder_that_is_not_a_model_gets_advice(self):
        with self.assertRaisesRegex(ValueError, r"for `path`: .*written by `conjoint.export\(…\)`"):
            conjoint.open(ROOT / "docs")
        with self.assertRaisesRegex(ValueError, "for `path`: "):
            conjoint.open("no such folder")
        advice = r"not exported yet: run `conjoint.export\(\".*dream-tiny\"\)` first"
        with self.assertRaisesRegex(ValueError, advice):
            conjoint.open(FIXTURES / "dream-tiny")

    def test_arguments_are_checked(self):
        for arguments, message in [
            ({"device": "gpu"}, "invalid value `gpu` for `device`: expected cpu, cuda or tensorrt"),
            ({"device": "cuda"}, "for `device`: it is not compiled in: build the wheel with `--features cuda`"),
            ({"threads": 0}, "invalid value `0` for `threads`: expected an integer from 1 to 1024"),
            ({"threads": -1}, "invalid value `-1` for `threads`"),
            ({"cache": "duall"}, "invalid value `duall` for `cache`: .*did you mean 'dual'"),
            ({"cache": "dual:every=0"}, "for `cache`: `every` is `0`, expected an integer of at least 1"),
            ({"head": "sparse"}, "for `head`: expected auto, dense or condensed"),
            ({"head": "condensed"}, "for `head`: .*head-top.onnx"),
        ]:
            with self.subTest(**arguments), self.assertRaisesRegex(ValueError, message):
                conjoint.open(TINY, **arguments)

    def test_another_runtime_is_reported_if_it_is_missing(self):
        program = f"import conjoint\ntry: conjoint.open({str(TINY)!r})\nexcept conjoint.Error as error: print(error)"
        environment = {**os.environ, "ORT_DYLIB_PATH": "/no/such/library"}
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        self.assertIn("ORT_DYLIB_PATH", run.stdout)
        self.assertIn("/no/such/library", run.stdout)

    def test_a_broken_package_does_not_hide_another_runtime(self):
        # Its library cannot be loaded: the search continues in the other places.
        with tempfile.TemporaryDirectory() as folder:
            package = pathlib.Path(folder) / "onnxruntime"
            (package / "capi").mkdir(parents=True)
            (package / "__init__.py").touch()
            (package / "capi" / "libonnxruntime.so").write_bytes(b"broken")
            program = f"import conjoint; print(conjoint.open({str(TINY)!r}).vocab_size)"
            environment = {**os.environ, "PYTHONPATH": folder}
            run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        self.assertEqual(run.stdout, "56\n", run.stderr)


if __name__ == "__main__":
    unittest.main()
