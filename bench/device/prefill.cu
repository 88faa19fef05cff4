// SPDX-License-Identifier: Apache-2.0
// Dense prefill attention, causal, of 32 query heads of 128 over 8 KV heads, bf16, of a whole prompt of 4k to 64k tokens, and of a turn of
// 64 new tokens over 128k. Operations are those of the cells that a causal row sees; bytes are those of K, V, the float32 queries and results.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <loopserve/attention/dense.cuh>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, sets = 2;
constexpr double most_us = 3e6;  // for one call: a longer one is left out, and says so
constexpr double least_us = 5e4;  // for all calls together

/// Attention of the last rows of a context; what a call takes.
double measure_shape(bench::report& r, ls::cuda const& b, std::string const& work, std::string const& shape, int rows, int keys) {
  ls::index_t const size = ls::index_t{rows} * heads * head_dim;
  std::vector<bench::random_kv> kv;
  std::vector<ls::cuda_buffer<float>> q;
  for (int s = 0; s < sets; ++s) {
    kv.emplace_back(b, keys, kv_heads, head_dim, static_cast<std::uint64_t>(s + 1));
    q.push_back(bench::random_numbers<float>(b, size, static_cast<std::uint64_t>(s + 11)));
  }
  auto out = b.make_buffer<float>(size);
  auto const attend = [&](int i) {
    auto const s = static_cast<std::size_t>(i % sets);
    ls::prefill_job<ls::bf16> const job{{q[s].data(), {rows, heads, head_dim}}, kv[s].view(), nullptr, 0, {out.data(), {rows, heads, head_dim}}};
    attend_dense(b, std::span(&job, 1));
  };
  auto const once = bench::time_of(b, 1, attend, 1).median;
  auto const time = bench::time_of(b, once > 3e5 ? 3 : std::max(4 * sets, static_cast<int>(std::ceil(least_us / once))), attend, 0);
  double const cells = static_cast<double>(rows) * (keys - rows) + 0.5 * rows * (rows + 1.0);
  double const bytes = 2.0 * keys * kv_heads * head_dim * sizeof(ls::bf16) + 2.0 * static_cast<double>(size) * sizeof(float);
  r.row(work, shape,
        {{"tokens", keys}, {"rows", rows}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}, {"bytes", bytes}, {"flops", 4.0 * heads * head_dim * cells}});
  return time.median;
}

void ceilings(bench::report& r, ls::cuda const& b) {
  r.ceiling("bf16_flops_per_second", bench::bf16_rate(b));
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
}

void measure(bench::report& r) {
  ls::cuda const b;
  ceilings(r, b);
  measure_shape(r, b, "dense prefill, a short turn", "64 over 128k", 64, (1 << 17) + 64);
  double expected = 0;
  for (int tokens = 1 << 12; tokens <= 1 << 16; tokens *= 2) {
    if (expected > most_us) {
      r.left_out("dense prefill of " + std::to_string(tokens >> 10) + "k: it would take " + std::to_string(static_cast<int>(expected / 1e6)) + " s a call");
      expected *= 4;
    } else {
      expected = 4 * measure_shape(r, b, "dense prefill", std::to_string(tokens >> 10) + "k", tokens, tokens);
    }
  }
  ceilings(r, b);
}

}  // namespace

int main() { return bench::run(measure); }
