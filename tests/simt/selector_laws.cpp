// SPDX-License-Identifier: Apache-2.0
/// The selectors keep the laws in a device's memory, with the attention of tensor cores (f16, bf16) and without.
#include "device_test.hpp"

#include <type_traits>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/ops/copy.cuh>
#include <loopserve/prefill/a_shape.cuh>
#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/line_plan.cuh>
#include <loopserve/testing/selector_laws.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// What is compared was computed on the same rounded queries, but tensor cores round weights too, relative to a maximum that depends on the tile.
template <class Element>
constexpr double tolerance = std::is_same_v<Element, float> ? 2e-5 : 2 * rounding<Element>;

template <class Selector, class Element>
void keeps_the_laws(typename Selector::backend_type& b, typename Selector::options o, typename Selector::options everything) {
  CHECK_NOTHROW((testing::selector_laws<Selector, Element>(b, o, everything, tolerance<Element>)));
}

/// Declares that its lines cover alpha, and chooses as if it were less.
template <class Backend>
struct promises_too_much : online_vertical_slash<Backend> {
  promises_too_much(Backend& b, online_vertical_slash_options o) : online_vertical_slash<Backend>(b, less(o)), promised_(o) {}
  online_vertical_slash_options const& settings() const { return promised_; }

 private:
  static online_vertical_slash_options less(online_vertical_slash_options o) {
    o.alpha *= 0.98;
    return o;
  }
  online_vertical_slash_options promised_;
};

/// Looks at other rows each time.
template <class Backend>
struct remembers : online_vertical_slash<Backend> {
  using online_vertical_slash<Backend>::online_vertical_slash;
  template <class Element>
  void select(prefill_site site, tensor_view<float const, 3> q, kv_view<Element> kv, line_plan_view plan) {
    site.turn += ++calls_;
    online_vertical_slash<Backend>::select(site, q, kv, plan);
  }

 private:
  int calls_ = 0;
};

}  // namespace

TEST_CASE_TEMPLATE("a selector on a device keeps the laws", Element, float, bf16, f16) {
  each_device(
      [](auto const& device) {
        auto b = device;
        using backend_type = decltype(b);
        keeps_the_laws<dense_prefill<backend_type>, Element>(b, {}, {});
        keeps_the_laws<a_shape<backend_type>, Element>(b, {.sinks = 4, .local = 20}, {.sinks = 0, .local = 150});
        using online = online_vertical_slash<backend_type>;
        keeps_the_laws<online, Element>(b, {.alpha = 0.9, .local = 8, .fall_back = false}, {.alpha = 1});
        if constexpr (std::is_same_v<Element, float>) {  // all slashes: everything, and still a plan of lines
          keeps_the_laws<online, Element>(b, {.rows = 10, .last_rows = 3, .sinks = 0, .local = 0, .rank = line_rank::mass, .fall_back = false},
                                          {.local = 150, .fall_back = false});
        }
        if constexpr (std::is_same_v<Element, f16>) {  // by name
          any_selector_options any, dense;
          any.online_vertical_slash.fall_back = false;
          any.online_vertical_slash.local = 8;
          dense.name = "dense";
          keeps_the_laws<any_selector<backend_type>, Element>(b, any, dense);
        }
      },
      1);
}

TEST_CASE("a selector on a device that breaks a law is told") {
  each_device(
      [](auto const& device) {
        auto b = device;
        using backend_type = decltype(b);
        online_vertical_slash_options const o{.alpha = 0.9, .local = 8, .fall_back = false};
        CHECK_THROWS_AS((testing::law_covers_alpha<promises_too_much<backend_type>, f16>(b, o)), testing::law_broken);
        CHECK_THROWS_AS((testing::law_plans_are_sound<remembers<backend_type>, f16>(b, o)), testing::law_broken);
        CHECK_THROWS_AS((testing::law_everything_is_dense<a_shape<backend_type>, f16>(b, {.sinks = 0, .local = 149})), testing::law_broken);
      },
      1);
}
