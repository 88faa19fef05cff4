// SPDX-License-Identifier: Apache-2.0
/// Runs a fuzz target over every file of the folders given, in the order of their names: what a fuzzer once found stays found.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  int count = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<fs::path> files;
    if (fs::is_directory(argv[i])) {
      for (auto const& entry : fs::directory_iterator(argv[i])) { files.push_back(entry.path()); }
    }
    std::sort(files.begin(), files.end());
    for (auto const& file : files) {
      std::printf("%s\n", file.filename().c_str());
      std::fflush(stdout);
      std::ifstream in(file, std::ios::binary);
      std::string const text{std::istreambuf_iterator<char>(in), {}};
      // A copy of exact size, so that AddressSanitizer sees a read of one byte too many.
      std::vector<std::uint8_t> const bytes(text.begin(), text.end());
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++count;
    }
  }
  std::printf("%d inputs replayed\n", count);
  return count > 0 ? 0 : 1;
}
