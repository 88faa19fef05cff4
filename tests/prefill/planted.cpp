// SPDX-License-Identifier: Apache-2.0
#include "../../examples/planted_model.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <numeric>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/attention/dense_attention.hpp>
#include <loopserve/kv/contiguous.hpp>
#include <loopserve/model/decoder.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/prefill/line_plan.hpp>
#include <loopserve/prefill/online_vertical_slash.hpp>

namespace ls = loopserve;

namespace {

constexpr int context = 2048, fresh = 512;
ls::model_shape const small{.layers = 2, .width = 256, .heads = 4, .kv_heads = 2, .head_dim = 64, .feed_forward = 256, .vocabulary = 2000, .max_context = 4096};

/// Share of the causal cells of the last `fresh` rows that the selector takes, per layer and head.
std::vector<std::vector<double>> areas(planted::options const& o) {
  ls::cpu backend(2);
  ls::decoder<ls::cpu> model(backend, planted::make(small, o));
  auto const& s = model.shape();
  auto const ids = planted::tokens(s, context);
  std::vector<int> positions(context);
  std::iota(positions.begin(), positions.end(), 0);
  auto const floats = [](ls::index_t n) { return std::vector<float>(static_cast<std::size_t>(context * n)); };
  auto x_memory = floats(s.width), q_memory = floats(s.heads * s.head_dim), out_memory = q_memory, k_memory = floats(s.kv_heads * s.head_dim), v_memory = k_memory;
  ls::tensor_view<float, 2> const x(x_memory.data(), {context, s.width});
  ls::tensor_view<float, 3> const q(q_memory.data(), {context, s.heads, s.head_dim}), out(out_memory.data(), {context, s.heads, s.head_dim});
  ls::tensor_view<float, 3> const k(k_memory.data(), {context, s.kv_heads, s.head_dim}), v(v_memory.data(), {context, s.kv_heads, s.head_dim});
  ls::contiguous<ls::cpu, float> storage(backend, {s.layers, s.kv_heads, s.head_dim});
  auto const sequence = storage.open();
  ls::online_vertical_slash<ls::cpu> selector(backend, {.alpha = 0.955, .local = 128, .fall_back = false});
  ls::dense_attention<ls::cpu> attention(backend);
  ls::line_plan<ls::cpu> plan(backend);
  std::vector<std::vector<double>> found;
  model.embed(ids, x);
  for (int layer = 0; layer < s.layers; ++layer) {
    model.project(layer, x, positions, q, k, v);
    storage.append(sequence, layer, k, v);
    auto const kv = storage.view(sequence, layer);
    plan.reset(s.heads, fresh, context);
    selector.select({.layer = layer}, q.rows(context - fresh, fresh), kv, plan.view());
    auto& of_layer = found.emplace_back();
    for (int head = 0; head < s.heads; ++head) {
      of_layer.push_back(static_cast<double>(ls::union_cells(plan.view(), head)) / static_cast<double>(ls::causal_cells(fresh, context)));
    }
    std::array<ls::prefill_job<float>, 1> const jobs{{{q, kv, nullptr, 0, out}}};
    attention.prefill(std::span<ls::prefill_job<float> const>(jobs));
    model.mix(layer, out, x);
  }
  return found;
}

double mean(std::vector<std::vector<double>> const& found) {
  double sum = 0;
  for (auto const& layer : found) { sum += std::accumulate(layer.begin(), layer.end(), 0.0) / static_cast<double>(layer.size()); }
  return sum / static_cast<double>(found.size());
}

/// Mean attention of the last `rows` rows of layer 0 that head `head` gives to cells where `in(position, key)`.
template <class In>
double mass(planted::options const& o, int head, In in) {
  ls::reference backend(2);
  ls::decoder<ls::reference> model(backend, planted::make(small, o));
  auto const& s = model.shape();
  auto const ids = planted::tokens(s, context);
  std::vector<int> positions(context);
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<float> x(static_cast<std::size_t>(context * s.width)), q(static_cast<std::size_t>(context * s.heads * s.head_dim));
  std::vector<float> k(static_cast<std::size_t>(context * s.kv_heads * s.head_dim)), v(k.size());
  ls::tensor_view<float, 2> const rows(x.data(), {context, s.width});
  model.embed(ids, rows);
  ls::tensor_view<float, 3> const queries(q.data(), {context, s.heads, s.head_dim}), keys(k.data(), {context, s.kv_heads, s.head_dim});
  model.project(0, rows, positions, queries, keys, {v.data(), {context, s.kv_heads, s.head_dim}});
  double inside = 0;
  constexpr int looked_at = 16;
  for (int p = context - looked_at; p < context; ++p) {
    double all = 0, part = 0;
    for (int key = 0; key <= p; ++key) {
      double score = 0;
      for (int d = 0; d < s.head_dim; ++d) { score += static_cast<double>(queries(p, head, d)) * keys(key, head / (s.heads / s.kv_heads), d); }
      double const weight = std::exp(score / std::sqrt(static_cast<double>(s.head_dim)));
      all += weight;
      part += in(p, key, ids) ? weight : 0;
    }
    inside += part / all / looked_at;
  }
  return inside;
}

}  // namespace

TEST_CASE("the planted lines are found, and without them there is nothing to find") {
  planted::options o{.context = context, .threads = 2};
  auto const with = areas(o);
  for (auto const& layer : with) {
    for (auto area : layer) { CHECK(area < 0.3); }
  }
  CHECK(mean(with) < 0.22);
  o.structure = false;
  CHECK(mean(areas(o)) > 0.8);
}

TEST_CASE("heads look where they were told to, not at their neighbours") {
  planted::options const o{.type = ls::element_type::f32, .context = context, .threads = 2};
  auto const marks = [&](int, int key, std::vector<ls::token_id> const& ids) { return planted::is_marked(o, ls::raw(ids[static_cast<std::size_t>(key)])); };
  auto const near = [](int p, int key, auto const&) { return p - key < 128; };
  REQUIRE(planted::kind_of(0, 0) == planted::head_kind::marks);
  CHECK(mass(o, 0, marks) > 0.95);
  CHECK(mass(o, 0, near) < 0.2);
  REQUIRE(planted::kind_of(0, 1) == planted::head_kind::distance);
  int const distance = planted::distance_of(o, 0, 1);
  CHECK(distance >= 256);
  CHECK(mass(o, 1, [&](int p, int key, auto const&) { return std::abs(p - key - distance) <= 64; }) > 0.7);
  CHECK(mass(o, 1, near) < 0.2);
}

TEST_CASE("the weights depend on the seed, not on the threads, and come in the type asked for") {
  for (auto type : {ls::element_type::f32, ls::element_type::f16, ls::element_type::bf16}) {
    planted::options o{.type = type, .threads = 1};
    auto const one = planted::make(small, o);
    o.threads = 2;
    auto const two = planted::make(small, o);
    o.seed = 2;
    auto const other = planted::make(small, o);
    CHECK(one.layers[1].k.type == type);
    auto const bytes = static_cast<std::size_t>(one.layers[1].k.bytes());
    CHECK(std::memcmp(one.layers[1].k.data, two.layers[1].k.data, bytes) == 0);
    CHECK(std::memcmp(one.layers[1].k.data, other.layers[1].k.data, bytes) != 0);
    CHECK(one.layers[0].q.data != one.layers[1].q.data);
  }
  CHECK_THROWS_AS(planted::make(small, {.type = ls::element_type::q8_0}), ls::error);
}
