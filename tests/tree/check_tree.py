#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the shape of the source tree true; prints one violation a line and exits 1 where there are any.

    check_tree.py ROOT            check
    check_tree.py --write ROOT    first write the umbrellas: include/loopserve/loopserve.hpp, which includes all public headers of the host, and
                                  loopserve.cuh, which includes what nvcc may read of them and all .cuh files
                                  but the primitives

Floors, lowest first: core, dev, ops, kv and prefill (which do not know each other), attention, model, serve. A header includes only headers of lower floors and of
its own. ops/cpu counts as ops. testing/ stands on top of all
and is included by nothing below. x.cuh has a twin x.hpp, but for dev/cuda; a .hpp includes no .cuh, and x_kernel.hpp and dev/ are for device code only.
"""
import os
import re
import sys

FLOORS = {"core": 0, "dev": 1, "ops": 2, "kv": 3, "prefill": 3, "attention": 4, "model": 5, "serve": 6, "testing": 7}
APART = {("kv", "prefill"), ("prefill", "kv")}
UMBRELLA = "loopserve.hpp"
CUDA_UMBRELLA = "loopserve.cuh"
UMBRELLAS = (UMBRELLA, CUDA_UMBRELLA)
# Chooses between the two twins of the primitives.
PRIMITIVES = "dev/primitives.hpp"
CUDA_PRIMITIVES = "dev/cuda/primitives.cuh"
CPU_GATHERERS = ("ops/cpu/cpu_ops.hpp", "attention/cpu/cpu_attention.hpp")
CONFIG = "core/config.hpp"
# Reads the kernels that a macro names once for each instruction set: a parameter of the include, and no guard.
READ_AGAIN = "ops/cpu/each_isa.hpp"
READ_AGAIN_PARAMETER = "LOOPSERVE_KERNELS"
MAX_LINES = 400
SPDX = "// SPDX-License-Identifier: Apache-2.0"
CPU_ONLY = re.compile(r"(Eigen|unsupported/Eigen|oneapi|dnnl|immintrin|arm_neon)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
# Joined from halves, so that this file does not report itself.
MARKS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|(?i:\bst" r"ub\b|\bplace" r"holder\b|\bnot imple" r"mented\b)")
MARKED_FOLDERS = ["include", "examples", "tests", "bench", "cmake", "scripts", "packaging"]
SOURCE = (".hpp", ".cuh", ".inc", ".cpp", ".cu", ".cmake", ".py", ".txt", ".in", ".sh")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def walk(root, folder, endings):
    for where, folders, files in os.walk(os.path.join(root, folder)):
        folders[:] = sorted(f for f in folders if f not in ("corpus", "data", "build", "__pycache__"))
        for name in sorted(files):
            if name.endswith(endings) or (folder == "scripts" and "." not in name):
                yield os.path.relpath(os.path.join(where, name), root).replace(os.sep, "/")


def floor_of(header):
    """The folder that names a header's floor; version.hpp and the umbrellas have none."""
    top = header.split("/")[0]
    return top if "/" in header else None


def is_device_code(header):
    return header.endswith(("_kernel.hpp", ".cuh")) or header.startswith("dev/")


