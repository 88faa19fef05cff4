# SPDX-License-Identifier: Apache-2.0
"""The steps of a check on a GPU. Each returns a record: {status: passed, failed or not run, seconds, said, ..}; what it printed lies in its log."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor

import machine

SANITIZERS = {"memcheck": ["--leak-check", "no", "--report-api-errors", "no"], "racecheck": [], "synccheck": [], "initcheck": []}
ALL, BY_BARRIERS = tuple(SANITIZERS), ("racecheck", "synccheck")
# Every test runs under every tool, new ones too: but for whole engines and models they launch at most a few hundred kernels of at most 30,000 threads, so that a tool takes seconds. These do
# not: memcheck alone sees whole engines and models, which launch thousands of the kernels that others launch at raggeder sizes; and what has neither barriers nor shared memory of ours
# (copies, graphs, rows rounded for cuBLASLt), or whose kernels all have tests of their own (laws, policies), is nothing for the tools that look at those.
BEYOND_MEMORY = BY_BARRIERS + ("initcheck",)
LEFT_OUT = {"device.hello": ALL,
            **{f"device.{name}": BEYOND_MEMORY for name in ("engine", "engine_beside", "engine_models", "engine_sampling")},
            **{f"device.{name}": BY_BARRIERS for name in ("attention_laws", "policy_laws", "recall_laws", "selector_laws", "sketch_laws", "storage_laws", "choosing", "replay", "backend", "weights", "matmul")}}
SANITIZER_SECONDS, BENCH_SECONDS, TEST_SECONDS, BUILD_SECONDS = 150, 240, 90, 3000
AT_ONCE = 8  # programs under a sanitizer
GRACE_SECONDS, GONE_SECONDS = 10, 30  # between asking a program to end and ending it; until what was ended is left to the system, as a driver may hold it
OWN_GROUP = {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}  # not a session of its own: who ends the check from outside may look for those
TIME_IS_UP = "the time was up; run it again to go on"


def end_group(group, how):
    try:
        os.killpg(group, how)
    except ProcessLookupError:
        pass


class Check:
    """A tree, a build folder, what was done before, and until when something new may begin."""

    def __init__(self, root, build, bundle, ledger, jobs, architecture, until):
        self.root, self.build, self.bundle, self.ledger, self.jobs = root, build, bundle, ledger, jobs
        self.architecture, self.until = architecture, until
        self.lock, self.running = threading.RLock(), set()  # entered again by the handler of a signal
        self.after_step = lambda: None
        self.environment = dict(os.environ, CTEST_OUTPUT_ON_FAILURE="1", OMP_WAIT_POLICY="passive")  # programs run side by side
        if bundle:
            self.environment["PKG_CONFIG_PATH"] = os.path.join(bundle, "usr", "lib", "pkgconfig") + ":" + os.environ.get("PKG_CONFIG_PATH", "")

    def time_is_up(self):
        return self.until is not None and time.time() >= self.until

    def stop(self):
        """Nothing new begins, and what runs is asked to end: what has passed stays known."""
        self.until = 0
        with self.lock:
            for group in list(self.running):
                end_group(group, signal.SIGTERM)

    def wait(self, process, seconds):
        """The exit status; None where it did not end in time. A program is ended with all that it has started: a compiler or a test that is left behind would disturb what comes next."""
        deadline = time.time() + seconds
        if self.until is not None:
            deadline = min(deadline, max(self.until, time.time()))
        try:
            return process.wait(timeout=max(0, deadline - time.time()))
        except subprocess.TimeoutExpired:
            end_group(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        end_group(process.pid, signal.SIGKILL)
        try:
            process.wait(timeout=GONE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        return None

    def command(self, step, seconds, *arguments):
        """(exit status, output); what it prints goes to the step's log too. None where it did not end in time."""
        with open(self.ledger.log(step), "a+") as log:
            log.write("$ " + " ".join(arguments) + "\n")
            log.flush()
            start = log.tell()
            try:
                process = subprocess.Popen(arguments, cwd=self.root, env=self.environment, stdout=log, stderr=subprocess.STDOUT, **OWN_GROUP)
            except OSError as error:
                return 127, str(error)
            with self.lock:
                self.running.add(process.pid)
            try:
                status = self.wait(process, seconds)
            finally:
                with self.lock:
                    self.running.discard(process.pid)
        with open(self.ledger.log(step), errors="replace") as log:
            log.seek(start)
            return status, log.read()

    def step(self, name, body):
        """Runs `body`, unless it has passed before or the time is up; the record. The time of what was cut off counts too."""
        if self.ledger.passed(name):
            print(f"{name}: passed before", flush=True)
            return self.ledger.steps[name]
        before = self.ledger.steps.get(name, {})
        record = {"status": "not run", "said": TIME_IS_UP, "seconds": before["seconds"] if before.get("status") == "not run" else 0}
        if before and self.time_is_up():
            record = before  # what is known of it stays known
        elif not self.time_is_up():
            if os.path.exists(self.ledger.log(name)):
                os.remove(self.ledger.log(name))
            start = time.time()
            did = {"status": "passed", "said": "", **body()}
            if did["status"] == "passed" or not self.time_is_up():
                record.update(did)
            elif "measured" in did:
                record["measured"] = did["measured"]
            record["seconds"] = round(record["seconds"] + time.time() - start, 1)
        self.ledger.put(name, record)
        with self.lock:
            self.after_step()
        print(f"{name}: {record['status']} in {record['seconds']} s" + (f": {record['said']}" if record["said"] else ""), flush=True)
        return record

    def of(self, result):
        status, output = result
        if status == 0:
            return {}
        said = "it did not end in time" if status is None else f"exit {status}: {' | '.join(output.strip().splitlines()[-3:])}"
        return {"status": "failed", "said": said[-600:]}


