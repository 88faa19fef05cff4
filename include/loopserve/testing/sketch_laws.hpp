// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <loopserve/kv/sketch_cache.hpp>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// A copy of a sketch of the backend's memory as the host reads it.
class downloaded_sketch {
 public:
  template <class Backend>
  downloaded_sketch(Backend& b, key_sketch_view there) : view_(there) {
    index_t const lists = index_t{there.groups} * there.kv_heads;
    lo_ = downloaded(b, there.lo, lists * there.head_dim);
    step_ = downloaded(b, there.step, lists * there.head_dim);
    codes_ = downloaded(b, there.codes, lists * there.words() * sketch_group);
    view_.lo = lo_.data();
    view_.step = step_.data();
    view_.codes = codes_.data();
  }

  key_sketch_view const& view() const { return view_; }

 private:
  key_sketch_view view_;
  std::vector<f16> lo_, step_;
  std::vector<std::uint32_t> codes_;
};

/// What the sketch holds for a channel of a token.
inline double sketched_key(key_sketch_view s, int token, int head, int channel) {
  int const g = token / sketch_group;
  return static_cast<double>(static_cast<float>(s.lo_of(g, head)[channel])) + static_cast<double>(static_cast<float>(s.step_of(g, head)[channel])) * s.code(token, head, channel);
}

/// Keys for the sketch laws: random ones, channels of very different size, one that is constant, one that is far from zero, a few outliers.
template <class Element>
host_kv<Element> sketch_case(int tokens, int kv_heads, int head_dim, std::uint64_t seed) {
  host_kv<Element> kv(tokens, kv_heads, head_dim);
  kv.fill(seed);
  for (int h = 0; h < kv_heads; ++h) {
    for (int i = 0; i < tokens; ++i) {
      auto* const key = kv.key(i, h);
      for (int c = 0; c < head_dim; ++c) {
        float x = key[c];
        if (c % 5 == 1) { x = x * 0.001F; }
        if (c % 5 == 2) { x = 3.0F; }
        if (c % 5 == 3) { x = x - 40.0F; }
        if (c % 5 == 4 && i % 29 == 3) { x = x * 30.0F; }
        key[c] = static_cast<Element>(x);
      }
    }
  }
  return kv;
}

/// Every channel lies within half a stored step of its key, and so |q . k - q . k^| within half the sum of |q| x step.
template <class Element, class Backend>
void law_sketch_is_near(Backend& b, int bits, int head_dim) {
  auto keys = sketch_case<Element>(200, 2, head_dim, 5);
  auto const kv = keys.view();
  sketch_cache<Backend> cache(b, bits);
  cache.grow(uploaded_kv(b, kv).view());
  downloaded_sketch const held(b, cache.view());
  auto const s = held.view();
  require(s.groups == 3, "only full groups are sketched");
  auto const q = normal_floats({31}, head_dim);
  for (int h = 0; h < 2; ++h) {
    for (int t = 0; t < s.groups * sketch_group; ++t) {
      double dot = 0, estimate = 0, bound = 1e-4;
      for (int c = 0; c < head_dim; ++c) {
        double const key = static_cast<double>(static_cast<float>(kv.key(t, h)[c])), near = sketched_key(s, t, h, c);
        double const step = static_cast<double>(static_cast<float>(s.step_of(t / sketch_group, h)[c]));
        require(static_cast<double>(static_cast<float>(s.lo_of(t / sketch_group, h)[c])) <= key, "lo is not above any key of its group");
        require(std::abs(key - near) <= step / 2 * (1 + 1e-5) + 1e-6 * std::abs(key), "a sketched channel lies within half a step of its key");
        dot += static_cast<double>(q[static_cast<std::size_t>(c)]) * key;
        estimate += static_cast<double>(q[static_cast<std::size_t>(c)]) * near;
        bound += std::abs(static_cast<double>(q[static_cast<std::size_t>(c)])) * step / 2;
      }
      require(std::abs(dot - estimate) <= bound, "a sketched product lies within its bound");
    }
  }
}