class Tree:
    def __init__(self, root):
        self.root = root
        self.base = os.path.join(root, "include", "loopserve")
        self.headers = [os.path.relpath(os.path.join(root, f), self.base).replace(os.sep, "/")
                        for f in walk(root, "include/loopserve", (".hpp", ".cuh"))]
        self.text = {h: read(os.path.join(self.base, h)) for h in self.headers}
        self.includes = {h: [(kind, what) for kind, what in INCLUDE.findall(self.text[h])] for h in self.headers}
        self.violations = []

    def say(self, where, what):
        self.violations.append(f"{where}: {what}")

    def own(self, header):
        """Included headers of this library, relative to its folder."""
        return [what[len("loopserve/"):] for kind, what in self.includes[header] if kind == "<" and what.startswith("loopserve/")]

    def reachable(self, header):
        seen, left = set(), [header]
        while left:
            for target in self.own(left.pop()):
                if target in self.text and target not in seen:
                    seen.add(target)
                    left.append(target)
        return seen

    def public(self, umbrella=UMBRELLA):
        """What an umbrella includes. The host's: everything but the law suites, device code, and the cpu backend's parts one by one. CUDA's: the same
        without the cpu backend, and all .cuh files but the primitives, which only nvcc can read."""
        def wanted(h):
            if h in UMBRELLAS or h.startswith("testing/"):
                return False
            if h.endswith(".cuh"):
                return umbrella == CUDA_UMBRELLA and h != CUDA_PRIMITIVES
            return not is_device_code(h) and ("/cpu/" not in h or (umbrella == UMBRELLA and h in CPU_GATHERERS))
        order = lambda h: (FLOORS.get(floor_of(h), -1), "/cpu/" in h, h)
        return sorted(filter(wanted, self.headers), key=order)

    def umbrella(self, name=UMBRELLA):
        what = "Everything for the host." if name == UMBRELLA else "Everything for CUDA: the host's headers without the cpu backend, and the CUDA backend."
        lines = [SPDX, "#pragma once", "", f"/// {what} Written by tests/tree/check_tree.py --write.", ""]
        return "\n".join(lines + [f"#include <loopserve/{h}>" for h in self.public(name)]) + "\n"

    def umbrellas(self):
        """Those that the tree must have: CUDA's where there is a .cuh."""
        return [UMBRELLA] + [CUDA_UMBRELLA] * any(h.endswith(".cuh") and h != CUDA_UMBRELLA for h in self.headers)

    def check_header(self, header):
        text = self.text[header]
        floor = floor_of(header)
        where = f"include/loopserve/{header}"
        lines = text.split("\n")
        if lines[0] != SPDX:
            self.say(where, f"the first line is not '{SPDX}'")
        if "#pragma once" not in lines and header != READ_AGAIN:
            self.say(where, "no #pragma once")
        if text.count("\n") >= MAX_LINES:
            self.say(where, f"{text.count(chr(10))} lines; a header has fewer than {MAX_LINES}")
        if floor is not None and floor not in FLOORS:
            self.say(where, f"the folder {floor} is no floor")
        if header != CONFIG:
            if "__CUDACC__" in text:
                self.say(where, "__CUDACC__ outside core/config.hpp")
            for name in re.findall(r"^\s*#\s*(?:define|undef)\s+(\w+)", text, re.M):
                if name == READ_AGAIN_PARAMETER and "/cpu/" in header:
                    continue
                self.say(where, f"defines the macro {name}; macros are defined in core/config.hpp only")
        if header.endswith(".cuh") and not header.startswith("dev/cuda/") and header[:-4] + ".hpp" not in self.text:
            self.say(where, "no .hpp twin")
        for kind, what in self.includes[header]:
            if kind == '"':
                self.say(where, f'includes "{what}" in quotes; the library includes itself as <loopserve/...>')
            if CPU_ONLY.match(what) and "/cpu/" not in header:
                self.say(where, f"includes <{what}> outside a cpu/ folder")
        if header not in UMBRELLAS:
            self.check_floors(header, floor, where)

    def check_floors(self, header, floor, where):
        for target in self.own(header):
            if target.endswith(".inc") and os.path.exists(os.path.join(self.base, target)):
                continue
            if target not in self.text:
                self.say(where, f"includes <loopserve/{target}>, which does not exist")
                continue
            other = floor_of(target)
            if target.endswith(".cuh") and not header.endswith(".cuh") and header != PRIMITIVES:
                self.say(where, f"a .hpp includes {target}")
            elif is_device_code(target) and not is_device_code(header):
                self.say(where, f"includes {target}, which is device code")
            if target in UMBRELLAS:
                self.say(where, f"includes the umbrella {target}")
            elif other is None or floor not in FLOORS or other not in FLOORS:
                continue
            elif (floor, other) in APART:
                self.say(where, f"{floor} includes {target}; kv and prefill do not know each other")
            elif FLOORS[other] > FLOORS[floor]:
                self.say(where, f"{floor} includes {target} of the higher floor {other}")

    def check_cycles(self):
        for header in self.headers:
            if header in self.reachable(header):
                self.say(f"include/loopserve/{header}", "includes itself by way of others")

    def check_umbrella(self, name):
        if name not in self.text:
            self.say("include/loopserve", f"no {name}")
            return
        where = f"include/loopserve/{name}"
        included, public = self.own(name), self.public(name)
        for header in public:
            if header not in included:
                self.say(where, f"does not include {header}; write it with tests/tree/check_tree.py --write")
        for header in included:
            if header not in public:
                self.say(where, f"includes {header}, which is not a public header")
        for line in self.text[name].split("\n"):
            if line and not line.startswith(("//", "#pragma once", "#include <")):
                self.say(where, f"holds more than includes: {line}")

    def check_gatherers(self):
        for gatherer in CPU_GATHERERS:
            if gatherer in self.text:
                folder = gatherer.rsplit("/", 1)[0] + "/"
                gathered = self.reachable(gatherer) | {gatherer}
                for header in self.headers:
                    if header.startswith(folder) and header not in gathered:
                        self.say(f"include/loopserve/{gatherer}", f"does not include {header}; who takes the cpu backend gets all its overrides")

    def check_sources(self):
        for path in walk(self.root, "include", (".inc",)):
            text = read(os.path.join(self.root, path))
            if not text.startswith(SPDX) or text.count("\n") >= MAX_LINES:
                self.say(path, f"the first line is not '{SPDX}', or there are {MAX_LINES} lines")
        for folder in ("examples", "tests", "bench"):
            for path in walk(self.root, folder, (".hpp", ".cpp", ".cu", ".cuh")):
                if not read(os.path.join(self.root, path)).startswith(SPDX):
                    self.say(path, f"the first line is not '{SPDX}'")
        for folder in MARKED_FOLDERS:
            for path in walk(self.root, folder, SOURCE):
                for number, line in enumerate(read(os.path.join(self.root, path)).split("\n"), 1):
                    mark = MARKS.search(line)
                    if mark:
                        self.say(f"{path}:{number}", f"unfinished: {mark.group(0)}")

    def check(self):
        for header in self.headers:
            self.check_header(header)
        self.check_cycles()
        for name in self.umbrellas():
            self.check_umbrella(name)
        self.check_gatherers()
        self.check_sources()
        return self.violations


def main(arguments):
    write = "--write" in arguments
    roots = [a for a in arguments if a != "--write"]
    if len(roots) != 1 or not os.path.isdir(os.path.join(roots[0], "include", "loopserve")):
        print(__doc__)
        return 2
    tree = Tree(roots[0])
    if write:
        for name in tree.umbrellas():
            with open(os.path.join(tree.base, name), "w", encoding="utf-8") as f:
                f.write(tree.umbrella(name))
        tree = Tree(roots[0])
    violations = tree.check()
    print("\n".join(violations) if violations else f"{len(tree.headers)} headers, no violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
