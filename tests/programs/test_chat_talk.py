#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""loopserve-chat by hand: through a pipe, and on a terminal with editing, history and Ctrl-C."""
import json
import os
import pty
import re
import select
import subprocess
import termios
import time
import unittest

from programs import ANSWER, BIN, DEMO, QUESTION, ProgramTest, run


class Piped(ProgramTest):
    def test_turns_and_commands(self):
        said = f"{QUESTION}\n/stats\n/rewind 0\n/stats\n{QUESTION}\n/quit\nnever said\n"
        out = self.ok("loopserve-chat", DEMO, stdin=said)
        self.assertEqual(out.count(ANSWER), 2)
        self.assertIn("nothing has been said yet", out)
        self.assertRegex(out, r"(?m)^ +1 .* stop_token$")

    def test_fork_switch_new(self):
        out = self.ok("loopserve-chat", DEMO, "--json", stdin=f"{QUESTION}\n/fork\n{QUESTION}\n/switch 1\n{QUESTION}\n/new\n{QUESTION}\n")
        turns = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        self.assertEqual([(t["conversation"], t["turn"]) for t in turns], [(0, 0), (1, 1), (0, 1), (2, 0)])
        self.assertEqual(turns[1]["reused"], turns[2]["reused"])
        self.assertEqual(turns[1]["ids"], turns[2]["ids"])
        self.assertEqual(turns[3]["reused"], 0)

    def test_mistakes_are_told_and_the_talk_goes_on(self):
        done = run("loopserve-chat", DEMO, stdin=f"/bogus\n/rewind x\n/rewind 3\n/switch 9\n/read none.txt\n\n{QUESTION}\n")
        self.assertEqual((done.returncode, done.stdout), (0, ANSWER + "\n"))
        for text in ("/bogus", "'x'", "rewind to turn 3", "conversations 1 to 1", "none.txt"):
            self.assertIn(text, done.stderr)

    def test_read_says_a_file(self):
        self.assertEqual(self.ok("loopserve-chat", DEMO, stdin=f"/read {self.file('q.txt', QUESTION)}\n"), ANSWER + "\n")
        self.assertIn("/rewind N", self.ok("loopserve-chat", DEMO, stdin="/help\n"))


class Terminal(ProgramTest):
    def setUp(self):
        super().setUp()
        self.start()

    def start(self, *flags):
        self.master, slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        # A session of its own with the terminal as its controlling one, so that Ctrl-C is a signal while an answer runs.
        command = [os.path.join(BIN, "loopserve-chat"), DEMO, *flags]
        take_terminal = "import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(["python3", "-c", take_terminal, *command], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.addCleanup(self.stop)
        self.seen = ""
        self.wait_for("> ")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, text, seconds=60):
        """Reads until `text` is seen after what earlier waits have taken."""
        end = time.time() + seconds
        while text not in self.seen:
            self.assertLess(time.time(), end, f"waiting for {text!r}, seen {self.seen!r}")
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                self.assertTrue(data or text in self.seen, f"the program ended, seen {self.seen!r}")
                self.seen += data.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def test_a_line_can_be_edited(self):
        # Typed with a mistake in its middle, which is taken out; Home and End go to the line's ends.
        self.type("/hxelp" + "\x1b[D" * 3 + "\x7f" + "\x05" + "\r")
        self.wait_for("leave (also Ctrl-D")
        self.type("elp\x1b[H/h\x1b[F\r")
        self.wait_for("leave (also Ctrl-D")

    def test_history(self):
        self.type("/stats\r")
        self.wait_for("nothing has been said yet")
        self.type("unfinished\x1b[A\r")
        self.wait_for("nothing has been said yet")
        self.type("\x04")
        self.process.wait(20)
        self.assertEqual(self.process.returncode, 0)

    def test_what_is_typed_while_it_answers_is_kept(self):
        self.type(f"{QUESTION}\r/stats\r\x04")
        self.wait_for("stop_token")
        self.process.wait(60)
        self.assertEqual(self.process.returncode, 0)

    def test_a_paste_is_one_turn(self):
        self.type("\x1b[200~The amber bear budget is 431.\nWhat is the amber bear budget?\x1b[201~\r")
        self.wait_for("\x1b[?2004l" + ANSWER)
        self.type("/stats\r")
        self.assertEqual(len(re.findall("stop_token", self.wait_for("stop_token") + "stop_token")), 1)

    def test_control_c_at_the_prompt_leaves_when_pressed_twice(self):
        self.type("half a line\x03")
        self.wait_for("Ctrl-C again leaves")
        self.wait_for("> ")
        self.type("\x03")
        self.process.wait(20)
        self.assertEqual(self.process.returncode, 0)

    def read_something_long(self):
        """Half a minute of work on the reference backend."""
        self.stop()
        self.start("--backend", "reference", "--threads", "1")
        self.type(f"/read {self.file('long.txt', QUESTION * 250)}\r")
        self.wait_for("\rreading ")

    def test_control_c_cancels_an_answer(self):
        self.read_something_long()
        self.type("\x03")
        self.wait_for("(cancelled)", 20)
        self.wait_for("> ")
        self.type("/stats\r")
        self.wait_for("cancelled")
        self.assertIsNone(self.process.poll())

    def test_a_second_control_c_leaves(self):
        self.read_something_long()
        # The second one may come before or after the answer has ended; it leaves in both cases. Two that the system delivers as one are one.
        for _ in range(30):
            self.type("\x03")
            try:
                self.process.wait(1)
                break
            except subprocess.TimeoutExpired:
                continue
        self.assertIn(self.process.returncode, (0, 130))
        self.assertTrue(termios.tcgetattr(self.master)[3] & termios.ECHO, "the terminal is put back")


if __name__ == "__main__":
    unittest.main()
