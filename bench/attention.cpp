// SPDX-License-Identifier: Apache-2.0
// What attention and selection cost against each other and against the machine, as ratios measured in one run. Arguments: threads (2), repeats (5),
// `processor` to count processor time instead of time (for one thread on a machine that does other things).
// The shape is that of a 110M Llama: 12 query heads of 64 over 4 KV heads, bf16, 16k tokens of history in pages of 64 tokens.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/ops/key_sketch.hpp>

#include "measure.hpp"

namespace ls = loopserve;

namespace {

constexpr int history = 16384, head_dim = 64, page = 64;

std::vector<float> random_floats(ls::index_t n, std::uint64_t seed) {
  ls::counter_rng const random{seed};
  std::vector<float> x(static_cast<std::size_t>(n));
  for (ls::index_t i = 0; i < n; ++i) { x[static_cast<std::size_t>(i)] = static_cast<float>(3 * random.uniform(static_cast<std::uint64_t>(i)) - 1.5); }
  return x;
}

/// One layer's keys and values in pages, bf16.
struct cache {
  cache(int tokens, int kv_heads, std::uint64_t seed) {
    int const pages = (tokens + page - 1) / page;
    auto const values = random_floats(ls::index_t{2} * kv_heads * pages * page * head_dim, seed);
    for (float x : values) { memory.emplace_back(x); }
    for (int i = 0; i < 2; ++i) {
      for (int p = 0; p < kv_heads * pages; ++p) { tables[i].push_back(memory.data() + (ls::index_t{i} * kv_heads * pages + p) * page * head_dim); }
    }
    view.key_pages = tables[0].data();
    view.value_pages = tables[1].data();
    view.page_table_stride = pages;
    view.page_shift = 6;
    view.row_stride = head_dim;
    view.kv_heads = kv_heads;
    view.head_dim = head_dim;
    view.tokens = tokens;
  }
  std::vector<ls::bf16> memory;
  std::vector<ls::bf16 const*> tables[2];
  ls::kv_view<ls::bf16> view;
};

/// A plan of 4 sinks, a local band, isolated slashes and as many verticals as reach the area.
struct planted {
  planted(ls::cpu& b, int heads, int rows, int keys, int band, int isolated, double area) : plan(b) {
    plan.reset(heads, rows, keys);
    view = plan.view();
    for (int h = 0; h < heads; ++h) {
      ls::counter_rng const random{static_cast<std::uint64_t>(h), 9};
      std::vector<char> vertical(static_cast<std::size_t>(keys)), slash(static_cast<std::size_t>(keys));
      for (int d = 0; d < band; ++d) { slash[static_cast<std::size_t>(d)] = 1; }
      for (int i = 0; i < isolated; ++i) { slash[random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(keys - 1024))] = 1; }
      for (int c = 0; c < 4; ++c) { vertical[static_cast<std::size_t>(c)] = 1; }
      view.dense[h] = 0;
      write(slash, view.slashes + h * view.stride, view.slash_counts[h]);
      for (std::uint64_t i = 1000;; ++i) {
        write(vertical, view.verticals + h * view.stride, view.vertical_counts[h]);
        if (static_cast<double>(ls::union_cells(view, h)) >= area * static_cast<double>(ls::causal_cells(rows, keys))) { break; }
        for (std::uint64_t j = 0; j < 8; ++j) { vertical[random.below(8 * i + j, static_cast<std::uint64_t>(keys - rows))] = 1; }
      }
      cells += ls::union_cells(view, h);
    }
    share = static_cast<double>(cells) / static_cast<double>(heads * ls::causal_cells(rows, keys));
  }
  static void write(std::vector<char> const& set, int* list, int& count) {
    count = 0;
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set[i] != 0) { list[count++] = static_cast<int>(i); }
    }
  }
  ls::line_plan<ls::cpu> plan;
  ls::line_plan_view view;
  ls::index_t cells = 0;
  double share = 0;
};

