# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/gpu_bundle: what it makes is enough to find and link everything that the headers include, wherever it lies, with nothing of the machine's own packages."""

import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROJECT = '''cmake_minimum_required(VERSION 3.25)
project(offline LANGUAGES CXX)
list(APPEND CMAKE_MODULE_PATH "{root}/cmake")
include(loopserve_dependencies)
loopserve_find_dependencies(missing)
find_package(doctest QUIET)
find_package(nlohmann_json 3.10 QUIET)
foreach(target Eigen3::Eigen PkgConfig::loopserve_jansson PkgConfig::loopserve_pcre2 PkgConfig::loopserve_utf8proc doctest::doctest nlohmann_json::nlohmann_json)
  if(NOT TARGET ${{target}})
    message(FATAL_ERROR "${{target}} was not found; missing: ${{missing}}")
  endif()
  get_target_property(folders ${{target}} INTERFACE_INCLUDE_DIRECTORIES)
  foreach(folder IN LISTS folders)
    file(REAL_PATH "${{folder}}" folder)
    message(STATUS "includes ${{folder}}")
  endforeach()
endforeach()
add_library(headers INTERFACE)
loopserve_link_dependencies(headers)
add_executable(offline main.cpp)
target_link_libraries(offline PRIVATE headers doctest::doctest nlohmann_json::nlohmann_json)
'''

PROGRAM = '''#define PCRE2_CODE_UNIT_WIDTH 8
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <Eigen/Core>
#include <cstdio>
#include <jansson.h>
#include <nlohmann/json.hpp>
#include <pcre2.h>
#include <utf8proc.h>
int main() {
  char version[64];
  pcre2_config(PCRE2_CONFIG_VERSION, version);
  json_t* const number = json_integer(3);
  std::printf("%d %d %s %d\\n", static_cast<int>(json_integer_value(number)), static_cast<int>(utf8proc_toupper('a')), version, static_cast<int>(Eigen::Vector3f::Ones().sum()));
  json_decref(number);
}
'''


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, **more)


class GpuBundle(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name
        self.material = os.path.join(self.folder, "material")
        os.makedirs(os.path.join(self.material, "models", "small"))
        with open(os.path.join(self.material, "models", "small", "config.json"), "w") as file:
            file.write("{}")

    def tearDown(self):
        self.temporary.cleanup()

    def bundle(self):
        out = os.path.join(self.folder, "bundle")
        return out, run(os.path.join(ROOT, "scripts", "gpu_bundle"), "--out", out, "--material", self.material)

    def test_it_is_enough_wherever_it_lies(self):
        out, done = self.bundle()
        self.assertEqual(done.returncode, 0, done.stdout)
        moved = os.path.join(self.folder, "elsewhere", "it")
        shutil.copytree(out, moved)
        shutil.rmtree(out)
        self.assertTrue(os.path.exists(os.path.join(moved, "material", "models", "small", "config.json")))
        source = os.path.join(self.folder, "source")
        os.makedirs(source)
        for name, text in (("CMakeLists.txt", PROJECT.format(root=ROOT)), ("main.cpp", PROGRAM)):
            with open(os.path.join(source, name), "w") as file:
                file.write(text)
        build = os.path.join(self.folder, "build")
        # Nothing of the system's own is looked for: neither CMake's packages nor pkg-config's.
        environment = dict(os.environ, PKG_CONFIG_LIBDIR=os.path.join(moved, "usr", "lib", "pkgconfig"), PKG_CONFIG_PATH="")
        found = run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={moved}/usr", f"-DPKG_CONFIG_EXECUTABLE={moved}/bin/pkg-config", "-DLOOPSERVE_WITH_ONEDNN=OFF",
                    "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF", env=environment)
        self.assertEqual(found.returncode, 0, found.stdout)
        folders = [line.split("includes ", 1)[1] for line in found.stdout.splitlines() if "-- includes " in line]
        self.assertGreaterEqual(len(folders), 6, found.stdout)
        for folder in folders:
            self.assertTrue(folder.startswith(os.path.realpath(moved)), folder)
        built = run("cmake", "--build", build, env=environment)
        self.assertEqual(built.returncode, 0, built.stdout)
        program = os.path.join(build, "offline")
        self.assertRegex(run(program).stdout, r"^3 65 10\.\d+ .*3$")
        self.assertNotRegex(run("ldd", program).stdout, "jansson|pcre2|utf8proc")

    def test_what_is_missing_or_too_large_is_named_and_no_bundle_is_left(self):
        with open(os.path.join(self.material, "models", "small", "large"), "wb") as file:
            file.truncate(51 << 20)
        out, done = self.bundle()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("more than the 50", done.stdout)
        self.assertFalse(os.path.exists(out))
        shutil.rmtree(self.material)
        out, done = self.bundle()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("models is not there", done.stdout)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main()
