// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <queue>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/model/text/token_table.hpp>
#include <loopserve/model/text/tokenizer_parts.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail {

/// Rank and result of merging two neighbouring tokens: open addressing on the pair of ids.
class merge_table {
 public:
  struct entry {
    std::uint64_t pair = empty;
    std::uint32_t rank = 0;
    std::int32_t result = -1;
  };

  merge_table() = default;
  explicit merge_table(std::vector<bpe_merge> const& merges) : slots_(open_slots(merges.size())) {
    for (auto const& m : merges) {
      auto const pair = key(m.left, m.right);
      auto at = mix_bits(pair) & (slots_.size() - 1);
      while (slots_[at].pair != empty && slots_[at].pair != pair) { at = (at + 1) & (slots_.size() - 1); }
      // Where a pair is listed twice, the files' other readers take the later entry.
      slots_[at] = {pair, m.rank, m.result};
    }
  }

  /// Null where the pair does not merge.
  entry const* find(std::int32_t left, std::int32_t right) const {
    if (slots_.empty() || left < 0 || right < 0) { return nullptr; }
    auto const pair = key(left, right);
    for (auto at = mix_bits(pair) & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].pair == pair) { return &slots_[at]; }
      if (slots_[at].pair == empty) { return nullptr; }
    }
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  }
  std::vector<entry> slots_;
};

/// Byte-pair encoding of words (Sennrich et al., Neural machine translation of rare words with subword units, 2016): from bytes or characters, the
/// neighbours with the lowest rank are merged, the leftmost first of equal ones, until none can be. Immutable; safe to use from several threads.
class bpe {
 public:
  bpe() = default;
  explicit bpe(bpe_parts const& parts)
      : table_(parts.tokens, parts.findable),
        merges_(parts.merges),
        rules_(parts.rules),
        whole_(std::make_unique<std::atomic<std::uint8_t>[]>(parts.tokens.size())) {
    for (int b = 0; b < 256; ++b) {
      char const c = static_cast<char>(static_cast<unsigned char>(b));
      byte_id_[b] = rules_.byte_level ? table_.find(std::string_view(&c, 1)) : -1;
    }
    if (rules_.byte_fallback) {
      static constexpr char const* digits = "0123456789ABCDEF";
      for (int b = 0; b < 256; ++b) {
        char const name[] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        byte_id_[b] = table_.find(std::string_view(name, sizeof name));
      }
    }
    cuts_before_marks_ = !rules_.byte_level && no_mark_inside(parts);
  }

  token_table const& table() const { return table_; }

  /// Appends the tokens of a word.
  void encode(std::string_view word, std::vector<token_id>& out) const {
    if (!cuts_before_marks_) {
      encode_one(word, out);
      return;
    }
    // No token holds a mark behind another character, so no merge crosses such a place.
    constexpr auto mark = lower_one_eighth_block;
    std::size_t begin = 0;
    for (auto next = word.find(mark, 1); next != std::string_view::npos; next = word.find(mark, next + mark.size())) {
      if (next >= mark.size() && word.substr(next - mark.size(), mark.size()) == mark) { continue; }
      encode_one(word.substr(begin, next - begin), out);
      begin = next;
    }
    encode_one(word.substr(begin), out);
  }

 private:
  enum : std::uint8_t { unknown, yes, no };
  static constexpr std::uint32_t unmergeable = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t short_word = 40;  // symbols; beyond it a heap is faster than looking along the word

  static bool no_mark_inside(bpe_parts const& parts) {
    for (auto const& m : parts.merges) {
      auto const& token = parts.tokens[static_cast<std::size_t>(m.result)];
      auto const last = token.rfind(lower_one_eighth_block);
      if (last == std::string::npos) { continue; }
      for (std::size_t i = 0; i < last; i += lower_one_eighth_block.size()) {
        if (token.compare(i, lower_one_eighth_block.size(), lower_one_eighth_block) != 0) { return false; }
      }
    }
    return true;
  }

  void encode_one(std::string_view word, std::vector<token_id>& out) const {
    if (word.empty()) { return; }
    auto const id = table_.find(word);
    if (id < 0) { return merge(word, out); }
    auto& state = whole_[static_cast<std::size_t>(id)];
    auto known = state.load(std::memory_order_relaxed);
    if (known == unknown) {
      // Not every entry is what merging its own text gives. Found out once for each token; threads that race find the same.
      known = yes;
      if (!rules_.ignore_merges) {
        std::vector<token_id> merged;
        merge(word, merged);
        known = merged.size() == 1 && raw(merged[0]) == id ? yes : no;
      }
      state.store(known, std::memory_order_relaxed);
    }
    if (known == yes) {
      out.push_back(token_id(id));
    } else {
      merge(word, out);
    }
  }

  void merge(std::string_view word, std::vector<token_id>& out) const {
    if (rules_.byte_level && word.size() <= short_word) {
      std::int32_t ids[short_word];
      std::size_t n = 0;
      for (auto c : word) {
        // As the files' other readers do, a byte that the vocabulary lacks is left out.
        auto const id = byte_id_[static_cast<unsigned char>(c)];
        if (id >= 0) { ids[n++] = id; }
      }
      n = merge_short(ids, n);
      for (std::size_t i = 0; i < n; ++i) { out.push_back(token_id(ids[i])); }
      return;
    }
    std::vector<std::int32_t> ids;
    ids.reserve(word.size());
    symbols(word, ids);
    if (ids.size() <= short_word) {
      ids.resize(merge_short(ids.data(), ids.size()));
    } else {
      merge_long(ids);
    }
    for (auto id : ids) { out.push_back(token_id(id)); }
  }

