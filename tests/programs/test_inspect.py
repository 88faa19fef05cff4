#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""loopserve-inspect: facts, memory, tokens, scores."""
import glob
import json
import os
import shutil
import unittest

from programs import DEMO, SHAPES, ProgramTest, run


class Facts(ProgramTest):
    def facts(self, *arguments):
        return json.loads(self.ok("loopserve-inspect", *arguments, "--json"))

    def test_folder_and_gguf_hold_the_same_model(self):
        folder, gguf = self.facts(DEMO), self.facts(DEMO + "/model-bf16.gguf")
        self.assertEqual(folder["family"], "llama")
        self.assertEqual(folder["shape"], {"layers": 4, "width": 192, "heads": 6, "kv_heads": 2, "head_dim": 32, "feed_forward": 512, "vocabulary": 1024,
                                           "max_context": 8192})
        for name in ("shape", "tied_head", "qkv_bias", "qk_norm"):
            self.assertEqual(folder[name], gguf[name])
        self.assertEqual(folder["rope"]["theta"], 500000)
        self.assertEqual(folder["text"]["tokens"], 1024)
        self.assertEqual(folder["text"]["template"].lower(), "chatml")
        self.assertEqual(folder["tensors"]["types"]["bf16"]["count"], 38)

    def test_text_is_for_people(self):
        text = self.ok("loopserve-inspect", DEMO)
        for word in ("llama", "layers", "rope", "bf16", "MiB", "ChatML"):
            self.assertIn(word, text)

    def test_memory_plan(self):
        plan = lambda *flags: self.facts(DEMO, *flags)["memory"]
        dense = plan("--context", "4096", "--mode", "dense")
        # 4 layers, keys and values, 2 KV heads of 32, 2 bytes
        self.assertEqual(dense["cache_bytes"], 4096 * 4 * 2 * 2 * 32 * 2)
        self.assertEqual((dense["compressor_bytes"], dense["working_set_bytes"]), (0, 0))
        self.assertGreater(dense["weights_bytes"], 3_000_000)
        parts = ("weights_bytes", "cache_bytes", "compressor_bytes", "working_set_bytes", "scratch_bytes")
        self.assertEqual(dense["total_bytes"], sum(dense[p] for p in parts))
        self.assertEqual(plan("--context", "4096", "--mode", "dense", "--kv-type", "f32")["cache_bytes"], 2 * dense["cache_bytes"])
        self.assertGreater(plan("--context", "4096", "--budget", "10%")["compressor_bytes"], 0)
        # Selection scores 64 sampled rows against all keys, on one thread at least.
        self.assertGreaterEqual(plan("--context", "4096")["scratch_bytes"], dense["scratch_bytes"] + 64 * 4096 * 4)
        limited = plan("--memory", str(dense["total_bytes"]), "--context", "4096", "--mode", "dense")
        self.assertGreaterEqual(limited["longest_context"], 4096)
        self.assertLess(limited["longest_context"], 4200)

    def test_memory_that_no_conversation_fits(self):
        for flags in (("--memory", "1000"), ("--memory", "1000", "--context", "100")):
            done = self.refused("--memory: no conversation fits: expected at least ", ", found 1000", program="loopserve-inspect", arguments=[DEMO, *flags])
            self.assertEqual(done.stdout, "")

    def test_a_context_beyond_the_model_s_is_remarked_on(self):
        done = run("loopserve-inspect", DEMO, "--context", "8193")
        self.assertEqual((done.returncode, done.stderr), (0, "loopserve-inspect: the model was made for 8192 tokens of context, not for 8193\n"))
        self.assertEqual(run("loopserve-inspect", DEMO, "--context", "8192").stderr, "")

    def test_help_tells_the_mode_of_each_use(self):
        self.assertIn("loopserve; dense for --score", self.ok("loopserve-inspect", "--help"))

    def test_refusals(self):
        self.refused("MODEL", program="loopserve-inspect")
        self.refused("no/such", program="loopserve-inspect", arguments=["no/such"])
        self.refused("--context", program="loopserve-inspect", arguments=[DEMO, "--context", "0"])
        self.refused("--ids", program="loopserve-inspect", arguments=[DEMO, "--ids"])
        self.refused("--score", "--tokenize", program="loopserve-inspect", arguments=[DEMO, "--score", "a", "--tokenize", "b"])


