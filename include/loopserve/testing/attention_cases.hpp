// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/testing/kv_world.hpp>

namespace loopserve::testing {

/// Which plan a case has. Every plan but `slash_zero_only` and `all_*` also has slash 0; `mixed` declares every other head dense.
enum class plan_shape { none, slash_zero_only, all_verticals, all_slashes, band_and_verticals, scattered, mixed };

struct prefill_case {
  int rows = 1, keys = 1, heads = 1, kv_heads = 1, head_dim = 64;
  plan_shape plan = plan_shape::none;
  int window = 0;
  kv_layout layout = kv_layout::token_major;
};

inline std::string name_of(prefill_case const& c) {
  return std::to_string(c.rows) + " rows, " + std::to_string(c.keys) + " keys, heads " + std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) +
         " of " + std::to_string(c.head_dim) + ", plan " + std::to_string(static_cast<int>(c.plan)) + ", window " + std::to_string(c.window) + ", layout " +
         std::to_string(static_cast<int>(c.layout));
}

/// A case's queries, cache, plan and output. Rows are padded with NaN: q and out are strided.
template <class Element>
class prefill_world {
 public:
  explicit prefill_world(prefill_case const& shape)
      : shape_(shape), kv_(shape.keys, shape.kv_heads, shape.head_dim, shape.layout, 1), row_stride_(shape.heads * shape.head_dim + 8) {
    counter_rng const random{static_cast<std::uint64_t>(shape.rows), 3};
    q_.assign(static_cast<std::size_t>(shape.rows * row_stride_), std::numeric_limits<float>::quiet_NaN());
    out_ = q_;
    for (int i = 0; i < shape.rows; ++i) {
      for (int d = 0; d < shape.heads * shape.head_dim; ++d) {
        auto const at = static_cast<std::size_t>(i * row_stride_ + d);
        q_[at] = static_cast<float>(3 * random.uniform(at) - 1.5);
      }
    }
    if (shape.plan != plan_shape::none) { make_plan(); }
  }

  prefill_job<Element> job() {
    std::array<index_t, 3> const extents{shape_.rows, shape_.heads, shape_.head_dim};
    std::array<index_t, 3> const strides{row_stride_, shape_.head_dim, 1};
    return {{q_.data(), extents, strides}, kv_.view(), plan_.get(), shape_.window, {out_.data(), extents, strides}};
  }

  prefill_case const& shape() const { return shape_; }

  /// The bits of the output, padding left out.
  std::vector<std::uint32_t> out() const {
    std::vector<std::uint32_t> bits;
    for (int i = 0; i < shape_.rows; ++i) {
      for (int d = 0; d < shape_.heads * shape_.head_dim; ++d) { bits.push_back(std::bit_cast<std::uint32_t>(out_[static_cast<std::size_t>(i * row_stride_ + d)])); }
    }
    return bits;
  }

 private:
  void make_plan() {
    auto const heads = static_cast<std::size_t>(shape_.heads);
    auto const keys = static_cast<std::size_t>(shape_.keys);
    verticals_.assign(heads * keys, -1);
    slashes_.assign(heads * keys, -1);
    counts_.assign(2 * heads, 0);
    dense_.assign(heads, 0);
    covered_.assign(heads, 0);
    plan_ = std::make_unique<line_plan_view>(line_plan_view{shape_.heads, shape_.rows, shape_.keys, shape_.keys, verticals_.data(), slashes_.data(),
                                                            counts_.data(), counts_.data() + heads, dense_.data(), covered_.data()});
    for (int h = 0; h < shape_.heads; ++h) {
      counter_rng const random{static_cast<std::uint64_t>(h), static_cast<std::uint64_t>(shape_.keys)};
      auto const chance = [&](int i, double share) { return random.uniform(static_cast<std::uint64_t>(i)) < share; };
      for (int i = 0; i < shape_.keys; ++i) {
        bool vertical = false, slash = i == 0;
        switch (shape_.plan) {
          case plan_shape::none:
          case plan_shape::slash_zero_only: break;
          case plan_shape::all_verticals: vertical = true, slash = false; break;
          case plan_shape::all_slashes: slash = true; break;
          case plan_shape::band_and_verticals:
            vertical = i < 4 || chance(i, 0.05);
            slash = i < 37 || (i >= 100 && i < 100 + 21 * (h + 1));
            break;
          case plan_shape::mixed:
          case plan_shape::scattered:
            vertical = chance(i, 0.1) || i == shape_.keys - 1;
            slash = i == 0 || chance(i + shape_.keys, 0.07) || i == shape_.keys - 1;
            break;
        }
        auto const base = static_cast<std::size_t>(h) * keys;
        if (vertical) { verticals_[base + static_cast<std::size_t>(plan_->vertical_counts[h]++)] = i; }
        if (slash) { slashes_[base + static_cast<std::size_t>(plan_->slash_counts[h]++)] = i; }
      }
      if (shape_.plan == plan_shape::mixed) { dense_[static_cast<std::size_t>(h)] = h % 2 == 0 ? 1 : 0; }
    }
  }

