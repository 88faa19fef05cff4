#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""loopserve-demo: its table, its picture, its last line."""
import json
import os
import re
import time
import unittest
import xml.etree.ElementTree as xml

from programs import DEMO, QUESTION, ProgramTest

LAST = re.compile(r"^demo: loopserve (\d+)/(\d+) right, dense (\d+)/(\d+) right, prefill area (\d\.\d\d), kv kept (\d\.\d\d)$")


class Demo(ProgramTest):
    def test_the_dialogue_is_long_and_asks_everywhere(self):
        picture = os.path.join(self.folder, "lines.svg")
        start = time.time()
        lines = self.ok("loopserve-demo", "--model", DEMO, "--picture", picture).splitlines()
        self.assertLess(time.time() - start, 60)
        right, facts, dense, same, area, kept = LAST.match(lines[-1]).groups()
        with open(DEMO + "/demo.jsonl", encoding="utf-8") as file:
            turns = json.loads(file.readline())["turns"]
        self.assertEqual(len(turns), 6)
        self.assertEqual(int(facts), sum(len(t["facts"]) for t in turns))
        self.assertEqual(facts, same)
        self.assertGreaterEqual(int(right), int(dense) - 1)
        self.assertGreater(int(dense), int(facts) // 2)
        self.assertLess(float(area), 0.6)
        self.assertLessEqual(float(kept), 0.10)
        rows = [line.split() for line in lines if re.match(r"^ +\d  (begin|middle|end) ", line)]
        self.assertEqual([row[1] for row in rows], ["begin", "begin", "middle", "middle", "end", "end"])
        self.assertGreaterEqual(int(rows[-1][2]), 3000)
        self.check_picture(picture)

    def check_picture(self, path):
        root = xml.parse(path).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        heads = [t for t in texts if t.startswith("head ")]
        self.assertEqual(len(heads), 6)
        for head in heads:
            self.assertRegex(head, r"^head \d: \d+ verticals, \d+ slashes, area 0\.\d{3}, covered mass (0\.9[89]\d|1\.000)$")
        self.assertGreater(len(list(root.iter("{http://www.w3.org/2000/svg}path"))), 20)

    def test_another_dialogue(self):
        path = self.file("d.jsonl", json.dumps({"turns": [{"user": QUESTION, "facts": ["The amber bear budget is 431"]}]}))
        lines = self.ok("loopserve-demo", "--model", DEMO, "--dialogue", path, "--picture", "", "--budget-share", "0.5").splitlines()
        self.assertTrue(lines[-1].startswith("demo: loopserve 1/1 right, dense 1/1 right, "), lines[-1])
        self.assertEqual(os.listdir(self.folder), ["d.jsonl"])

    def test_refusals(self):
        self.refused("none", program="loopserve-demo", arguments=["--model", self.folder + "/none"])
        self.refused("layer 9", program="loopserve-demo",
                     arguments=["--model", DEMO, "--layer", "9", "--picture", self.folder + "/x.svg", "--dialogue", self.file("d", json.dumps({"turns": [{"user": QUESTION}]}))])
        self.refused("--alpha", program="loopserve-demo", arguments=["--alpha", "x"])


if __name__ == "__main__":
    unittest.main()
