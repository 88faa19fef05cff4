// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/regex.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail {

/// A text cut into words: ranges of bytes. Steps that insert characters put the changed text into `changed`.
struct word_list {
  struct word {
    std::size_t begin;
    std::size_t end;
    bool valid;  ///< well-formed UTF-8; patterns see only such words
  };
  std::string_view text;
  std::string changed;
  std::vector<word> words;
};

/// What becomes of the matches of a pattern, in the names of tokenizer.json.
enum class split_behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Where sentencepiece's mark is put in front of words.
enum class prepend_scheme { never, first, always };

/// How a tokenizer cuts a normalised text into the words inside which tokens are merged: a list of steps in order.
class pre_tokenizer {
 public:
  struct split_step {
    regex pattern;
    split_behavior behavior = split_behavior::isolated;
    bool invert = false;
  };
  /// Insertions: Metaspace (spaces become `mark`, and one may come first), and the byte-level step's space before every word that has none.
  struct mark_step {
    std::string mark;
    prepend_scheme scheme = prepend_scheme::always;
    bool replace_spaces = false;
  };
  struct step {
    std::optional<split_step> split;
    std::optional<mark_step> mark;
  };

  pre_tokenizer() = default;
  explicit pre_tokenizer(std::vector<step> steps) : steps_(std::move(steps)) {}

  /// Cuts `text`; `at_start` says that nothing stood before it. The views in the result point into `text` or into the result itself.
  void operator()(std::string_view text, bool at_start, word_list& out) const {
    out.text = text;
    out.words.clear();
    for (std::size_t at = 0; at < text.size();) {
      auto end = valid_utf8_end(text, at);
      bool const valid = end > at;
      if (!valid) {
        while (end < text.size() && !step_utf8(text, end).valid) { ++end; }
      }
      out.words.push_back({at, end, valid});
      at = end;
    }
    std::vector<word_list::word> next;
    for (auto const& s : steps_) {
      next.clear();
      if (s.split) {
        for (auto const& w : out.words) { cut(*s.split, out.text, w, next); }
        out.words.swap(next);
      }
      if (s.mark) { insert_marks(*s.mark, at_start, out); }
    }
  }

 private:
  static void cut(split_step const& s, std::string_view text, word_list::word const& w, std::vector<word_list::word>& out) {
    if (!w.valid) {
      out.push_back(w);
      return;
    }
    auto const first = out.size();
    bool last_was_match = false;
    bool waiting = false;  // merged_with_next: the last range is a match that the next rest joins
    auto const add = [&](std::size_t begin, std::size_t end, bool match) {
      if (begin == end) { return; }
      bool const has_previous = out.size() > first;
      bool joins = false;
      switch (s.behavior) {
        case split_behavior::isolated: break;
        case split_behavior::removed: break;
        case split_behavior::contiguous: joins = has_previous && match == last_was_match; break;
        case split_behavior::merged_with_previous: joins = has_previous && match && !last_was_match; break;
        case split_behavior::merged_with_next: joins = waiting && !match; break;
      }
      last_was_match = match;
      waiting = s.behavior == split_behavior::merged_with_next && match;
      if (match && s.behavior == split_behavior::removed) { return; }
      if (joins) {
        out.back().end = w.begin + end;
      } else {
        out.push_back({w.begin + begin, w.begin + end, true});
      }
    };
    std::size_t done = 0;
    s.pattern.for_each_match(text.substr(w.begin, w.end - w.begin), [&](std::size_t begin, std::size_t end) {
      add(done, begin, s.invert);
      add(begin, end, !s.invert);
      done = end;
    });
    add(done, w.end - w.begin, s.invert);
  }

  static void insert_marks(mark_step const& s, bool at_start, word_list& list) {
    std::string changed;
    changed.reserve(list.text.size() + list.words.size());
    bool first = at_start;
    for (auto& w : list.words) {
      auto const text = list.text.substr(w.begin, w.end - w.begin);
      auto const begin = changed.size();
      bool const wanted = s.scheme == prepend_scheme::always || (s.scheme == prepend_scheme::first && first);
      bool const has_one = text.substr(0, s.mark.size()) == s.mark || (s.replace_spaces && text.substr(0, 1) == " ");
      if (wanted && !has_one) { changed += s.mark; }
      for (auto c : text) {
        if (s.replace_spaces && c == ' ') {
          changed += s.mark;
        } else {
          changed += c;
        }
      }
      w.begin = begin;
      w.end = changed.size();
      first = false;
    }
    list.changed = std::move(changed);
    list.text = list.changed;
  }

  std::vector<step> steps_;
};

}  // namespace loopserve::detail
