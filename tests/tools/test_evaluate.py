# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/evaluate and scripts/evaluate_demo, on canned answers and a stand-in for loopserve-chat."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "evaluate"))

import counting  # noqa: E402
import report  # noqa: E402

STAND_IN = """#!{python}
import json, sys
a = sys.argv
conversation = json.loads(open(a[a.index("--file") + 1]).readline())
stored = json.load(open({stored!r}))
for turn in conversation["turns"]:
    text = stored[turn["user"]]
    if {spoil!r} in a:
        text = "The owl is 9."
    right = sum(f + "." in text for f in turn["facts"])
    print(json.dumps({{"text": text, "ids": [ord(c) for c in text], "facts": len(turn["facts"]), "right": right + {lie}, "area": 0.5, "covered": 0.98, "kv_kept": 0.1}}))
"""


def dialogue(position="end", tokens=1000, answers=("The owl is 1. The fox is 2.", "The hen is 3."), margin=1.0, name="d"):
    turns = []
    for number, answer in enumerate(answers, 1):
        facts = [part.strip().rstrip(".") for part in answer.split(". ")]
        turns.append({"user": f"{name} {number}", "facts": facts, "dense": answer, "margin": margin})
    return {"tokens": tokens, "position": position, "turns": turns}


def run_of(*texts, area=0.5, kept=0.1):
    return [{"text": t, "ids": [len(t)], "right": 0, "area": area, "covered": 0.98, "kv_kept": kept} for t in texts]


class Facts(unittest.TestCase):
    def test_the_full_stop_counts(self):
        self.assertEqual(counting.facts_right(["The owl is 1"], "The owl is 1."), 1)
        self.assertEqual(counting.facts_right(["The owl is 1"], "The owl is 12."), 0)
        self.assertEqual(counting.facts_right(["The owl is 1"], "The owl is 1"), 0)

    def test_each_fact_counts_alone(self):
        self.assertEqual(counting.facts_right(["The owl is 1", "The fox is 2"], "The owl is 7. The fox is 2."), 1)

    def test_a_program_that_counts_otherwise_is_caught(self):
        run = run_of("The owl is 1. The fox is 2.", "The hen is 3.")
        with self.assertRaisesRegex(ValueError, "turn 0"):
            counting.check_run(dialogue(), run)
        run[0]["right"], run[1]["right"] = 2, 1
        counting.check_run(dialogue(), run)
        with self.assertRaisesRegex(ValueError, "1 turns came back"):
            counting.check_run(dialogue(), run[:1])


class Cells(unittest.TestCase):
    def test_lengths(self):
        self.assertEqual([counting.length_class(n) for n in (850, 977, 1400, 1420, 2100, 2800, 2900, 4300)],
                         [1000, 1000, 1000, 2000, 2000, 2000, 4000, 4000])

    def test_summary_by_position_and_length(self):
        dialogues = [dialogue("begin", 980), dialogue("end", 2050), dialogue("end", 3900)]
        runs = [run_of("The owl is 1. The fox is 2.", "The hen is 3.", area=1.0), run_of("The owl is 1.", "x", area=0.4),
                run_of("", "The hen is 3.", area=0.2, kept=None)]
        found = counting.summary(dialogues, runs)
        self.assertEqual(found["all"], {"right": 5, "asked": 9, "percent": 55.56})
        self.assertEqual(found["position"]["end"], {"right": 2, "asked": 6, "percent": 33.33})
        self.assertEqual(found["cell"]["2000 end"]["right"], 1)
        self.assertAlmostEqual(found["area"], 1.6 / 3)
        self.assertAlmostEqual(found["kv_kept"], 0.1)
        self.assertIsNone(found["length"]["4000"]["kv_kept"])

    def test_points_lost(self):
        dialogues = [dialogue("begin"), dialogue("end")]
        whole = counting.summary(dialogues, [run_of("The owl is 1. The fox is 2.", "The hen is 3.")] * 2)
        part = counting.summary(dialogues, [run_of("The owl is 1. The fox is 2.", "The hen is 3."), run_of("The owl is 1.", "The hen is 3.")])
        self.assertEqual(counting.points_lost(whole, part), {"begin": 0.0, "end": 33.33})


