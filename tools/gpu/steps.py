# SPDX-License-Identifier: Apache-2.0
"""The steps of a check on a GPU. Each returns a record: {status: passed, failed or not run, seconds, said, ..}; what it printed lies in its log."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor

import machine

SANITIZERS = {"memcheck": ["--leak-check", "no", "--report-api-errors", "no"], "racecheck": [], "synccheck": [], "initcheck": []}
# What a tool would spend minutes on and learns nothing from: contexts of many tokens, by the names of doctest's cases.
LONG_CASES = "*long context*,*million*,*every length*"
# Whole models take hours under a tool that follows every access; their kernels are those of the other tests.
LEFT_OUT = {"device.engine": ("racecheck", "synccheck", "initcheck"), "device.engine_models": tuple(SANITIZERS)}
SANITIZER_SECONDS, BENCH_SECONDS, TEST_SECONDS = 150, 240, 300
AT_ONCE = 4  # programs under a sanitizer


class Check:
    """A tree, a build folder, what was done before, and until when something new may begin."""

    def __init__(self, root, build, bundle, ledger, jobs, architecture, until):
        self.root, self.build, self.bundle, self.ledger, self.jobs = root, build, bundle, ledger, jobs
        self.architecture, self.until = architecture, until
        self.environment = dict(os.environ, CTEST_OUTPUT_ON_FAILURE="1")
        if bundle:
            self.environment["PKG_CONFIG_PATH"] = os.path.join(bundle, "usr", "lib", "pkgconfig") + ":" + os.environ.get("PKG_CONFIG_PATH", "")

    def command(self, step, seconds, *arguments):
        """(exit status, output); what it prints goes to the step's log too. None where it did not end in time."""
        with open(self.ledger.log(step), "a+") as log:
            log.write("$ " + " ".join(arguments) + "\n")
            log.flush()
            start = log.tell()
            try:
                status = subprocess.run(arguments, cwd=self.root, env=self.environment, stdout=log, stderr=subprocess.STDOUT, timeout=seconds).returncode
            except subprocess.TimeoutExpired:
                status = None
            except OSError as error:
                return 127, str(error)
            log.flush()
        with open(self.ledger.log(step), errors="replace") as log:
            log.seek(start)
            return status, log.read()

    def step(self, name, body):
        """Runs `body`, unless it has passed before or the time is up; the record."""
        if self.ledger.passed(name):
            print(f"{name}: passed before", flush=True)
            return self.ledger.steps[name]
        if self.until is not None and time.time() > self.until:
            record = {"status": "not run", "seconds": 0, "said": "the time was up; run it again to go on"}
        else:
            if os.path.exists(self.ledger.log(name)):
                os.remove(self.ledger.log(name))
            start = time.time()
            record = {"status": "passed", "said": "", **body()}
            record["seconds"] = round(time.time() - start, 1)
        self.ledger.put(name, record)
        print(f"{name}: {record['status']} in {record['seconds']} s" + (f": {record['said']}" if record["said"] else ""), flush=True)
        return record

    def of(self, result):
        status, output = result
        if status == 0:
            return {}
        said = "it did not end in time" if status is None else f"exit {status}: {' | '.join(output.strip().splitlines()[-3:])}"
        return {"status": "failed", "said": said[-600:]}


def configure(check):
    arguments = ["cmake", "-S", check.root, "-B", check.build, "-DCMAKE_BUILD_TYPE=Release", "-DLOOPSERVE_CUDA=ON", "-DLOOPSERVE_BUILD_BENCH=OFF",
                 "-DLOOPSERVE_BUILD_EXAMPLES=OFF", "-DLOOPSERVE_WITH_ONEDNN=OFF", f"-DCMAKE_CUDA_ARCHITECTURES={check.architecture}"]
    nvcc = machine.beside_nvcc("nvcc")
    if "CUDACXX" not in os.environ and nvcc:
        arguments.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
    if not os.path.exists(os.path.join(check.build, "CMakeCache.txt")):
        arguments += ["-G", "Ninja" if shutil.which("ninja") else "Unix Makefiles"]
    if check.bundle:
        with open(os.path.join(check.bundle, "machine")) as file:
            made_for = file.read().strip()
        if made_for != platform.machine():
            return {"status": "failed", "said": f"{check.bundle} was made for {made_for}, this is {platform.machine()}"}
        arguments += [f"-DCMAKE_PREFIX_PATH={check.bundle}/usr", f"-DLOOPSERVE_MATERIAL={check.bundle}/material"]
        if not shutil.which("pkg-config"):
            arguments.append(f"-DPKG_CONFIG_EXECUTABLE={check.bundle}/bin/pkg-config")
    return check.of(check.command("configure", 300, *arguments))


