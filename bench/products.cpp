// SPDX-License-Identifier: Apache-2.0
// The cpu backend's products against what the machine can do, measured in turns in one run: prefill products in tiles, by the library that this build has
// (preset host-eigen: Eigen), against whole products of the libraries; decode products (1 to 16 rows) against the bandwidth of reading.
// `bench.products [threads] [rows of prefill]`; with one thread the clock is the processor time, which a busy machine does not spoil.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>

#include "plain_products.hpp"

namespace ls = loopserve;

namespace {

struct shape {
  char const* name;
  ls::index_t inputs;
  ls::index_t outputs;
};

/// Of one layer: queries, keys and values together, the projection back, gate and up together, down.
std::vector<shape> const shapes_110m = {
    {"110m qkv", 768, 1280}, {"110m out", 768, 768}, {"110m gate+up", 768, 4096}, {"110m down", 2048, 768}};
std::vector<shape> const shapes_430m = {
    {"430m qkv", 1024, 1536}, {"430m out", 1024, 1024}, {"430m gate+up", 1024, 8192}, {"430m down", 4096, 1024}};

struct contestant {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds = {};
  double median() {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }
};

double now(int threads) {
  if (threads == 1) { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Runs all of them in turns, `repeats` times after one warm-up.
void race(std::vector<contestant>& all, int repeats, int threads) {
  for (int r = -1; r < repeats; ++r) {
    for (auto& c : all) {
      auto const start = now(threads);
      c.run();
      if (r >= 0) { c.seconds.push_back(now(threads) - start); }
    }
  }
}

std::vector<float> numbers(ls::index_t count, std::uint64_t seed) {
  ls::counter_rng const draw{seed};
  std::vector<float> v(static_cast<std::size_t>(count));
  for (ls::index_t i = 0; i < count; ++i) { v[i] = static_cast<float>(draw.uniform(i) * 2 - 1); }
  return v;
}

void prefill(int threads, ls::index_t rows, char const* model, std::vector<shape> const& shapes) {
  std::vector<double> totals;
  std::vector<std::string> names;
  for (auto const& s : shapes) {
    auto const x = numbers(rows * s.inputs, 1);
    auto const w = numbers(s.inputs * s.outputs, 2);
    std::vector<ls::bf16> narrow;
    for (float v : w) { narrow.emplace_back(v); }
    std::vector<float> out(static_cast<std::size_t>(rows * s.outputs));
    auto const ours = [&](bool exact, ls::element_type type, void const* data) {
      return [&, exact, type, data] {
        matmul(ls::cpu(ls::cpu_options{.threads = threads, .exact_products = exact}), ls::tensor_view<float const, 2>(x.data(), {rows, s.inputs}),
               {type, s.outputs, s.inputs, data}, {}, ls::tensor_view<float, 2>(out.data(), {rows, s.outputs}));
      };
    };
    std::vector<contestant> all;
    all.push_back({"bf16", ours(false, ls::element_type::bf16, narrow.data())});
    all.push_back({"bf16 exact", ours(true, ls::element_type::bf16, narrow.data())});
    all.push_back({"float32", ours(false, ls::element_type::f32, w.data())});
    all.push_back({"Eigen's float32", [&] { bench::eigen_product(threads, x.data(), w.data(), out.data(), rows, s.inputs, s.outputs); }});
#if LOOPSERVE_USE_ONEDNN
    std::vector<ls::bf16> rounded;
    for (float v : x) { rounded.emplace_back(v); }
    all.push_back({"oneDNN's float32", [&] { bench::onednn_product(threads, x.data(), w.data(), out.data(), rows, s.inputs, s.outputs); }});
    all.push_back({"oneDNN's bf16", [&] { bench::onednn_product(threads, rounded.data(), narrow.data(), out.data(), rows, s.inputs, s.outputs); }});
#endif
    race(all, 9, threads);
    std::printf("%-14s", s.name);
    totals.resize(all.size());
    names.clear();
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto const t = all[i].median();
      totals[i] += t;
      names.push_back(all[i].name);
      std::printf("  %s %.0f GFLOP/s", all[i].name.c_str(), 2e-9 * static_cast<double>(rows * s.inputs * s.outputs) / t);
    }
    std::printf("\n");
  }
  double work = 0;
  for (auto const& s : shapes) { work += 2e-9 * static_cast<double>(rows * s.inputs * s.outputs); }
  std::printf("%s, all of a layer:", model);
  for (std::size_t i = 0; i < totals.size(); ++i) { std::printf(" %s %.0f", names[i].c_str(), work / totals[i]); }
  std::printf(" GFLOP/s\n");
}

/// The sum of all 8-byte words, so that every byte is read.
std::uint64_t read_all(int threads, std::vector<unsigned char> const& bytes) {
  ls::index_t const parts = 64;
  ls::index_t const words = static_cast<ls::index_t>(bytes.size()) / 8 / parts;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(parts));
  ls::parallel_for(threads, parts, [&](ls::index_t p) {
    auto const* from = reinterpret_cast<std::uint64_t const*>(bytes.data()) + p * words;
    sums[p] = std::accumulate(from, from + words, std::uint64_t{0});
  });
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

void decode(int threads, ls::index_t inputs, ls::index_t outputs) {
  std::uint64_t sink = 0;
  for (auto type : {ls::element_type::bf16, ls::element_type::f16, ls::element_type::f32, ls::element_type::q8_0}) {
    // Far more than the caches hold, as a model's weights are.
    std::vector<unsigned char> bytes(std::size_t{1} << 28, 0x11);
    ls::weight_view const first{type, outputs, inputs, bytes.data()};
    ls::index_t const matrices = static_cast<ls::index_t>(bytes.size()) / first.bytes();
    auto const x = numbers(16 * inputs, 3);
    std::vector<float> out(static_cast<std::size_t>(16 * outputs));
    std::vector<contestant> all;
    all.push_back({"read", [&] { sink += read_all(threads, bytes); }});
    for (ls::index_t rows : {1, 2, 4, 8, 16}) {
      all.push_back({std::to_string(rows), [&, rows] {
                       for (ls::index_t m = 0; m < matrices; ++m) {
                         auto w = first;
                         w.data = bytes.data() + m * first.bytes();
                         matmul(ls::cpu(threads), ls::tensor_view<float const, 2>(x.data(), {rows, inputs}), w, {},
                                ls::tensor_view<float, 2>(out.data(), {rows, outputs}));
                       }
                     }});
    }
    race(all, 7, threads);
    auto const total = static_cast<double>(matrices * first.bytes());
    auto const bandwidth = static_cast<double>(bytes.size()) / all[0].median();
    std::printf("%-5s %ld x %ld  read %.1f GB/s; share of it with rows", name_of(type), static_cast<long>(outputs),
                static_cast<long>(inputs), bandwidth * 1e-9);
    for (std::size_t i = 1; i < all.size(); ++i) { std::printf("  %s: %.2f", all[i].name.c_str(), total / all[i].median() / bandwidth); }
    std::printf("\n");
  }
  if (sink == 1) { std::printf(" "); }
}

}  // namespace

int main(int argc, char** argv) {
  int const threads = argc > 1 ? std::atoi(argv[1]) : ls::available_threads();
  ls::index_t const rows = argc > 2 ? std::atoi(argv[2]) : 512;
  std::printf("prefill products, %ld rows, %d threads, medians of 9 in turns\n", static_cast<long>(rows), threads);
  prefill(threads, rows, "110m", shapes_110m);
  prefill(threads, rows, "430m", shapes_430m);
  std::printf("decode products, %d threads, medians of 7 in turns\n", threads);
  decode(threads, 1024, 4096);
  decode(threads, 4096, 1024);
}
