// SPDX-License-Identifier: Apache-2.0
/// The operations door: a program that has its own engine, and calls the selector, the sparse attention and a KV policy on its own memory. No model, no
/// tokenizer, nothing copied: pointers, extents and strides.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

#include <loopserve/loopserve.hpp>

namespace ls = loopserve;

namespace {

constexpr int history = 3072, fresh = 1024, context = history + fresh;
constexpr int heads = 8, kv_heads = 2, head_dim = 64;

/// Stands for what another engine holds: queries of the new rows, and one layer's cache, (tokens, kv_heads, head_dim). A few tokens draw the attention of
/// all rows, as they do in trained models.
struct foreign_tensors {
  std::vector<float> q, k, v;

  foreign_tensors() : q(std::size_t{fresh} * heads * head_dim), k(std::size_t{context} * kv_heads * head_dim), v(k.size()) {
    fill(q, 1);
    fill(k, 2);
    fill(v, 3);
    for (std::size_t row = 0; row < std::size_t{fresh} * heads; ++row) { q[row * head_dim] = 10; }
    for (std::size_t token : {0, 700, 701, 1500, 2900, 3500}) {
      for (std::size_t h = 0; h < kv_heads; ++h) { k[(token * kv_heads + h) * head_dim] = 10; }
    }
  }

  static void fill(std::vector<float>& values, std::uint64_t stream) {
    ls::counter_rng const random{stream};
    for (std::size_t i = 0; i < values.size(); ++i) { values[i] = static_cast<float>(2 * random.uniform(i) - 1); }
  }
};

}  // namespace

int main() {
  foreign_tensors mine;
  // [view]
  // A cache of one piece is one page: for each KV head, where its rows begin; and the distance from a token to the next.
  std::vector<float const*> keys, values;
  for (int h = 0; h < kv_heads; ++h) {
    keys.push_back(mine.k.data() + h * head_dim);
    values.push_back(mine.v.data() + h * head_dim);
  }
  ls::kv_view<float> kv;
  kv.key_pages = keys.data();
  kv.value_pages = values.data();
  kv.page_table_stride = 1;
  kv.row_stride = kv_heads * head_dim;
  kv.kv_heads = kv_heads;
  kv.head_dim = head_dim;
  kv.tokens = context;
  // [/view]

  // [prefill]
  ls::cpu backend;
  ls::tensor_view<float const, 3> const q(mine.q.data(), {fresh, heads, head_dim});
  ls::online_vertical_slash<ls::cpu> selector{backend, {.alpha = 0.955}};
  ls::line_plan<ls::cpu> plan{backend};
  plan.reset(heads, fresh, context);
  auto const lines = plan.view();
  selector.select({.layer = 0, .turn = 1, .chunk = 0, .seed = 0}, q, kv, lines);

  std::vector<float> out(mine.q.size());
  ls::prefill_job<float> const job{q, kv, &lines, 0, {out.data(), {fresh, heads, head_dim}}};
  attend_lines(backend, std::span{&job, 1});
  // [/prefill]

  std::vector<float> exact(mine.q.size());
  ls::prefill_job<float> const dense{q, kv, nullptr, 0, {exact.data(), {fresh, heads, head_dim}}};
  attend_dense(backend, std::span{&dense, 1});
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    difference += (out[i] - exact[i]) * (out[i] - exact[i]);
    size += exact[i] * exact[i];
  }
  double area = 0;
  for (int h = 0; h < heads; ++h) { area += static_cast<double>(ls::union_cells(lines, h)) / static_cast<double>(ls::causal_cells(fresh, context)) / heads; }
  double const prefill_error = std::sqrt(difference / size);
  std::printf("prefill: %.3f of the dense area, relative difference %.3f\n", area, prefill_error);

  // [decode]
  ls::progressive<ls::cpu> policy{backend, {.budget = 256, .bootstrap = true}};
  ls::kept_rows<ls::cpu> keep{backend};
  ls::working_set<ls::cpu> rows{backend};
  policy.begin_turn(0, q.rows(fresh - 64, 64), kv);
  auto const query = q[fresh - 1];  // stands for a generated token's
  policy.observe(0, query);
  if (policy.due(0)) {
    policy.choose(0, kv, keep);
    rows.assign(backend, kv, keep.view());
  }
  std::vector<float> answer(std::size_t{heads} * head_dim);
  ls::decode_job<float> const step{query, {rows.view<float>(), {}}, 0, {answer.data(), {heads, head_dim}}};
  attend_decode(backend, std::span{&step, 1});
  // [/decode]

  difference = size = 0;
  for (std::size_t i = 0; i < answer.size(); ++i) {
    auto const e = exact[exact.size() - answer.size() + i];
    difference += (answer[i] - e) * (answer[i] - e);
    size += e * e;
  }
  double const decode_error = std::sqrt(difference / size);
  std::printf("decode: %d of %d rows, relative difference %.3f\n", rows.view<float>().length(), context, decode_error);
  return area < 0.5 && prefill_error < 0.3 && decode_error < 0.3 ? 0 : 1;
}
