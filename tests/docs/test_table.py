# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/components/table.py: what it writes of which results, what it refuses to claim."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "tools", "components", "table.py")
COMPONENTS = """
[[row]]
name = "add"
calls = ["add("]
reference = ["ops.add"]
cpu = ["ops.cpu_add", "ops.cpu_add.portable"]
cuda = ["add"]

[[row]]
name = "engine"
calls = ["engine"]
reference = ["serve.talk"]
cpu = ["serve.talk"]
cuda = []
"""
HOST = {"ops.add": "run", "ops.cpu_add": "run", "ops.cpu_add.portable": "run", "serve.talk": "run", "simt.add": "run"}
EMULATED = "| | `reference` | `cpu` | `cuda` |\n|---|---|---|---|\n| add | tested | tested | emulated |\n| engine | tested | tested | - |\n"


class Table(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.root = self.temporary.name
        self.write("tools/components/components.toml", COMPONENTS)
        self.write("README.md", "# x\n<!-- table: components -->\nold\n<!-- /table -->\nmore\n")
        for name, text in {"ops/add": "add(reference", "ops/cpu_add": "add(cpu", "serve/talk": "engine<reference> engine<cpu>", "simt/add": "add(b"}.items():
            self.write(f"tests/{name}.cpp", text)

    def tearDown(self):
        self.temporary.cleanup()

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def junit(self, name, cases):
        return self.write(name, "<testsuite>" + "".join(
            f'<testcase name="{n}" status="{s}">{"<skipped/>" if s == "notrun" else ""}</testcase>' for n, s in cases.items()) + "</testsuite>")

    def table(self, *arguments):
        done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60)
        with open(os.path.join(self.root, "README.md")) as file:
            return done.returncode, done.stdout + done.stderr, file.read()

    def test_what_ran_is_written_and_then_found_true(self):
        host, device = self.junit("host.xml", HOST), self.junit("device.xml", {"device.add": "notrun"})
        self.assertEqual(self.table(self.root, host, device)[0], 1)
        status, _, text = self.table("--write", self.root, host, device)
        self.assertEqual((status, text), (0, "# x\n<!-- table: components -->\n" + EMULATED + "<!-- /table -->\nmore\n"))
        self.assertEqual(self.table(self.root, host, device)[0], 0)
        self.assertEqual(self.table(self.root, host)[0], 0)

    def test_a_device_says_more_and_the_emulator_s_word_stays_true(self):
        host, device = self.junit("host.xml", HOST), self.junit("device.xml", {"device.add": "run"})
        self.table("--write", self.root, host)
        self.assertEqual(self.table(self.root, host, device)[0], 0)
        self.assertIn("| add | tested | tested | on a GPU |", self.table("--write", self.root, host, device)[2])
        self.assertEqual(self.table(self.root, host)[0], 1)  # without a device nobody may say so

    def test_what_failed_or_was_not_run_gives_no_table(self):
        for state in ("fail", None, "notrun"):
            cases = {n: s for n, s in {**HOST, "ops.cpu_add.portable": state}.items() if s}
            status, said, text = self.table("--write", self.root, self.junit("host.xml", cases))
            self.assertEqual(status, 1)
            self.assertIn("ops.cpu_add.portable", said)
            self.assertIn("old", text)

    def test_sources_are_there_and_touch_what_they_vouch_for(self):
        self.assertEqual(self.table("--sources", self.root)[0], 0)
        self.write("tests/ops/cpu_add.cpp", "add(reference")
        self.assertIn("speaks of cpu", self.table("--sources", self.root)[1])
        self.write("tests/ops/cpu_add.cpp", "sub(cpu")
        self.assertIn("has 'add('", self.table("--sources", self.root)[1])
        os.remove(os.path.join(self.root, "tests/ops/cpu_add.cpp"))
        self.assertIn("there is no tests/ops/cpu_add.cpp", self.table("--sources", self.root)[1])


if __name__ == "__main__":
    unittest.main()
