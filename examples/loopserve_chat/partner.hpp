// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <loopserve/serve/turn_report.hpp>

#include "settings.hpp"

namespace chat {

/// What came of one turn.
struct turn_result {
  std::string text;
  std::vector<int> ids;
  loopserve::turn_report report;
};

/// Who is called while a turn runs. Empty ones are not called.
struct listener {
  std::function<void(int done, int total)> reading;     ///< input tokens computed so far, of those the cache lacked
  std::function<void(std::string const&)> piece;  ///< of the answer
};

/// An engine and its conversations, whatever its backend: programs that choose at run time keep each engine in a translation unit of its own.
class partner {
 public:
  virtual ~partner() = default;

  /// A new conversation becomes the current one; older ones are kept.
  virtual void open() = 0;
  /// A copy of the current conversation becomes the current one.
  virtual void fork() = 0;
  virtual int count() const = 0;
  virtual int current() const = 0;
  virtual void select(int conversation) = 0;
  /// Forgets all conversations.
  virtual void close_all() = 0;

  virtual turn_result say(std::string_view text, listener const& heard) = 0;
  /// Ends the answer under way. May be called from a signal handler: it sets a lock-free flag.
  virtual void cancel() noexcept = 0;
  virtual void rewind(int turns) = 0;
  virtual std::vector<loopserve::turn_report> reports() const = 0;
};

std::unique_ptr<partner> open_reference(settings const& s);
std::unique_ptr<partner> open_cpu(settings const& s);

inline std::unique_ptr<partner> open_partner(settings const& s) { return s.backend == "reference" ? open_reference(s) : open_cpu(s); }

}  // namespace chat
