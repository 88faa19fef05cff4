# SPDX-License-Identifier: Apache-2.0
"""First step: the filler sentences out of QMSum's validation meetings, and a tokenizer trained on the demo language.

    python3 prepare.py QMSUM_VAL.jsonl OUT_FILLER.txt OUT_TOKENIZER.json
"""

import json
import re
import sys

import bpe
from language import Dialogues


def sentences(path):
    """Plain ASCII sentences of 5 to 26 words without digits, in the order they were spoken."""
    found = []
    with open(path) as file:
        for line in file:
            for speech in json.loads(line)["meeting_transcripts"]:
                for s in re.split(r"(?<=[.?!])\s+", speech["content"]):
                    s = re.sub(r"\{[^}]*\}", "", s)
                    s = re.sub(r"\s+([,.?!'])", r"\1", s)
                    s = re.sub(r"\s+", " ", s).strip()
                    if 4 <= s.count(" ") <= 25 and s.isascii() and not re.search(r"\d", s):
                        found.append(s)
    return found


def main(meetings, filler_path, tokenizer_path):
    filler = sentences(meetings)
    with open(filler_path, "w") as file:
        file.write("\n".join(filler))
    print(len(filler), "sentences,", sum(map(len, filler)), "characters")
    dialogues = Dialogues(filler, 1)
    text = "\n".join(t for _ in range(400) for _, t in dialogues.dialogue(200, 3, 4))
    bpe.save(tokenizer_path, *bpe.train(text, 1024))
    tokenizer = bpe.Tokenizer(tokenizer_path)
    messages = dialogues.dialogue(120, 3, 4)
    tokens, characters = sum(len(tokenizer.encode(t)) for _, t in messages), sum(len(t) for _, t in messages)
    assert all(tokenizer.decode(tokenizer.encode(t)) == t for _, t in messages)
    print(f"{characters / tokens:.2f} characters a token")


if __name__ == "__main__":
    main(*sys.argv[1:4])
