// SPDX-License-Identifier: Apache-2.0
// A whole model of the 8B shape in the engine (32 layers of 4096, 32 query heads of 128 over 8 KV heads, feed forward 14336, 128256 words), random bf16 weights whose attention
// has structure: turns of 2k new tokens over 8k to 128k, and steps of decoding over 16k and 128k, for one conversation and for eight. Each is done by the dense engine's parts and
// by the default ones in turn, on forks of one history, with other tokens each time; steps of decoding are replayed by CUDA graphs, as the engine does, and queued anew for comparison.
// A time is that between two events around a step, all that the host does in it included.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/loopserve.cuh>

#include "../../examples/loopserve_bench/switched.hpp"
#include "../../examples/planted_model.hpp"
#include "measure.cuh"
#include "report.hpp"

namespace bench {

/// A GPU on which steps of decoding are replayed, or queued anew each time.
class switched_cuda : public ls::cuda {
 public:
  explicit switched_cuda(switch_type replays) : replays_(std::move(replays)) {}

  template <class Body>
  void replay(step& last, Body&& body) const {
    if (*replays_) { return ls::cuda::replay(last, std::forward<Body>(body)); }
    std::forward<Body>(body)();
  }

 private:
  switch_type replays_;
};

/// Line-sparse where the parts of LoopServe are on, otherwise dense attention that looks at no plan.
class switched_attention {
 public:
  using backend_type = switched_cuda;
  struct options {
    switch_type on = std::make_shared<bool const>(true);
  };

  switched_attention(switched_cuda& b, options o) : on_(o.on), sparse_(b), dense_(b) {}

  template <class Element>
  void prefill(std::span<ls::prefill_job<Element> const> jobs) {
    if (*on_) { return sparse_.prefill(jobs); }
    dense_.prefill(jobs);
  }
  template <class Element>
  void decode(std::span<ls::decode_job<Element> const> jobs) {
    dense_.decode(jobs);  // the same for both
  }

 private:
  switch_type on_;
  ls::line_sparse_attention<switched_cuda> sparse_;
  ls::dense_attention<switched_cuda> dense_;
};

}  // namespace bench

namespace {

namespace ls = loopserve;
constexpr int fresh = 2048, batch = 8, asked = 64, answered = 64, warm_up = 16;

struct config : ls::defaults<bench::switched_cuda> {
  using attention = bench::switched_attention;
  using selector = bench::switched_selector<ls::online_vertical_slash<backend>>;
  using compressor = bench::switched_compressor<ls::with_recall<ls::progressive<backend>>>;
};

using conversation = std::unique_ptr<ls::dialogue<config>>;

ls::model_shape shape_8b() {
  ls::model_shape shape;
  shape.layers = 32, shape.width = 4096, shape.heads = 32, shape.kv_heads = 8, shape.head_dim = 128, shape.feed_forward = 14336;
  shape.vocabulary = 128256, shape.max_context = 1 << 18;
  return shape;
}

/// Of the matrices, the embedding and the head apart.
ls::index_t weights_bytes(ls::model_shape const& s) {
  ls::index_t const attention = ls::index_t{2} * s.width * (s.heads + s.kv_heads) * s.head_dim, feed_forward = ls::index_t{3} * s.width * s.feed_forward;
  return 2 * (s.layers * (attention + feed_forward) + ls::index_t{2} * s.vocabulary * s.width);
}

/// What a series of steps took, in microseconds, and how many of them were replayed whole.
struct series {
  std::vector<double> us;
  double replayed_share = 0;

  double mean() const {
    double sum = 0;
    for (double t : us) { sum += t; }
    return sum / static_cast<double>(us.size());
  }
};

class whole_model {
 public:
  explicit whole_model(ls::model_shape const& shape)
      : shape_(shape),
        on_(std::make_shared<bool>(true)),
        replays_(std::make_shared<bool>(true)),
        backend_(replays_),
        engine_(backend_, config::model(backend_, weights(shape)), {shape.layers, shape.kv_heads, shape.head_dim}, options(on_), {}) {}

  static ls::engine_options<config> options(bench::switch_type on) {
    ls::engine_options<config> o;
    o.selector.on = on, o.compressor.on = on, o.attention.on = on;
    return o;
  }

