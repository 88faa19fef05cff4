// SPDX-License-Identifier: Apache-2.0
// Line-sparse prefill attention over planted lines: the last 4k rows of 32k to 512k tokens, 32 query heads of 128 over 8 KV heads, bf16, areas of 5 to 20%. Beside it the
// same rows densely; where that would take seconds, it is left out. Heads differ in area, by half of it up and down.
#include <algorithm>
#include <span>
#include <string>

#include <loopserve/attention/dense.cuh>
#include <loopserve/attention/line_sparse.cuh>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, rows = 4096, sets = 2;

struct input {
  bench::random_kv kv;
  ls::cuda_buffer<float> q;
};

/// Lines of all heads in the device's memory: the last 128 offsets, and single lines of both kinds, drawn until the head's area is reached.
class planted_plan {
 public:
  planted_plan(ls::cuda const& b, int keys, double area, std::uint64_t seed) {
    ls::counter_rng const draw{seed};
    ls::line_plan_view host;
    host.heads = heads, host.rows = rows, host.keys = keys, host.stride = keys;
    std::vector<int> verticals(static_cast<std::size_t>(heads) * keys), slashes(verticals.size()), counts(2 * heads);
    std::vector<unsigned char> const dense(heads, 0);
    double cells = 0;
    for (int h = 0; h < heads; ++h) {
      double const its = area * (0.5 + h / (heads - 1.0));
      auto const lines = static_cast<int>(its * keys / 2);
      auto const at = static_cast<std::ptrdiff_t>(h) * keys;
      counts[static_cast<std::size_t>(h)] = draw_lines(draw, 2 * h, keys, 4, lines, verticals.data() + at);
      counts[static_cast<std::size_t>(heads + h)] = draw_lines(draw, 2 * h + 1, keys, std::min(128, lines), lines, slashes.data() + at);
    }
    host.verticals = verticals.data(), host.slashes = slashes.data(), host.vertical_counts = counts.data(), host.slash_counts = counts.data() + heads;
    host.dense = const_cast<unsigned char*>(dense.data());
    for (int h = 0; h < heads; ++h) { cells += static_cast<double>(ls::union_cells(host, h)); }
    area_ = cells / heads / static_cast<double>(ls::causal_cells(rows, keys));
    auto const up = [&](auto& buffer, auto const& from) {
      buffer = b.template make_buffer<typename std::remove_cvref_t<decltype(buffer)>::value_type>(static_cast<ls::index_t>(from.size()));
      b.copy_to_device(buffer.data(), from.data(), buffer.bytes());
    };
    up(verticals_, verticals);
    up(slashes_, slashes);
    up(counts_, counts);
    up(dense_, dense);
    covered_ = b.make_buffer<float>(heads);
    view_ = host;
    view_.verticals = verticals_.data(), view_.slashes = slashes_.data(), view_.vertical_counts = counts_.data(), view_.slash_counts = counts_.data() + heads;
    view_.dense = dense_.data(), view_.covered = covered_.data();
    b.synchronize();
  }

  ls::line_plan_view const& view() const { return view_; }
  double area() const { return area_; }

 private:
  /// The first `forced` lines and as many others as `lines` lack, ascending; how many that are.
  static int draw_lines(ls::counter_rng const& draw, int stream, int keys, int forced, int lines, int* to) {
    std::vector<bool> chosen(static_cast<std::size_t>(keys));
    std::fill_n(chosen.begin(), forced, true);
    for (std::uint64_t i = 0, count = static_cast<std::uint64_t>(forced); count < static_cast<std::uint64_t>(lines); ++i) {
      auto const at = static_cast<std::size_t>(draw.uniform(i * 2 * heads + static_cast<std::uint64_t>(stream)) * keys);
      count += chosen[at] ? 0 : 1;
      chosen[at] = true;
    }
    int found = 0;
    for (int k = 0; k < keys; ++k) {
      if (chosen[static_cast<std::size_t>(k)]) { to[found++] = k; }
    }
    return found;
  }

  ls::cuda_buffer<int> verticals_, slashes_, counts_;
  ls::cuda_buffer<unsigned char> dense_;
  ls::cuda_buffer<float> covered_;
  ls::line_plan_view view_;
  double area_ = 0;
};

void measure(bench::report& r) {
  ls::cuda const b;
  double dense_a_key = 0;
  for (int const keys : {1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19}) {
    auto const shape = "4k rows of " + std::to_string(keys >> 10) + "k";
    ls::index_t const size = ls::index_t{rows} * heads * head_dim;
    std::vector<input> inputs;
    for (std::uint64_t seed = 1; seed <= sets; ++seed) { inputs.push_back({{b, keys, kv_heads, head_dim, seed}, bench::random_numbers<float>(b, size, seed + 10)}); }
    auto out = b.make_buffer<float>(size);
    auto const job = [&](int set, ls::line_plan_view const* plan) {
      auto const& in = inputs[static_cast<std::size_t>(set)];
      return ls::prefill_job<ls::bf16>{{in.q.data(), {rows, heads, head_dim}}, in.kv.view(), plan, 0, {out.data(), {rows, heads, head_dim}}};
    };
    double dense = 0;
    if (dense_a_key * keys > 2e6) {
      r.left_out("dense attention of " + shape + ": it would take " + std::to_string(static_cast<int>(dense_a_key * keys / 1e6)) + " s a call");
    } else {
      auto const time = bench::time_of(b, 3 * sets, [&](int i) {
        auto const its = job(i % sets, nullptr);
        attend_dense(b, std::span(&its, 1));
      }, sets);
      dense = time.median;
      dense_a_key = dense / keys;
      r.row("dense prefill, last rows", shape, {{"tokens", keys}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}});
    }
    for (double const area : {0.05, 0.1, 0.2}) {
      std::vector<planted_plan> plans;
      for (std::uint64_t seed = 1; seed <= sets; ++seed) { plans.emplace_back(b, keys, area, seed); }
      auto const time = bench::time_of(b, 4 * sets, [&](int i) {
        auto const its = job(i % sets, &plans[static_cast<std::size_t>(i % sets)].view());
        attend_lines(b, std::span(&its, 1));
      }, sets);
      double const mean = (plans[0].area() + plans[1].area()) / 2;
      bench::report::fields f{{"tokens", keys}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}, {"area", mean}};
      if (dense > 0) { f.emplace_back("of_area_times_dense", time.median / (mean * dense)); }
      r.row("line-sparse prefill, area " + std::to_string(static_cast<int>(100 * area)) + "%", shape, f);
    }
  }
}

}  // namespace

int main() { return bench::run(measure); }
