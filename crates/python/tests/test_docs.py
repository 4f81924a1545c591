"""The examples of the documentation run."""

import contextlib
import io
import os
import re
import unittest

from common import ROOT


class Examples(unittest.TestCase):
    def setUp(self):
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)

    def test_every_block_runs(self):
        for file, blocks in [("docs/how-to/python.md", 3), ("crates/python/README.md", 1)]:
            found = re.findall(r"^```python\n(.*?)^```", (ROOT / file).read_text(), re.DOTALL | re.MULTILINE)
            self.assertEqual(len(found), blocks)
            names, printed = {}, io.StringIO()
            for block in found:
                with self.subTest(file), contextlib.redirect_stdout(printed):
                    exec(compile(block, file, "exec"), names)
            self.assertIn("<story>the old", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
