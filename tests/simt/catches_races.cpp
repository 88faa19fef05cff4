// SPDX-License-Identifier: Apache-2.0
/// What the emulator finds between blocks: words that several touch, and results that depend on the order in which blocks run.
#include <doctest/doctest.h>

#include <vector>

#include "emulator/emulated.hpp"
#include "told.hpp"

using namespace loopserve;
using namespace simt_test;

namespace {

enum class sharing { own_words, one_word, read_after_write, added_plainly, added_atomically, read_while_added };

template <sharing How>
struct shares {
  static constexpr int threads = 32;
  int* words;
  LOOPSERVE_DEVICE void operator()() const {
    if (dev::thread() != 0) { return; }
    int const b = dev::block().x;
    if constexpr (How == sharing::own_words) { dev::store(words + b, 1); }
    if constexpr (How == sharing::one_word) { dev::store(words, 1); }
    if constexpr (How == sharing::read_after_write) { dev::store(words + b, dev::load(words + (b + 1) % 4)); }
    if constexpr (How == sharing::added_plainly) { dev::store(words, dev::load(words) + 1); }
    if constexpr (How == sharing::added_atomically) { dev::atomic_add(words, 1); }
    if constexpr (How == sharing::read_while_added) {
      dev::atomic_add(words, 1);
      dev::store(words + 1 + b, dev::load(words));
    }
  }
};

/// Counts by an atomic read and an atomic write, between which another block may come.
struct loses_counts {
  static constexpr int threads = 32;
  int* word;
  LOOPSERVE_DEVICE void operator()() const {
    if (dev::thread() != 0) { return; }
    int const seen = dev::atomic_add(word, 0);
    dev::atomic_exchange(word, seen + 1);
  }
};

/// The block's place in a list by the order of arrival: right only where nobody relies on that order.
struct appends {
  static constexpr int threads = 32;
  int* next;
  int* list;
  LOOPSERVE_DEVICE void operator()() const {
    if (dev::thread() == 0) { dev::store(list + dev::atomic_add(next, 1), dev::block().x); }
  }
};

}  // namespace

TEST_CASE("blocks that touch one word race, unless all do so atomically or only read") {
  emulated const b;
  auto words = b.make_buffer<int>(8);
  b.fill(words.data(), 0, words.bytes());
  CHECK(told(shares<sharing::own_words>{words.data()}, {4}).empty());
  CHECK(told(shares<sharing::added_atomically>{words.data()}, {4}).empty());
  says(told(shares<sharing::one_word>{words.data()}, {4}), "a race: writes what another block of this launch has touched");
  says(told(shares<sharing::read_after_write>{words.data()}, {4}), "a race");
  says(told(shares<sharing::added_plainly>{words.data()}, {4}), "a race: reads what another block of this launch has written");
  says(told(shares<sharing::read_while_added>{words.data()}, {4}), "a race");
  // The next launch may touch what this one wrote.
  CHECK(told(shares<sharing::own_words>{words.data()}, {1}).empty());
}

TEST_CASE("what depends on the order of blocks differs between schedules") {
  bool lost = false, other_order = false;
  for (auto const& order : simt::schedules()) {
    emulated const b(order);
    auto word = b.make_buffer<int>(1), list = b.make_buffer<int>(8);
    int seen = 0;
    b.fill(word.data(), 0, word.bytes());
    b.launch({8}, loses_counts{word.data()});
    b.copy_to_host(&seen, word.data(), word.bytes());
    lost = lost || seen != 8;
    b.fill(word.data(), 0, word.bytes());
    b.launch({8}, appends{word.data(), list.data()});
    std::vector<int> places(8);
    b.copy_to_host(places.data(), list.data(), list.bytes());
    other_order = other_order || places != std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7};
  }
  CHECK(lost);
  CHECK(other_order);
}