  void symbols(std::string_view word, std::vector<std::int32_t>& ids) const {
    if (rules_.byte_level) {
      for (auto c : word) {
        auto const id = byte_id_[static_cast<unsigned char>(c)];
        if (id >= 0) { ids.push_back(id); }
      }
      return;
    }
    bool last_unknown = false;
    for (std::size_t i = 0; i < word.size();) {
      auto const step = step_utf8(word, i);
      auto const c = word.substr(i, static_cast<std::size_t>(step.length));
      i += c.size();
      if (auto const id = step.valid ? table_.find(c) : -1; id >= 0) {
        ids.push_back(id);
        last_unknown = false;
        continue;
      }
      bool all = rules_.byte_fallback;
      for (auto b : c) { all = all && byte_id_[static_cast<unsigned char>(b)] >= 0; }
      if (all) {
        for (auto b : c) { ids.push_back(byte_id_[static_cast<unsigned char>(b)]); }
        last_unknown = false;
      } else if (rules_.unknown >= 0) {
        if (!last_unknown || !rules_.fuse_unknown) { ids.push_back(rules_.unknown); }
        last_unknown = true;
      }
    }
  }

  /// Merges in place; gives the new count.
  std::size_t merge_short(std::int32_t* ids, std::size_t n) const {
    if (n < 2) { return n; }
    std::uint32_t rank[short_word];    // of merging i with i + 1
    std::int32_t result[short_word];
    auto const look = [&](std::size_t i) {
      auto const* m = merges_.find(ids[i], ids[i + 1]);
      rank[i] = m ? m->rank : unmergeable;
      result[i] = m ? m->result : -1;
    };
    for (std::size_t i = 0; i + 1 < n; ++i) { look(i); }
    while (n > 1) {
      std::size_t best = 0;
      for (std::size_t i = 1; i + 1 < n; ++i) {
        if (rank[i] < rank[best]) { best = i; }
      }
      if (rank[best] == unmergeable) { break; }
      ids[best] = result[best];
      for (auto i = best + 1; i + 1 < n; ++i) { ids[i] = ids[i + 1]; }
      for (auto i = best; i + 2 < n; ++i) {
        rank[i] = rank[i + 1];
        result[i] = result[i + 1];
      }
      --n;
      if (best + 1 < n) { look(best); }
      if (best > 0) { look(best - 1); }
    }
    return n;
  }

  void merge_long(std::vector<std::int32_t>& ids) const {
    struct link {
      std::int32_t previous;
      std::int32_t next;
    };
    check(ids.size() < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "a single word of 2^31 symbols cannot be encoded");
    auto const n = static_cast<std::int32_t>(ids.size());
    auto const id = [&](std::int32_t i) -> std::int32_t& { return ids[static_cast<std::size_t>(i)]; };
    std::vector<link> links(ids.size());
    auto const at = [&](std::int32_t i) -> link& { return links[static_cast<std::size_t>(i)]; };
    for (std::int32_t i = 0; i < n; ++i) { at(i) = {i - 1, i + 1}; }
    // A candidate is (rank, place) in one number, the best one the smallest. It is stale where the place's pair no longer has that rank.
    std::vector<std::uint64_t> first;
    first.reserve(ids.size());
    auto const merge_at = [&](std::int32_t i) { return at(i).next < n ? merges_.find(id(i), id(at(i).next)) : nullptr; };
    auto const number = [](std::uint32_t rank, std::int32_t i) { return (std::uint64_t{rank} << 32) | static_cast<std::uint32_t>(i); };
    for (std::int32_t i = 0; i < n; ++i) {
      if (auto const* m = merge_at(i)) { first.push_back(number(m->rank, i)); }
    }
    std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> queue(std::greater<>(), std::move(first));
    while (!queue.empty()) {
      auto const c = queue.top();
      queue.pop();
      auto const i = static_cast<std::int32_t>(c & 0xffffffffU);
      auto const* m = merge_at(i);
      if (m == nullptr || m->rank != c >> 32) { continue; }
      auto const j = at(i).next;
      id(i) = m->result;
      id(j) = -1;
      at(i).next = at(j).next;
      if (at(j).next < n) { at(at(j).next).previous = i; }
      if (auto const* next = merge_at(i)) { queue.push(number(next->rank, i)); }
      auto const previous = at(i).previous;
      if (previous < 0) { continue; }
      if (auto const* next = merge_at(previous)) { queue.push(number(next->rank, previous)); }
    }
    ids.erase(std::remove(ids.begin(), ids.end(), -1), ids.end());
  }

  token_table table_;
  merge_table merges_;
  bpe_rules rules_;
  std::int32_t byte_id_[256] = {};
  bool cuts_before_marks_ = false;
  std::unique_ptr<std::atomic<std::uint8_t>[]> whole_;
};

}  // namespace loopserve::detail