/// Scores are the softmax of the products with sketched keys, and with the keys themselves in the unfinished group, summed over queries and heads.
template <class Element, class Backend>
void law_sketch_scores(Backend& b, int bits, int tokens, int queries, double tolerance) {
  int const heads = 6, kv_heads = 2, head_dim = 24;
  auto keys = sketch_case<Element>(tokens, kv_heads, head_dim, 6);
  auto const kv = keys.view();
  uploaded_kv const there(b, kv);
  sketch_cache<Backend> cache(b, bits);
  cache.grow(there.view());
  downloaded_sketch const held(b, cache.view());
  auto const s = held.view();
  auto const q = normal_floats({32}, index_t{queries} * heads * head_dim, 0.3);
  auto const its_q = uploaded(b, q);
  auto scores = uploaded(b, std::vector<float>(static_cast<std::size_t>(kv_heads * tokens), -1.0F));
  sketch_scores(b, tensor_view<float const, 3>(its_q.data(), {queries, heads, head_dim}), there.view(), cache.view(), tensor_view<float, 2>(scores.data(), {kv_heads, tokens}));
  auto const found = downloaded(b, scores.data(), scores.size());
  std::vector<double> expected(found.size(), 0.0), dots(static_cast<std::size_t>(tokens));
  for (int row = 0; row < queries * heads; ++row) {
    int const h = row % heads / (heads / kv_heads);
    double top = -1e300, weight = 0;
    for (int t = 0; t < tokens; ++t) {
      double dot = 0;
      for (int c = 0; c < head_dim; ++c) {
        double const key = t < s.groups * sketch_group ? sketched_key(s, t, h, c) : static_cast<double>(static_cast<float>(kv.key(t, h)[c]));
        dot += static_cast<double>(q[static_cast<std::size_t>(row * head_dim + c)]) * key;
      }
      dots[static_cast<std::size_t>(t)] = dot / std::sqrt(static_cast<double>(head_dim));
      top = std::max(top, dots[static_cast<std::size_t>(t)]);
    }
    for (double& x : dots) { weight += x = std::exp(x - top); }
    for (int t = 0; t < tokens; ++t) { expected[static_cast<std::size_t>(h * tokens + t)] += dots[static_cast<std::size_t>(t)] / weight; }
  }
  for (std::size_t i = 0; i < found.size(); ++i) { require_near(found[i], expected[i], tolerance, "a sketch's score"); }
}

/// The sketch is a function of the keys: not of the steps in which they came, nor of what was there before a cut.
template <class Element, class Backend>
void law_sketch_grows(Backend& b, int bits) {
  int const tokens = 700;
  auto keys = sketch_case<Element>(tokens, 2, 16, 7), others = sketch_case<Element>(tokens, 2, 16, 8), after = others;
  std::copy_n(keys.keys.begin(), 130 * 2 * 16, after.keys.begin());
  uploaded_kv const keys_there(b, keys.view()), others_there(b, others.view()), after_there(b, after.view());
  auto const kv = keys_there.view(), other = others_there.view();
  sketch_cache<Backend> whole(b, bits), parts(b, bits), cut(b, bits);
  whole.grow(kv);
  for (int length : {1, 63, 64, 65, 200, 200, 321, 640, 700}) { parts.grow(kv.slice(0, length)); }
  cut.grow(kv.slice(0, 130));
  cut.grow(after_there.view());  // tokens from 130 on are other ones,
  cut.truncate(130);             // and go again
  cut.grow(kv);
  auto copy = cut.copy();
  cut.truncate(0);
  cut.grow(other);
  sketch_cache<Backend> window(b, bits), shifted(b, bits);
  window.grow(kv);
  window.grow(kv.slice(50, 400));
  shifted.grow(kv.slice(50, 400));
  auto const same = [&](key_sketch_view one, key_sketch_view another, std::string const& law) {
    downloaded_sketch const held(b, one), expected(b, another);
    auto const &x = held.view(), &y = expected.view();
    require(x.groups == y.groups, law);
    for (int h = 0; h < x.kv_heads; ++h) {
      for (int t = 0; t < x.groups * sketch_group; ++t) {
        for (int c = 0; c < x.head_dim; ++c) { require(sketched_key(x, t, h, c) == sketched_key(y, t, h, c), law); }
      }
    }
  };
  same(parts.view(), whole.view(), "keys that come in any chunks give the same sketch");
  same(copy.view(), whole.view(), "a cut drops the groups that it reopens");
  same(window.view(), shifted.view(), "a view that begins elsewhere is sketched anew");
  require(whole.bytes() == sketch_cache<Backend>::bytes_for(2, 16, bits, tokens / sketch_group), "a sketch takes the bytes that were planned");
}

/// Every law of the key sketch; `tolerance` of the scores, which sum to the number of query heads of a KV head.
template <class Element, class Backend>
void sketch_laws(Backend& b, double tolerance) {
  for (int bits : {1, 2, 4}) {
    for (int head_dim : {8, 24, 64, 128}) { law_sketch_is_near<Element>(b, bits, head_dim); }
    for (int tokens : {1, 63, 64, 65, 300}) {
      law_sketch_scores<Element>(b, bits, tokens, 1, tolerance);
      law_sketch_scores<Element>(b, bits, tokens, 5, tolerance);
    }
    law_sketch_grows<Element>(b, bits);
  }
}

}  // namespace loopserve::testing
