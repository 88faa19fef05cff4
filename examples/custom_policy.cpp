// SPDX-License-Identifier: Apache-2.0
/// A KV policy of one's own, held against the laws that every policy keeps, and swapped into an engine by name.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <vector>

#include <loopserve/loopserve.hpp>
// [laws_header]
#include <loopserve/testing/policy_laws.hpp>
// [/laws_header]

namespace ls = loopserve;

// [policy]
struct evenly_spaced_options {
  ls::kv_budget budget = {};
};

/// Keeps tokens at even distances over the whole context, chosen once a turn. Nobody should use it.
template <class Backend>
class evenly_spaced {
 public:
  using backend_type = Backend;
  using options = evenly_spaced_options;
  explicit evenly_spaced(Backend&, options o = {}) : options_(o) {}

  template <class Element>
  void begin_turn(int layer, ls::tensor_view<float const, 3>, ls::kv_view<Element>) {
    due_.resize(std::max(due_.size(), static_cast<std::size_t>(layer) + 1));
    due_[static_cast<std::size_t>(layer)] = true;
  }
  void observe(int, ls::tensor_view<float const, 2>) {}
  bool due(int layer) { return due_[static_cast<std::size_t>(layer)]; }

  template <class Element>
  void choose(int layer, ls::kv_view<Element> kv, ls::kept_rows<Backend>& keep) {
    due_[static_cast<std::size_t>(layer)] = false;
    ls::index_t const context = kv.length(), budget = options_.budget.at(kv.length());
    if (budget >= context) { return keep.keep_all(); }
    auto const lists = keep.lists(kv.kv_heads, std::max(1, static_cast<int>(budget)));
    for (int h = 0; h < kv.kv_heads; ++h) {
      for (ls::index_t i = 0; i < budget; ++i) { lists.rows[h * lists.stride + i] = static_cast<int>(i * context / budget); }
      lists.counts[h] = static_cast<int>(budget);
    }
  }
  ls::kv_budget budget() const { return options_.budget; }
  void truncate(int) {}
  evenly_spaced fork() const { return *this; }

 private:
  options options_;
  std::vector<bool> due_;  // (layers)
};

struct my : ls::defaults<ls::cpu> {
  using compressor = evenly_spaced<backend>;
};
// [/policy]

int main(int argc, char** argv) {
  // [laws]
  ls::cpu backend;
  ls::testing::policy_laws<evenly_spaced<ls::cpu>, ls::bf16>(backend, {.budget = 30});  // throws law_broken
  // [/laws]
  std::puts("evenly_spaced keeps the laws");
  if (argc < 2) { return 0; }
  // [engine]
  ls::engine<my> engine{argv[1], {.compressor = {.budget = ls::kv_budget::of_context(0.5)}}};
  // [/engine]
  auto chat = engine.open({.max_tokens = 32});
  for (auto const& piece : chat.say("The amber bear budget is 431. What is the amber bear budget?")) { std::fputs(piece.c_str(), stdout); }
  std::puts("");
}
