// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <unistd.h>

/// A folder of its own for a test, gone with it.
class temporary_folder {
 public:
  temporary_folder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() / ("loopserve-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(temporary_folder const&) = delete;
  temporary_folder& operator=(temporary_folder const&) = delete;

  std::string path() const { return path_.string(); }
  std::string file(std::string const& name) const { return (path_ / name).string(); }

  template <class Bytes>
  std::string write(std::string const& name, Bytes const& bytes) const {
    std::ofstream out(path_ / name, std::ios::binary);
    out.write(reinterpret_cast<char const*>(std::data(bytes)), static_cast<std::streamsize>(std::size(bytes)));
    return file(name);
  }
  void copy(std::string const& from) const { std::filesystem::copy(from, path_, std::filesystem::copy_options::overwrite_existing); }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(std::string const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