def build(check):
    return check.of(check.command("build", 1500, "cmake", "--build", check.build, "-j", str(check.jobs), "--target", "tests_device", "device_benches"))


def device_tests(check):
    """Names and programs of the device's tests."""
    said = machine.said_by("ctest", "--test-dir", check.build, "-L", "^device$", "--show-only=json-v1")
    return [(t["name"], t["command"]) for t in json.loads(said)["tests"] if t.get("command")] if said else []


def tests(check):
    """All device tests, one at a time. A test that is skipped has not passed: there is a device."""
    report = os.path.join(check.ledger.folder, "tests.xml")
    if os.path.exists(report):
        os.remove(report)
    status, output = check.command("tests", 1500, "ctest", "--test-dir", check.build, "-L", "^device$", "--timeout", str(TEST_SECONDS), "--no-tests=error",
                                   "--output-junit", report)
    record = check.of((status, output))
    if not os.path.exists(report):
        return {**record, "status": "failed", "said": record.get("said") or "ctest wrote no report"}
    cases = []
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        found = {"run": "passed", "notrun": "skipped"}.get(case.get("status"), "failed")
        cases.append({"name": case.get("name"), "found": "skipped" if case.find("skipped") is not None else found, "seconds": float(case.get("time", 0))})
    wrong = [f"{c['name']} {c['found']}" for c in cases if c["found"] != "passed"]
    if wrong or not cases:
        record = {"status": "failed", "said": ", ".join(wrong) or "there are no device tests"}
    return {**record, "cases": cases}


def sanitize(check, tool, name, command):
    program = machine.beside_nvcc("compute-sanitizer")
    if program is None:
        return {"status": "failed", "said": "compute-sanitizer is neither on the PATH nor beside nvcc"}
    step = f"sanitize.{tool}.{name}"
    status, output = check.command(step, SANITIZER_SECONDS, program, "--tool", tool, "--error-exitcode", "99", "--print-limit", "20", *SANITIZERS[tool], *command,
                                   f"--test-case-exclude={LONG_CASES}")
    summary = next((line.strip("= ") for line in output.splitlines() if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line), "")
    if status == 0 and not summary:
        return {"status": "failed", "said": "it ended without a summary, so nothing was checked"}
    return {"summary": summary, **check.of((status, output)), **({"said": summary} if status == 99 else {})}


def bench_programs(check):
    folder = os.path.join(check.build, "bin")
    return sorted(name for name in os.listdir(folder) if name.startswith("bench.device.")) if os.path.isdir(folder) else []


def measured(check, step, *command):
    """A program that prints one JSON object."""
    status, output = check.command(step, BENCH_SECONDS, *command)
    if status == 77:
        return {"status": "not run", "said": output.strip().splitlines()[-1]}
    if status != 0:
        return check.of((status, output))
    try:
        return {"measured": json.loads(output[output.index("{"):])}
    except ValueError as error:
        return {"status": "failed", "said": f"what it printed is no JSON: {error}"}


# The stages, in order. Each says whether the next ones can be.


def configure_tree(check):
    return check.step("configure", lambda: configure(check))["status"] == "passed"


def build_all(check):
    return check.step("build", lambda: build(check))["status"] == "passed"


def run_tests(check):
    check.step("tests", lambda: tests(check))
    return True


def sanitize_all(check):
    """Every tool over every program, several at once."""
    def one(job):
        tool, (name, command) = job
        check.step(f"sanitize.{tool}.{name}", lambda: sanitize(check, tool, name, command))

    programs = device_tests(check)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, [(tool, program) for tool in SANITIZERS for program in programs if tool not in LEFT_OUT.get(program[0], ())]))
    return True


def run_benches(check):
    for name in bench_programs(check):
        check.step(name, lambda name=name: measured(check, name, os.path.join(check.build, "bin", name)))
    check.step("bench.pytorch", lambda: measured(check, "bench.pytorch", shutil.which("python3") or sys.executable, os.path.join(check.root, "tools", "gpu", "torch_attention.py")))
    return True
