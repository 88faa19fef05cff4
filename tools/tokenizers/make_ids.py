#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/tokenizer_ids.json: what Hugging Face's `tokenizers` gives for texts that are easy to get wrong.

    make_ids.py MATERIAL

The tokenizers are the material's and the demo model's. Ids are without the tokens that a tokenizer puts in front. `text` ids have the strings of special
tokens as text, `control` ids have them as tokens. Of the material's long texts
only the number of ids and their CRC-32 are kept.
"""
import argparse
import json
import os
import zlib

import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

TEXTS = [
    "", " ", "  ", "\n", "\n\n", " \n", "\n ", "\t", "\t\n \t", "a", " a", "a ", "  a", "   a  b   ", "Hello world", "Hello  world!\n\n\nNext\r\nline\rend",
    "I'm you're HE'LL WE'VE it'S 'Tis ''s 's' O'Neill D'Artagnan 'd'", "don\u2019t I\u2019ll", "'\u017f '\u017F x'\u017f", "1 12 123 1234 12345 1,234.56 0x1F 1e-9 3/4 ½ ² Ⅷ ٣٤ 一二三",
    "café café naïve naïve Å Å ﬁ ½ ẛ̣ é́", "e\u0301a\u0308\u0323o\u0327\u0301", "가각힣 각 \u1100\u1161\u11a8", "日本語のテキスト、漢字かな交じり文。中文句子！",
    "Привет, мир! Ελληνικά שלום עולם مرحبا بالعالم नमस्ते दुनिया ไทย", "😀😃 👍🏽 👨‍👩‍👧‍👦 🇩🇪🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛",
    "\u00a0nbsp\u00a0\u2003em\u2028ls\u2029ps\u3000ideo\u200bzero\ufeffbom\u0085nel\u180emvs x\u180ey \u180e z", "\x00\x01\x02\x1f\x7f", "a\u0000b", "x\x0by\x0cz \x0b \x0c",
    "def f(x):\n    if x > 0:\n\treturn x**2  # comment\n\n\n    else:\n        return -x\n", "<html><body class=\"a\">&nbsp;</body></html>", "{\"key\": [1, 2.5, null], \"s\": \"\\n\"}",
    "!!!???...---___***+++===~~~```$$$%%%^^^&&&", "a!b?c.d,e;f:g", " !", "  !", " \n!", "!\n\n", "!\r\n\r\n x", "https://example.com/a?b=c&d=e#f user@example.org",
    "CamelCaseIdentifiers snake_case_names SCREAMING_CASE kebab-case", "supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 100, " " * 100, " " * 7 + "x", "\n" * 30, "ab" * 60, "1" * 50, "é" * 40, "中" * 60, "😀" * 20, "-" * 80, "=" * 33 + "\n", "A" * 41 + "b" * 41, ("word " * 30), "\t" * 12 + "x",
    "<s>", "</s>", "<unk>", "<|im_start|>user\nHi<|im_end|>\n", "a<|endoftext|>b", "<|im_start|><|im_start|>", " <|im_end|> ", "<|im_end", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<tool_call>\n{}\n</tool_call>", "x<|fim_prefix|>y", "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST] Hi </s><s>[INST] Bye [/INST]", "<s> a", "a <s>  b", "<0x0A>", "a<0x41>b", "▁▁ ▁a▁", "Ġword Ċ",
    "\ud7ff\ue000\uffff\U0010ffff", "\u0378\u0530 unassigned", "ǅ ǆ ß ẞ İ ı ŉ", "\u0300\u0301 leading marks", "ͅͅͅ", "\u202ertl\u202c \u200d\u200c", "q\u0323\u0307 q\u0307\u0323", "Ω Ω K K", "x\u00ady soft",
]


def sources(material):
    named = {name: os.path.join(material, "tokenizers", name) for name in ("qwen2.5", "llama3", "smollm2")}
    named["stories260K"] = os.path.join(material, "models", "stories260K")
    named["demo-model"] = os.path.join(ROOT, "assets", "demo-model")
    return {name: os.path.join(folder, "tokenizer.json") for name, folder in named.items()}


def documents(material):
    for name in ("data/qmsum/val.jsonl", "data/mt-bench/question.jsonl"):
        with open(os.path.join(material, name), encoding="utf-8") as f:
            yield name, f.read()


def both(tokenizer, text):
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    return plain, tokenizer.encode(text, add_special_tokens=False).ids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("material")
    args = parser.parse_args()
    out = {"made_by": "tools/tokenizers/make_ids.py, tokenizers " + tokenizers.__version__, "texts": TEXTS, "tokenizers": {}}
    for name, path in sources(args.material).items():
        t = tokenizers.Tokenizer.from_file(path)
        rows, special, decoded = [], [], []
        for text in TEXTS:
            plain, control = both(t, text)
            rows.append(plain)
            special.append(control if control != plain else None)
            decoded.append(t.decode(control, skip_special_tokens=False))
        long = {}
        for document, text in documents(args.material):
            ids, _ = both(t, text)
            crc = zlib.crc32(b"".join(i.to_bytes(4, "little") for i in ids))
            long[document] = {"count": len(ids), "crc32": crc}
        out["tokenizers"][name] = {"text": rows, "control": special, "decoded": [d if d != x else None for d, x in zip(decoded, TEXTS)], "documents": long}
    with open(os.path.join(ROOT, "tests", "data", "tokenizer_ids.json"), "w", encoding="ascii") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
