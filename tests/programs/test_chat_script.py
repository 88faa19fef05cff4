#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""loopserve-chat with --prompt and --file: texts, JSON, facts, modes."""
import json
import os
import shutil
import unittest

from programs import ANSWER, DEMO, QUESTION, ProgramTest, dialogues, run

FIELDS = ["conversation", "turn", "text", "ids", "tokens_in", "reused", "recomputed", "area", "covered", "kv_kept", "facts", "right", "bytes", "ms"]


class Script(ProgramTest):
    def turns(self, *arguments):
        return [json.loads(line) for line in self.ok("loopserve-chat", DEMO, "--json", *arguments).splitlines()]

    def test_a_prompt_is_answered(self):
        self.assertEqual(self.ok("loopserve-chat", DEMO, "--prompt", QUESTION), ANSWER + "\n")

    def test_prompts_are_turns_of_one_conversation(self):
        turns = self.turns("--prompt", QUESTION, "--prompt", "We talked again. What is the amber bear budget?")
        self.assertEqual([t["turn"] for t in turns], [0, 1])
        self.assertEqual([t["conversation"] for t in turns], [0, 0])
        self.assertEqual(turns[1]["text"], ANSWER)
        self.assertEqual(turns[0]["reused"], 0)
        # All of the first turn but the token that ended it is in the cache.
        self.assertEqual(turns[1]["reused"], turns[0]["tokens_in"] + len(turns[0]["ids"]))
        self.assertGreater(turns[1]["tokens_in"], turns[1]["reused"])

    def test_json_has_exactly_the_fields(self):
        turn = self.turns("--prompt", QUESTION)[0]
        self.assertEqual(list(turn), FIELDS)
        self.assertEqual((turn["area"], turn["kv_kept"], turn["recomputed"]), (1, 1, 0))
        self.assertEqual((turn["facts"], turn["right"]), (0, 0))
        self.assertGreater(turn["bytes"], 0)
        self.assertEqual(set(turn["ms"]), {"prefill", "selection", "attention", "decode", "decode_attention", "reselection", "recall", "gather"})
        self.assertLessEqual(turn["ms"]["attention"], turn["ms"]["prefill"])

    def test_facts_need_their_full_stop(self):
        turn = {"user": QUESTION, "facts": ["The amber bear budget is 431", "The amber bear budget is 43", "The amber fox budget is 1"]}
        path = self.file("d.jsonl", json.dumps({"turns": [turn]}) + "\n" + json.dumps({"turns": [{"user": QUESTION}]}) + "\n")
        turns = self.turns("--file", path)
        self.assertEqual([(t["conversation"], t["facts"], t["right"]) for t in turns], [(0, 3, 1), (1, 0, 0)])
        self.assertEqual(self.ok("loopserve-chat", DEMO, "--file", path), f"{ANSWER}\n{ANSWER}\nfacts: 1/3 right\n")

    def test_modes_skip_what_they_say(self):
        dialogue = dialogues()[0]
        path = self.file("d.jsonl", json.dumps({"turns": dialogue["turns"][:3]}))
        found = {}
        for mode in ("dense", "prefill-only", "decode-only", "loopserve"):
            last = self.turns("--file", path, "--mode", mode, "--no-fallback", "--budget", "10%", "--alpha", "0.98")[-1]
            found[mode] = (last["area"] < 1, last["kv_kept"] < 0.11)
            if mode == "dense":
                self.assertEqual(last["text"], dialogue["turns"][2]["dense"])
                self.assertEqual(last["covered"], 1)
            elif "prefill" in mode or mode == "loopserve":
                self.assertGreaterEqual(last["covered"], 0.98 - 1e-6)
        self.assertEqual(found, {"dense": (False, False), "prefill-only": (True, False), "decode-only": (False, True), "loopserve": (True, True)})

    def test_names_decide_instead_of_the_mode(self):
        flags = ("--prompt", dialogues()[0]["turns"][0]["user"], "--mode", "dense", "--budget", "40")
        self.assertLess(self.turns(*flags, "--compressor", "sink_window")[0]["kv_kept"], 0.5)
        turn = self.turns(*flags, "--selector", "online_vertical_slash", "--no-fallback")[0]
        self.assertEqual(turn["kv_kept"], 1)
        self.assertLess(turn["area"], 1)

    def test_a_percentage_is_rounded_down_and_fixed_for_the_turn(self):
        turn = self.turns("--prompt", dialogues()[18]["turns"][0]["user"], "--budget", "10%")[0]
        self.assertNotEqual(turn["tokens_in"] % 10, 0)
        self.assertAlmostEqual(turn["kv_kept"], turn["tokens_in"] // 10 / turn["tokens_in"], places=9)

    def test_everything_kept_is_dense(self):
        path = self.file("d.jsonl", json.dumps({"turns": dialogues()[6]["turns"][:3]}))
        dense = self.turns("--file", path, "--mode", "dense")
        kept = self.turns("--file", path, "--alpha", "1", "--budget", "1000000", "--no-fallback")
        self.assertEqual([t["ids"] for t in dense], [t["ids"] for t in kept])

    def test_the_reference_backend_says_the_same(self):
        self.assertEqual(self.ok("loopserve-chat", DEMO, "--backend", "reference", "--prompt", QUESTION), ANSWER + "\n")

    def test_threads_and_gguf_change_nothing(self):
        ids = [t["ids"] for t in self.turns("--prompt", QUESTION)]
        self.assertEqual(ids, [t["ids"] for t in self.turns("--prompt", QUESTION, "--threads", "1")])
        gguf = self.ok("loopserve-chat", DEMO + "/model-bf16.gguf", "--prompt", QUESTION)
        self.assertEqual(gguf, ANSWER + "\n")

    def test_a_whole_story_comes_word_for_word(self):
        folder = self.material("models", "stories260K")
        with open(os.path.join(folder, "expected_stdout_karpathy_test_all.txt"), encoding="utf-8") as file:
            want = file.read()
        start = "Once upon a time"  # four of the 200 tokens
        for path in (folder, os.path.join(folder, "model-f32.gguf")):
            for flags in (("--backend", "reference", "--mode", "dense"), ("--backend", "cpu", "--mode", "dense"), ("--backend", "cpu")):
                with self.subTest(path=path, flags=flags):
                    self.assertEqual(start + self.ok("loopserve-chat", path, "--raw", "--prompt", start, "--max-tokens", "196", *flags), want)

    def test_sampling_repeats_with_its_seed(self):
        flags = ("--prompt", QUESTION, "--temperature", "3", "--max-tokens", "20", "--seed")
        one = self.turns(*flags, "1")[0]["ids"]
        self.assertEqual(one, self.turns(*flags, "1")[0]["ids"])
        self.assertNotEqual(one, self.turns(*flags, "2")[0]["ids"])
        self.assertEqual(len(self.turns("--prompt", QUESTION, "--max-tokens", "3")[0]["ids"]), 3)

    def test_raw_leaves_the_template_out(self):
        raw = self.turns("--raw", "--prompt", QUESTION, "--max-tokens", "1")[0]
        chat = self.turns("--prompt", QUESTION, "--max-tokens", "1")[0]
        self.assertLess(raw["tokens_in"], chat["tokens_in"])
        system = self.turns("--prompt", QUESTION, "--max-tokens", "1", "--system", "Be brief.")[0]
        self.assertGreater(system["tokens_in"], chat["tokens_in"])

    def test_a_conversation_that_fails_does_not_stop_the_others(self):
        lines = [json.dumps({"turns": [{"user": text}]}) for text in (QUESTION, QUESTION * 20, QUESTION)]
        done = run("loopserve-chat", DEMO, "--context", "200", "--file", self.file("d.jsonl", "\n".join(lines)), "--json", "--max-tokens", "40")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([json.loads(line)["conversation"] for line in done.stdout.splitlines()], [0, 2])
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("conversation 1, turn 0: ", done.stderr)

    def test_an_answer_cut_by_the_context_is_told(self):
        done = run("loopserve-chat", DEMO, "--context", "48", "--prompt", QUESTION)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^loopserve-chat: conversation 0, turn 0: the answer ends at the context limit, after \d+ tokens\n$")
        self.assertEqual(run("loopserve-chat", DEMO, "--max-tokens", "3", "--prompt", QUESTION).stderr, "")

    def test_a_model_without_a_template_is_plain_text_and_that_is_said(self):
        copy = os.path.join(self.folder, "model")
        shutil.copytree(DEMO, copy, ignore=shutil.ignore_patterns("*.gguf", "*.jsonl", "tokenizer_config.json"))
        plain = run("loopserve-chat", copy, "--prompt", QUESTION, "--max-tokens", "4")
        self.assertEqual(plain.returncode, 0, plain.stderr)
        self.assertEqual(plain.stderr.count("\n"), 1, plain.stderr)
        self.assertIn("has no chat template", plain.stderr)
        raw = run("loopserve-chat", copy, "--prompt", QUESTION, "--max-tokens", "4", "--raw")
        self.assertEqual((raw.stdout, raw.stderr), (plain.stdout, ""))

    def test_dropping_the_oldest_turns_goes_on(self):
        flags = ["--context", "200", "--json", "--max-tokens", "40"] + ["--prompt", QUESTION] * 5
        done = run("loopserve-chat", DEMO, *flags)
        self.assertEqual(done.returncode, 1)
        dropping = run("loopserve-chat", DEMO, *flags, "--on-full", "drop")
        self.assertEqual(dropping.returncode, 0, dropping.stderr)
        turns = [json.loads(line) for line in dropping.stdout.splitlines()]
        self.assertEqual(len(turns), 5)
        self.assertEqual(list(turns[-1]), FIELDS)
        self.assertRegex(dropping.stderr.splitlines()[-1],
                         r"^loopserve-chat: conversation 0, turn 4: the context was full: the (oldest turn was|[2-4] oldest turns were) left out$")
        self.assertLessEqual(max(t["tokens_in"] for t in turns), 160)
        self.assertGreater(max(t["recomputed"] for t in turns), 0)


if __name__ == "__main__":
    unittest.main()
