// SPDX-License-Identifier: Apache-2.0
// Selection and line-sparse attention together, on keys and queries with planted lines (a tenth of all keys stand out for every later row, and a few offsets), beside dense
// attention of the same rows: whole prompts of 1k to 16k, where it begins to pay, and turns of 2k new tokens over 8k to 128k. 32 query heads of 128 over 8 KV heads, bf16.
#include <span>
#include <string>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/online_vertical_slash.hpp>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, turned = 120, offsets = 2;

/// The angle of the f-th pair of channels at a position, of a KV head.
LOOPSERVE_DEVICE float angle(int f, int h, int position) {
  auto x = (static_cast<std::uint64_t>(f) * 64 + static_cast<std::uint64_t>(h) + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return static_cast<float>(static_cast<std::uint32_t>(x >> 32) * static_cast<std::uint64_t>(position) & 0xffffffffu) * (6.2831853F * 0x1p-32F);
}

/// Keys whose first channels turn with the position; the last ones are large for one key in ten. (2, kv_heads, tokens, head_dim), of which the keys are written.
struct plant_keys_kernel {
  static constexpr int threads = 128;
  ls::bf16* keys;
  int tokens;

  LOOPSERVE_DEVICE void operator()() const {
    int const token = ls::dev::block().x, h = ls::dev::block().y, c = ls::dev::thread();
    auto mark = (static_cast<std::uint64_t>(token) * 64 + static_cast<std::uint64_t>(h) + 1) * 0xd1342543de82ef95ULL;
    mark = (mark ^ (mark >> 31)) * 0x94d049bb133111ebULL;
    float const marked = (mark >> 40) % 10 == 0 ? 1.0F : 0.0F;
    float const at = angle(c / 2, h, token);
    float const x = c >= turned ? marked : c % 2 == 0 ? std::cos(at) : std::sin(at);
    ls::dev::store(keys + (ls::index_t{h} * tokens + token) * head_dim + c, static_cast<ls::bf16>(x));
  }
};

/// Queries (rows, heads, head_dim) that turn as the keys do some offsets ago.
struct plant_queries_kernel {
  static constexpr int threads = 128;
  float* q;
  int first;

  LOOPSERVE_DEVICE void operator()() const {
    int const row = ls::dev::block().x, head = ls::dev::block().y, h = head / (heads / kv_heads), c = ls::dev::thread();
    float x = 0;
    for (int o = 0; o < offsets; ++o) {
      int const position = first + row - 301 * o;
      float const at = angle(c / 2, h, position > 0 ? position : 0);
      x += 3.0F * (c % 2 == 0 ? std::cos(at) : std::sin(at));
    }
    ls::dev::store(q + (ls::index_t{row} * heads + head) * head_dim + c, c >= turned ? 12.7F : x);
  }
};

/// The mean share of causal cells that the heads' lines hold.
double area_of(ls::cuda const& b, ls::line_plan_view there) {
  auto host = there;
  auto const get = [&](auto const* from, ls::index_t count) {
    std::vector<std::remove_cvref_t<decltype(*from)>> to(static_cast<std::size_t>(count));
    b.copy_to_host(to.data(), from, count * static_cast<ls::index_t>(sizeof(*from)));
    return to;
  };
  auto verticals = get(there.verticals, heads * there.stride), slashes = get(there.slashes, heads * there.stride);
  auto vertical_counts = get(there.vertical_counts, heads), slash_counts = get(there.slash_counts, heads);
  auto dense = get(there.dense, heads);
  host.verticals = verticals.data(), host.slashes = slashes.data(), host.vertical_counts = vertical_counts.data(), host.slash_counts = slash_counts.data();
  host.dense = dense.data();
  double cells = 0;
  for (int h = 0; h < heads; ++h) { cells += static_cast<double>(ls::union_cells(host, h)); }
  return cells / heads / static_cast<double>(ls::causal_cells(there.rows, there.keys));
}

void measure_shape(bench::report& r, ls::cuda const& b, std::string const& work, std::string const& shape, int rows, int keys) {
  bench::random_kv const kv(b, keys, kv_heads, head_dim, 3);
  b.launch({keys, kv_heads}, plant_keys_kernel{kv.rows(), keys});
  auto q = b.make_buffer<float>(ls::index_t{rows} * heads * head_dim), out = b.make_buffer<float>(q.size());
  b.launch({rows, heads}, plant_queries_kernel{q.data(), keys - rows});
  ls::tensor_view<float const, 3> const queries(q.data(), {rows, heads, head_dim});
  ls::online_vertical_slash<ls::cuda const> selector(b, {.fall_back_keys = 0});
  ls::line_plan<ls::cuda const> plan(b);
  plan.reset(heads, rows, keys);
  auto const lines = plan.view();
  ls::prefill_job<ls::bf16> const dense_job{queries, kv.view(), nullptr, 0, {out.data(), {rows, heads, head_dim}}};
  ls::prefill_job<ls::bf16> const job{queries, kv.view(), &lines, 0, {out.data(), {rows, heads, head_dim}}};
  auto const select = [&](int i) { selector.select({.layer = i, .turn = 1, .chunk = 0, .seed = 1}, queries, kv.view(), lines); };
  auto const attend = [&](int) { attend_lines(b, std::span(&job, 1)); };
  auto const dense = bench::time_of(b, 5, [&](int) { attend_dense(b, std::span(&dense_job, 1)); }, 1);
  auto const selection = bench::time_of(b, 10, select);
  auto const sparse = bench::time_of(b, 10, attend);
  auto const both = bench::time_of(b, 10, [&](int i) {
    select(i);
    attend(i);
  });
  r.row(work, shape,
        {{"tokens", keys}, {"rows", rows}, {"us", both.median}, {"us_low", both.low}, {"us_high", both.high}, {"us_selection", selection.median}, {"us_attention", sparse.median},
         {"us_dense", dense.median}, {"area", area_of(b, lines)}, {"selection_of_dense", selection.median / dense.median}, {"times_faster", dense.median / both.median}});
}

void measure(bench::report& r) {
  ls::cuda const b;
  for (int keys = 1 << 10; keys <= 1 << 14; keys *= 2) { measure_shape(r, b, "selection and attention, whole prompt", std::to_string(keys >> 10) + "k", keys, keys); }
  for (int const history : {1 << 13, 1 << 15, 1 << 17}) {
    measure_shape(r, b, "selection and attention, a turn", "2k over " + std::to_string(history >> 10) + "k", 2048, history + 2048);
  }
}

}  // namespace

int main() { return bench::run(measure); }
