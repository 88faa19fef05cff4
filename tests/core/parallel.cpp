// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include <loopserve/core/parallel.hpp>

using namespace loopserve;

TEST_CASE("every index is visited once, whatever the number of threads") {
  for (int threads : {1, 2, 3, 8}) {
    for (index_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count) + 1);
      parallel_for(threads, count, [&](index_t i) { ++visits[static_cast<std::size_t>(i)]; });
      for (index_t i = 0; i < count; ++i) { CHECK(visits[static_cast<std::size_t>(i)] == 1); }
      CHECK(visits[static_cast<std::size_t>(count)] == 0);
    }
  }
  CHECK(available_threads() >= 1);
}

TEST_CASE("an exception leaves the loop once, after all threads have stopped") {
  for (int threads : {1, 2, 8}) {
    std::atomic<int> inside{0};
    std::string said;
    try {
      parallel_for(threads, 1000, [&](index_t i) {
        ++inside;
        if (i % 10 == 3) {
          --inside;
          throw std::runtime_error("index " + std::to_string(i % 10));
        }
        --inside;
      });
    } catch (std::runtime_error const& e) { said = e.what(); }
    CHECK(said == "index 3");
    CHECK(inside == 0);
  }
}

TEST_CASE("a loop inside a loop is legal") {
  std::atomic<int> sum{0};
  parallel_for(2, 4, [&](index_t) { parallel_for(2, 5, [&](index_t i) { sum += static_cast<int>(i); }); });
  CHECK(sum == 40);
}
