#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table component x backend in README.md, from the tests that ran.

    table.py ROOT JUNIT...           fails where the table says anything else than these results (ctest --output-junit)
    table.py --write ROOT JUNIT...   writes it
    table.py --sources ROOT          fails where components.toml names a test that is not there, or that does not touch what it is named for

A cell is the least of what its tests say. On `reference` and `cpu`: `tested`. On `cuda`: `on a GPU` where the device tests passed, `emulated` where they were skipped for want of a
device and the kernels' source passed on the host. `-`: no test, so nothing is claimed. What failed or was not run is no table at all.
A table that says `emulated` stays true where there is a GPU.
"""

import os
import re
import sys
import tomllib
import xml.etree.ElementTree

BACKENDS = ("reference", "cpu", "cuda")
TABLE = re.compile(r"(<!-- table: components -->\n)(.*?)(<!-- /table -->\n)", re.S)


class Untrue(Exception):
    """There is no table that these results bear out."""


def rows_of(root):
    with open(os.path.join(root, "tools", "components", "components.toml"), "rb") as file:
        return tomllib.load(file)["row"]


def results_of(paths):
    """passed, skipped or failed, by test."""
    found = {}
    for path in paths:
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            state = "skipped" if case.find("skipped") is not None or case.get("status") == "notrun" else "passed" if case.get("status") == "run" else "failed"
            found[case.get("name")] = state
    return found


def said_by(tests, results):
    """passed or skipped, the least of them; raises where one failed or is missing."""
    for test in tests:
        if results.get(test) not in ("passed", "skipped"):
            raise Untrue(f"{test}: {results.get(test, 'was not run')}")
    return "skipped" if any(results[t] == "skipped" for t in tests) else "passed"


def cell(row, backend, results):
    tests = row[backend]
    if not tests:
        return "-"
    if backend != "cuda":
        if said_by(tests, results) == "skipped":
            raise Untrue(f"{', '.join(tests)}: skipped")
        return "tested"
    if said_by(["simt." + t for t in tests], results) == "skipped":
        raise Untrue(f"simt.{tests[0]}: skipped")
    on_device = ["device." + t for t in tests]
    return "on a GPU" if all(t in results for t in on_device) and said_by(on_device, results) == "passed" else "emulated"


def table_of(rows, results):
    lines = ["| | " + " | ".join(f"`{b}`" for b in BACKENDS) + " |", "|---" * (len(BACKENDS) + 1) + "|"]
    lines += ["| " + " | ".join([row["name"], *(cell(row, b, results) for b in BACKENDS)]) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def sources_of(root, backend, test):
    """The source of a test; the portable ones have that of the test that they repeat."""
    name = "simt." + test if backend == "cuda" else re.sub(r"\.portable$", "", test)
    return os.path.join(root, "tests", *name.split(".")) + ".cpp"


def text_of(root, path):
    """A test with the headers of laws and of tests that it includes."""
    with open(path) as file:
        text = file.read()
    for include in re.findall(r'#include [<"]([^>"]+)[>"]', text):
        for folder in (os.path.join(root, "include"), os.path.join(root, "tests"), os.path.dirname(path)):
            header = os.path.join(folder, include)
            if os.path.exists(header) and (include.startswith("loopserve/testing/") or not include.startswith("loopserve/")):
                with open(header) as file:
                    text += file.read()
                break
    return text


def check_sources(root):
    said = []
    for row in rows_of(root):
        for backend in BACKENDS:
            text = ""
            for test in row[backend]:
                path = sources_of(root, backend, test)
                if not os.path.exists(path):
                    said.append(f"{row['name']}: {test}: there is no {os.path.relpath(path, root)}")
                    continue
                text += text_of(root, path)
            said += [f"{row['name']}, {backend}: none of {', '.join(row[backend])} has '{call}'" for call in row["calls"] if row[backend] and call not in text]
            if backend != "cuda" and row[backend] and not re.search(rf"\b{backend}\b", text):
                said.append(f"{row['name']}: none of {', '.join(row[backend])} speaks of {backend}")
    return said


def main(arguments):
    flags, paths = [a for a in arguments if a.startswith("--")], [a for a in arguments if not a.startswith("--")]
    if not paths or set(flags) - {"--write", "--sources"}:
        print(__doc__)
        return 2
    root = paths[0]
    if flags == ["--sources"]:
        said = check_sources(root)
        print("\n".join(said) if said else "every row's tests are there and touch it")
        return 1 if said else 0
    readme = os.path.join(root, "README.md")
    with open(readme) as file:
        text = file.read()
    shown = TABLE.search(text)
    if shown is None:
        print("README.md has no table between <!-- table: components --> and <!-- /table -->")
        return 1
    try:
        wanted = table_of(rows_of(root), results_of(paths[1:]))
    except Untrue as error:
        print(f"README's table: {error}")
        return 1
    if flags == ["--write"]:
        with open(readme, "w") as file:
            file.write(TABLE.sub(lambda m: m[1] + wanted + m[3], text))
        return 0
    if shown[2] not in (wanted, wanted.replace("on a GPU", "emulated")):
        print("README's table says something else than these results; renew it with tools/components/table.py --write:\n" + wanted)
        return 1
    print("README's table is what ran")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
