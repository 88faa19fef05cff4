# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe of the header-only library: `conan create packaging/conan` from a checkout."""
import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy
from conan.tools.layout import basic_layout


class LoopserveConan(ConanFile):
    name = "loopserve"
    version = "0.1.0"
    description = "Multi-turn LLM serving with adaptive sparsity: a header-only C++20 library"
    license = "Apache-2.0"
    topics = ("llm", "inference", "sparse-attention", "kv-cache", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"with_onednn": [True, False]}
    default_options = {"with_onednn": False}
    no_copy_source = True

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..")
        for what in ("include/*", "LICENSE"):
            copy(self, what, root, self.export_sources_folder)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        self.requires("jansson/2.14")
        self.requires("pcre2/10.42")
        self.requires("utf8proc/2.8.0")
        if self.options.with_onednn:
            self.requires("onednn/[>=2.6 <4]")
        else:
            self.requires("eigen/[>=3.4 <6]")

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        for pattern in ("*.hpp", "*.cuh", "*.inc"):
            copy(self, pattern, os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "loopserve")
        self.cpp_info.set_property("cmake_target_name", "loopserve::loopserve")
        self.cpp_info.set_property("pkg_config_name", "loopserve")
        self.cpp_info.cxxflags = ["-fopenmp"]
        self.cpp_info.exelinkflags = ["-fopenmp"]
        self.cpp_info.sharedlinkflags = ["-fopenmp"]
        self.cpp_info.system_libs = ["pthread"]
        if self.options.with_onednn:
            self.cpp_info.defines = ["LOOPSERVE_HAS_ONEDNN=1"]
