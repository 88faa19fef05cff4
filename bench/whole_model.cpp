// SPDX-License-Identifier: Apache-2.0
// A whole model of the 430m shape in bf16, dense, against the machine's ceilings, measured in turns in one run: prefill of 512 new tokens against the time that
// oneDNN and Eigen take for the model's products alone, decode over that short context against reading the weights once. `bench.whole_model [threads] [repeats]`;
// with one thread the clock is the processor time, which a busy machine does not spoil.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <loopserve/kv/keep_all.hpp>
#include <loopserve/loopserve.hpp>
#include <loopserve/prefill/dense_prefill.hpp>

#include "../examples/loopserve_bench/shape.hpp"
#include "../examples/planted_model.hpp"
#include "measure.hpp"
#include "plain_products.hpp"

namespace ls = loopserve;

namespace {

struct dense : ls::defaults<ls::cpu> {
  using selector = ls::dense_prefill<backend>;
  using compressor = ls::keep_all<backend>;
};

constexpr int fresh = 512, answer = 33;

std::vector<ls::weight_view> matrices(ls::decoder_weights const& w) {
  std::vector<ls::weight_view> all;
  for (auto const& l : w.layers) { all.insert(all.end(), {l.q, l.k, l.v, l.o, l.gate, l.up, l.down}); }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  int const threads = argc > 1 ? std::atoi(argv[1]) : ls::available_threads();
  int const repeats = argc > 2 ? std::atoi(argv[2]) : 5;
  if (threads == 1) { bench::measured = bench::clock_kind::processor; }
  auto const shape = bench::parse_shape("430m");
  ls::cpu backend(threads);
  auto weights = planted::make(shape, {.context = 4096, .threads = threads});
  auto const products = matrices(weights);
  ls::index_t bytes = weights.head.bytes();
  for (auto const& w : products) { bytes += w.bytes(); }
  ls::engine_options<dense> options;
  options.threads = threads;
  ls::token_engine<dense> engine(backend, ls::decoder<ls::cpu>(backend, std::move(weights)), {shape.layers, shape.kv_heads, shape.head_dim},
                                 options, {});

  auto const conversation = engine.open();
  auto const run = [&](int tokens) {
    while (engine.busy() && tokens > 0) { tokens -= static_cast<int>(engine.step().size()); }
  };
  auto const prefill = [&] {
    engine.truncate(*conversation, 0);
    engine.start(*conversation, planted::tokens(shape, fresh, 1), {answer, {}});
    run(1);
  };
  auto const decode = [&] {
    run(answer);
    if (conversation->failure) { std::rethrow_exception(conversation->failure); }
  };
  // Numbers of the model's own size; Eigen's weights are one matrix of each shape, as a second copy of the model would say no more.
  auto const most = ls::index_t{fresh} * std::max(shape.feed_forward, shape.width);
  ls::host_buffer<float> x(most), out(most), wide(ls::index_t{shape.feed_forward} * shape.width), far(bytes / 4);
  ls::host_buffer<ls::bf16> narrow(most);
  std::fill_n(x.data(), x.size(), 0.5F);
  std::fill_n(wide.data(), wide.size(), 0.25F);
  std::fill_n(far.data(), far.size(), 0.25F);
  std::fill_n(narrow.data(), narrow.size(), ls::bf16(0.5F));
  float sink = 0;
  std::vector<std::function<void()>> things = {prefill, decode, [&] { bench::read_all(threads, far, sink); },
                                               [&] {
                                                 for (auto const& w : products) {
                                                   bench::eigen_product(threads, x.data(), wide.data(), out.data(), fresh, w.cols, w.rows);
                                                 }
                                               }};
#if LOOPSERVE_USE_ONEDNN
  things.push_back([&] {
    for (auto const& w : products) {
      bench::onednn_product(threads, narrow.data(), static_cast<ls::bf16 const*>(w.data), out.data(), fresh, w.cols, w.rows);
    }
  });
#endif
  auto const ms = bench::interleaved(things, repeats);
  std::printf("430m, bf16, dense, %d threads, medians of %d in turns\n", threads, repeats);
  std::printf("prefill of %d tokens: %.0f ms, %.0f tokens/s\n", fresh, ms[0], 1e3 * fresh / ms[0]);
#if LOOPSERVE_USE_ONEDNN
  std::printf("  oneDNN's bf16 products of the model alone: %.0f ms; prefill runs at %.2f of their rate\n", ms[4], ms[4] / ms[0]);
#endif
  std::printf("  Eigen's float32 products of the model alone: %.0f ms; prefill runs at %.2f of their rate\n", ms[3], ms[3] / ms[0]);
  double const step = ms[1] / (answer - 1);
  double const reading = ms[2];
  std::printf(
      "decode: %.2f ms a token\n  reading as many bytes as the weights have (%.0f MB): %.2f ms, %.1f GB/s; decode reads weights at %.2f of "
      "that\n",
      step, 1e-6 * static_cast<double>(bytes), reading, 1e-6 * static_cast<double>(bytes) / reading, reading / step);
  return sink == 1 ? 1 : 0;
}