class Differences(unittest.TestCase):
    def test_comparison_ends_at_the_first_difference(self):
        found = counting.against_stored([dialogue(answers=("A.", "B.", "C."))], [run_of("A.", "x", "y")])
        self.assertEqual((found["equal"], found["different"], found["excused"]), (1, 1, 0))
        self.assertEqual(found["places"], [{"conversation": 0, "turn": 1, "margin": 1.0}])
        self.assertEqual(found["share"], 0.5)

    def test_a_small_margin_excuses(self):
        found = counting.against_stored([dialogue(margin=5e-4)], [run_of("The owl is 1. The fox is 2.", "x")])
        self.assertEqual((found["equal"], found["different"], found["excused"], found["share"]), (1, 0, 1, 1.0))

    def test_how_many_may_differ(self):
        self.assertEqual([counting.turns_allowed("cpu", n) for n in (1, 44, 100, 149, 150, 270)], [2, 2, 2, 2, 3, 5])
        self.assertEqual(counting.turns_allowed("reference", 270), 0)
        self.assertEqual([counting.points_allowed(n) for n in (30, 60, 100, 261)], [10, 5, 3, 3])

    def test_ids(self):
        a, b = [run_of("A.", "BB.")], [run_of("A.", "B.")]
        self.assertEqual(counting.same_ids(a, a), [])
        self.assertEqual(counting.same_ids(a, b), [[0, 1]])
        self.assertEqual(counting.same_ids(a, [run_of("A.")]), [[0, 1]])


class Script(unittest.TestCase):
    """The whole script, with a program that answers as stored except where it is told to spoil an answer."""

    def evaluate(self, folder, spoil="--never", lie=0, more=()):
        dialogues = [dialogue(p, n, name=f"{p}{n}") for p in counting.POSITIONS for n in (1000, 2000)]
        stored = {t["user"]: t["dense"] for d in dialogues for t in d["turns"]}
        paths = {name: os.path.join(folder, name) for name in ("dialogues.jsonl", "stored.json", "chat")}
        with open(paths["dialogues.jsonl"], "w") as file:
            file.writelines(json.dumps(d) + "\n" for d in dialogues)
        with open(paths["stored.json"], "w") as file:
            json.dump(stored, file)
        with open(paths["chat"], "w") as file:
            file.write(STAND_IN.format(python=sys.executable, stored=paths["stored.json"], spoil=spoil, lie=lie))
        os.chmod(paths["chat"], stat.S_IRWXU)
        command = [sys.executable, os.path.join(ROOT, "scripts", "evaluate_demo"), "--program", paths["chat"], "--dialogues", paths["dialogues.jsonl"], "--out", folder, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def test_all_is_well(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.evaluate(folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(folder, "evaluation.json")) as file:
                result = json.load(file)
            self.assertEqual(result["modes"]["dense"]["all"], {"right": 18, "asked": 18, "percent": 100.0})
            self.assertTrue(all(c["ok"] for c in result["checks"]) and len(result["checks"]) == 3)
            with open(os.path.join(folder, "evaluation.md")) as file:
                self.assertEqual(file.read(), report.render(result))

    def test_lost_facts_fail_and_nothing_is_written_with_check(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.evaluate(folder, spoil="10%", more=("--check", "--modes", "dense,loopserve"))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("begin 100.0", done.stdout)
            self.assertFalse(os.path.exists(os.path.join(folder, "evaluation.md")))

    def test_other_dense_answers_fail(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.evaluate(folder, spoil="dense", more=("--check", "--modes", "dense"))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("0 of 6 turns (0 excused) | at most 2 differ | **no**", done.stdout)

    def test_other_ids_fail(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.evaluate(folder, spoil="1000000", more=("--check", "--per-cell", "1", "--modes", "dense,everything"))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("12 turns differ", done.stdout)

    def test_a_wrong_count_stops_it(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.evaluate(folder, lie=1, more=("--check", "--modes", "dense"))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("the program counts", done.stderr)


if __name__ == "__main__":
    unittest.main()
