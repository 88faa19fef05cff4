#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the programs in README.md, CONTRIBUTING.md and docs/*.md with the examples that they are cut from.

    snippets.py ROOT            compare, one difference a line
    snippets.py --write ROOT    put the examples' text into the documents

In a document, a mark before a fenced block names its source:      <!-- snippet: examples/hello.cpp -->
or one part of it:                                                 <!-- snippet: examples/own_tensors.cpp#select -->
In the source, a part stands between the lines `// [select]` and `// [/select]`; a whole file is taken without its SPDX line.
Every C++ block of README.md must have a mark. Links to files of the repository must lead somewhere.
"""
import glob
import os
import re
import sys
import textwrap

BLOCK = re.compile(r"<!-- snippet: (\S+) -->\n```(\w*)\n(.*?)```\n", re.S)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
MARK = re.compile(r"^\s*// \[/?[\w-]+\]\n", re.M)


def cut(root, source):
    """The text that a mark names, or None and why not."""
    path, _, part = source.partition("#")
    try:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
    except OSError:
        return None, f"{path} does not exist"
    if not part:
        return MARK.sub("", re.sub(r"\A// SPDX.*\n", "", text)), None
    found = re.search(rf"^[ \t]*// \[{re.escape(part)}\]\n(.*?)^[ \t]*// \[/{re.escape(part)}\]\n", text, re.S | re.M)
    if not found:
        return None, f"{path} has no part [{part}]"
    return textwrap.dedent(MARK.sub("", found.group(1))), None


def documents(root):
    return [p for p in [os.path.join(root, n) for n in ("README.md", "CONTRIBUTING.md")] if os.path.exists(p)] + sorted(
        glob.glob(os.path.join(root, "docs", "**", "*.md"), recursive=True))


def check(root, write=False):
    said = []
    for path in documents(root):
        name = os.path.relpath(path, root)
        with open(path, encoding="utf-8") as f:
            text = f.read()

        def renew(block):
            source, language, shown = block.groups()
            wanted, why = cut(root, source)
            if wanted is None:
                said.append(f"{name}: snippet {source}: {why}")
                return block.group(0)
            if wanted != shown and not write:
                said.append(f"{name}: snippet {source} differs from its source; renew it with tests/docs/snippets.py --write")
            return f"<!-- snippet: {source} -->\n```{language}\n{wanted}```\n"

        renewed = BLOCK.sub(renew, text)
        if name == "README.md" and len(re.findall(r"^```cpp$", text, re.M)) != len([b for b in BLOCK.findall(text) if b[1] == "cpp"]):
            said.append(f"{name}: a C++ block has no snippet mark before it, so nothing keeps it true")
        for link in LINK.findall(text):
            if not os.path.exists(os.path.join(os.path.dirname(path), link)):
                said.append(f"{name}: the link {link} leads nowhere")
        if write and renewed != text:
            with open(path, "w", encoding="utf-8") as f:
                f.write(renewed)
    return said


def main(arguments):
    roots = [a for a in arguments if a != "--write"]
    if len(roots) != 1:
        print(__doc__)
        return 2
    said = check(roots[0], "--write" in arguments)
    print("\n".join(said) if said else "all snippets are as in their sources")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
