// SPDX-License-Identifier: Apache-2.0
// What choosing the context tokens costs in decode, in the shape of an 8B model: 32 query heads of 128 over 8 KV heads, bf16, 1024 tokens kept. Each step goes to another
// layer, as decoding does, so that what one layer left in the cache does not serve the next. Then the whole of a step beside attention over the whole cache.
#include <span>
#include <string>

#include <loopserve/attention/decode.cuh>
#include <loopserve/kv/kept_rows.hpp>
#include <loopserve/kv/sketch_cache.hpp>
#include <loopserve/ops/copy.cuh>
#include <loopserve/ops/gather.cuh>
#include <loopserve/ops/key_mass.cuh>
#include <loopserve/ops/key_sketch.cuh>
#include <loopserve/ops/top_k.cuh>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int heads = 32, kv_heads = 8, head_dim = 128, budget = 1024, bits = 2, layers = 8, steps = 8, interval = 16;

/// The kept rows of a layer, and room for their copies.
class held_rows {
 public:
  explicit held_rows(ls::cuda const& b)
      : elements_(b.make_buffer<ls::bf16>(2 * size)), ints_(b.make_buffer<int>(3 * ls::index_t{kv_heads} * budget)), counts_(b.make_buffer<int>(2 * kv_heads)),
        pages_(b.make_buffer<ls::bf16 const*>(2 * kv_heads)) {
    std::vector<ls::bf16 const*> pages;
    for (int line = 0; line < 2 * kv_heads; ++line) { pages.push_back(elements_.data() + ls::index_t{line} * budget * head_dim); }
    b.copy_to_device(pages_.data(), pages.data(), pages_.bytes());
    b.fill(counts_.data(), 0, counts_.bytes());
  }

  ls::gathered_rows_view<ls::bf16> room() {
    int* const ints = ints_.data();
    constexpr int line = kv_heads * budget;
    return {budget, elements_.data(), elements_.data() + size, ints, ints + line, ints + 2 * line, counts_.data(), counts_.data() + kv_heads};
  }
  ls::kv_view<ls::bf16> view() const {
    ls::kv_view<ls::bf16> kv;
    kv.key_pages = pages_.data();
    kv.value_pages = pages_.data() + kv_heads;
    kv.page_table_stride = 1;
    kv.row_stride = head_dim;
    kv.kv_heads = kv_heads;
    kv.head_dim = head_dim;
    kv.tokens = budget;
    kv.lengths = counts_.data();
    kv.positions = ints_.data();
    kv.positions_stride = budget;
    return kv;
  }

 private:
  static constexpr ls::index_t size = ls::index_t{kv_heads} * budget * head_dim;
  ls::cuda_buffer<ls::bf16> elements_;
  ls::cuda_buffer<int> ints_, counts_;
  ls::cuda_buffer<ls::bf16 const*> pages_;
};

/// A layer's context and what decoding keeps of it. Its queries change a little from step to step, as an answer's do.
struct layer {
  layer(ls::cuda const& b, int context, int seed)
      : kv(b, context, kv_heads, head_dim, static_cast<std::uint64_t>(seed)), sketch(b, bits), core(b), keep(b), held(b),
        scores(b.make_buffer<float>(ls::index_t{kv_heads} * context)), q(b.make_buffer<float>(ls::index_t{steps} * heads * head_dim)),
        out(b.make_buffer<float>(heads * head_dim)) {
    sketch.grow(kv.view());
    ls::counter_rng const draw{static_cast<std::uint64_t>(seed)};
    std::vector<float> rows(static_cast<std::size_t>(q.size()));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      float const fresh = static_cast<float>(5.2 * draw.uniform(i) - 2.6);
      rows[i] = i < heads * head_dim ? fresh : 0.95F * rows[i - heads * head_dim] + 0.3F * fresh;
    }
    b.copy_to_device(q.data(), rows.data(), q.bytes());
    std::vector<ls::decode_record<ls::bf16>> records;
    for (int s = 0; s < steps; ++s) {
      for (auto const& part : {held.view(), kv.view()}) {
        records.push_back(ls::record_of(ls::decode_job<ls::bf16>{query(s)[0], {part, {}}, 0, {out.data(), {heads, head_dim}}}));
      }
    }
    few = ls::bounds_of(std::span<ls::decode_record<ls::bf16> const>(records.data(), 1));
    all = ls::bounds_of(std::span<ls::decode_record<ls::bf16> const>(records.data() + 1, 1));
    on_device = b.make_buffer<ls::decode_record<ls::bf16>>(2 * steps);
    b.copy_to_device(on_device.data(), records.data(), on_device.bytes());
  }

  ls::tensor_view<float const, 3> query(int step) const { return {q.data() + ls::index_t{step} * heads * head_dim, {1, heads, head_dim}}; }
  ls::tensor_view<float, 2> score() { return {scores.data(), {kv_heads, kv.view().tokens}}; }

  bench::random_kv kv;
  ls::sketch_cache<ls::cuda const> sketch;
  ls::kept_rows<ls::cuda const> core, keep;
  held_rows held;
  ls::cuda_buffer<float> scores, q, out;
  ls::cuda_buffer<ls::decode_record<ls::bf16>> on_device;
  ls::decode_bounds few, all;
};

