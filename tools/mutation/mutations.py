# SPDX-License-Identifier: Apache-2.0
"""The tables of seeded bugs, and the sources with one of them in."""

import glob
import os
import tomllib
from dataclasses import dataclass

KINDS = ("missing barrier or wait", "off by one", "wrong mask", "swapped operands", "wrong stride or index", "dropped rescale", "missing tail guard",
         "race between blocks", "wrong launch", "lost part of the result")


class TableError(Exception):
    """A table that says something which is not so."""


@dataclass(frozen=True)
class Mutation:
    file: str  # below include/loopserve
    name: str  # what the bug is
    kind: str
    old: str
    new: str
    tests: tuple  # of tests/simt, in the order in which they are asked
    survives: str  # why no test can see it; empty: it must be caught

    @property
    def label(self):
        return f"{self.file}: {self.name}"


def of_table(path):
    """The mutations of one table: `file` and `tests`, then [[mutation]] with name, kind, old, new, and where they differ, tests and survives."""
    where = os.path.basename(path)
    with open(path, "rb") as file:
        try:
            table = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise TableError(f"{where}: {error}") from error
    unknown = set(table) - {"file", "tests", "mutation"}
    if unknown or not {"file", "tests", "mutation"} <= set(table):
        raise TableError(f"{where}: a table has file, tests and [[mutation]]; here are {', '.join(sorted(table))}")
    found = []
    for row in table["mutation"]:
        wrong = (set(row) - {"tests", "survives"}) ^ {"name", "kind", "old", "new"}
        if wrong:
            raise TableError(f"{where}: mutation {row.get('name', len(found) + 1)}: missing or unknown: {', '.join(sorted(wrong))}")
        if row["kind"] not in KINDS:
            raise TableError(f"{where}: {row['name']}: no kind '{row['kind']}'; there are {', '.join(KINDS)}")
        found.append(Mutation(table["file"], row["name"], row["kind"], row["old"], row["new"], tuple(row.get("tests", table["tests"])), row.get("survives", "")))
    return found


def all_of(root):
    """Every mutation of the tree, each checked against its source."""
    found = []
    for path in sorted(glob.glob(os.path.join(root, "tools", "mutation", "*.toml"))):
        found += of_table(path)
    seen = set()
    for mutation in found:
        if mutation.label in seen:
            raise TableError(f"{mutation.label}: twice in the tables")
        seen.add(mutation.label)
        mutated(root, mutation)
        for test in mutation.tests:
            if not os.path.exists(os.path.join(root, "tests", "simt", test + ".cpp")):
                raise TableError(f"{mutation.label}: there is no test tests/simt/{test}.cpp")
    return found


def mutated(root, mutation):
    """The file's text with the bug in."""
    path = os.path.join(root, "include", "loopserve", mutation.file)
    if not os.path.exists(path):
        raise TableError(f"{mutation.label}: there is no include/loopserve/{mutation.file}")
    with open(path) as file:
        text = file.read()
    count = text.count(mutation.old)
    if count != 1:
        raise TableError(f"{mutation.label}: its old text is found {count} times in include/loopserve/{mutation.file}, not once:\n{mutation.old}")
    if mutation.old == mutation.new:
        raise TableError(f"{mutation.label}: it changes nothing")
    return text.replace(mutation.old, mutation.new)