class Tokens(ProgramTest):
    def ids(self, model, data):
        done = run("loopserve-inspect", model, "--tokenize", "-", stdin=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def test_one_space_between_ids_and_nothing_in_front(self):
        out = self.ids(DEMO, b"The amber bear")
        self.assertRegex(out, r"^\d+( \d+)*\n$")
        self.assertEqual(self.ok("loopserve-inspect", DEMO, "--tokenize", self.file("t", "The amber bear")), out)
        self.assertEqual(self.ids(DEMO + "/model-bf16.gguf", b"The amber bear"), out)
        self.assertEqual(self.ids(DEMO, b""), "\n")

    def test_special_strings_are_text_and_any_bytes_are_read(self):
        ids = self.ids(DEMO, b"<|im_end|>").split()
        self.assertGreater(len(ids), 1)
        self.assertNotIn("1023", ids)
        self.assertGreater(len(self.ids(DEMO, b"a\xff\xfe\x00b").split()), 3)

    def test_a_tokenizer_alone_is_enough(self):
        shutil.copy(DEMO + "/tokenizer.json", self.folder)
        self.assertEqual(self.ids(self.folder, b"hello there"), self.ids(DEMO, b"hello there"))
        self.refused("config.json", program="loopserve-inspect", arguments=[self.folder])

    def test_vectors(self):
        vectors = self.material("tokenizers", "vectors")
        for name, model in (("qwen2", self.material("tokenizers", "qwen2.5")), ("gpt-2", vectors + "/ggml-vocab-gpt-2.gguf")):
            with open(f"{vectors}/ggml-vocab-{name}.gguf.inp", "rb") as file:
                strings = file.read().split(b"\n__ggml_vocab_test__\n")
            with open(f"{vectors}/ggml-vocab-{name}.gguf.out", encoding="utf-8") as file:
                expected = [line.strip() for line in file]
            for number in (3, 20, 40):
                self.assertEqual(self.ids(model, strings[number]).strip(), expected[number], (name, strings[number]))

    def test_refusals(self):
        self.refused("none.txt", program="loopserve-inspect", arguments=[DEMO, "--tokenize", self.folder + "/none.txt"])
        self.refused("tokenizer.json", program="loopserve-inspect", arguments=[self.folder, "--tokenize", "-"])


class Scores(ProgramTest):
    def score(self, model, *arguments, stdin=""):
        return json.loads(self.ok("loopserve-inspect", model, *arguments, stdin=stdin))

    def check_golden(self, folder, backend, bound):
        with open(os.path.join(folder, "golden.json"), encoding="utf-8") as file:
            golden = json.load(file)
        scored = self.score(folder, "--score", "-", "--ids", "--backend", backend, "--kv-type", "f32", stdin="\n".join(map(str, golden["ids"])))
        self.assertEqual(scored["ids"], golden["ids"])
        self.assertEqual(len(scored["logprobs"]), len(golden["ids"]) - 1)
        worst = max(abs(a - b) for a, b in zip(scored["logprobs"], golden["logprobs"]))
        self.assertLessEqual(worst, bound, folder)
        worst = max(abs(a - b) for a, b in zip(scored["last_logits"], golden["last_logits"]))
        self.assertLessEqual(worst, bound, folder)
        self.assertEqual(len(scored["last_logits"]), len(golden["last_logits"]))
        self.assertAlmostEqual(scored["nll_mean"], -sum(scored["logprobs"]) / len(scored["logprobs"]), places=9)

    def test_small_models_of_every_shape(self):
        folders = sorted(os.path.dirname(p) for p in glob.glob(SHAPES + "/*/golden.json"))
        self.assertGreater(len(folders), 5)
        for folder in folders:
            self.check_golden(folder, "reference", 2e-4)

    def test_families(self):
        for name in ("llama3-scaled", "qwen2", "qwen3", "mistral-window"):
            self.check_golden(self.material("models", "families", name), "reference", 2e-4)

    def test_text_equals_its_ids(self):
        text = self.file("t.txt", "The amber bear budget is 431.")
        scored = self.score(DEMO, "--score", text)
        ids = " ".join(map(str, scored["ids"]))
        self.assertEqual(ids + "\n", self.ok("loopserve-inspect", DEMO, "--tokenize", text))
        self.assertEqual(self.score(DEMO, "--score", "-", "--ids", stdin=ids), scored)

    def test_backends_and_modes(self):
        text = self.file("t.txt", "We met today and talked for a while. " * 60)
        dense = self.score(DEMO, "--score", text)
        reference = self.score(DEMO, "--score", text, "--backend", "reference", "--kv-type", "bf16")
        self.assertLess(abs(dense["nll_mean"] - reference["nll_mean"]), 0.02)
        sparse = self.score(DEMO, "--score", text, "--mode", "loopserve", "--no-fallback", "--alpha", "0.9")
        self.assertNotEqual(sparse["logprobs"], dense["logprobs"])
        self.assertLess(abs(sparse["nll_mean"] - dense["nll_mean"]), 1)

    def test_a_beginning_of_text_is_put_in_front(self):
        scored = self.score(self.material("models", "stories260K"), "--score", self.file("t.txt", "Once upon a time"))
        self.assertEqual(scored["ids"][0], 1)

    def test_one_id_has_no_probability(self):
        scored = self.score(DEMO, "--score", "-", "--ids", stdin="7")
        self.assertEqual((scored["logprobs"], scored["nll_mean"]), ([], None))

    def test_refusals(self):
        for stdin, *said in (("", "no token"), ("1 2 x3", "offset 4", "x3"), ("1 99999", "-: offset 2", "99999", "1024"), ("-1", "offset 0"), ("1 " * 9000, "9000", "8192")):
            self.refused(*said, program="loopserve-inspect", arguments=[DEMO, "--score", "-", "--ids"], stdin=stdin)


if __name__ == "__main__":
    unittest.main()
