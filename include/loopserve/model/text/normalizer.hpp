// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail {

/// What a tokenizer does to a text before it is split: a list of steps in order. Ill-formed bytes pass unchanged.
class normalizer {
 public:
  enum class kind { nfc, nfd, nfkc, nfkd, prepend, replace };
  struct step {
    kind what;
    std::string from = {};  ///< replace: this
    std::string to = {};    ///< replace: by this; prepend: this
  };

  normalizer() = default;
  explicit normalizer(std::vector<step> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }

  /// `joined` text goes on from an earlier one: nothing is prepended to it.
  std::string operator()(std::string_view text, bool joined) const {
    std::string out(text);
    for (auto const& s : steps_) {
      switch (s.what) {
        case kind::prepend:
          if (!out.empty() && !joined) { out.insert(0, s.to); }
          break;
        case kind::replace: out = replaced(out, s.from, s.to); break;
        default: out = composed(out, s.what); break;
      }
    }
    return out;
  }

 private:
  static std::string replaced(std::string const& text, std::string const& from, std::string const& to) {
    std::string out;
    out.reserve(text.size());
    std::size_t at = 0;
    for (auto next = text.find(from); next != std::string::npos; next = text.find(from, at)) {
      out.append(text, at, next - at).append(to);
      at = next + from.size();
    }
    return out.append(text, at);
  }

  // ASCII is normal in every form and no character joins with an ASCII one that follows it, so only stretches of other characters, each with the ASCII
  // character before it, are looked at.
  static std::string composed(std::string const& text, kind form) {
    std::string out;
    out.reserve(text.size());
    auto const ascii = [&](std::size_t i) { return static_cast<unsigned char>(text[i]) < 0x80; };
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      if (ascii(i)) {
        ++i;
        continue;
      }
      auto const begin = i > 0 && i > done ? i - 1 : i;
      auto end = i;
      bool quick = form == kind::nfc;  // below U+0300 everything is NFC
      for (; end < text.size() && !ascii(end); ++end) { quick = quick && static_cast<unsigned char>(text[end]) < 0xcc; }
      if (!quick) {
        out.append(text, done, begin - done);
        append_composed(out, std::string_view(text).substr(begin, end - begin), form);
        done = end;
      }
      i = end;
    }
    return out.append(text, done);
  }

  static void append_composed(std::string& out, std::string_view text, kind form) {
    for (std::size_t at = 0; at < text.size();) {
      auto const end = valid_utf8_end(text, at);
      if (end > at) {
        append_valid(out, text.substr(at, end - at), form);
        at = end;
      } else {
        out += text[at++];
      }
    }
  }

  [[gnu::cold]] static void append_valid(std::string& out, std::string_view text, kind form) {
    int options = UTF8PROC_STABLE;
    options |= form == kind::nfc || form == kind::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == kind::nfkc || form == kind::nfkd) { options |= UTF8PROC_COMPAT; }
    utf8proc_uint8_t* mapped = nullptr;
    auto const length = utf8proc_map(reinterpret_cast<utf8proc_uint8_t const*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                     static_cast<utf8proc_option_t>(options));
    std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
    if (length < 0) { throw error(std::string("utf8proc: ") + utf8proc_errmsg(length)); }
    out.append(reinterpret_cast<char const*>(mapped), static_cast<std::size_t>(length));
  }

  std::vector<step> steps_;
};

}  // namespace loopserve::detail
