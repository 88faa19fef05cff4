// SPDX-License-Identifier: Apache-2.0
/// KV policies on a device whose choices for all layers of several conversations are made at once.
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "talk_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

template <template <class> class Policy, class Options>
void at_once_is_one_by_one(Options const& o, int expected) {
  each_device(
      [&](auto const& device) {
        auto b = device;
        using policy = Policy<std::remove_const_t<decltype(b)>>;
        using conversation = talk<policy>;
        struct due_layer {
          conversation* of;
          int layer;
        };
        std::vector<std::unique_ptr<conversation>> alone, together;
        for (int const tokens : {230, 20, 131}) {
          for (auto* list : {&alone, &together}) { list->push_back(std::make_unique<conversation>(b, o, tokens, static_cast<std::uint64_t>(tokens))); }
        }
        int choices = 0;
        for (int token = 0; token < 10; ++token) {
          std::vector<due_layer> due;
          for (std::size_t i = 0; i < alone.size(); ++i) {
            for (int l = 0; l < layers; ++l) {
              if (alone[i]->policy.due(l)) { alone[i]->choose(b, l); }
              if (together[i]->policy.due(l)) { due.push_back({together[i].get(), l}); }
            }
          }
          choices += static_cast<int>(due.size());
          each_job(b, std::span(due), [](auto& queue, due_layer const& d) { d.of->choose(queue, d.layer); });
          for (std::size_t i = 0; i < alone.size(); ++i) {
            for (int l = 0; l < layers; ++l) { alone[i]->hear(l, token), together[i]->hear(l, token); }
            CHECK(together[i]->kept() == alone[i]->kept());
          }
        }
        CHECK(choices == expected);
      },
      2);
}

}  // namespace

TEST_CASE("progressive chooses for all conversations and layers at once what it chooses for each") {
  progressive_options o;
  o.budget = 25;
  o.interval = 4;
  o.recent = 3;
  // The conversation of 20 tokens fits the budget; the other two have two layers each, due before tokens 4 and 8.
  at_once_is_one_by_one<progressive>(o, 2 * 4);
  o.bootstrap = true;  // and before the first
  at_once_is_one_by_one<progressive>(o, 3 * 4);
}

TEST_CASE("with_recall does, by full keys and by its sketch, and its recall finds the core in place") {
  with_recall_settings<progressive_options> o;
  o.budget = 30;
  o.core.interval = 4;
  at_once_is_one_by_one<recalling>(o, 3 * 4);
  o.sketch_core = true;
  at_once_is_one_by_one<recalling>(o, 3 * 4);
}
