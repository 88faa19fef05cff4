# SPDX-License-Identifier: Apache-2.0
"""What the tests of the programs share: where they lie, and how they are run."""
import json
import os
import subprocess
import tempfile
import unittest

SOURCE = os.environ.get("LOOPSERVE_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.environ.get("LOOPSERVE_BIN", os.path.join(SOURCE, "build/host-release/bin"))
MATERIAL = os.environ.get("LOOPSERVE_MATERIAL", os.path.join(SOURCE, "../shared/material"))
DEMO = os.path.join(SOURCE, "assets/demo-model")
SHAPES = os.path.join(SOURCE, "tests/data/shapes")

QUESTION = "The amber bear budget is 431. We met today and talked for a while. What is the amber bear budget?"
ANSWER = "The amber bear budget is 431."


def run(program, *arguments, stdin=""):
    """The finished process; texts are bytes where `stdin` is."""
    command = [os.path.join(BIN, program), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=not isinstance(stdin, bytes), timeout=240)


def dialogues():
    with open(os.path.join(DEMO, "dialogues.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class ProgramTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def ok(self, program, *arguments, stdin=""):
        done = run(program, *arguments, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *said, program="loopserve-chat", arguments=(), stdin=""):
        """Exit 1 and one sentence on stderr, which holds every text of `said`."""
        done = run(program, *arguments, stdin=stdin)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in said:
            self.assertIn(text, done.stderr)
        return done

    def refused_output(self, program, *arguments):
        """Exit 1 and one sentence where standard output takes nothing."""
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([os.path.join(BIN, program), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=240)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("standard output cannot be written", done.stderr)

    def material(self, *path):
        found = os.path.join(MATERIAL, *path)
        if not os.path.exists(found):
            self.skipTest("no material")
        return found
