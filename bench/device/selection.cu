// SPDX-License-Identifier: Apache-2.0
// Selection and line-sparse attention together, on keys and queries with planted lines (a tenth of all keys stand out for every later row, and a few offsets), beside dense
// attention of the same rows: whole prompts of 1k to 128k, where it begins to pay and what it is worth, and turns of 2k new tokens over 8k to 128k. Lines are chosen for every 2k
// rows, as the engine does; dense attention takes all rows in one call. 32 query heads of 128 over 8 KV heads, bf16.
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/online_vertical_slash.hpp>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, turned = 120, offsets = 2, chunk_rows = 2048, sets = 2;

/// The angle of the f-th pair of channels at a position, of a KV head.
LOOPSERVE_DEVICE float angle(int f, int h, int position, int seed) {
  auto x = (static_cast<std::uint64_t>(f) * 64 + static_cast<std::uint64_t>(h) + 1 + static_cast<std::uint64_t>(seed) * 8192) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return static_cast<float>(static_cast<std::uint32_t>(x >> 32) * static_cast<std::uint64_t>(position) & 0xffffffffu) * (6.2831853F * 0x1p-32F);
}

/// Keys whose first channels turn with the position; the last ones are large for one key in ten. (2, kv_heads, tokens, head_dim), of which the keys are written.
struct plant_keys_kernel {
  static constexpr int threads = 128;
  ls::bf16* keys;
  int tokens, seed;

  LOOPSERVE_DEVICE void operator()() const {
    int const token = ls::dev::block().x, h = ls::dev::block().y, c = ls::dev::thread();
    auto mark = (static_cast<std::uint64_t>(token) * 64 + static_cast<std::uint64_t>(h) + 1 + (static_cast<std::uint64_t>(seed) << 40)) * 0xd1342543de82ef95ULL;
    mark = (mark ^ (mark >> 31)) * 0x94d049bb133111ebULL;
    float const marked = (mark >> 40) % 10 == 0 ? 1.0F : 0.0F;
    float const at = angle(c / 2, h, token, seed);
    float const x = c >= turned ? marked : c % 2 == 0 ? std::cos(at) : std::sin(at);
    ls::dev::store(keys + (ls::index_t{h} * tokens + token) * head_dim + c, static_cast<ls::bf16>(x));
  }
};

/// Queries (rows, heads, head_dim) that turn as the keys do some offsets ago.
struct plant_queries_kernel {
  static constexpr int threads = 128;
  float* q;
  int first, seed;

  LOOPSERVE_DEVICE void operator()() const {
    int const row = ls::dev::block().x, head = ls::dev::block().y, h = head / (heads / kv_heads), c = ls::dev::thread();
    float x = 0;
    for (int o = 0; o < offsets; ++o) {
      int const position = first + row - 301 * o;
      float const at = angle(c / 2, h, position > 0 ? position : 0, seed);
      x += 3.0F * (c % 2 == 0 ? std::cos(at) : std::sin(at));
    }
    ls::dev::store(q + (ls::index_t{row} * heads + head) * head_dim + c, c >= turned ? 12.7F : x);
  }
};

/// The cells that the heads' lines hold, together.
double cells_of(ls::cuda const& b, ls::line_plan_view there) {
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
  return cells;
}

/// The last rows of a context with lines of its own.
class planted_input {
 public:
  planted_input(ls::cuda const& b, int rows, int keys, int seed)
      : rows_(rows), keys_(keys), kv_(b, keys, kv_heads, head_dim, static_cast<std::uint64_t>(seed)), q_(b.make_buffer<float>(ls::index_t{rows} * heads * head_dim)) {
    b.launch({keys, kv_heads}, plant_keys_kernel{kv_.rows(), keys, seed});
    b.launch({rows, heads}, plant_queries_kernel{q_.data(), keys - rows, seed});
  }

  /// Rows [first, first + count) over the keys that they see; null: dense.
  ls::prefill_job<ls::bf16> job(int first, int count, ls::line_plan_view const* plan, float* out) const {
    ls::index_t const at = ls::index_t{first} * heads * head_dim;
    return {{q_.data() + at, {count, heads, head_dim}}, kv_.view().slice(0, keys_ - rows_ + first + count), plan, 0, {out + at, {count, heads, head_dim}}};
  }

 private:
  int rows_, keys_;
  bench::random_kv kv_;
  ls::cuda_buffer<float> q_;
};

void measure_shape(bench::report& r, ls::cuda const& b, std::string const& work, std::string const& shape, int rows, int keys) {
  std::vector<planted_input> inputs;
  for (int seed = 1; seed <= sets; ++seed) { inputs.emplace_back(b, rows, keys, seed); }
  auto out = b.make_buffer<float>(ls::index_t{rows} * heads * head_dim);
  ls::online_vertical_slash<ls::cuda const> selector(b, {.fall_back_keys = 0});
  int const chunks = (rows + chunk_rows - 1) / chunk_rows;
  std::vector<ls::line_plan<ls::cuda const>> plans;
  std::vector<ls::line_plan_view> lines;
  for (int c = 0; c < chunks; ++c) {
    int const end = std::min(rows, (c + 1) * chunk_rows);
    plans.emplace_back(b);
    plans.back().reset(heads, end - c * chunk_rows, keys - rows + end);
    lines.push_back(plans.back().view());
  }
  auto const job = [&](int i, int c) {
    auto const& plan = lines[static_cast<std::size_t>(c)];
    return inputs[static_cast<std::size_t>(i % sets)].job(c * chunk_rows, plan.rows, &plan, out.data());
  };
  auto const select = [&](int i, int c) {
    auto const its = job(i, c);
    selector.select({.layer = i, .turn = 1, .chunk = c, .seed = 1}, its.q, its.kv, *its.plan);
  };
  auto const attend = [&](int i, int c) {
    auto const its = job(i, c);
    attend_lines(b, std::span(&its, 1));
  };
  auto const dense = bench::time_of(b, 3 * sets, [&](int i) {
    auto const all = inputs[static_cast<std::size_t>(i % sets)].job(0, rows, nullptr, out.data());
    attend_dense(b, std::span(&all, 1));
  }, sets);
  auto const time = [&](auto queue) {
    return bench::time_of(b, 5 * sets, [&](int i) {
      for (int c = 0; c < chunks; ++c) { queue(i, c); }
    }, sets);
  };
  auto const selection = time(select);
  double cells = 0;
  for (auto const& plan : lines) { cells += cells_of(b, plan); }
  auto const sparse = time(attend);
  auto const both = time([&](int i, int c) {
    select(i, c);
    attend(i, c);
  });
  r.row(work, shape,
        {{"tokens", keys}, {"rows", rows}, {"us", both.median}, {"us_low", both.low}, {"us_high", both.high}, {"us_selection", selection.median}, {"us_attention", sparse.median},
         {"us_dense", dense.median}, {"area", cells / heads / static_cast<double>(ls::causal_cells(rows, keys))}, {"selection_of_dense", selection.median / dense.median},
         {"times_faster", dense.median / both.median}});
}

void measure(bench::report& r) {
  ls::cuda const b;
  for (int keys = 1 << 10; keys <= 1 << 17; keys *= 2) { measure_shape(r, b, "selection and attention, whole prompt", std::to_string(keys >> 10) + "k", keys, keys); }
  for (int const history : {1 << 13, 1 << 15, 1 << 17}) {
    measure_shape(r, b, "selection and attention, a turn", "2k over " + std::to_string(history >> 10) + "k", 2048, history + 2048);
  }
}

}  // namespace

int main() { return bench::run(measure); }
