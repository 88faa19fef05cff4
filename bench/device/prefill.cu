// SPDX-License-Identifier: Apache-2.0
// Dense prefill attention, causal, of 32 query heads of 128 over 8 KV heads, bf16, of a whole prompt of 4k to 64k tokens. Operations are those of the cells that a
// causal row sees; the share is of a large product's rate.
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

void measure(bench::report& r) {
  ls::cuda const b;
  double const rate = bench::bf16_rate(b);
  r.ceiling("bf16_flops_per_second", rate);
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
  double expected = 0;
  for (int tokens = 1 << 12; tokens <= 1 << 16; tokens *= 2) {
    if (expected > most_us) {
      r.left_out("dense prefill of " + std::to_string(tokens >> 10) + "k: it would take " + std::to_string(static_cast<int>(expected / 1e6)) + " s a call");
      expected *= 4;
      continue;
    }
    ls::index_t const size = ls::index_t{tokens} * heads * head_dim;
    std::vector<bench::random_kv> kv;
    std::vector<ls::cuda_buffer<float>> q;
    for (int s = 0; s < sets; ++s) {
      kv.emplace_back(b, tokens, kv_heads, head_dim, static_cast<std::uint64_t>(s + 1));
      q.push_back(bench::random_numbers<float>(b, size, static_cast<std::uint64_t>(s + 11)));
    }
    auto out = b.make_buffer<float>(size);
    auto const attend = [&](int i) {
      auto const s = static_cast<std::size_t>(i % sets);
      ls::prefill_job<ls::bf16> const job{{q[s].data(), {tokens, heads, head_dim}}, kv[s].view(), nullptr, 0, {out.data(), {tokens, heads, head_dim}}};
      attend_dense(b, std::span(&job, 1));
    };
    auto const once = bench::time_of(b, 1, attend, 1).median;
    auto const time = bench::time_of(b, once > 3e5 ? 3 : 4 * sets, attend, 0);
    double const flops = 4.0 * heads * head_dim * (0.5 * tokens * (tokens + 1.0));
    r.row("dense prefill", std::to_string(tokens >> 10) + "k",
          {{"tokens", tokens}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}, {"flops", flops}, {"share_of_product", flops / time.median * 1e6 / rate}});
    expected = 4 * time.median;
  }
}

}  // namespace

int main() { return bench::run(measure); }
