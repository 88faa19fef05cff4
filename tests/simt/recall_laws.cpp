// SPDX-License-Identifier: Apache-2.0
/// The KV policies that recall what the current query asks for keep the laws on a device, and so does each that is chosen by name.
#include "policies_on_device.hpp"

#include <utility>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

using recaller = with_recall<progressive<device>>;

/// Scores tokens that were cut, and others since, by their old keys.
struct keeps_what_was_cut : recaller {
  using recaller::recaller;
  keeps_what_was_cut(recaller r) : recaller(std::move(r)) {}
  void truncate(int /*tokens*/) {}
  keeps_what_was_cut fork() const { return recaller::fork(); }
};

/// Attends to what the core chose, whatever is asked.
struct recalls_nothing : recaller {
  using recaller::recaller;
  recalls_nothing(recaller r) : recaller(std::move(r)) {}
  template <class Element>
  void recall(int /*layer*/, tensor_view<float const, 2> /*q*/, kv_view<Element> /*kv*/, kept_rows<device>& /*keep*/) {}
  recalls_nothing fork() const { return recaller::fork(); }
};

}  // namespace

TEST_CASE("with_recall keeps the laws on a device: what the current query asks for is attended in that very step") {
  keeps_the_laws<recaller, f16>({.budget = 30, .core = {.interval = 4}});
  keeps_the_laws<with_recall<sink_window<device>>, bf16>({.budget = 30});
}

TEST_CASE("recall in other bits, by mass, or with a core that is chosen by the sketch keeps lists and positions") {
  each_device(
      [](auto const& made) {
        device b = made;
        for (with_recall_options<progressive<device>> const& o :
             {with_recall_options<progressive<device>>{.budget = kv_budget::of_context(0.2), .core_share = 0.25, .bits = 4, .core = {.interval = 4}, .sketch_core = true},
              with_recall_options<progressive<device>>{.budget = 40, .bits = 1, .core = {.interval = 4}, .mass = 0.1F}}) {
          CHECK_NOTHROW((testing::law_kept_lists<recaller, float>(b, o, extent)));
          CHECK_NOTHROW((testing::law_positions_survive<recaller, float>(b, o, extent)));
          CHECK_NOTHROW((testing::law_recall_keeps_the_choice<recaller, float>(b, o, extent)));
        }
      },
      1);
}

TEST_CASE("a KV policy by name keeps lists within its budget on a device") {
  each_device(
      [](auto const& made) {
        device b = made;
        using any = any_compressor<device>;
        any_compressor_options o{.budget = 30, .interval = 4};
        for (auto const* const name : {"keep_all", "sink_window", "progressive", "with_recall:progressive", "with_recall:sink_window"}) {
          CAPTURE(name);
          o.name = name;
          CHECK_NOTHROW((testing::law_kept_lists<any, f16>(b, o, extent)));
        }
      },
      1);
}

TEST_CASE("a recalling policy on a device that breaks a law is told") {
  each_device(
      [](auto const& made) {
        device b = made;
        with_recall_options<progressive<device>> const o{.budget = 30, .core = {.interval = 4}};
        CHECK_THROWS_AS((testing::law_turns_start_afresh<keeps_what_was_cut, f16>(b, o, extent)), testing::law_broken);
        CHECK_THROWS_AS((testing::law_needle_at_once<recalls_nothing, f16>(b, o)), testing::law_broken);
      },
      1);
}