  conversation open() { return engine_.open(); }
  void close(conversation& c) { engine_.close(*c); }

  /// Lets the history grow to `tokens` tokens, by the default parts.
  void grow(conversation& c, int tokens, std::uint64_t seed) {
    *on_ = true;
    auto all = c->cached;
    append(all, tokens - static_cast<int>(all.size()), seed);
    engine_.start(*c, std::move(all), {1, {}});
    while (engine_.busy()) { static_cast<void>(step()); }
    check(c);
  }

  /// Turns of `fresh` new tokens over the history, by both kinds of parts in turn; how much of the attention matrix the default ones look at.
  double turns(conversation const& history, series& dense, series& ours) {
    double area = 1;
    for (std::uint64_t repeat = 0; repeat < 5; ++repeat) {
      for (bool const on : {false, true}) {
        *on_ = on;
        auto c = engine_.fork(*history);
        auto all = c->cached;
        append(all, fresh, 1000 + repeat);
        engine_.start(*c, std::move(all), {1, {}});
        double us = 0;
        while (engine_.busy()) { us += step(); }
        check(c);
        if (repeat > 0) { (on ? ours : dense).us.push_back(us); }
        if (on) { area = c->reports.back().area(); }
        engine_.close(*c);
      }
    }
    return area;
  }

  /// Steps that bring a token to each of the conversations, whose histories are forked.
  series steps(std::vector<conversation> const& histories, bool on, bool replays, std::uint64_t seed) {
    *on_ = on;
    *replays_ = replays;
    std::vector<conversation> all;
    for (auto const& history : histories) {
      auto& c = all.emplace_back(engine_.fork(*history));
      auto tokens = c->cached;
      append(tokens, asked, ++seed);
      engine_.start(*c, std::move(tokens), {1 + warm_up + answered, {}});
    }
    while (std::any_of(all.begin(), all.end(), [](auto const& c) { return c->turn.phase == ls::turn_phase::prefill; })) { static_cast<void>(step()); }
    series found;
    while (engine_.busy()) { found.us.push_back(step()); }
    for (auto& c : all) {
      check(c);
      engine_.close(*c);
    }
    // Of several, the first were already answering while the last ones' input was read.
    ls::check(static_cast<int>(found.us.size()) >= answered, "a step brings a token to each conversation");
    found.us.erase(found.us.begin(), found.us.end() - answered);
    if (auto const counts = engine_.replayed(); counts.steps > 0) { found.replayed_share = static_cast<double>(counts.replayed) / static_cast<double>(counts.steps); }
    return found;
  }

 private:
  static ls::decoder_weights weights(ls::model_shape const& shape) {
    planted::strengths s;
    s.rope_base = 1e8;  // what carries the marks turns by less than a radian in 128k tokens
    return planted::make(shape, {.context = 1 << 17}, s);
  }

  void append(std::vector<ls::token_id>& to, int count, std::uint64_t seed) const {
    auto const added = planted::tokens(shape_, count, seed);
    to.insert(to.end(), added.begin(), added.end());
  }

  double step() {
    bench::event before, after;
    before.record(backend_.stream());
    engine_.step();
    after.record(backend_.stream());
    backend_.synchronize();
    return after.us_since(before);
  }

  static void check(conversation const& c) {
    if (c->failure) { std::rethrow_exception(c->failure); }
  }

