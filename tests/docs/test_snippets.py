# SPDX-License-Identifier: Apache-2.0
"""Plants documents with one fault each, and sees that snippets.py names it."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import snippets  # noqa: E402

PROGRAM = "// SPDX-License-Identifier: Apache-2.0\nint main() {\n  // [part]\n  int x = 1;\n  // [/part]\n}\n"
WHOLE = "<!-- snippet: examples/a.cpp -->\n```cpp\nint main() {\n  int x = 1;\n}\n```\n"
PART = "<!-- snippet: examples/a.cpp#part -->\n```cpp\nint x = 1;\n```\n"


class Snippets(unittest.TestCase):
    def said(self, readme, write=False):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "examples"))
            for path, text in (("examples/a.cpp", PROGRAM), ("README.md", readme)):
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            if write:
                snippets.check(root, write=True)
            return snippets.check(root)

    def test_true_ones(self):
        self.assertEqual(self.said(WHOLE + "text\n" + PART), [])

    def test_faults(self):
        for readme, words in ((WHOLE.replace("1", "2"), "differs"), (PART.replace("int x", "int y"), "differs"), (PART.replace("#part", "#other"), "no part"),
                              (PART.replace("a.cpp", "b.cpp"), "does not exist"), ("```cpp\nint x;\n```\n", "no snippet mark"), ("[a](b.md)", "leads nowhere")):
            said = self.said(readme)
            self.assertEqual(len(said), 1, said)
            self.assertIn(words, said[0])

    def test_write(self):
        self.assertEqual(self.said(WHOLE.replace("1", "2") + PART.replace("int x", "int y"), write=True), [])


if __name__ == "__main__":
    unittest.main()
