# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/gpu_check with stand-ins for everything that it calls: what it does, what it does not do twice, what it says of what fails."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "gpu"))

import bars  # noqa: E402
import machine  # noqa: E402
import page  # noqa: E402
import steps  # noqa: E402

# One program under several names: it writes down how it was called, and does what its name says. `fail` is a file of words: what is in it fails.
STAND_IN = '''#!{python}
import json, os, subprocess, sys, time
here = {folder!r}
name, a = os.path.basename(sys.argv[0]), sys.argv[1:]
open(here + "/calls", "a").write(name + " " + " ".join(a) + "\\n")
fails = open(here + "/fail").read().split("\\n")
programs = here + "/build/tree/bin/"
def measured(*rows):
    for line in ({{"ceiling": "copy_bytes_per_second", "value": 3e12}}, *rows, {{"left_out": "what takes too long"}}):
        print(json.dumps(line), flush=True)
if name == "nvidia-smi":
    if "device" in fails:
        sys.exit("no devices were found")
    print("NVIDIA Stand-In 9000, 580.1, " + ("[N/A]" if "memory" in fails else "81559") + ", 9.0" if "name" in a[0] else "345 MHz, 1980 MHz, 700.00 W, Disabled")
elif name == "nvcc":
    print("Cuda compilation tools\\nBuild cuda_13.0")
elif name == "cmake" and "-S" in a:
    os.makedirs(here + "/build/tree", exist_ok=True)
    open(here + "/build/tree/CMakeCache.txt", "w").write("CMAKE_GENERATOR:INTERNAL=Ninja\\n")
elif name == "cmake" and "--build" in a:
    if "build" in fails:
        sys.exit("x.cu(3): error: expected a ;")
    if "slow build" in fails:  # with a compiler under it
        open(here + "/compiler", "w").write(str(subprocess.Popen(["sleep", "60"]).pid))
        time.sleep(60)
    os.makedirs(programs, exist_ok=True)
    for bench in {benches}:
        if bench != "prefill" or "part of the build" not in fails:
            os.symlink(here + "/bin/nvidia-smi", programs + "bench.device." + bench)
    if "part of the build" in fails:
        print("x.cu(3): error: expected a ;")
        sys.exit("ninja: build stopped: cannot make progress due to previous errors.")
elif name == "bench.device.decode":
    measured({{"work": "decode attention, whole cache", "shape": "1 x 128k", "tokens": 131072, "batch": 1, "us": 100, "us_low": 99, "us_high": 102, "bytes": 2.7e8}},
             {{"work": "a step", "shape": "1 x 128k", "us": None}})
    if "bench" in fails:
        sys.exit("out of memory")
    if "slow bench" in fails:
        print('{{"work": "cut in the', end="", flush=True)
        time.sleep(60)
    measured({{"work": "decode attention, whole cache", "shape": "1 x 32k", "tokens": 32768, "batch": 1, "us": 30, "us_low": 29, "us_high": 32, "bytes": 7.2e7}})
elif name == "bench.device.prefill":
    measured({{"work": "dense prefill", "shape": "4k", "tokens": 4096, "us": 100}})
elif name == "ctest" and "--show-only=json-v1" in a:
    if "no tests" in fails:
        sys.exit("no test was configured")
    of = lambda t: {{}} if t == "top_k" and "part of the build" in fails else {{"command": ["/nowhere/test.device." + t]}}
    print(json.dumps({{"tests": [{{"name": "device." + t, **of(t)}} for t in ("dense", "engine", "hello", "top_k")]}}))
elif name == "ctest":
    t = a[a.index("-R") + 1].strip("^$").split(".")[-1]
    state = "notrun" if t + " skipped" in fails else "fail" if t in fails else "run"
    how = {{"notrun": "<skipped/>", "fail": '<failure message=""/>', "run": ""}}[state]
    took = a[a.index("--timeout") + 1] if "hang" in fails else "1.5"
    case = '<testcase name="device.' + t + '" time="' + took + '" status="' + state + '">' + how + "</testcase>"
    open(a[a.index("--output-junit") + 1], "w").write("<testsuite>" + case + "</testsuite>")
    sys.exit(1 if state == "fail" else 0)
elif name == "compute-sanitizer":
    if "sanitizer" in fails:
        print("========= Error: Device not supported. Please refer to the documentation")
        sys.exit(1)
    if "racecheck" in a and "race" in fails and a[-1].endswith("dense"):
        print("========= Race reported between a write at x.hpp:7 and a read at x.hpp:9")
        print("========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)")
        sys.exit(99)
    print("========= ERROR SUMMARY: 0 errors" if "racecheck" not in a else "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)")
elif name.startswith("bench.device."):
    measured()
elif name == "python3" and "-c" not in a:
    if "torch" in fails:
        print("skipped: no PyTorch here")
        sys.exit(77)
    measured({{"work": "dense prefill, PyTorch flash", "shape": "4k", "tokens": 4096, "us": 120}})
'''


