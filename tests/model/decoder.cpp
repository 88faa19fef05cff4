// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/model/decoder.hpp>

using namespace loopserve;

namespace {

static_assert(model<decoder<reference>>);

/// A small decoder with every part that a family may have.
decoder_weights small_weights() {
  decoder_weights w;
  w.shape = {2, 24, 4, 2, 10, 40, 50, 128};
  w.rope_inv_freq = {1.0F, 0.3F, 0.1F, 0.03F, 0.01F};
  auto numbers = std::make_shared<std::vector<std::vector<float>>>();
  std::uint64_t stream = 0;
  auto const draw = [&](index_t n) {
    counter_rng const rng{7, stream++};
    std::vector<float> v(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < v.size(); ++i) { v[i] = static_cast<float>(rng.uniform(i)) - 0.5F; }
    return v;
  };
  auto const matrix = [&](index_t rows, index_t cols) {
    numbers->push_back(draw(rows * cols));
    return weight_view{element_type::f32, rows, cols, numbers->back().data()};
  };
  w.embedding = matrix(50, 24);
  w.head = matrix(50, 24);
  w.final_norm = draw(24);
  for (int l = 0; l < 2; ++l) {
    layer_weights layer;
    layer.attention_norm = draw(24);
    layer.q = matrix(40, 24);
    layer.k = matrix(20, 24);
    layer.v = matrix(20, 24);
    layer.o = matrix(24, 40);
    layer.q_bias = draw(40);
    layer.k_bias = draw(20);
    layer.v_bias = draw(20);
    layer.q_norm = draw(10);
    layer.k_norm = draw(10);
    layer.feed_forward_norm = draw(24);
    layer.gate = matrix(40, 24);
    layer.up = matrix(40, 24);
    layer.down = matrix(24, 40);
    w.layers.push_back(layer);
  }
  w.keeper = numbers;
  return w;
}

std::vector<float> everything(decoder<reference>& net, std::vector<token_id> const& ids, std::vector<int> const& positions) {
  auto const rows = static_cast<index_t>(ids.size());
  std::vector<float> x(static_cast<std::size_t>(rows * 24)), q(static_cast<std::size_t>(rows * 40)), k(static_cast<std::size_t>(rows * 20)), v(k),
      logits(static_cast<std::size_t>(rows * 50));
  tensor_view<float, 2> const hidden(x.data(), {rows, 24});
  net.embed(ids, hidden);
  for (int l = 0; l < 2; ++l) {
    tensor_view<float, 3> const queries(q.data(), {rows, 4, 10});
    net.project(l, hidden, positions, queries, {k.data(), {rows, 2, 10}}, {v.data(), {rows, 2, 10}});
    net.mix(l, queries, hidden);
  }
  net.logits(hidden, {logits.data(), {rows, 50}});
  for (auto const* part : {&q, &k, &v}) { logits.insert(logits.end(), part->begin(), part->end()); }
  return logits;
}

}  // namespace

TEST_CASE("a row's results do not depend on the other rows of a call") {
  reference b(1);
  decoder<reference> net(b, small_weights());
  auto const together = everything(net, {token_id(3), token_id(49), token_id(0)}, {5, 17, 100});
  auto const alone = everything(net, {token_id(49)}, {17});
  for (std::size_t i = 0; i < 50; ++i) { CHECK(together[50 + i] == alone[i]); }
}

TEST_CASE("every part shows in the results") {
  reference b(1);
  auto const outcome = [&](auto&& change) {
    auto w = small_weights();
    change(w);
    decoder<reference> net(b, w);
    return everything(net, {token_id(3), token_id(7)}, {5, 6});
  };
  auto const plain = outcome([](auto&) {});
  CHECK(plain == outcome([](auto&) {}));
  CHECK(plain != outcome([](auto& w) { w.layers[1].q_bias.clear(); }));
  CHECK(plain != outcome([](auto& w) { w.layers[1].k_bias.clear(); }));
  CHECK(plain != outcome([](auto& w) { w.layers[1].v_bias.clear(); }));
  CHECK(plain != outcome([](auto& w) { w.layers[0].q_norm.clear(); }));
  CHECK(plain != outcome([](auto& w) { w.layers[1].k_norm.clear(); }));
  CHECK(plain != outcome([](auto& w) { w.layers[1].feed_forward_norm[0] += 1; }));
  CHECK(plain != outcome([](auto& w) { w.final_norm[3] += 1; }));
  CHECK(plain != outcome([](auto& w) { w.rope_interleaved = true; }));
  CHECK(plain != outcome([](auto& w) { w.rope_scale = 1.5F; }));
  CHECK(plain != outcome([](auto& w) { w.norm_eps = 0.1F; }));
  CHECK(plain != outcome([](auto& w) { std::swap(w.layers[0].gate, w.layers[0].up); }));
}

TEST_CASE("a tied head counts once") {
  auto w = small_weights();
  auto const untied = w.bytes();
  w.head = w.embedding;
  CHECK(untied - w.bytes() == 50 * 24 * 4);
}

TEST_CASE("weights that do not fit their shape are refused") {
  reference b(1);
  auto w = small_weights();
  w.layers.pop_back();
  CHECK_THROWS_AS(decoder<reference>(b, w), error);
}
