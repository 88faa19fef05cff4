#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a dialogue for loopserve-demo: the same turns with the questions at the beginning (turns 1, 2), in the middle (3, 4) and at the end (5, 6).

    compose_demo.py dialogues.jsonl LINE > demo.jsonl

LINE, from 0, is a dialogue with the questions at the end. Facts stay as they are: only the place of the questions in the text changes.
"""
import json
import re
import sys

QUESTION = re.compile(r"((?:(?:What is|Tell me|Give me) the \w+ \w+ \w+[.?] ?)+)$")


def moved(text, place):
    """`text`, which ends with its questions, with them at `place`."""
    questions = QUESTION.search(text).group(1).strip()
    rest = text[: QUESTION.search(text).start()].strip()
    if place == "begin":
        return f"{questions} {rest}"
    if place == "end":
        return f"{rest} {questions}"
    sentences = re.split(r"(?<=[.?!]) ", rest)
    half = len(sentences) // 2
    return " ".join(sentences[:half] + [questions] + sentences[half:])


def main():
    path, line = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        dialogue = json.loads(file.readlines()[line])
    if dialogue["position"] != "end":
        sys.exit(f"compose_demo: line {line} has its questions at the {dialogue['position']}, not at the end")
    places = ("begin", "begin", "middle", "middle", "end", "end")
    turns = [{"user": moved(turn["user"], place), "facts": turn["facts"]} for turn, place in zip(dialogue["turns"], places)]
    print(json.dumps({"turns": turns}))


if __name__ == "__main__":
    main()
