# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/mutate_kernels over a tree of one header and one test, and of the project's own tables: every bug's place is there."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "mutation"))

import mutations  # noqa: E402
import runs  # noqa: E402

HEADER = """#pragma once
inline int sum(int const* x, int n) {
  int s = 0;
  for (int i = 0; i < n; ++i) { s += x[i]; }
  return s + 0;
}
"""
TEST = """#include <cstdio>
#include <loopserve/sum_kernel.hpp>
int run() {
  int x[32];
  for (int i = 0; i < 32; ++i) { x[i] = i + 1; }
  if (sum(x, 3) == 6) { return 0; }
  std::puts("TEST CASE:  numbers are summed\\n\\nx.cpp:8: ERROR: CHECK( sum == 6 ) is NOT correct!");
  return 1;
}
"""
ROW = '[[mutation]]\nname = "{}"\nkind = "off by one"\nold = "{}"\nnew = "{}"\n'
CAUGHT, SURVIVES = ROW.format("one more", "i < n", "i <= n"), ROW.format("nothing more", "s + 0", "s - 0")
REASON = 'survives = "it changes nothing"\n'
# Device headers in which a bug would not compile, or would be another table's.
NOTHING_TO_BREAK = ("dev/device_backend.hpp",  # a concept
                    "dev/primitives.hpp",  # chooses the twin
                    "dev/product.hpp",  # a record
                    "dev/vec.hpp")  # an array


