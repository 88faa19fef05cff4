// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/config.hpp>

#include <pcre2.h>

#include <memory>
#include <string>
#include <string_view>

#include <loopserve/core/error.hpp>

namespace loopserve::detail {

/// A compiled pattern of a tokenizer file: UTF-8 with Unicode properties, compiled to machine code where PCRE2 can. Matching is thread-safe.
class regex {
 public:
  /// Throws `format_error` naming `where` for a pattern that PCRE2 does not take.
  [[gnu::cold]] regex(std::string const& pattern, std::string const& where) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    auto const translated = with_unicode_spaces(pattern);
    // PCRE2_NEVER_BACKSLASH_C: \C could stop inside a character.
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
    if (!code_) { throw format_error(where + ": the split pattern '" + pattern + "' is refused: " + message(code)); }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it fails, pcre2_match interprets
  }

  /// Calls `found(begin, end)` for the matches of well-formed UTF-8 text, left to right; empty matches are passed over.
  template <class Found>
  void for_each_match(std::string_view text, Found&& found) const {
    std::unique_ptr<pcre2_match_data, free_match> match(pcre2_match_data_create(1, nullptr));
    check(match != nullptr, "PCRE2 has no memory for a match");
    auto const* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    auto const* span = pcre2_get_ovector_pointer(match.get());
    for (std::size_t at = 0; at < text.size();) {
      auto const rc = pcre2_match(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
      if (rc == PCRE2_ERROR_NOMATCH) { return; }
      if (rc < 0) { throw error("a tokenizer's split pattern gave up on a text of " + std::to_string(text.size()) + " bytes: " + message(rc)); }
      auto const begin = span[0];
      auto const end = span[1];
      if (begin < end) {
        found(begin, end);
        at = end;
      } else {
        at = begin + 1;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) { ++at; }
      }
    }
  }

 private:
  struct free_code {
    void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  };
  struct free_match {
    void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  };

  [[gnu::cold]] static std::string message(int code) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<char const*>(text);
  }

  // The files are written for Oniguruma, whose \s is Unicode's White_Space; PCRE2's also takes U+180E.
  [[gnu::cold]] static std::string with_unicode_spaces(std::string const& pattern) {
    static constexpr char const* spaces = "\\t-\\r\\x{85}\\p{Z}";
    std::string out;
    bool in_class = false;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      auto const c = pattern[i];
      if (c == '\\' && i + 1 < pattern.size()) {
        auto const next = pattern[++i];
        if (next == 's') {
          out += in_class ? std::string(spaces) : "[" + std::string(spaces) + "]";
        } else if (next == 'S' && !in_class) {
          out += "[^" + std::string(spaces) + "]";
        } else {
          out += {c, next};
        }
        continue;
      }
      if (c == '[') { in_class = true; }
      if (c == ']') { in_class = false; }
      out += c;
    }
    return out;
  }

  std::unique_ptr<pcre2_code, free_code> code_;
};

}  // namespace loopserve::detail