void measure_context(bench::report& r, ls::cuda const& b, int context) {
  auto const shape = std::to_string(context >> 10) + "k";
  std::vector<layer> model;
  for (int l = 0; l < layers; ++l) { model.emplace_back(b, context, l + 1); }
  auto states = b.make_buffer<float>(model[0].all.state_floats());
  auto const tail = bench::random_numbers<float>(b, ls::index_t{64} * heads * head_dim, 77, 1.5F);
  auto const of = [&](int i) -> layer& { return model[static_cast<std::size_t>(i % layers)]; };
  auto const step_of = [](int i) { return i / layers % steps; };
  auto const add = [&](char const* work, bench::timing t, bench::report::fields more = {}) {
    bench::report::fields f{{"tokens", context}, {"us", t.median}, {"us_low", t.low}, {"us_high", t.high}};
    f.insert(f.end(), more.begin(), more.end());
    r.row(work, shape, f);
    return t.median;
  };
  auto const time = [&](auto queue) { return bench::time_of(b, 4 * layers, queue, layers); };

  auto const mass = [&](int queries) {
    return [&, queries](int i) { key_mass(b, ls::tensor_view<float const, 3>(tail.data(), {queries, heads, head_dim}), of(i).kv.view(), {}, of(i).score()); };
  };
  add("key_mass of 16 queries", time(mass(interval)));
  add("key_mass of 64 queries", time(mass(64)));
  auto const choose_core = [&](int i) {
    mass(interval)(i);
    top_k(b, of(i).score(), budget / 2, -1e30F, of(i).core.lists(kv_heads, budget / 2));
  };
  double const core = add("the core chosen again: key_mass of 16 queries, best rows", time(choose_core));
  auto const sketch = [&](int i) { sketch_scores(b, of(i).query(step_of(i)), of(i).kv.view(), of(i).sketch.view(), of(i).score()); };
  auto const best = [&](int i) {
    force_rows(b, of(i).score(), of(i).core.view());
    top_k(b, of(i).score(), budget, -1e30F, of(i).keep.lists(kv_heads, budget));
  };
  auto const gather = [&](int i) { gather_rows(b, of(i).kv.view(), of(i).keep.view(), of(i).held.room()); };
  auto const attend = [&](int i) { attend_decode(b, of(i).on_device.data() + 2 * step_of(i), of(i).few, states.data()); };
  auto const attend_all = [&](int i) { attend_decode(b, of(i).on_device.data() + 2 * step_of(i) + 1, of(i).all, states.data()); };

  double const codes = static_cast<double>(ls::sketch_cache<ls::cuda const>::bytes_for(kv_heads, head_dim, bits, context / ls::sketch_group));
  add("sketch scores", time(sketch), {{"bytes", codes}});
  add("the best rows (top_k)", time(best));
  add("gather", time(gather));
  double const kept = add("decode attention, working set", time(attend));
  double const whole = add("decode attention, whole cache, rotating layers", time(attend_all));
  double const recall = add("a step with recall: scores, best rows, gather, attention", time([&](int i) {
    sketch(i);
    best(i);
    gather(i);
    attend(i);
  }));
  r.row("working set / whole cache", shape, {{"tokens", context}, {"share", kept / whole}});
  r.row("with recall / whole cache", shape, {{"tokens", context}, {"share", recall / whole}});
  r.row("re-selection, a sixteenth of it each step / whole cache", shape, {{"tokens", context}, {"us", core / interval}, {"share", core / interval / whole}});
}

void measure(bench::report& r) {
  ls::cuda const b;
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
  for (int const context : {1 << 14, 1 << 15, 1 << 16, 1 << 17}) { measure_context(r, b, context); }
  r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
}

}  // namespace

int main() { return bench::run(measure); }