class Runs(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.root = self.temporary.name
        for path, text in {"include/loopserve/sum_kernel.hpp": HEADER, "tests/simt/sum.cpp": TEST, "tests/test_main.cpp": "int run();\nint main() { return run(); }\n",
                           "tests/simt/emulator/none.cpp": "", "docs/mutation.md": ""}.items():
            self.write(path, text)

    def tearDown(self):
        self.temporary.cleanup()

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def mutate(self, rows, *more):
        """(exit status, what it printed, the page)."""
        self.write("tools/mutation/sum.toml", 'file = "sum_kernel.hpp"\ntests = ["sum"]\n' + rows)
        done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "mutate_kernels"), "--root", self.root, *more], capture_output=True, text=True, timeout=300)
        with open(os.path.join(self.root, "docs", "mutation.md")) as file:
            return done.returncode, done.stdout + done.stderr, file.read()

    def test_a_caught_bug_and_one_that_no_test_can_see(self):
        status, said, page = self.mutate(CAUGHT * 1 + SURVIVES + REASON, "--only", "one more")
        self.assertEqual((status, page), (0, ""), said)
        many = "".join(ROW.format(f"one more {i}", "i < n", f"i < n + {i + 1}") for i in range(20))
        status, said, page = self.mutate(many + SURVIVES + REASON)
        self.assertEqual(status, 0, said)
        self.assertIn("**20 of 21 are caught (95.2%).**", page)
        self.assertIn("| one more 3 | off by one | `sum` “numbers are summed” |", page)
        self.assertIn("nothing more: it changes nothing", page)
        self.assertEqual(self.mutate(many + SURVIVES + REASON, "--check")[0], 0)
        status, said, _ = self.mutate(many + SURVIVES + REASON + ROW.format("new", "int s = 0", "long s = 0"), "--check")
        self.assertEqual(status, 1)
        self.assertIn("sum_kernel.hpp: new", said)

    def test_a_survivor_wants_a_reason_and_a_reason_a_survivor(self):
        status, said, page = self.mutate(CAUGHT + SURVIVES)
        self.assertEqual(status, 1)
        self.assertIn("not as the tables say:\nsum_kernel.hpp: nothing more", said)
        self.assertIn("no reason is known", page)
        status, said, _ = self.mutate(CAUGHT + REASON)
        self.assertEqual(status, 1)
        self.assertIn("not as the tables say:\nsum_kernel.hpp: one more", said)

    def test_what_is_known_is_written_without_building(self):
        status, said, page = self.mutate(CAUGHT, "--known")
        self.assertIn("**0 of 0 are caught (0.0%).** 1 more were not run", page)
        self.assertEqual(status, 0, said)
        self.mutate(CAUGHT)
        status, said, page = self.mutate(CAUGHT + ROW.format("new", "int s = 0", "long s = 0"), "--known")
        self.assertIn("**1 of 1 are caught (100.0%).** 1 more were not run", page)
        self.assertIn("| new | off by one | not run |", page)
        self.write("include/loopserve/sum_kernel.hpp", HEADER + "// another line\n")
        status, said, page = self.mutate(CAUGHT, "--known")
        self.assertIn("**1 of 1 are caught (100.0%).** 1 (†) were run before the last change", page)
        self.assertIn("“numbers are summed” † |", page)

    def test_too_few_caught(self):
        status, said, _ = self.mutate(CAUGHT + SURVIVES + REASON)
        self.assertEqual(status, 1)
        self.assertIn("fewer than 95% are caught", said)

    def test_a_place_that_is_not_there_once_is_an_error(self):
        for old, count in (("i > n", 0), ("int ", 5)):
            status, said, _ = self.mutate(ROW.format("gone", old, "x"))
            self.assertEqual(status, 1)
            self.assertIn(f"its old text is found {count} times in include/loopserve/sum_kernel.hpp, not once", said)

    def test_what_does_not_compile_tests_nothing(self):
        status, said, _ = self.mutate(ROW.format("nonsense", "i < n", "i <"))
        self.assertEqual(status, 1)
        self.assertIn("these do not compile", said)

    def test_a_table_is_read_strictly(self):
        for rows, sentence in ((CAUGHT.replace("off by one", "odd"), "no kind 'odd'"), (CAUGHT.replace("new =", "next ="), "missing or unknown: new, next"),
                               (CAUGHT + CAUGHT, "twice in the tables"), (CAUGHT + 'tests = ["other"]\n', "there is no test tests/simt/other.cpp")):
            status, said, _ = self.mutate(rows, "--check")
            self.assertEqual(status, 1)
            self.assertIn(sentence, said)

    def test_a_program_that_does_not_end_is_caught(self):
        before = runs.SECONDS_AT_LEAST, runs.TIMES_AS_LONG
        try:
            runs.SECONDS_AT_LEAST, runs.TIMES_AS_LONG = 1, 1
            bench = runs.Bench(self.root, os.path.join(self.root, "work"), 1)
            bench.prepare(["sum"])
            endless = mutations.Mutation("sum_kernel.hpp", "no end", "off by one", "++i", "i += n - n", ("sum",), "")
            found = bench.run("sum", endless)
            self.assertEqual(found["outcome"], "endless")
        finally:
            runs.SECONDS_AT_LEAST, runs.TIMES_AS_LONG = before


class Tables(unittest.TestCase):
    def test_every_bug_has_its_place_and_stands_on_the_page(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "mutate_kernels"), "--check"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_kernel_and_every_launcher_has_a_table(self):
        headers = os.path.join(ROOT, "include", "loopserve")
        device = set()
        for folder, _, names in os.walk(headers):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), headers)
                with open(os.path.join(folder, name)) as file:
                    launches = name.endswith(".cuh") and "<device_backend B" in file.read()
                if launches or name.endswith("_kernel.hpp") or os.path.dirname(path) == "dev":
                    device.add(path)
        self.assertEqual(device - {m.file for m in mutations.all_of(ROOT)}, set(NOTHING_TO_BREAK))

    def test_there_are_bugs_of_every_kind(self):
        seeded = mutations.all_of(ROOT)
        self.assertGreaterEqual(len(seeded), 60)
        self.assertEqual({m.kind for m in seeded}, set(mutations.KINDS))


if __name__ == "__main__":
    unittest.main()
