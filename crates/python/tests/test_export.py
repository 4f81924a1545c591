"""`conjoint.export`."""

import json
import pathlib
import tempfile
import unittest

import conjoint
from common import FIXTURES, ROOT


class Export(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = pathlib.Path(folder.name) / "out"

    def test_an_exported_checkpoint_generates(self):
        folder = conjoint.export(FIXTURES / "dream-tiny", self.out)
        self.assertEqual(folder, self.out)
        manifest = json.loads((folder / "conjoint.json").read_text())
        model = conjoint.open(folder, threads=1)
        self.assertEqual((model.vocab_size, model.mask_id), (manifest["vocab_size"], manifest["tokens"]["mask"]))
        self.assertFalse(model.has_sampler_layer or model.has_tokenizer)
        [result] = model.generate([1, 2, 3], gen_length=6, temperature=0)
        self.assertEqual((result.tokens[:3].tolist(), len(result.tokens)), ([1, 2, 3], 9))
        self.assertEqual((result.text, result.completion), (None, None))
        with self.assertRaisesRegex(ValueError, "for `prompt`: the tokenizer cannot be used"):
            model.generate("text", gen_length=6)
        with self.assertRaisesRegex(ValueError, r"for `strategy`: it needs a sampler layer.*`conjoint.export\(…, sampler=…\)`"):
            model.generate([1], gen_length=6, strategy="joint")

    def test_options_are_those_of_the_command(self):
        conjoint.export(str(FIXTURES / "dream-tiny"), str(self.out), sampler=FIXTURES / "adjust-dream-tiny", head_top=4)
        files = {file.name for file in self.out.iterdir()}
        self.assertLessEqual({"backbone.onnx", "head.onnx", "head-top.onnx", "sampler.onnx"}, files)
        model = conjoint.open(self.out, threads=1, head="condensed")
        [result] = model.generate([1], gen_length=8, strategy="joint", schedule="per-step:4")
        self.assertEqual((result.denoiser_calls, result.sampler_calls), (2, 6))
        with self.assertWarnsRegex(UserWarning, "had a sampler layer"):
            conjoint.export(FIXTURES / "dream-tiny", self.out, head_top=0, quantize="int8", eos=[3, 4], mask_id=5)
        model = conjoint.open(self.out, threads=1)
        self.assertEqual((model.mask_id, model.eos_ids), (5, [3, 4]))
        self.assertTrue((self.out / "model-int8.safetensors").is_file())
        self.assertFalse((self.out / "head-top.onnx").exists())

    def test_errors_name_the_argument(self):
        checkpoint = FIXTURES / "dream-tiny"
        for arguments, message in [
            ({"head_top": 1}, "invalid value `1` for `head_top`: expected at least 2"),
            ({"quantize": "int3"}, "invalid value `int3` for `quantize`: expected int8 or int4"),
            ({"passes": "all"}, "for `passes`: expected sequence or rows"),
            ({"quantize": "int8", "portable": True}, "give one of the two"),
            ({"mask_id": 10**6}, "mask token 1000000: expected"),
            ({"mask_id": [1, 2]}, "for `mask_id`: expected one id or token"),
            ({"eos": -1}, "invalid value `-1` for `eos`"),
            ({"ignore_keys": "hidden_size"}, "leave it out of `ignore_keys`"),
            ({"sampler": ROOT / "docs"}, "docs"),
        ]:
            with self.subTest(**arguments), self.assertRaisesRegex((ValueError, conjoint.Error), message):
                conjoint.export(checkpoint, self.out, **arguments)
        with self.assertRaisesRegex(ValueError, "no such"):
            conjoint.export("no such folder", self.out)
        with self.assertRaisesRegex(ValueError, "for `out`: it is a file, expected a folder"):
            conjoint.export(checkpoint, __file__)
        with self.assertRaisesRegex(TypeError, r"export\(\) got an unexpected keyword argument 'quantise'"):
            conjoint.export(checkpoint, self.out, quantise="int8")


if __name__ == "__main__":
    unittest.main()
