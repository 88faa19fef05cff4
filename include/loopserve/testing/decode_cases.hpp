// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/attention/attention_jobs.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/testing/kv_world.hpp>

namespace loopserve::testing {

struct decode_case {
  int tokens = 1;     ///< of the first part
  int generated = 0;  ///< of the second
  int heads = 1, kv_heads = 1, head_dim = 64;
  bool gathered = false;   ///< the first part's heads differ in length and carry positions of their own
  int first_position = 0;
  kv_layout layout = kv_layout::token_major;
};

inline std::string name_of(decode_case const& c) {
  return std::to_string(c.tokens) + "+" + std::to_string(c.generated) + " tokens, heads " + std::to_string(c.heads) + "/" + std::to_string(c.kv_heads) + " of " +
         std::to_string(c.head_dim) + (c.gathered ? ", gathered" : "") + ", from " + std::to_string(c.first_position) + ", layout " +
         std::to_string(static_cast<int>(c.layout));
}

/// A case's query, working set, generated tokens and output.
template <class Element>
class decode_world {
 public:
  explicit decode_world(decode_case const& shape)
      : shape_(shape),
        context_(shape.tokens, shape.kv_heads, shape.head_dim, shape.layout, 11),
        generated_(shape.generated, shape.kv_heads, shape.head_dim, kv_layout::token_major, 12),
        out_(static_cast<std::size_t>(shape.heads * shape.head_dim)) {
    counter_rng const random{5};
    for (std::size_t i = 0; i < out_.size(); ++i) { q_.push_back(static_cast<float>(3 * random.uniform(i) - 1.5)); }
    int const context = shape.gathered ? 3 * shape.tokens : shape.tokens;
    if (shape.gathered) {
      auto& view = context_.view();
      for (int h = 0; h < shape.kv_heads; ++h) {
        lengths_.push_back(h == 0 ? shape.tokens : shape.tokens * h / (h + 2));
        for (int i = 0; i < view.first + shape.tokens; ++i) { positions_.push_back(3 * (i - view.first) + h % 3); }
      }
      view.lengths = lengths_.data();
      view.positions = positions_.data();
      view.positions_stride = view.first + shape.tokens;
    }
    for (int h = 0; h < shape.kv_heads; ++h) {
      for (int i = 0; i < 5 + shape.generated; ++i) { generated_positions_.push_back(context + i - 5); }
    }
    generated_.view().positions = generated_positions_.data();
    generated_.view().positions_stride = 5 + shape.generated;
  }

  decode_job<Element> job() {
    std::array<index_t, 2> const extents{shape_.heads, shape_.head_dim};
    return {{q_.data(), extents}, {context_.view(), generated_.view()}, shape_.first_position, {out_.data(), extents}};
  }

  decode_case const& shape() const { return shape_; }

  std::vector<std::uint32_t> out() const {
    std::vector<std::uint32_t> bits;
    for (float x : out_) { bits.push_back(std::bit_cast<std::uint32_t>(x)); }
    return bits;
  }

  /// One head's output by the definition, in float64.
  std::vector<double> expected(int head) {
    auto const this_job = job();
    auto const dim = static_cast<std::size_t>(shape_.head_dim);
    std::vector<std::pair<double, Element const*>> cells;
    double top = -1e300;
    int const kv_head = head / (shape_.heads / shape_.kv_heads);
    for (auto const& part : this_job.parts) {
      for (int i = 0; i < part.length(kv_head); ++i) {
        if (part.position(i, kv_head) < shape_.first_position) { continue; }
        double score = 0;
        for (std::size_t d = 0; d < dim; ++d) {
          score += static_cast<double>(q_[static_cast<std::size_t>(head) * dim + d]) * static_cast<double>(static_cast<float>(part.key(i, kv_head)[d]));
        }
        cells.emplace_back(score / std::sqrt(static_cast<double>(dim)), part.value(i, kv_head));
        top = std::max(top, cells.back().first);
      }
    }
    std::vector<double> out(dim, 0.0);
    double weight = 0;
    for (auto const& [score, value] : cells) {
      double const w = std::exp(score - top);
      weight += w;
      for (std::size_t d = 0; d < dim; ++d) { out[d] += w * static_cast<double>(static_cast<float>(value[d])); }
    }
    for (auto& x : out) { x = weight > 0 ? x / weight : 0; }
    return out;
  }

 private:
  decode_case shape_;
  kv_world<Element> context_, generated_;
  std::vector<float> q_, out_;
  std::vector<int> lengths_, positions_, generated_positions_;
};

inline std::vector<decode_case> decode_cases() {
  constexpr auto token = kv_layout::token_major;
  constexpr auto head = kv_layout::head_major;
  constexpr auto paged = kv_layout::paged;
  return {
      {1, 0, 1, 1, 64, false, 0, token},      {1, 1, 2, 1, 32, false, 0, head},        {65, 3, 4, 2, 64, true, 0, paged},
      {700, 17, 8, 1, 128, false, 0, paged},   {1024, 0, 4, 4, 64, false, 0, token},    {1025, 1, 4, 1, 96, true, 0, head},
      {2000, 130, 6, 3, 24, true, 0, paged},   {333, 5, 2, 1, 8, false, 100, token},    {900, 40, 4, 2, 80, true, 1500, token},
      {0, 19, 4, 2, 64, false, 0, token},      {50, 7, 2, 1, 64, false, 57, paged},     {50, 7, 2, 1, 64, false, 53, paged},
      {5000, 64, 4, 2, 64, false, 2500, paged}, {3000, 0, 8, 2, 32, true, 0, token}, {2, 0, 4, 2, 64, true, 0, head},
  };
}

/// Every head size that has a kernel of its own and one that has not, with every number of query heads to a KV head; sizes and layouts drawn.
inline std::vector<decode_case> drawn_decode_cases() {
  std::vector<decode_case> cases;
  counter_rng const random{43};
  std::uint64_t draw = 0;
  auto const below = [&](int n) { return static_cast<int>(random.below(draw++, static_cast<std::uint64_t>(n))); };
  for (int const head_dim : {32, 64, 80, 96, 128}) {
    for (int const group : {1, 2, 4, 8}) {
      int const kv_heads = 1 + below(3), tokens = 1 + below(2000), generated = below(100);
      cases.push_back({tokens, generated, group * kv_heads, kv_heads, head_dim, below(2) == 1, 0, static_cast<kv_layout>(below(3))});
    }
  }
  return cases;
}

inline std::vector<decode_case> ragged_decode_cases() {
  return {{3000, 20, 4, 2, 64, true, 0, kv_layout::paged},
          {1, 0, 4, 2, 64, false, 0, kv_layout::token_major},
          {1500, 0, 4, 2, 64, false, 0, kv_layout::head_major},
          {64, 64, 4, 2, 64, false, 70, kv_layout::paged}};
}

}  // namespace loopserve::testing