void prefill(ls::cpu& b, int rows, int repeats, double peak) {
  constexpr int heads = 12, kv_heads = 4;
  int const keys = history + rows;
  cache kv(keys, kv_heads, 1);
  // 600 tokens whose keys answer to what every query asks hold nearly all attention: verticals to find.
  auto q = random_floats(ls::index_t{rows} * heads * head_dim, 2);
  for (std::size_t i = 0; i < q.size(); i += head_dim) { q[i] += 8; }
  ls::counter_rng const random{6};
  for (int h = 0; h < kv_heads; ++h) {
    for (std::uint64_t i = 0; i < 600; ++i) { *const_cast<ls::bf16*>(kv.view.key(static_cast<int>(random.below(i, history)), h)) = ls::bf16(7.0F); }
  }
  std::vector<float> out(q.size());
  std::array<ls::index_t, 3> const extents{rows, heads, head_dim};
  auto const job = [&](ls::line_plan_view const* plan) {
    return std::vector<ls::prefill_job<ls::bf16>>{{{q.data(), extents}, kv.view, plan, 0, {out.data(), extents}}};
  };
  struct shape {
    int band, isolated;
    double area;
  };
  std::vector<shape> const shapes{{128, 0, 0.05}, {128, 0, 0.1}, {128, 0, 0.2}, {128, 40, 0.05}, {128, 40, 0.1}, {128, 80, 0.2}, {1024, 0, 0.08}};
  std::vector<planted> plans;
  for (auto const& s : shapes) { plans.emplace_back(b, heads, rows, keys, s.band, s.isolated, s.area); }
  std::vector<int> sampled;
  for (int i = 0; i < 64; ++i) { sampled.push_back(i < 48 ? i * (rows - 16) / 48 : rows - 64 + i); }
  std::vector<int> positions;
  for (int i : sampled) { positions.push_back(history + i); }
  ls::cover_result found;
  auto const select = [&](int steps) {
    ls::parallel_for(b.threads(), heads, [&](ls::index_t h) {
      thread_local std::vector<float> memory;
      memory.resize(static_cast<std::size_t>(64 * keys));
      ls::tensor_view<float, 2> const a(memory.data(), {64, keys});
      line_scores(b, ls::tensor_view<float const, 3>(q.data(), extents), kv.view, std::span<int const>(sampled), static_cast<int>(h), a);
      if (steps < 2) { return; }
      std::vector<int> verticals(static_cast<std::size_t>(keys)), slashes(verticals);
      int counts[2];
      unsigned char dense;
      float covered;
      ls::cover_result result;
      cover_lines(b, a, std::span<int const>(positions), rows, {}, {verticals.data(), slashes.data(), &counts[0], &counts[1], &dense, &covered, &result});
      if (h == 0) { found = result; }
    });
  };
  std::vector<std::function<void()>> things;
  auto const none = job(nullptr);
  things.emplace_back([&] { attend_dense(b, std::span<ls::prefill_job<ls::bf16> const>(none)); });
  things.emplace_back([&] { select(1); });
  things.emplace_back([&] { select(2); });
  std::vector<std::vector<ls::prefill_job<ls::bf16>>> jobs;
  for (auto& p : plans) { jobs.push_back(job(&p.view)); }
  for (auto& j : jobs) {
    things.emplace_back([&b, &j] { attend_lines(b, std::span<ls::prefill_job<ls::bf16> const>(j)); });
  }
  auto const ms = bench::interleaved(things, repeats);
  double const rate = 4.0 * head_dim * heads * static_cast<double>(ls::causal_cells(rows, keys)) / ms[0] / 1e6;
  std::printf("prefill of %d rows over %d tokens, one layer\n", rows, history);
  std::printf("  dense                        %8.2f ms, %.0f GFLOP/s, %.0f%% of peak\n", ms[0], rate, 100 * rate / peak);
  std::printf("  selection                    %8.2f ms, %.1f%% of dense (line scores %.1f%%); %d lines picked, area %.3f\n", ms[2], 100 * ms[2] / ms[0], 100 * ms[1] / ms[0],
              found.picks, static_cast<double>(found.area) / static_cast<double>(ls::causal_cells(rows, keys)));
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    std::printf("  band %4d, isolated %2d, area %.3f %6.2f ms, %.2f x area x dense\n", shapes[i].band, shapes[i].isolated, plans[i].share, ms[i + 3],
                ms[i + 3] / (plans[i].share * ms[0]));
  }
}

