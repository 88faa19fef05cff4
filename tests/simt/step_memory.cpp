// SPDX-License-Identifier: Apache-2.0
/// What lies below replayed steps on the host's side: blocks of memory by size, and the places of uploads.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <loopserve/dev/step_memory.hpp>
#include <loopserve/dev/upload_stage.hpp>

using namespace loopserve;
using detail::step_memory;

TEST_CASE("classes of sizes hold what is asked for and at most a quarter more") {
  CHECK(step_memory::class_of(0) == 512);
  CHECK(step_memory::class_of(512) == 512);
  CHECK(step_memory::class_of(513) == 640);
  for (index_t bytes : {index_t{513}, index_t{640}, index_t{641}, index_t{1024}, index_t{1025}, index_t{100000}, index_t{1} << 32, (index_t{1} << 40) + 1}) {
    CAPTURE(bytes);
    CHECK(step_memory::class_of(bytes) >= bytes);
    CHECK(step_memory::class_of(bytes) <= bytes + bytes / 4);
    CHECK(step_memory::class_of(step_memory::class_of(bytes)) == step_memory::class_of(bytes));
  }
}

TEST_CASE("a block that was given back is the next of its class, and all that is free can be given up") {
  step_memory memory;
  std::uintptr_t next = 4096;
  std::vector<index_t> asked;
  auto const allocate = [&](index_t bytes) {
    asked.push_back(bytes);
    return reinterpret_cast<void*>(next += 4096);
  };
  void* const a = memory.take(1000, allocate);
  void* const b = memory.take(1000, allocate);
  void* const c = memory.take(9000, allocate);
  CHECK(asked == std::vector<index_t>{1024, 1024, 10240});
  CHECK(memory.give_back(a));
  CHECK(memory.take(9000, allocate) != a);
  CHECK(memory.take(1024, allocate) == a);
  CHECK(asked.size() == 4);
  CHECK(memory.give_back(b));
  CHECK(memory.give_back(c));
  CHECK_FALSE(memory.give_back(&memory));
  std::vector<void*> released;
  memory.trim([&](void* block) { released.push_back(block); });
  CHECK(released == std::vector<void*>{b, c});
  CHECK_FALSE(memory.give_back(b));
  CHECK(memory.give_back(a));
}

TEST_CASE("steps get the same blocks, in whichever order the last one gave them back") {
  step_memory memory;
  std::uintptr_t next = 4096;
  auto const allocate = [&](index_t) { return reinterpret_cast<void*>(next += 4096); };
  std::vector<void*> first;
  for (int i = 0; i < 3; ++i) { first.push_back(memory.take(600, allocate)); }
  for (std::size_t turn : {0U, 1U, 2U}) {
    for (std::size_t i = 0; i < 3; ++i) { CHECK(memory.give_back(first[(i + turn) % 3])); }
    memory.begin_step();
    for (void* block : first) { CHECK(memory.take(600, allocate) == block); }
  }
}

TEST_CASE("uploads of a step wait at the places they had in the last one, whatever their sizes are") {
  detail::upload_stage<std::vector<char>> stage;
  std::vector<index_t> made;
  auto const make = [&](index_t bytes) {
    made.push_back(bytes);
    return std::vector<char>(static_cast<std::size_t>(bytes));
  };
  std::string const small = "no multiple of sixteen", large(200001, 'x'), other(50003, 'y');
  std::vector<void const*> first;
  for (int round = 0; round < 3; ++round) {
    stage.rewind();
    std::vector<void const*> places;
    for (auto const* s : {&small, &large, &other, &other, &small}) {
      places.push_back(stage.place(s->data(), static_cast<index_t>(s->size()), make));
      CHECK(std::memcmp(places.back(), s->data(), s->size()) == 0);
      CHECK(reinterpret_cast<std::uintptr_t>(places.back()) % 16 == 0);
    }
    CHECK(std::memcmp(places[0], small.data(), small.size()) == 0);  // nothing lies on another
    CHECK(std::memcmp(places[2], other.data(), other.size()) == 0);
    if (round == 0) { first = places; }
    CHECK(places == first);
  }
  CHECK(made.size() == 4);
}