  ls::model_shape shape_;
  std::shared_ptr<bool> on_, replays_;
  bench::switched_cuda backend_;
  ls::token_engine<config> engine_;
};

void add(bench::report& r, std::string const& work, std::string const& shape, int tokens, series const& s, bench::report::fields const& more) {
  auto const t = bench::timing_of(s.us);
  bench::report::fields f{{"tokens", tokens}, {"us", t.median}, {"us_low", t.low}, {"us_high", t.high}};
  f.insert(f.end(), more.begin(), more.end());
  r.row(work, shape, f);
}

void measure_turns(bench::report& r, whole_model& model, conversation const& history) {
  int const before = static_cast<int>(history->cached.size());
  auto const shape = "2k over " + std::to_string(before >> 10) + "k";
  series dense, ours;
  double const area = model.turns(history, dense, ours);
  double const faster = bench::timing_of(dense.us).median / bench::timing_of(ours.us).median;
  add(r, "a whole turn, dense", shape, before + fresh, dense, {});
  add(r, "a whole turn", shape, before + fresh, ours, {{"area", area}, {"times_faster", faster}});
}

void measure_steps(bench::report& r, whole_model& model, std::vector<conversation> const& histories) {
  int const tokens = static_cast<int>(histories[0]->cached.size());
  auto const count = static_cast<double>(histories.size());
  auto const shape = std::to_string(histories.size()) + " x " + std::to_string(tokens >> 10) + "k";
  double dense_us = 0;
  for (bool const on : {false, true}) {
    for (bool const replays : {true, false}) {
      auto const found = model.steps(histories, on, replays, on ? 3000 : 2000);
      // The mean: every sixteenth step chooses the core again.
      bench::report::fields more{{"batch", count}, {"us_mean", found.mean()}, {"tokens_per_second", 1e6 * count / found.mean()}};
      if (replays && !on) { dense_us = found.mean(); }
      if (replays && on) { more.emplace_back("times_faster", dense_us / found.mean()); }
      if (replays) { more.emplace_back("replayed_share", found.replayed_share); }
      add(r, std::string("a whole step of decoding") + (on ? "" : ", dense") + (replays ? "" : ", queued anew"), shape, tokens, found, more);
    }
  }
}

/// Whether the host has room for the weights, which are made there; if not, the report says so.
bool made_here(bench::report& r, ls::model_shape const& shape) {
  double const bytes = static_cast<double>(weights_bytes(shape)), memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (1.25 * bytes < memory) { return true; }
  r.left_out("an 8B model: its weights need " + std::to_string(static_cast<int>(std::ceil(1.25 * bytes / 0x1p30))) + " GiB of the host's memory while they are made");
  return false;
}

/// Whether the device has room for the weights, the histories and what forks add to them; if not, the report says so.
bool fits(bench::report& r, ls::model_shape const& shape, int tokens, int conversations) {
  auto const plan = ls::plan_memory<ls::defaults<ls::cuda>>(shape, weights_bytes(shape), {}, tokens);
  double const needed = static_cast<double>(plan.weights_bytes + plan.scratch_bytes) +
                        conversations * static_cast<double>(plan.cache_bytes + 2 * plan.compressor_bytes + plan.working_set_bytes) + 0x1p30;
  std::size_t free = 0, total = 0;
  ls::cuda_check(cudaMemGetInfo(&free, &total), "asking for the memory that is free");
  if (needed <= static_cast<double>(free)) { return true; }
  r.left_out("an 8B model with " + std::to_string(conversations) + " conversations of " + std::to_string(tokens >> 10) + "k: it needs " +
             std::to_string(static_cast<int>(std::ceil(needed / 0x1p30))) + " GiB of the device's memory");
  return false;
}

void measure(bench::report& r) {
  auto const shape = shape_8b();
  if (!made_here(r, shape)) { return; }
  bool const long_one = fits(r, shape, (1 << 17) + 2 * fresh, 1), eight = fits(r, shape, (1 << 14) + fresh, batch);
  if (!fits(r, shape, (1 << 15) + 2 * fresh, 1)) { return; }
  whole_model model(shape);

  std::vector<conversation> histories;
  histories.push_back(model.open());
  for (int const tokens : {1 << 13, 1 << 14, 1 << 15, 1 << 17}) {
    if (tokens > 1 << 15 && !long_one) { break; }
    model.grow(histories[0], tokens, static_cast<std::uint64_t>(tokens));
    if (tokens == 1 << 14 || tokens == 1 << 17) { measure_steps(r, model, histories); }
    if (tokens != 1 << 14) { measure_turns(r, model, histories[0]); }
  }
  model.close(histories[0]);
  histories.clear();
  for (int i = 0; eight && i < batch; ++i) {
    histories.push_back(model.open());
    model.grow(histories.back(), 1 << 14, 100 + static_cast<std::uint64_t>(i));
  }
  if (eight) { measure_steps(r, model, histories); }
}

}  // namespace

int main() { return bench::run(measure); }