  prefill_case shape_;
  kv_world<Element> kv_;
  index_t row_stride_;
  std::vector<float> q_, out_;
  std::vector<int> verticals_, slashes_, counts_;
  std::vector<unsigned char> dense_;
  std::vector<float> covered_;
  std::unique_ptr<line_plan_view> plan_;
};

/// From one row on one key to 300 rows on 2,000 keys, no multiples of any tile, all GQA ratios and head sizes, windows, layouts and plans.
inline std::vector<prefill_case> prefill_cases() {
  using enum plan_shape;
  constexpr auto token = kv_layout::token_major;
  constexpr auto head = kv_layout::head_major;
  constexpr auto paged = kv_layout::paged;
  return {
      {1, 1, 1, 1, 64, none, 0, token},          {1, 1, 2, 1, 32, slash_zero_only, 0, head},  {1, 517, 4, 2, 64, none, 0, paged},
      {1, 517, 4, 1, 64, scattered, 0, paged},    {2, 63, 2, 2, 8, scattered, 0, token},        {5, 5, 3, 3, 24, none, 0, head},
      {17, 17, 2, 1, 48, band_and_verticals, 0, token}, {31, 450, 8, 1, 96, none, 0, paged},   {33, 65, 8, 1, 32, band_and_verticals, 0, head},
      {64, 64, 2, 2, 128, none, 0, token},        {64, 1024, 2, 2, 64, band_and_verticals, 0, token}, {65, 129, 4, 4, 8, all_slashes, 0, paged},
      {77, 900, 2, 1, 128, scattered, 0, paged},  {100, 100, 2, 1, 64, all_verticals, 0, head}, {127, 1999, 2, 2, 32, band_and_verticals, 0, paged},
      {128, 640, 4, 1, 64, mixed, 0, token},      {129, 777, 3, 1, 24, mixed, 0, paged},        {200, 333, 2, 1, 80, slash_zero_only, 0, token},
      {255, 2000, 1, 1, 128, band_and_verticals, 0, head}, {300, 300, 2, 1, 96, scattered, 0, token}, {300, 2000, 2, 1, 64, scattered, 0, paged},
      {300, 2000, 1, 1, 64, none, 0, token},      {150, 700, 2, 1, 64, none, 100, paged},       {90, 500, 2, 2, 32, none, 1, token},
      {64, 400, 2, 1, 64, band_and_verticals, 64, paged}, {40, 80, 2, 1, 24, scattered, 1000, head}, {300, 301, 1, 1, 64, all_slashes, 0, token},
  };
}

/// Every head size that has a kernel of its own and one that has not, with every number of query heads to a KV head; sizes, plans and layouts drawn.
inline std::vector<prefill_case> drawn_prefill_cases() {
  std::vector<prefill_case> cases;
  counter_rng const random{41};
  std::uint64_t draw = 0;
  auto const below = [&](int n) { return static_cast<int>(random.below(draw++, static_cast<std::uint64_t>(n))); };
  for (int const head_dim : {32, 64, 80, 96, 128}) {
    for (int const group : {1, 2, 4, 8}) {
      int const kv_heads = group == 1 ? 2 : 1, rows = 1 + below(300 / group), keys = rows + below(2001 - rows);
      cases.push_back({rows, keys, group * kv_heads, kv_heads, head_dim, static_cast<plan_shape>(below(7)), 0, static_cast<kv_layout>(below(3))});
    }
  }
  return cases;
}

inline std::vector<prefill_case> ragged_prefill_cases() {
  using enum plan_shape;
  return {{70, 400, 4, 2, 64, scattered, 0, kv_layout::paged},  {1, 30, 4, 2, 64, none, 0, kv_layout::token_major},
          {133, 133, 4, 2, 64, none, 0, kv_layout::token_major}, {33, 900, 4, 2, 64, mixed, 0, kv_layout::head_major}};
}

}  // namespace loopserve::testing