BENCHES = sorted(os.path.splitext(name)[0] for name in os.listdir(os.path.join(ROOT, "bench", "device")) if name.endswith(".cu"))


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name
        os.makedirs(os.path.join(self.folder, "bin"))
        for name in ("nvidia-smi", "nvcc", "cmake", "ctest", "compute-sanitizer", "python3"):
            path = os.path.join(self.folder, "bin", name)
            with open(path, "w") as file:
                file.write(STAND_IN.format(python=sys.executable, folder=self.folder, benches=BENCHES))
            os.chmod(path, stat.S_IRWXU)

    def tearDown(self):
        self.temporary.cleanup()

    def command(self):
        return [sys.executable, os.path.join(ROOT, "scripts", "gpu_check"), "--build", os.path.join(self.folder, "build"), "--docs", os.path.join(self.folder, "docs"),
                "--out", os.path.join(self.folder, "out"), "--bundle", os.path.join(self.folder, "none")]

    def environment(self):
        return {"PATH": os.path.join(self.folder, "bin") + ":/usr/bin:/bin", "HOME": self.folder}

    def check(self, *fail, more=()):
        """Runs it where these things fail: (exit status, what it printed, how the stand-ins were called)."""
        with open(os.path.join(self.folder, "fail"), "w") as file:
            file.write("\n".join(fail))
        calls = os.path.join(self.folder, "calls")
        with open(calls, "w"):
            pass
        done = subprocess.run([*self.command(), *more], capture_output=True, text=True, timeout=300, cwd=self.folder, env=self.environment())
        with open(calls) as file:
            return done.returncode, done.stdout + done.stderr, file.read()

    def page(self, folder="docs"):
        """The page and its numbers."""
        names = sorted(set(os.listdir(os.path.join(self.folder, folder))) - {"state.json", "logs.txt"})
        self.assertEqual([os.path.splitext(n)[1] for n in names], [".json", ".md"])
        self.assertRegex(names[0], r"^\d{4}-\d\d-\d\d-nvidia-stand-in-9000\.json$")
        texts = []
        for name in names:
            with open(os.path.join(self.folder, folder, name)) as file:
                texts.append(file.read())
        return texts[1], json.loads(texts[0])

    def test_all_is_well_and_nothing_is_done_twice(self):
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        self.assertIn("-DLOOPSERVE_WERROR=OFF", calls)
        self.assertIn("-DCMAKE_CUDA_ARCHITECTURES=90a-real", calls)
        self.assertIn("-DCMAKE_CUDA_FLAGS=-lineinfo", calls)
        self.assertLess(calls.index("bench.device"), calls.index("compute-sanitizer --tool"))
        self.assertEqual(calls.count("compute-sanitizer --tool"), 4 * 2 + 1)
        page, numbers = self.page()
        self.assertTrue(numbers["passed"])
        self.assertEqual((page, numbers), self.page("out"))
        for part in ("**Everything that was checked passed.**", "| device.dense | passed | 1.5 |", "| device.top_k | clean | clean | clean | clean |",
                     "| device.engine | clean | left out | left out | left out |", "| a whole step of decoding, 8B | 1 x 16k | reported |  | **not measured** |",
                     "| dense prefill | 4k | >= 1.0x PyTorch's flash attention | 1.20x | reached |",
                     "| decode attention, whole cache | 1 x 32k | >= 85% of copy bandwidth | 80% | **missed** |",
                     "| line-sparse prefill | 32k to 512k, area 5 to 20% | <= 1.2 x area x own dense |  | **not measured** |",
                     "copy_bytes_per_second (bench.device.decode) | 3e+12", "* what takes too long", "| a step | 1 x 128k | no number |", "| clocks.max.sm | 1980 MHz |",
                     f"sources {numbers['sources']}."):
            self.assertIn(part, page)
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        for command in ("cmake --build", "ctest --test-dir %s/build/tree -R" % self.folder, "compute-sanitizer --tool", "bench.device"):
            self.assertNotIn(command, calls)
        status, _, calls = self.check(more=["--fresh"])
        self.assertEqual(status, 0)
        self.assertIn("cmake --build", calls)

    def test_results_go_to_another_machine_and_what_was_built_is_built_there(self):
        self.assertEqual(self.check()[0], 0)
        shutil.rmtree(os.path.join(self.folder, "build", "tree"))
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        for command in ("cmake -S", "cmake --build"):
            self.assertIn(command, calls)
        self.assertNotIn("compute-sanitizer --tool", calls)

    def test_a_failing_test_is_named_and_run_again(self):
        status, said, _ = self.check("dense", "hang")
        self.assertEqual(status, 1)
        self.assertIn("device.dense failed: it did not end in 90 s", said)
        self.assertIn("NOT everything passed", said)
        page, numbers = self.page()
        self.assertFalse(numbers["passed"])
        self.assertIn("**NOT everything passed.**", page)
        self.assertIn("| device.dense | failed |", page)
        self.assertIn("compute-sanitizer", page)  # what does not depend on it was done
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        self.assertEqual([c.split(" ")[4] for c in calls.splitlines() if c.startswith("ctest --test-dir") and "-R" in c], [r"^device\.dense$"])
        self.assertNotIn("cmake --build", calls)

    def test_what_failed_is_done_after_what_was_not_done_yet(self):
        self.check("dense", "race")
        for step in ("tests.device.top_k", "sanitize.racecheck.device.top_k"):
            self.forget(step)
        _, _, calls = self.check()
        self.assertEqual([c.split(" ")[4] for c in calls.splitlines() if c.startswith("ctest --test-dir") and "-R" in c], [r"^device\.top_k$", r"^device\.dense$"])
        self.assertEqual([c.split(".")[-1] for c in calls.splitlines() if c.startswith("compute-sanitizer --tool")], ["top_k", "dense"])

    def forget(self, step):
        path = os.path.join(self.folder, "build", "state.json")
        with open(path) as file:
            state = json.load(file)
        del state["steps"][step]
        with open(path, "w") as file:
            json.dump(state, file)

    def test_a_fresh_machine_goes_on_from_what_another_left(self):
        self.assertEqual(self.check("race")[0], 1)
        out = os.path.join(self.folder, "out")
        with open(os.path.join(out, "logs.txt")) as file:
            logs = file.read()
        self.assertEqual(re.findall(r"(?m)^==== (.*)\n\$ ", logs), ["sanitize.racecheck.device.dense: failed"])  # of what passed there is none
        self.assertIn("Race reported between a write at x.hpp:7", logs)
        kept = os.path.join(self.folder, "kept.json")
        shutil.copyfile(os.path.join(out, "state.json"), kept)
        shutil.rmtree(os.path.join(self.folder, "build"))
        status, said, calls = self.check(more=["--state", kept])
        self.assertEqual(status, 0, said)
        self.assertIn("cmake --build", calls)
        self.assertEqual([c.split(".")[-1] for c in calls.splitlines() if c.startswith("compute-sanitizer --tool")], ["dense"])
        self.assertEqual(self.check(more=["--state", os.path.join(self.folder, "absent.json")])[0], 2)

    def test_other_sources_and_other_compilers_are_other_checks(self):
        self.check()
        nvcc = os.path.join(self.folder, "bin", "nvcc")
        with open(nvcc) as file:
            text = file.read()
        with open(nvcc, "w") as file:
            file.write(text.replace("cuda_13.0", "cuda_13.1"))
        self.assertIn("compute-sanitizer --tool", self.check()[2])

    def test_tests_that_are_found_again_are_no_longer_missed(self):
        status, said, _ = self.check("no tests")
        self.assertEqual(status, 1)
        self.assertIn("ctest names no device test", said)
        status, said, _ = self.check()
        self.assertEqual(status, 0, said)

    def test_a_skipped_test_has_not_passed_where_there_is_a_device(self):
        status, said, _ = self.check("top_k skipped")
        self.assertEqual(status, 1)
        self.assertIn("device.top_k skipped", said)

    def test_what_a_sanitizer_finds_fails(self):
        status, said, _ = self.check("race")
        self.assertEqual(status, 1)
        self.assertIn("sanitize.racecheck.device.dense: failed", said)
        self.assertIn("| device.dense | clean | RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings) | clean | clean |", self.page()[0])

    def test_a_sanitizer_that_does_not_work_here_is_told_once(self):
        status, said, calls = self.check("sanitizer")
        self.assertEqual(status, 1)
        self.assertEqual(calls.count("compute-sanitizer --tool"), 1)
        self.assertIn("compute-sanitizer does not support this device", said)
        self.assertIn("bench.device.decode: passed", said)
        self.assertFalse(self.page()[1]["passed"])

    def test_without_a_device_nothing_is_claimed(self):
        status, said, _ = self.check("device")
        self.assertEqual(status, 2)
        self.assertIn("nothing was checked", said)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "docs")))

    def test_a_build_that_fails_ends_it(self):
        status, said, calls = self.check("build")
        self.assertEqual(status, 1)
        self.assertIn("expected a ;", said)
        self.assertNotIn("ctest", calls)
        self.assertIn("| tests | not run |", self.page()[0])

    def test_what_does_not_compile_hides_nothing_of_the_rest(self):
        status, said, calls = self.check("part of the build")
        self.assertEqual(status, 1)
        self.assertIn("--target tests_device device_benches -- -k 0", calls)
        for part in ("build: failed", "x.cu(3): error: expected a ;", "tests.device.top_k: failed in 0.0 s: it was not built", "bench.device.prefill: failed in 0.0 s: it was not built",
                     "tests.device.dense: passed", "sanitize.racecheck.device.dense: passed", "bench.device.decode: passed"):
            self.assertIn(part, said)
        self.assertNotIn("test.device.top_k", calls)
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        self.assertIn("cmake --build", calls)

    def test_a_benchmark_that_fails_is_no_missing_figure(self):
        status, said, _ = self.check("bench")
        self.assertEqual(status, 1)
        self.assertIn("out of memory", said)
        for part in ("| decode attention, whole cache | 32k and more | >= 85% of copy bandwidth |  | **not measured** |",
                     "| decode attention, whole cache | 1 x 128k | >= 85% of copy bandwidth | 90% | reached |"):  # what it had measured before
            self.assertIn(part, self.page()[0])

    def test_a_benchmark_that_the_time_ends_keeps_what_it_has_measured(self):
        self.check()
        for step in [f"bench.device.{name}" for name in BENCHES]:
            self.forget(step)
        status, said, _ = self.check("slow bench", more=["--minutes", "0.08"])
        self.assertEqual(status, 1, said)
        self.assertIn("bench.device.decode: not run", said)
        for minutes in ("0.000001", "0"):  # and that is kept where the next call has no time for it
            self.assertIn("| decode attention, whole cache | 1 x 128k | >= 85% of copy bandwidth | 90% | reached |", self.page()[0])
            self.assertEqual("| decode attention, whole cache | 1 x 32k |" in self.page()[0], False)
            self.check(more=["--minutes", minutes])
        self.assertIn("| decode attention, whole cache | 1 x 32k |", self.page()[0])

    def test_a_device_that_does_not_tell_its_memory_is_checked(self):
        status, said, _ = self.check("memory")
        self.assertEqual(status, 0, said)
        self.assertIn("| memory_mib | [N/A] |", self.page()[0])

    def test_a_build_folder_may_be_named_from_where_one_is(self):
        status, said, _ = self.check(more=["--build", "build"])
        self.assertEqual(status, 0, said)

    def test_pytorch_may_be_absent(self):
        status, said, _ = self.check("torch")
        self.assertEqual(status, 0, said)
        self.assertIn("| dense prefill | 4k | >= 1.0x PyTorch's flash attention |  | **not measured** |", self.page()[0])

    def test_time_that_is_up_is_no_success_and_the_next_call_goes_on(self):
        status, said, calls = self.check(more=["--minutes", "0.000001"])
        self.assertEqual(status, 1)
        self.assertIn("the time was up", said)
        self.assertNotIn("cmake", [line.split()[0] for line in calls.splitlines() if "--version" not in line])
        status, said, _ = self.check()
        self.assertEqual(status, 0, said)

    def ended(self, process):
        """Whether it is gone, or waits for somebody to see that it is."""
        try:
            with open(f"/proc/{process}/stat") as file:
                return file.read().split()[2] == "Z"
        except FileNotFoundError:
            return True

    def compiler(self):
        path = os.path.join(self.folder, "compiler")
        until = time.time() + 30
        while not (os.path.exists(path) and os.path.getsize(path)) and time.time() < until:
            time.sleep(0.05)
        with open(path) as file:
            return int(file.read())

    def test_a_step_that_the_time_ends_takes_along_what_it_started_and_is_done_again(self):
        start = time.time()
        status, said, _ = self.check("slow build", more=["--minutes", "0.05"])
        self.assertEqual(status, 1)
        self.assertLess(time.time() - start, 50)
        self.assertIn("build: not run", said)
        self.assertIn("| build | cut off | 0 of 1 |", self.page()[0])
        self.assertTrue(self.ended(self.compiler()))
        status, said, calls = self.check()
        self.assertEqual(status, 0, said)
        self.assertNotIn("cmake -S", calls)

    def test_a_check_that_is_ended_from_outside_writes_what_it_knows(self):
        with open(os.path.join(self.folder, "fail"), "w") as file:
            file.write("slow build")
        process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment())
        compiler = self.compiler()
        self.assertIn("| configure | passed |", self.page("out")[0])  # what is known lies there after every step
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1, said)
        self.assertTrue(self.ended(compiler))
        for part in ("| configure | passed |", "| build | cut off | 0 of 1 |"):
            self.assertIn(part, self.page()[0])


