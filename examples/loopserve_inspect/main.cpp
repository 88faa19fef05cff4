// SPDX-License-Identifier: Apache-2.0
/// loopserve-inspect MODEL: what a model holds and takes, and what it makes of a text.
#include <cmath>
#include <iostream>
#include <numeric>

#include "../shared/guarded_main.hpp"
#include "../shared/model_text.hpp"
#include "facts.hpp"
#include "flags.hpp"
#include "read_text.hpp"
#include "work.hpp"

namespace inspect {
namespace {

bool of_cpu(settings const& s) { return s.backend == "cpu"; }

int tokenize(settings const& s) {
  auto const words = programs::tokenizer_at(s.model);
  std::string line;
  for (auto const id : words.encode(read_text(s.tokenize))) {
    if (!line.empty()) { line += ' '; }
    line += std::to_string(loopserve::raw(id));
  }
  std::cout << line << std::endl;
  return 0;
}

/// The ids of a file that holds ids, or those of its text after what the tokenizer itself puts in front.
std::vector<loopserve::token_id> scored_ids(settings const& s, loopserve::model_files const& files) {
  auto const text = read_text(s.score);
  if (s.ids) { return ids_of(text, s.score, files.shape().vocabulary); }
  auto const words = programs::tokenizer_of(files);
  auto ids = words.initial_tokens();
  auto const of_text = words.encode(text);
  if (of_text.empty()) { throw loopserve::error(s.score + " gives no token, so there is nothing to score"); }
  ids.insert(ids.end(), of_text.begin(), of_text.end());
  return ids;
}

int score(settings const& s) {
  auto const files = loopserve::model_files::open(s.model.string());
  auto const ids = scored_ids(s, *files);
  auto const result = of_cpu(s) ? score_cpu(s, files, ids) : score_reference(s, files, ids);
  nlohmann::ordered_json out;
  out["ids"] = nlohmann::ordered_json::array();
  for (auto const id : ids) { out["ids"].push_back(loopserve::raw(id)); }
  out["logprobs"] = result.logprobs;
  out["last_logits"] = result.last_logits;
  double const sum = std::accumulate(result.logprobs.begin(), result.logprobs.end(), 0.0);
  out["nll_mean"] = result.logprobs.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(-sum / static_cast<double>(result.logprobs.size()));
  std::cout << out.dump() << std::endl;
  return 0;
}

int describe(settings const& s) {
  auto const files = loopserve::model_files::open(s.model.string());
  auto facts = facts_of(*files);
  if (s.context > files->shape().max_context) {
    std::cerr << "loopserve-inspect: the model was made for " << files->shape().max_context << " tokens of context, not for " << s.context << std::endl;
  }
  if (s.context > 0 || s.memory > 0) { facts["memory"] = facts_of(of_cpu(s) ? plan_cpu(s, files) : plan_reference(s, files)); }
  if (s.json) {
    std::cout << facts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  } else {
    std::cout << text_of(facts) << std::flush;
  }
  return 0;
}

}  // namespace
}  // namespace inspect

int main(int argc, char** argv) {
  CLI::App app("Shows what a model holds and takes, and what it makes of a text.", "loopserve-inspect");
  inspect::settings s;
  inspect::add_flags(app, s);
  return programs::guarded_main(app, argc, argv, [&] {
    if (!s.score.empty() && app.count("--mode") == 0) { s.parts.mode = "dense"; }
    return !s.tokenize.empty() ? inspect::tokenize(s) : !s.score.empty() ? inspect::score(s) : inspect::describe(s);
  });
}