void decode(ls::cpu& b, int heads, int kv_heads, int repeats) {
  constexpr int layers = 12;
  std::vector<cache> kv;
  std::vector<ls::host_buffer<ls::f16>> bounds;
  std::vector<ls::host_buffer<std::uint32_t>> codes;
  std::vector<ls::key_sketch_view> sketches;
  for (int l = 0; l < layers; ++l) {
    kv.emplace_back(history, kv_heads, static_cast<std::uint64_t>(l));
    ls::key_sketch_view s;
    s.kv_heads = kv_heads;
    s.head_dim = head_dim;
    s.groups = history / ls::sketch_group;
    bounds.emplace_back(ls::index_t{2} * s.groups * kv_heads * head_dim);
    codes.emplace_back(ls::index_t{s.groups} * kv_heads * s.words() * ls::sketch_group);
    s.lo = bounds.back().data();
    s.step = s.lo + bounds.back().size() / 2;
    s.codes = codes.back().data();
    sketch_keys(b, kv.back().view, 0, s.groups, s);
    sketches.push_back(s);
  }
  auto const q = random_floats(heads * head_dim, 3);
  std::vector<float> out(q.size()), scores(static_cast<std::size_t>(kv_heads * history));
  std::array<ls::index_t, 2> const extents{heads, head_dim};
  float sink = 0;
  double const bytes = 4.0 * layers * kv_heads * history * head_dim;
  ls::host_buffer<float> memory(static_cast<ls::index_t>(bytes / 4));
  std::fill_n(memory.data(), memory.size(), 1.0F);
  auto const ms = bench::interleaved({[&] { bench::read_all(b.threads(), memory, sink); },
                                      [&] {
                                        for (auto const& c : kv) {
                                          std::vector<ls::decode_job<ls::bf16>> const jobs{{{q.data(), extents}, {c.view, {}}, 0, {out.data(), extents}}};
                                          attend_decode(b, std::span<ls::decode_job<ls::bf16> const>(jobs));
                                        }
                                      },
                                      [&] {
                                        for (std::size_t l = 0; l < kv.size(); ++l) {
                                          sketch_scores(b, ls::tensor_view<float const, 3>(q.data(), {1, heads, head_dim}), kv[l].view, sketches[l],
                                                        ls::tensor_view<float, 2>(scores.data(), {kv_heads, history}));
                                        }
                                      }},
                                     repeats);
  double const bandwidth = static_cast<double>(memory.bytes()) / ms[0] / 1e6, rate = bytes / ms[1] / 1e6;
  std::printf("decode over %d tokens, %d/%d heads, %d layers (%.0f MB of keys and values)\n", history, heads, kv_heads, layers, bytes / 1e6);
  std::printf("  attention     %8.3f ms a layer, %.1f GB/s, %.0f%% of the %.1f GB/s read\n", ms[1] / layers, rate, 100 * rate / bandwidth, bandwidth);
  std::printf("  sketch scores %8.3f ms a layer, %.0f%% of attention\n", ms[2] / layers, 100 * ms[2] / ms[1]);
  if (sink == 0.5F) { std::printf(" \n"); }
}

}  // namespace

int main(int argc, char** argv) {
  int const threads = argc > 1 ? std::atoi(argv[1]) : 2, repeats = argc > 2 ? std::atoi(argv[2]) : 5;
  bench::measured = argc > 3 && std::string(argv[3]) == "processor" ? bench::clock_kind::processor : bench::clock_kind::wall;
  ls::cpu b(threads);
  float sink = 0;
  double operations = 0;
  auto const ms = bench::interleaved({[&] { operations = bench::multiply_adds(threads, sink); }}, repeats);
  double const peak = operations / ms[0] / 1e6;
  std::printf("%d threads, float32 multiply-adds: %.0f GFLOP/s\n", threads, peak);
  prefill(b, 512, repeats, peak);
  prefill(b, 2048, repeats, peak);
  decode(b, 12, 4, repeats);
  decode(b, 16, 16, repeats);
  decode(b, 32, 4, repeats);
  return sink == 0.5F ? 1 : 0;
}