def configure(check):
    # What another compiler warns of must not stop a check of what runs; a sanitizer shall name lines of the source.
    arguments = ["cmake", "-S", check.root, "-B", check.build, "-DCMAKE_BUILD_TYPE=Release", "-DLOOPSERVE_CUDA=ON", "-DLOOPSERVE_WERROR=OFF", "-DLOOPSERVE_BUILD_BENCH=OFF",
                 "-DLOOPSERVE_BUILD_EXAMPLES=OFF", "-DLOOPSERVE_WITH_ONEDNN=OFF", "-DCMAKE_CUDA_FLAGS=-lineinfo", f"-DCMAKE_CUDA_ARCHITECTURES={check.architecture}"]
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


def keep_going(check):
    """What makes the build tool go on after an error: one file that does not compile must not hide what the others do."""
    with open(os.path.join(check.build, "CMakeCache.txt")) as file:
        return ["-k", "0"] if "CMAKE_GENERATOR:INTERNAL=Ninja" in file.read() else ["-k"]


def build(check):
    # Programs are linked anew: of what does not compile, no older one must be left that would be taken for it.
    shutil.rmtree(os.path.join(check.build, "bin"), ignore_errors=True)
    result = check.command("build", BUILD_SECONDS, "cmake", "--build", check.build, "-j", str(check.jobs), "--target", "tests_device", "device_benches", "--", *keep_going(check))
    errors = [line for line in result[1].splitlines() if re.search(r"\berror\b", line)]
    return {**check.of(result), **({"said": " | ".join(errors[:3])[:600]} if errors and result[0] else {})}


NOT_BUILT = {"status": "failed", "said": "it was not built"}


def device_tests(check):
    """Names and commands of the device's tests; of what was not built the command is None."""
    said = machine.said_by("ctest", "--test-dir", check.build, "-L", "^device$", "--show-only=json-v1")
    return [(t["name"], t.get("command")) for t in json.loads(said)["tests"]] if said else []


def test(check, name, command):
    """One device test. One that is skipped has not passed: there is a device."""
    if command is None:
        return NOT_BUILT
    report = os.path.join(check.ledger.folder, "test.xml")
    if os.path.exists(report):
        os.remove(report)
    record = check.of(check.command(f"tests.{name}", TEST_SECONDS + GONE_SECONDS, "ctest", "--test-dir", check.build, "-R", f"^{re.escape(name)}$", "--timeout", str(TEST_SECONDS),
                                    "--no-tests=error", "--output-junit", report))
    if not os.path.exists(report):
        return {**record, "status": "failed", "said": record.get("said") or "ctest wrote no report"}
    case = next(xml.etree.ElementTree.parse(report).getroot().iter("testcase"), None)
    if case is None:
        return {**record, "status": "failed", "said": "ctest ran no test"}
    seconds = float(case.get("time", 0))
    why = f": it did not end in {TEST_SECONDS} s" if seconds >= TEST_SECONDS else ""
    found = "skipped" if case.find("skipped") is not None or case.get("status") == "notrun" else "passed" if case.get("status") == "run" else "failed"
    return {**record, "found": found, "test_seconds": seconds, **({} if found == "passed" else {"status": "failed", "said": f"{name} {found}{why}"})}


