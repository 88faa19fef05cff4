// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <loopserve/loopserve.hpp>

#include "switched.hpp"

namespace bench {

using namespace loopserve;

template <class Backend>
struct config : defaults<Backend> {
  using storage = any_storage<Backend>;
  using selector = switched_selector<online_vertical_slash<Backend>>;
  using compressor = switched_compressor<any_compressor<Backend>>;
};

/// Medians of one side of a comparison.
struct side {
  double total_ms = 0;
  double selection_ms = 0;  ///< prefill: choosing lines; decode: choosing the kept set again, and recall
  double attention_ms = 0;
  double gather_ms = 0;
};

/// One kind of work, dense against LoopServe, from interleaved repeats. Decode is per token.
struct comparison {
  std::string name;
  int tokens = 0;   ///< computed
  int context = 0;  ///< in the cache before
  side dense, loopserve;
  double area = 1;     ///< of LoopServe's prefill
  double kv_kept = 1;  ///< of LoopServe's decode

  double speedup() const { return dense.total_ms / loopserve.total_ms; }
};

inline double median(std::vector<double> values) {
  auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

inline side median_of(std::vector<side> const& runs) {
  auto const of = [&](double side::* member) {
    std::vector<double> values;
    for (auto const& r : runs) { values.push_back(r.*member); }
    return median(std::move(values));
  };
  return {of(&side::total_ms), of(&side::selection_ms), of(&side::attention_ms), of(&side::gather_ms)};
}

/// Runs turns on forks of one prefilled history, LoopServe's parts switched on and off in turn.
template <class Config>
class experiment {
 public:
  using tokens_of = std::function<std::vector<token_id>(int count, std::uint64_t seed)>;

  experiment(typename Config::backend& backend, typename Config::model network, engine_options<Config> options, std::shared_ptr<bool> on, tokens_of tokens, int repeats)
      : on_(std::move(on)),
        tokens_(std::move(tokens)),
        repeats_(repeats),
        shape_(network.shape()),
        engine_(backend, std::move(network), {shape_.layers, shape_.kv_heads, shape_.head_dim}, options, {}) {}

  /// A first turn of `tokens`.
  comparison prefill(int tokens) { return compare("prefill", 0, tokens, 1, prefill_side); }

  /// A turn of `tokens` over `history`.
  comparison turn(int history, int tokens) { return compare("turn", history, tokens, 1, prefill_side); }

  /// Answering `tokens` tokens over `context`.
  comparison decode(int context, int tokens) { return compare("decode", context - 1, 1, tokens + 1, decode_side); }

 private:
  static side prefill_side(turn_report const& r) { return {r.ms.prefill_ms, r.ms.selection_ms, r.ms.attention_ms, 0}; }

  static side decode_side(turn_report const& r) {
    double const steps = std::max(1, r.tokens_out - 1);  // the first token comes from prefill
    return {r.ms.decode_ms / steps, (r.ms.reselection_ms + r.ms.recall_ms) / steps, r.ms.decode_attention_ms / steps, r.ms.gather_ms / steps};
  }

  comparison compare(char const* name, int history, int fresh, int answer, side (*of)(turn_report const&)) {
    *on_ = true;
    auto const past = prefilled(history);
    std::vector<side> dense, loopserve;
    comparison result{name, fresh == 1 ? answer - 1 : fresh, fresh == 1 ? history + 1 : history, {}, {}, 1, 1};
    for (int repeat = -1; repeat < repeats_; ++repeat) {  // the first round warms up
      for (bool const on : {false, true}) {
        *on_ = on;
        auto const d = engine_.fork(*past);
        auto tokens = past->cached;
        auto const added = tokens_(fresh, 1000 + static_cast<std::uint64_t>(repeat));
        tokens.insert(tokens.end(), added.begin(), added.end());
        run(*d, std::move(tokens), answer);
        auto const& report = d->reports.back();
        if (repeat >= 0) { (on ? loopserve : dense).push_back(of(report)); }
        if (on) {
          result.area = report.area();
          result.kv_kept = report.kv_kept();
        }
        engine_.close(*d);
      }
    }
    engine_.close(*past);
    result.dense = median_of(dense);
    result.loopserve = median_of(loopserve);
    return result;
  }

  std::unique_ptr<dialogue<Config>> prefilled(int history) {
    auto d = engine_.open();
    if (history > 0) { run(*d, tokens_(history, 1), 1); }
    return d;
  }

  void run(dialogue<Config>& d, std::vector<token_id> tokens, int answer) {
    engine_.start(d, std::move(tokens), {answer, {}});
    while (engine_.busy()) { engine_.step(); }
    if (d.failure) { std::rethrow_exception(d.failure); }
  }

  std::shared_ptr<bool> on_;
  tokens_of tokens_;
  int repeats_;
  model_shape shape_;
  token_engine<Config> engine_;
};

}  // namespace bench
