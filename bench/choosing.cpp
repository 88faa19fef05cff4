// SPDX-License-Identifier: Apache-2.0
// What choosing the context tokens of one layer costs in decode, step by step of with_recall<progressive>, beside the attention that it saves. Arguments:
// threads (2), repeats (9), `processor` to count processor time instead of time (for one thread on a machine that does other things).
// The shape is that of a 110M Llama: 12 query heads of 64 over 4 KV heads, bf16, 12 layers of 16k tokens, 1,024 of them kept.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/core/rng.hpp>
#include <loopserve/kv/paged.hpp>
#include <loopserve/kv/sketch_cache.hpp>
#include <loopserve/kv/working_set.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/ops/top_k.hpp>
#include <loopserve/testing/host_kv.hpp>

#include "measure.hpp"

namespace ls = loopserve;

namespace {

constexpr int context = 16384, heads = 12, kv_heads = 4, head_dim = 64, layers = 12, budget = 1024, steps = 8;

struct layer {
  layer(ls::cpu& b, ls::kv_view<ls::bf16> context_of_layer) : kv(context_of_layer), sketch(b, 2), core(b), keep(b), rows(b) { sketch.grow(kv); }
  ls::kv_view<ls::bf16> kv;
  ls::sketch_cache<ls::cpu> sketch;
  ls::kept_rows<ls::cpu> core, keep;
  ls::working_set<ls::cpu> rows;
};

}  // namespace

int main(int argc, char** argv) {
  int const threads = argc > 1 ? std::atoi(argv[1]) : 2, repeats = argc > 2 ? std::atoi(argv[2]) : 9;
  bench::measured = argc > 3 && std::string(argv[3]) == "processor" ? bench::clock_kind::processor : bench::clock_kind::wall;
  ls::cpu b(threads);
  ls::paged<ls::cpu, ls::bf16> storage{b, {layers, kv_heads, head_dim}};
  auto const id = storage.open();
  std::vector<layer> model;
  std::vector<float> random(static_cast<std::size_t>(context * kv_heads * head_dim));
  ls::tensor_view<float const, 3> const keys(random.data(), {context, kv_heads, head_dim});
  for (int l = 0; l < layers; ++l) {
    ls::counter_rng const stream{static_cast<std::uint64_t>(l)};
    for (std::size_t i = 0; i < random.size(); ++i) { random[i] = static_cast<float>(3 * stream.uniform(i) - 1.5); }
    storage.append(id, l, keys, keys);
    model.emplace_back(b, storage.view(id, l));
  }
  // Each step's query is near the one before, as an answer's are.
  auto q = ls::testing::normal_floats({3}, ls::index_t{steps} * heads * head_dim, 1.5);
  for (std::size_t i = heads * head_dim; i < q.size(); ++i) { q[i] = 0.95F * q[i - heads * head_dim] + 0.3F * q[i]; }
  auto const tail = ls::testing::normal_floats({4}, ls::index_t{64} * heads * head_dim, 1.5);
  std::vector<float> memory(static_cast<std::size_t>(kv_heads * context)), out(heads * head_dim);
  ls::tensor_view<float, 2> const scores(memory.data(), {kv_heads, context});
  auto const rows_of = [&](std::vector<float> const& x, int n) { return ls::tensor_view<float const, 3>(x.data(), {n, heads, head_dim}); };
  auto const best = [&](ls::kept_rows<ls::cpu>& keep, int k) { top_k(b, scores, k, -1e30F, keep.lists(kv_heads, k)); };
  for (auto& l : model) {
    key_mass(b, rows_of(tail, 16), l.kv, {}, scores);
    best(l.core, budget / 2);
  }

  int step = 0;
  double found_ms = 0;
  double gather_ms = 0, attend_ms = 0, recall_ms = 0;
  auto const add_time = [](double& ms, auto&& f) { ms += bench::milliseconds(f); };
  auto const token = [&] {
    step = (step + 1) % steps;
    ls::tensor_view<float const, 3> const query(q.data() + step * heads * head_dim, {1, heads, head_dim});
    for (auto& l : model) {
      auto const kv = l.kv;
      add_time(recall_ms, [&] { sketch_scores(b, query, kv, l.sketch.view(), scores); });
      add_time(found_ms, [&] {
        force_rows(b, scores, l.core.view());
        best(l.keep, budget);
      });
      add_time(gather_ms, [&] { l.rows.assign(b, kv, l.keep.view()); });
      std::vector<ls::decode_job<ls::bf16>> const jobs{{query[0], {l.rows.view<ls::bf16>(), {}}, 0, {out.data(), {heads, head_dim}}}};
      add_time(attend_ms, [&] { attend_decode(b, std::span<ls::decode_job<ls::bf16> const>(jobs)); });
    }
  };
  std::size_t at = 0;
  auto const mass = [&](int n) {
    auto& l = model[at++ % model.size()];
    ls::key_mass_options o;
    o.tail = n == 64;
    key_mass(b, rows_of(tail, n), l.kv, o, scores);
  };
  std::vector<double> parts[4];
  for (int r = 0; r < repeats + steps; ++r) {
    recall_ms = found_ms = gather_ms = attend_ms = 0;
    token();
    if (r < steps) { continue; }
    parts[0].push_back(recall_ms / layers);
    parts[1].push_back(found_ms / layers);
    parts[2].push_back(gather_ms / layers);
    parts[3].push_back(attend_ms / layers);
  }
  ls::index_t copied = 0;
  for (auto& l : model) { copied -= l.rows.rows_copied(); }
  token();
  for (auto& l : model) { copied += l.rows.rows_copied(); }
  auto const middle = [](std::vector<double>& x) {
    std::sort(x.begin(), x.end());
    return x[x.size() / 2];
  };
  auto const ms = bench::interleaved({[&] { mass(64); }, [&] { mass(16); }, [&] { mass(1); },
                                      [&] {
                                        std::vector<ls::decode_job<ls::bf16>> const jobs{
                                            {rows_of(q, 1)[0], {model[at++ % model.size()].kv, {}}, 0, {out.data(), {heads, head_dim}}}};
                                        attend_decode(b, std::span<ls::decode_job<ls::bf16> const>(jobs));
                                      }},
                                     repeats);
  std::printf("milliseconds a layer, %d threads; %d of %d tokens kept\n", threads, budget, context);
  std::printf("  once a turn       key_mass of 64 queries %8.3f, of 1 query %8.3f\n", ms[0], ms[2]);
  std::printf("  once in 16 tokens key_mass of 16 queries %8.3f\n", ms[1]);
  std::printf("  every token       sketch scores %8.3f, best rows %8.3f, gather %8.3f (%.0f rows of a KV head), attention %8.3f\n", middle(parts[0]), middle(parts[1]),
              middle(parts[2]), static_cast<double>(copied) / (layers * kv_heads), middle(parts[3]));
  std::printf("  instead of        dense attention %8.3f\n", ms[3]);
}