class Parts(unittest.TestCase):
    def test_figures_without_a_goal_are_reported(self):
        rows = [{"work": "a whole turn", "shape": "2k over 128k", "tokens": 131072 + 2048, "us": 400000, "times_faster": 1.5, "area": 0.11},
                {"work": "products, a layer", "shape": "1 row", "rows": 1, "share_of_copy": 0.9, "share_of_product": 0.001}]
        found = {(bar.name, bar.shape): (bar.found, bars.word(vars(bar))) for bar in bars.judged(rows)}
        self.assertEqual(found["turn, whole, products included", "2k over 128k, area 11%"], ("1.50x dense, 400 ms", "measured"))
        self.assertEqual(found["products of a layer, 8B", "1 row"], ("90% of copy bandwidth", "measured"))
        self.assertEqual(found["products of a layer, 8B", "2048 rows"], ("", "not measured"))

    def test_of_ceilings_the_largest_counts_and_shares_are_of_it(self):
        found = steps.gathered("\n".join(('{"ceiling": "copy_bytes_per_second", "value": 2e12}', "warning: {", '{"work": "x", "shape": "1", "us": 100, "bytes": 2e8}',
                                          '{"ceiling": "copy_bytes_per_second", "value": 4e12}', '{"ceiling": "copy_bytes_per_second", "value": null}', '{"left_out": "y"}', '{"work": "z')))
        self.assertEqual(found, {"ceilings": {"copy_bytes_per_second": 4e12}, "rows": [{"work": "x", "shape": "1", "us": 100, "bytes": 2e8, "share_of_copy": 0.5}], "left_out": ["y"]})

    def test_a_goal_at_an_area_is_judged_near_that_area(self):
        for area, reached in ((0.05, None), (0.08, True), (0.12, True), (0.13, None)):
            rows = [{"work": bars.PROMPT, "shape": "128k", "tokens": 131072, "selection_of_dense": 0.04, "times_faster": 7, "area": area}]
            found = {bar.name: bar for bar in bars.judged(rows)}
            self.assertIs(found["selection"].reached, reached)
            self.assertIs(found["line-sparse with selection"].reached, reached)
            self.assertEqual(found["line-sparse with selection"].found, "7.0x")

    def test_a_row_with_a_number_that_is_none_was_not_measured(self):
        rows = [{"work": bars.PROMPT, "shape": "128k", "tokens": 131072, "selection_of_dense": None, "times_faster": 7, "area": 0.1}]
        self.assertTrue(all(bar.reached is None and not bar.found for bar in bars.judged(rows)))

    def test_pytorch_without_groups_of_heads_is_said_to_be(self):
        rows = [{"work": "dense prefill" + by, "shape": "4k", "tokens": 4096, "us": us, **more} for by, us, more in (("", 100, {}), (bars.FLASH, 150, {"kv_heads": 32}), (bars.CUDNN, 90, {}))]
        self.assertEqual(next(bar.found for bar in bars.judged(rows) if bar.shape == "4k"), "1.50x with 32 KV heads, 0.90x cuDNN's")

    def test_what_racecheck_warns_of_is_told(self):
        for summary, told in (("RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", "clean"), ("ERROR SUMMARY: 0 errors", "clean"),
                              ("RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)", "RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)")):
            self.assertEqual(page.told({"status": "passed", "said": "", "summary": summary}), told)

    def test_only_known_tests_are_left_out_and_every_tool_has_some(self):
        known = {"device.backend", "device.hello"}
        folder = os.path.join(ROOT, "tests", "simt")
        for name in (n for n in os.listdir(folder) if n.endswith(".cpp")):
            with open(os.path.join(folder, name)) as file:
                text = file.read()
            if "each_device(" in text or "engine_on_device.hpp" in text:  # as tests/device/CMakeLists.txt asks
                known.add("device." + os.path.splitext(name)[0])
        self.assertLessEqual(set(steps.LEFT_OUT), known)
        for tools in steps.LEFT_OUT.values():
            self.assertLessEqual(set(tools), set(steps.SANITIZERS))

    def test_architectures(self):
        self.assertEqual([machine.architecture(c) for c in ("8.0", "9.0", "12.0")], ["80-real", "90a-real", "120-real"])

    def test_without_figures_every_goal_is_open(self):
        self.assertTrue(all(bar.reached is None and not bar.found for bar in bars.judged([])))

    def test_break_even_is_the_first_length_from_which_all_longer_ones_pay(self):
        rows = [{"work": bars.PROMPT, "shape": f"{n}k", "tokens": n << 10, "times_faster": f} for n, f in ((1, 0.7), (8, 2.0), (4, 1.1), (2, 0.9))]
        found = next(bar for bar in bars.judged(rows) if bar.name.startswith("break-even"))
        self.assertEqual((found.found, found.reached), ("4k", True))
        rows[1]["times_faster"] = 0.9  # at 8k; 4k alone is noise
        found = next(bar for bar in bars.judged(rows) if bar.name.startswith("break-even"))
        self.assertEqual((found.found, found.reached), ("more than 8k", False))
        found = next(bar for bar in bars.judged(rows[:1]) if bar.name.startswith("break-even"))
        self.assertEqual((found.found, found.reached), ("more than 1k", False))

    def test_a_goal_is_judged_by_its_own_shape(self):
        rows = [{"work": "sketch scores", "shape": "64k", "tokens": 65536, "share_of_copy": 0.95}, {"work": "with recall / whole cache", "shape": "128k", "tokens": 131072, "share": 0.21}]
        found = {bar.name: bar.reached for bar in bars.judged(rows)}
        self.assertIsNone(found["sketch scores over rotating layers"])
        self.assertIs(found["attention over the working set, with choosing, against the whole cache"], False)


if __name__ == "__main__":
    unittest.main()
