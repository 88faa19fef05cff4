// SPDX-License-Identifier: Apache-2.0
#include "side.hpp"

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/kv/any_compressor.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/prefill/any_selector.hpp>
#include <loopserve/serve/defaults.hpp>
#include <loopserve/serve/engine.hpp>


namespace demo {
namespace {

/// The default parts, chosen by name, with the selector of this program around the one that is chosen.
struct parts_by_name : loopserve::defaults<loopserve::cpu> {
  using selector = recording<loopserve::any_selector<backend>>;
  using compressor = loopserve::any_compressor<backend>;
};

loopserve::engine_options<parts_by_name> options_of(side_settings const& s, std::shared_ptr<std::vector<recorded_plan>> book) {
  loopserve::engine_options<parts_by_name> o;
  o.selector.inner.name = s.sparse ? "online_vertical_slash" : "dense";
  o.selector.inner.online_vertical_slash.alpha = s.alpha;
  o.selector.inner.online_vertical_slash.fall_back = false;
  o.selector.book = std::move(book);
  o.compressor.name = s.sparse ? "with_recall:progressive" : "keep_all";
  o.compressor.budget = loopserve::kv_budget::of_context(s.budget_share);
  o.threads = s.threads;
  return o;
}

}  // namespace

struct side::parts {
  explicit parts(side_settings const& s)
      : book(std::make_shared<std::vector<recorded_plan>>()), engine(s.model, options_of(s, book)), talk(engine.open({.max_tokens = s.max_tokens})) {}

  std::shared_ptr<std::vector<recorded_plan>> book;
  loopserve::engine<parts_by_name> engine;
  loopserve::conversation<parts_by_name> talk;
};

side::side(side_settings const& s) : parts_(std::make_unique<parts>(s)) {}
side::side(side&&) noexcept = default;
side::~side() = default;

side_turn side::say(std::string const& text) {
  auto answer = parts_->talk.say(text);
  return {answer.text(), answer.report()};
}

std::vector<recorded_plan> const& side::plans() const { return *parts_->book; }

}  // namespace demo
