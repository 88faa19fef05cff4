// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/serve/engine.hpp>

#include "../shared/by_name.hpp"
#include "../shared/checked_weights.hpp"
#include "engine_settings.hpp"
#include "partner.hpp"
#include "template_of_model.hpp"

namespace chat {

/// A partner over an engine of one backend.
template <class Backend>
class engine_partner final : public partner {
 public:
  using config = programs::by_name<Backend>;

  explicit engine_partner(settings const& s)
      : files_(checked(s)), engine_(files_, engine_settings<config>(s)), talk_(conversation_settings(s, *files_)) {}

  void open() override { enter(engine_.open(talk_)); }
  void fork() override { enter(now().fork()); }
  int count() const override { return static_cast<int>(talks_.size()); }
  int current() const override { return static_cast<int>(current_); }
  void select(int conversation) override {
    if (conversation < 0 || conversation >= count()) { throw loopserve::error("there are conversations 1 to " + std::to_string(count())); }
    current_ = static_cast<std::size_t>(conversation);
  }
  void close_all() override { talks_.clear(); }

  turn_result say(std::string_view text, listener const& heard) override {
    auto answer = now().say(text);
    for (auto at = now().reading(); at.done < at.total; at = now().reading()) {
      if (heard.reading) { heard.reading(at.done, at.total); }
      engine_.step();
    }
    for (auto const& piece : answer) {
      if (heard.piece) { heard.piece(piece); }
    }
    turn_result result{answer.text(), {}, answer.report()};
    for (auto const t : now().last_answer()) { result.ids.push_back(loopserve::raw(t)); }
    return result;
  }

  void cancel() noexcept override { now().cancel(); }
  void rewind(int turns) override { now().rewind(turns); }
  std::vector<loopserve::turn_report> reports() const override {
    auto const list = talks_.at(current_).reports();
    return {list.begin(), list.end()};
  }

 private:
  static std::shared_ptr<loopserve::model_files const> checked(settings const& s) {
    programs::check_names<config>(engine_settings<config>(s));
    auto files = loopserve::model_files::open(s.model.string());
    if (!s.raw) { look_at_template(*files); }
    programs::check_weights(*files);
    return files;
  }
  loopserve::conversation<config>& now() { return talks_[current_]; }
  void enter(loopserve::conversation<config> talk) {
    talks_.push_back(std::move(talk));
    current_ = talks_.size() - 1;
  }

  std::shared_ptr<loopserve::model_files const> files_;
  loopserve::engine<config> engine_;
  loopserve::conversation_options talk_;
  std::vector<loopserve::conversation<config>> talks_;
  std::size_t current_ = 0;
};

}  // namespace chat
