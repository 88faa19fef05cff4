#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What loopserve-chat refuses: exit 1 and one sentence that says what to do."""
import json
import os
import shutil
import subprocess
import unittest

from programs import BIN, DEMO, QUESTION, ProgramTest


class Refused(ProgramTest):
    def refused_flags(self, *arguments, said):
        self.refused(*said, arguments=[DEMO, *arguments])

    def test_no_model(self):
        self.refused("MODEL")
        self.refused("no/such/folder", arguments=["no/such/folder", "--prompt", "x"])

    def test_unknown_flags_and_values(self):
        self.refused_flags("--bogus", said=["--bogus"])
        self.refused_flags("--mode", "fast", said=["--mode", "fast"])
        self.refused_flags("--backend", "abacus", said=["--backend", "abacus"])
        self.refused_flags("--threads", "x", said=["--threads"])
        self.refused_flags("--alpha", "0", said=["--alpha"])
        self.refused_flags("--alpha", "nan", "--prompt", "x", said=["alpha"])
        self.refused_flags("--recall-bits", "3", said=["--recall-bits"])
        self.refused_flags("--interval", "0", said=["--interval"])
        self.refused_flags("--core-share", "1.5", said=["--core-share"])
        self.refused_flags("--max-tokens", "0", said=["--max-tokens"])
        self.refused_flags("--temperature", "-1", said=["--temperature"])
        self.refused_flags("--kv-type", "q8_0", said=["--kv-type"])
        self.refused_flags("--on-full", "explode", said=["--on-full"])
        self.refused_flags("--raw", "--on-full", "drop", "--prompt", "x", said=["--on-full", "--raw"])
        self.refused_flags("--prompt", "x", "--file", "y", said=["--prompt", "--file"])

    def test_a_number_is_refused_by_what_was_expected_and_found(self):
        for flag, value, expected in (("--alpha", "-1", "a number above 0"), ("--alpha", "nan", "a number above 0"), ("--temperature", "-0.5", "a number of 0 or more"),
                                      ("--temperature", "inf", "a number of 0 or more"), ("--core-share", "1.5", "a number from 0 to 1"), ("--top-p", "0", "a number above 0 and up to 1"),
                                      ("--max-tokens", "0", "a whole number from 1 to 2147483647"), ("--threads", "-1", "a whole number from 0 to"), ("--threads", "1.5", "a whole number"),
                                      ("--context", "99999999999", "a whole number from 1 to 2147483647"), ("--interval", "x", "a whole number from 1")):
            done = self.refused(f"{flag}: expected {expected}", f", found {value}", arguments=[DEMO, flag, value, "--prompt", "x"])
            self.assertLess(len(done.stderr), 150, done.stderr)

    def test_names_are_checked_before_a_model_is_read(self):
        for flag in ("--selector", "--compressor"):
            self.refused("magic", arguments=["no/such/folder", flag, "magic", "--prompt", "x"])

    def test_text_that_is_not_utf8(self):
        done = subprocess.run([os.path.join(BIN, "loopserve-chat"), DEMO, "--prompt", "fine", "--prompt", b"ab\xffc"], capture_output=True, text=True, timeout=240)
        self.assertEqual((done.returncode, done.stderr), (1, "loopserve-chat: --prompt 1: byte 2: expected UTF-8, found the byte 255\n"))

    def test_budgets(self):
        for budget in ("0", "-3", "0%", "101%", "ten", "10%%", "1e2", "", " 5"):
            if budget:
                self.refused_flags("--prompt", "x", "--budget", budget, said=["--budget", f"'{budget}'"])

    def test_unknown_parts_are_answered_with_those_there_are(self):
        self.refused_flags("--prompt", "x", "--selector", "magic", said=["magic", "online_vertical_slash", "a_shape", "dense"])
        self.refused_flags("--prompt", "x", "--compressor", "magic", said=["magic", "with_recall:progressive", "sink_window", "keep_all"])

    def test_empty_and_too_long_prompts(self):
        self.refused_flags("--prompt", "", said=["conversation 0, turn 0", "empty"])
        self.refused_flags("--raw", "--prompt", "", said=["conversation 0, turn 0", "empty"])
        self.refused_flags("--prompt", QUESTION * 20, "--context", "100", said=["100", "tokens"])

    def test_dialogue_files(self):
        for content, *said in ((b"", "found none"), (b"\n\n", "found none"), (b'{"turns":[', "line 1", "byte 10", "end of the line"),
                               (b'{"turns":[{"user":"a"}]}\n{"turns":3}', "line 2", 'array "turns"', "number"),
                               (b'{"turns":[]}', "line 1", "at least one turn"), (b'{"turns":[{"facts":[]}]}', "line 1", "turn 0", '"user"', "nothing"),
                               (b'{"turns":[{"user":"a"},{"user":"b","facts":"c"}]}', "turn 1", "facts", "string"),
                               (b'{"turns":[{"user":"\xff"}]}', "line 1", "UTF-8", "255")):
            path = self.file("d.jsonl", content)
            self.refused_flags("--file", path, said=[path, *said])
        self.refused_flags("--file", self.folder + "/none.jsonl", said=["none.jsonl"])
        self.refused_flags("--file", self.folder, said=[self.folder])

    def test_an_output_that_cannot_be_written(self):
        self.refused_output("loopserve-chat", "--help")
        self.refused_output("loopserve-chat", DEMO, "--prompt", QUESTION, "--max-tokens", "2")
        self.refused_output("loopserve-inspect", DEMO)
        self.refused_output("loopserve-demo", "--help")

    def test_broken_models(self):
        copy = os.path.join(self.folder, "model")

        def changed(name, content):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(DEMO, copy, ignore=shutil.ignore_patterns("*.gguf", "*.jsonl"))
            path = os.path.join(copy, name)
            if content is None:
                os.remove(path)
            else:
                with open(path, "rb") as file:
                    old = file.read()
                with open(path, "wb") as file:
                    file.write(content(old))
            return [copy, "--prompt", QUESTION]

        self.refused("config.json", arguments=changed("config.json", None))
        self.refused("config.json", arguments=changed("config.json", lambda old: old[:100]))
        self.refused("model_type", "bert", arguments=changed("config.json", lambda old: old.replace(b'"model_type": "llama"', b'"model_type": "bert"')))
        self.refused("model.safetensors", arguments=changed("model.safetensors", lambda old: old[:5000]))
        self.refused("tokenizer.json", arguments=changed("tokenizer.json", lambda old: old[:5000]))
        template = lambda old: json.dumps({**json.loads(old), "chat_template": "{{ messages[0].content | upper }}"}).encode()
        self.refused("template", "--raw", arguments=changed("tokenizer_config.json", template))
        few = lambda old: json.dumps({**json.loads(old), "added_tokens": json.loads(old)["added_tokens"] + [{"id": 1024, "content": "<one_too_many>", "special": True}]}).encode()
        self.refused("the tokenizer: expected ids below the model's vocabulary of 1024, found 1024 '<one_too_many>'", arguments=changed("tokenizer.json", few))
        # Without a template it still reads and writes plain text.
        self.ok("loopserve-chat", *changed("tokenizer_config.json", template), "--raw", "--max-tokens", "1")


if __name__ == "__main__":
    unittest.main()