def sanitize(check, tool, name, command):
    program = machine.beside_nvcc("compute-sanitizer")
    if program is None:
        return {"status": "failed", "said": "compute-sanitizer is neither on the PATH nor beside nvcc", "useless": True}
    step = f"sanitize.{tool}.{name}"
    status, output = check.command(step, SANITIZER_SECONDS, program, "--tool", tool, "--error-exitcode", "99", "--print-limit", "20", *SANITIZERS[tool], *command)
    if "Device not supported" in output:
        return {"status": "failed", "said": "compute-sanitizer does not support this device", "useless": True}
    summary = next((line.strip("= ") for line in output.splitlines() if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line), "")
    if status == 0 and not summary:
        return {"status": "failed", "said": "it ended without a summary, so nothing was checked"}
    return {"summary": summary, **check.of((status, output)), **({"said": summary} if status == 99 else {})}


def bench_programs(check):
    """The benchmarks' names, which are their steps' too."""
    return sorted("bench.device." + os.path.splitext(name)[0] for name in os.listdir(os.path.join(check.root, "bench", "device")) if name.endswith(".cu"))


def bench(check, name):
    program = os.path.join(check.build, "bin", name)
    return measured(check, name, program) if os.path.exists(program) else NOT_BUILT


def gathered(output):
    """What a benchmark has said, one JSON object a line; see bench/device/report.hpp."""
    found = {"ceilings": {}, "rows": [], "left_out": []}
    for line in output.splitlines():
        try:
            said = json.loads(line) if line.startswith("{") else {}
        except ValueError:  # it was ended in the middle of a line
            continue
        if "work" in said:
            found["rows"].append(said)
        elif "left_out" in said:
            found["left_out"].append(said["left_out"])
        elif said.get("ceiling") and said["value"] is not None:
            found["ceilings"][said["ceiling"]] = max(said["value"], found["ceilings"].get(said["ceiling"], 0))
    for row in found["rows"]:
        for amount, share, ceiling in (("bytes", "share_of_copy", "copy_bytes_per_second"), ("flops", "share_of_product", "bf16_flops_per_second")):
            if row.get(amount) and row.get("us") and found["ceilings"].get(ceiling):
                row[share] = row[amount] / row["us"] * 1e6 / found["ceilings"][ceiling]
    return found


def measured(check, step, *command):
    """What a benchmark measured; what it had measured before it failed, too."""
    status, output = check.command(step, BENCH_SECONDS, *command)
    if status == 77:
        return {"status": "not run", "said": output.strip().splitlines()[-1]}
    found = gathered(output)
    if status == 0 and not any(found.values()):
        return {"status": "failed", "said": "it said nothing of what it measured"}
    return {**check.of((status, output)), "measured": found}


# The stages, in order. Each says whether the next ones can be.


def configure_tree(check):
    if not os.path.exists(os.path.join(check.build, "CMakeCache.txt")):
        check.ledger.forget("configure", "build")  # what has passed may come from another machine, what was built does not
    return check.step("configure", lambda: configure(check))["status"] == "passed"


def build_all(check):
    bin_folder = os.path.join(check.build, "bin")
    return check.step("build", lambda: build(check))["status"] == "passed" or os.path.isdir(bin_folder) and bool(os.listdir(bin_folder))


def run_tests(check):
    tests = device_tests(check)
    if tests:
        check.ledger.forget("tests.none")
    else:
        check.step("tests.none", lambda: {"status": "failed", "said": "ctest names no device test"})
    for name, command in sorted(tests, key=lambda t: check.ledger.troubled(f"tests.{t[0]}")):
        check.step(f"tests.{name}", lambda name=name, command=command: test(check, name, command))
    return True


def sanitize_all(check):
    """Every tool over every program that is not left out, several at once. The first one shows whether the sanitizer works here at all."""
    def one(job):
        tool, (name, command) = job
        return check.step(f"sanitize.{tool}.{name}", lambda: sanitize(check, tool, name, command))

    programs = [(name, command) for name, command in device_tests(check) if command]
    jobs = [(tool, program) for tool in SANITIZERS for program in programs if tool not in LEFT_OUT.get(program[0], ())]
    again = [job for job in jobs if check.ledger.troubled(f"sanitize.{job[0]}.{job[1][0]}")]
    rounds = [[job for job in jobs if job not in again], again]
    first = next((job for its in rounds for job in its), None)
    if first is None or one(first).get("useless"):
        return True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for its in rounds:
            list(pool.map(one, (job for job in its if job is not first)))
    return True


def run_benches(check):
    for name in sorted(bench_programs(check), key=check.ledger.troubled):
        check.step(name, lambda name=name: bench(check, name))
    check.step("bench.pytorch", lambda: measured(check, "bench.pytorch", shutil.which("python3") or sys.executable, os.path.join(check.root, "tools", "gpu", "torch_attention.py")))
    return True
