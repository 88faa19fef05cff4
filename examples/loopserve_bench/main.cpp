// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <loopserve/loopserve.hpp>

#include "../planted_model.hpp"
#include "../shared/budget_text.hpp"
#include "../shared/guarded_main.hpp"
#include "../shared/number_checks.hpp"
#include "experiment.hpp"
#include "report.hpp"
#include "shape.hpp"

using namespace loopserve;

namespace {

struct flags {
  std::string shape = "110m";
  std::string type = "bf16";
  std::string model;
  double area = 0.1;
  int prefill = 4096;
  int history = 16384;
  int fresh = 512;
  int context = 16384;
  int decode_tokens = 32;
  std::string budget = "1024";
  double alpha = 0.955;
  std::string compressor = "with_recall:progressive";
  std::vector<std::string> only;
  int repeats = 3;
  int threads = 0;
  std::string kv_type;
  bool json = false;
};

element_type stored_type(std::string const& name) {
  for (auto type : {element_type::bf16, element_type::f16, element_type::f32}) {
    if (name == name_of(type)) { return type; }
  }
  throw error("--type: expected bf16, f16 or f32, found '" + name + "'");
}

using config = bench::config<cpu>;

engine_options<config> engine_numbers(flags const& f, bench::switch_type on, decoder_weights const& weights) {
  engine_options<config> o;
  o.threads = f.threads;
  o.selector.on = on;
  o.selector.inner.alpha = f.alpha;
  o.compressor.on = on;
  o.compressor.inner.name = f.compressor;
  o.compressor.inner.budget = programs::budget_of(f.budget);
  if (!f.kv_type.empty()) { o.kv_type = stored_type(f.kv_type); }
  return settle_options<config>(o, weights.shape, weights.bytes());
}

/// Where the weights come from, and tokens that suit them.
struct subject {
  decoder_weights weights;
  typename bench::experiment<config>::tokens_of tokens;
  std::string name;
};

subject chosen_subject(flags const& f) {
  if (f.model.empty()) {
    planted::options o;
    o.type = stored_type(f.type);
    o.area = f.area;
    o.context = std::max(f.history, f.context);
    o.threads = f.threads;
    auto const shape = bench::parse_shape(f.shape);
    return {planted::make(shape, o), [shape](int n, std::uint64_t seed) { return planted::tokens(shape, n, seed); }, f.shape + " " + f.type + ", planted"};
  }
  auto weights = load_weights(*model_files::open(f.model), true);
  auto const vocabulary = static_cast<std::uint64_t>(weights.shape.vocabulary);
  auto random_tokens = [vocabulary](int n, std::uint64_t seed) {
    counter_rng const rng{seed};
    std::vector<token_id> ids;
    for (int i = 0; i < n; ++i) { ids.push_back(token_id(static_cast<int>(rng.below(static_cast<std::uint64_t>(i), vocabulary)))); }
    return ids;
  };
  return {std::move(weights), random_tokens, f.model};
}

bool wanted(flags const& f, std::string const& part) { return f.only.empty() || std::find(f.only.begin(), f.only.end(), part) != f.only.end(); }

int run(flags const& f) {
  auto const on = std::make_shared<bool>(true);
  auto chosen = chosen_subject(f);
  cpu backend(f.threads);
  auto const options = engine_numbers(f, on, chosen.weights);
  bench::experiment<config> work(backend, decoder<cpu>(backend, std::move(chosen.weights)), options, on, chosen.tokens, f.repeats);
  std::vector<bench::comparison> rows;
  if (wanted(f, "prefill")) { rows.push_back(work.prefill(f.prefill)); }
  if (wanted(f, "turn")) { rows.push_back(work.turn(f.history, f.fresh)); }
  if (wanted(f, "decode")) { rows.push_back(work.decode(f.context, f.decode_tokens)); }
  if (f.json) {
    nlohmann::json out{{"model", chosen.name}, {"threads", backend.threads()}, {"kv_type", name_of(options.storage.type)}, {"repeats", f.repeats}};
    for (auto const& r : rows) { out[r.name] = bench::to_json(r); }
    std::cout << out.dump() << std::endl;
    return 0;
  }
  std::cout << chosen.name << ", " << backend.threads() << " threads, KV in " << name_of(options.storage.type) << ", medians of " << f.repeats
            << " interleaved repeats; decode is per token" << std::endl;
  bench::print_table(rows);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  flags f;
  CLI::App app("Dense attention against LoopServe on one machine, in one run.", "loopserve-bench");
  app.add_option("--shape", f.shape, "110m, 430m or LAYERSxDIMxHEADSxKVxHEADDIMxFF: a random model with planted attention structure");
  app.add_option("--type", f.type, "of its weights: bf16, f16, f32");
  app.add_option("--area", f.area, "share of the attention cells that its structure asks for")->check(programs::share(0.03, 0.45));
  app.add_option("--model", f.model, "a GGUF file or model folder instead");
  app.add_option("--prefill", f.prefill, "tokens of a first turn")->check(programs::whole_from(1));
  app.add_option("--history", f.history, "tokens before the measured turn")->check(programs::whole_from(1));
  app.add_option("--new", f.fresh, "tokens of the measured turn")->check(programs::whole_from(1));
  app.add_option("--context", f.context, "tokens before the measured answer")->check(programs::whole_from(2, 1 << 20));
  app.add_option("--decode-tokens", f.decode_tokens, "tokens of the measured answer")->check(programs::whole_from(1));
  app.add_option("--budget", f.budget, "context tokens a KV head attends to: N or P%");
  app.add_option("--alpha", f.alpha, "share of the attention mass that the lines hold")->check(programs::share());
  app.add_option("--compressor", f.compressor, "progressive, with_recall:progressive, ...");
  app.add_option("--only", f.only, "prefill, turn, decode")->check(CLI::IsMember({"prefill", "turn", "decode"}));
  app.add_option("--repeats", f.repeats)->check(programs::whole_from(1));
  app.add_option("--threads", f.threads, "0: all")->check(programs::whole_from(0));
  app.add_option("--kv-type", f.kv_type, "of the cache: f16 (default), bf16, f32");
  app.add_flag("--json", f.json, "one JSON object instead of a table");
  return programs::guarded_main(app, argc, argv, [&] { return run(f); });
}
