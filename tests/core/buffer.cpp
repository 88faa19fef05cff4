// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <loopserve/core/buffer.hpp>
#include <loopserve/core/error.hpp>

using namespace loopserve;

TEST_CASE("a buffer is aligned, moves, and may be empty") {
  host_buffer<float> a(5);
  CHECK(a.size() == 5);
  CHECK(a.bytes() == 20);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  for (auto& x : a.span()) { x = 3; }
  auto const* const where = a.data();
  auto b = std::move(a);
  CHECK(b.data() == where);
  CHECK(b[4] == 3);
  CHECK(host_buffer<float>().data() == nullptr);
  CHECK(host_buffer<float>(0).span().empty());
}

TEST_CASE("sizes that no memory has are refused before anything is touched") {
  CHECK_THROWS_AS(host_buffer<double>(index_t{1} << 59), capacity_error);
  CHECK_THROWS_AS(host_buffer<double>(index_t{1} << 61), capacity_error);
  CHECK_THROWS_AS(host_buffer<double>{std::numeric_limits<index_t>::max()}, capacity_error);
  CHECK_THROWS_AS(host_buffer<double>(-1), error);
}

TEST_CASE("a check that fails names the place of its caller") {
  std::string said;
  try {
    check(false, "the sentence");
  } catch (error const& e) { said = e.what(); }
  CHECK(said.find("the sentence") == 0);
  CHECK(said.find("buffer.cpp:") != std::string::npos);
  CHECK_NOTHROW(check(true, "nothing"));
}
