# SPDX-License-Identifier: Apache-2.0
"""Plants small trees, each with one fault, and sees that check_tree.py names it and nothing else."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import check_tree  # noqa: E402

HEAD = check_tree.SPDX + "\n#pragma once\n"


def header(*includes, body=""):
    return HEAD + "".join(f"#include <{i}>\n" for i in includes) + body


SOUND = {
    "version.hpp": header(),
    "core/config.hpp": header(body="#if defined(__CUDACC__)\n#define LOOPSERVE_HOST_DEVICE __host__\n#endif\n"),
    "ops/rmsnorm.hpp": header("loopserve/core/config.hpp"),
    "dev/primitives.hpp": header("loopserve/core/config.hpp", "loopserve/dev/host/primitives.hpp", "loopserve/dev/cuda/primitives.cuh"),
    "dev/host/primitives.hpp": header("loopserve/core/config.hpp"),
    "dev/cuda/primitives.cuh": header("loopserve/core/config.hpp"),
    "ops/rmsnorm_kernel.hpp": header("loopserve/core/config.hpp", "loopserve/dev/primitives.hpp"),
    "ops/rmsnorm.cuh": header("loopserve/ops/rmsnorm.hpp", "loopserve/ops/rmsnorm_kernel.hpp"),
    "ops/cpu/rmsnorm.hpp": header("loopserve/ops/rmsnorm.hpp", "Eigen/Core"),
    "ops/cpu/cpu_ops.hpp": header("loopserve/ops/cpu/rmsnorm.hpp"),
    "kv/paged.hpp": header("loopserve/ops/rmsnorm.hpp", "vector"),
    "prefill/lines.hpp": header("loopserve/ops/rmsnorm.hpp"),
    "attention/dense.hpp": header("loopserve/prefill/lines.hpp", "loopserve/kv/paged.hpp"),
    "attention/cpu/dense.hpp": header("loopserve/attention/dense.hpp"),
    "attention/cpu/cpu_attention.hpp": header("loopserve/attention/cpu/dense.hpp"),
    "model/model.hpp": header("loopserve/attention/dense.hpp"),
    "serve/engine.hpp": header("loopserve/model/model.hpp", "loopserve/kv/paged.hpp"),
    "testing/policy_laws.hpp": header("loopserve/serve/engine.hpp"),
}


class CheckTree(unittest.TestCase):
    def violations(self, change=None, sources=None, write=True):
        with tempfile.TemporaryDirectory() as root:
            files = {f"include/loopserve/{k}": v for k, v in {**SOUND, **(change or {})}.items() if v is not None}
            files.update(sources or {})
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            for name in check_tree.Tree(root).umbrellas() if write else ():
                if f"include/loopserve/{name}" not in files:
                    umbrella = check_tree.Tree(root).umbrella(name)
                    with open(os.path.join(root, "include/loopserve", name), "w", encoding="utf-8") as f:
                        f.write(umbrella)
            return check_tree.Tree(root).check()

    def one(self, words, change=None, sources=None, write=True):
        found = self.violations(change, sources, write)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_sound_tree(self):
        self.assertEqual(self.violations(), [])

    def test_higher_floor(self):
        self.one("ops includes kv/paged.hpp of the higher floor kv", {"ops/x.hpp": header("loopserve/kv/paged.hpp")})
        self.one("of the higher floor attention", {"ops/cpu/rmsnorm.hpp": header("loopserve/attention/dense.hpp")})
        self.one("of the higher floor testing", {"serve/x.hpp": header("loopserve/testing/policy_laws.hpp")})

    def test_kv_and_prefill_apart(self):
        self.one("do not know each other", {"kv/x.hpp": header("loopserve/prefill/lines.hpp")})
        self.one("do not know each other", {"prefill/x.hpp": header("loopserve/kv/paged.hpp")})

    def test_unknown_floor_and_header(self):
        self.one("is no floor", {"misc/x.hpp": header()})
        self.one("does not exist", {"kv/x.hpp": header("loopserve/core/nothing.hpp")})

    def test_size_licence_guard(self):
        self.one("400 lines", {"kv/x.hpp": header(body="\n" * 398)})
        self.assertEqual(self.violations({"kv/x.hpp": header(body="\n" * 397)}), [])
        self.one("first line", {"kv/x.hpp": "#pragma once\n"})
        self.one("pragma once", {"kv/x.hpp": check_tree.SPDX + "\n"})

    def test_twins(self):
        self.one("no .hpp twin", {"ops/x.cuh": header()})
        self.one("a .hpp includes ops/rmsnorm.cuh", {"kv/x.hpp": header("loopserve/ops/rmsnorm.cuh")})
        self.one("device code", {"kv/x.hpp": header("loopserve/ops/rmsnorm_kernel.hpp")})
        self.one("device code", {"kv/x.hpp": header("loopserve/dev/primitives.hpp")})

    def test_macros(self):
        self.one("__CUDACC__", {"kv/x.hpp": header(body="#ifdef __CUDACC__\n#endif\n")})
        self.one("LOOPSERVE_KERNELS", {"kv/x.hpp": header(body="#define LOOPSERVE_KERNELS <x.inc>\n")})
        self.one("LOOPSERVE_X", {"kv/x.hpp": header(body="#  define LOOPSERVE_X 1\n")})

    def test_includes(self):
        self.one("in quotes", {"kv/x.hpp": HEAD + '#include "paged.hpp"\n'})
        self.one("outside a cpu/ folder", {"ops/x.hpp": header("Eigen/Core")})
        self.one("includes the umbrella", {"testing/x.hpp": header("loopserve/loopserve.hpp")})
        found = self.violations({"kv/x.hpp": header("loopserve/kv/y.hpp"), "kv/y.hpp": header("loopserve/kv/x.hpp")})
        self.assertEqual([f for f in found if "by way of others" not in f], [])
        self.assertEqual(len(found), 2)

    def test_umbrella(self):
        self.assertEqual(self.violations(write=False), ["include/loopserve: no loopserve.hpp", "include/loopserve: no loopserve.cuh"])
        whole = header(*("loopserve/" + h for h in ["version.hpp", "core/config.hpp", "ops/rmsnorm.hpp", "ops/cpu/cpu_ops.hpp", "kv/paged.hpp", "prefill/lines.hpp",
                                                   "attention/dense.hpp", "attention/cpu/cpu_attention.hpp", "model/model.hpp", "serve/engine.hpp"]))
        self.assertEqual(self.violations({"loopserve.hpp": whole}), [])
        self.one("does not include kv/paged.hpp", {"loopserve.hpp": whole.replace("#include <loopserve/kv/paged.hpp>\n", "")})
        self.one("not a public header", {"loopserve.hpp": whole + "#include <loopserve/testing/policy_laws.hpp>\n"})
        self.one("more than includes", {"loopserve.hpp": whole + "namespace loopserve {}\n"})
        for_cuda = "".join(line for line in whole.splitlines(keepends=True) if "/cpu/" not in line)
        self.one("loopserve.cuh: does not include ops/rmsnorm.cuh", {"loopserve.cuh": for_cuda})
        for_cuda += "#include <loopserve/ops/rmsnorm.cuh>\n"
        self.assertEqual(self.violations({"loopserve.cuh": for_cuda}), [])
        self.one("primitives.cuh, which is not a public header", {"loopserve.cuh": for_cuda + "#include <loopserve/dev/cuda/primitives.cuh>\n"})
        self.one("does not include ops/cpu/x.hpp", {"ops/cpu/x.hpp": header()})
        self.one("does not include attention/cpu/x.hpp", {"attention/cpu/x.hpp": header()})

    def test_sources(self):
        self.one("tests/kv/x.cpp: the first line", sources={"tests/kv/x.cpp": "int main() {}\n"})
        for mark in ("TO" + "DO", "FIX" + "ME", "St" + "ub", "not imple" + "mented"):
            self.one("x.inc:2: unfinished", sources={"include/loopserve/ops/cpu/kernels/x.inc": check_tree.SPDX + f"\n// {mark}\n"})
            self.one("tests/kv/x.cpp:2: unfinished", sources={"tests/kv/x.cpp": check_tree.SPDX + f"\n// {mark}\n"})


if __name__ == "__main__":
    unittest.main()
