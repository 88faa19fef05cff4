# SPDX-License-Identifier: Apache-2.0
"""Builds the emulator's tests over a tree with one bug in, and runs them."""

import glob
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from mutations import mutated

SECONDS_AT_LEAST, TIMES_AS_LONG = 20, 10  # the processor time that a test may take beside what it takes without a bug
SECONDS_ON_THE_CLOCK = 1800
COMMON = ("algorithm", "array", "atomic", "bit", "cmath", "concepts", "cstdint", "cstring", "deque", "functional", "limits", "map", "memory", "numeric",
          "span", "string", "thread", "tuple", "utility", "vector")  # what most tests include, compiled once


class BuildError(Exception):
    """What should compile does not, or a test fails without a bug."""


class Bench:
    """A folder with the emulator, built once, and what was found so far."""

    def __init__(self, root, work, jobs):
        self.root, self.work, self.jobs = root, work, jobs
        # Most of the time goes into compiling what fails at once: clang without optimisation takes a third of what g++ -O1 takes.
        self.compiler = os.environ.get("CXX") or ("clang++" if shutil.which("clang++") else "g++")
        self.launcher = shutil.which("ccache")  # for the emulator: the rest is new each time, and kept by its key here
        self.flags = ["-std=c++20", "-O0", "-w"]
        self.includes = [f'-DLOOPSERVE_MATERIAL="{root}/../shared/material"', f'-DLOOPSERVE_SOURCE_DIR="{root}"', f"-I{root}/include", f"-I{root}/tests", f"-I{root}/tests/simt"]
        self.libraries = ["-lpcre2-8", "-lutf8proc", "-pthread"]
        self.seconds, self.files, self.texts = {}, {}, {}
        emulator = os.path.join(root, "tests", "simt", "emulator")
        self.common = sorted(glob.glob(os.path.join(emulator, "*.cpp"))) + [os.path.join(root, "tests", "test_main.cpp")]
        digest = hashlib.sha256(" ".join([os.path.basename(self.compiler), *self.flags]).encode())
        for path in self.common + sorted(glob.glob(os.path.join(emulator, "*.hpp"))):
            digest.update(self.text_of(path).encode())
        self.built_with = digest.hexdigest()
        self.lock = threading.Lock()
        self.store, self.common_headers = os.path.join(work, "results.json"), os.path.join(work, "common.hpp")
        os.makedirs(work, exist_ok=True)
        self.known = {}
        if os.path.exists(self.store):
            with open(self.store) as file:
                self.known = json.load(file)

    def text_of(self, path):
        """A file as it was when it was first read."""
        if path not in self.texts:
            with open(path) as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def pool(self):
        return ThreadPoolExecutor(self.jobs)

    def command(self, *arguments, **more):
        return subprocess.run(arguments, capture_output=True, text=True, errors="replace", **more)

    def compile(self, source, output, *more, launcher=()):
        return self.command(*launcher, self.compiler, *self.flags, *more, *self.includes, "-c", source, "-o", output)

    def prepare(self, tests):
        """The common headers, the emulator and the tests' main, then every test without a bug, which must pass."""
        with open(self.common_headers, "w") as file:
            file.writelines(f"#include <{name}>\n" for name in COMMON)
        done = self.command(self.compiler, *self.flags, "-x", "c++-header", self.common_headers, "-o", self.common_headers + ".gch")
        if done.returncode != 0:
            raise BuildError(done.stderr)
        sources = self.common
        launcher = [self.launcher] if self.launcher else []
        self.objects = [os.path.join(self.work, os.path.basename(s)[:-4] + ".o") for s in sources]
        with self.pool() as pool:
            for done in pool.map(lambda pair: self.compile(*pair, "-O2", launcher=launcher), zip(sources, self.objects)):
                if done.returncode != 0:
                    raise BuildError(done.stderr)
        with self.pool() as pool:
            for test, found in zip(tests, pool.map(lambda t: self.run(t, None), tests)):
                if found["outcome"] != "passed":
                    raise BuildError(f"{test} fails without a bug: {found}")
                self.seconds[test] = found["seconds"]

    def overlay(self, mutation):
        """A folder of headers that come before the tree's: the one with the bug."""
        folder = os.path.join(self.work, hashlib.sha256(mutation.label.encode()).hexdigest()[:16])
        path = os.path.join(folder, "include", "loopserve", mutation.file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(mutated(self.root, mutation))
        return folder

    def key_of(self, test, mutation):
        """A number for all that the test is built of: its own files of the tree, the one with the bug as it is then."""
        if test not in self.files:
            source = os.path.join(self.root, "tests", "simt", test + ".cpp")
            said = self.command(self.compiler, *self.flags, *self.includes, "-MM", source)
            if said.returncode != 0:
                raise BuildError(said.stderr)
            self.files[test] = sorted({os.path.abspath(p) for p in said.stdout.replace("\\\n", " ").split()[1:] if os.path.abspath(p).startswith(self.root + os.sep)})
        digest = hashlib.sha256(self.built_with.encode())
        seen = mutation is None
        for path in self.files[test]:
            own = mutation is not None and path == os.path.join(self.root, "include", "loopserve", mutation.file)
            seen = seen or own
            digest.update((os.path.relpath(path, self.root) + "\0" + (mutated(self.root, mutation) if own else self.text_of(path))).encode())
        if not seen:
            raise BuildError(f"{mutation.label}: tests/simt/{test}.cpp does not include the file")
        return digest.hexdigest()

    def found_before(self, mutation):
        """What was found of a mutation of this name when its header, a test or the emulator was another: what caught it or None, and whether anything was found."""
        last = {f["test"]: f for f in self.known.values() if f.get("label") == mutation.label}  # of each test, in the order in which they were asked
        return next((f for f in last.values() if f["outcome"] != "passed"), None), bool(last)

    def run(self, test, mutation):
        """What one test says: {outcome: passed, failed, crashed, endless or refused (it does not compile), case, said, seconds}."""
        key = self.key_of(test, mutation)
        if key in self.known:
            return self.known[key]
        folder = self.overlay(mutation) if mutation else os.path.join(self.work, "whole")
        os.makedirs(folder, exist_ok=True)
        source, made, program = os.path.join(self.root, "tests", "simt", test + ".cpp"), os.path.join(folder, test + ".o"), os.path.join(folder, test)
        done = self.compile(source, made, "-include", self.common_headers, f"-I{folder}/include")
        if done.returncode != 0:
            return {"outcome": "refused", "said": done.stderr, "case": "", "seconds": 0}
        done = self.command(self.compiler, made, *self.objects, *self.libraries, "-o", program)
        if done.returncode != 0:
            raise BuildError(done.stderr)
        found = self.judge(program, test)
        os.remove(program)
        os.remove(made)
        with self.lock:
            self.known[key] = {**found, "label": mutation.label if mutation else "", "test": test}
            with open(self.store + ".new", "w") as file:
                json.dump(self.known, file, indent=1)
            os.replace(self.store + ".new", self.store)
        return found

    def judge(self, program, test):
        limit = int(max(SECONDS_AT_LEAST, TIMES_AS_LONG * self.seconds.get(test, SECONDS_AT_LEAST)))
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen([program, "--abort-after=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)))
        try:
            said, _ = process.communicate(timeout=SECONDS_ON_THE_CLOCK)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            return {"outcome": "endless", "case": case_of(said), "said": f"after {SECONDS_ON_THE_CLOCK} s on the clock", "seconds": 0}
        said = said.replace(self.root + os.sep, "")  # where the tree lies is nobody's business
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = end.ru_utime - start.ru_utime  # of other tests that ended meanwhile too: an upper bound
        if process.returncode == 0:
            return {"outcome": "passed", "case": "", "said": "", "seconds": seconds}
        if "SIGXCPU" in said or process.returncode in (-24, -9):
            return {"outcome": "endless", "case": case_of(said), "said": f"after {limit} s of the processor", "seconds": seconds}
        outcome = "crashed" if process.returncode < 0 or "test case CRASHED" in said else "failed"
        return {"outcome": outcome, "case": case_of(said), "said": reason_of(said), "seconds": seconds}


def case_of(said):
    """The first test case that doctest complains about."""
    found = re.search(r"^TEST CASE:\s*(.*)$", said, re.M)
    return found[1].strip() if found else ""


def reason_of(said):
    """What went wrong, in a word: what the emulator names, or that numbers differ."""
    thrown = re.search(r"THREW exception: (.*)", said)
    if thrown:
        return thrown[1].strip()[:200]
    return "a check" if "ERROR: CHECK" in said or "ERROR: REQUIRE" in said else said.strip()[-200:]
