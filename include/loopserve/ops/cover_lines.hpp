// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <loopserve/core/backend.hpp>
#include <loopserve/core/tensor_view.hpp>
#include <loopserve/ops/line_mass.hpp>

namespace loopserve {

/// What the greedy cover of one head stops at and starts from.
struct cover_options {
  double alpha = 0.955;      ///< share of the sampled rows' attention to cover
  int sinks = 4;             ///< verticals 0 .. sinks - 1 are always taken
  int local = 128;           ///< slashes 0 .. local - 1 are always taken; slash 0 is in any case
  bool by_density = true;    ///< rank lines by uncovered mass / length; otherwise by uncovered mass
  double dense_above = 1;    ///< a union that is a larger share of the causal cells is declared dense instead
};

/// What a cover came to.
struct cover_result {
  double covered = 0;         ///< mean over the sampled rows of the mass on chosen lines
  double before_last = 0;     ///< the same without the last line that was picked; equal to `covered` where none was
  int picks = 0;              ///< lines beyond the forced ones
  index_t cost = 0;           ///< total length of the lines, in cells of the whole chunk
  index_t area = 0;           ///< cells of their union
};

/// One head's part of a line plan, and where its numbers go. All in the backend's memory; `result` may be null.
struct cover_view {
  int* verticals = nullptr;        ///< (keys)
  int* slashes = nullptr;          ///< (keys)
  int* vertical_count = nullptr;
  int* slash_count = nullptr;
  unsigned char* dense = nullptr;
  float* covered = nullptr;
  cover_result* result = nullptr;
};

/// Cells of a line in a chunk of `rows` new rows over `keys` keys: vertical c or slash d, both alike.
constexpr index_t line_length(index_t line, index_t rows, index_t keys) { return rows - std::max<index_t>(0, line - (keys - rows)); }

namespace detail {

/// The greedy cover's state. Gains only fall, so a heap's top whose gain has changed since it was pushed is pushed again (Minoux' lazy greedy).
class line_cover {
 public:
  line_cover(tensor_view<float const, 2> a, std::span<int const> positions, int rows, bool by_density)
      : a_(a), positions_(positions), rows_(rows), keys_(static_cast<int>(a.extent(1))), by_density_(by_density), lines_{side(keys_), side(keys_)} {}

  std::span<double> gains(int kind) { return lines_[kind].gain; }
  std::vector<char> const& chosen(int kind) const { return lines_[kind].chosen; }

  /// Takes a line (kind 0 vertical, 1 slash) where it is not taken: the mass that it adds, summed over the rows.
  double take(int kind, int line) {
    if (lines_[kind].chosen[static_cast<std::size_t>(line)] != 0) { return 0; }
    auto const& crossing = lines_[1 - kind].chosen;
    auto& their_gain = lines_[1 - kind].gain;
    double gain = 0;
    // The cell of row p and vertical c lies on slash p - c, the cell of slash d on vertical p - d.
    for (std::size_t i = positions_.size(); i-- > 0 && positions_[i] >= line;) {
      auto const other = static_cast<std::size_t>(positions_[i] - line);
      if (crossing[other] != 0) { continue; }
      double const mass = a_(i, kind == 0 ? line : static_cast<index_t>(other));
      gain += mass;
      their_gain[other] -= mass;
    }
    lines_[kind].gain[static_cast<std::size_t>(line)] = 0;
    lines_[kind].chosen[static_cast<std::size_t>(line)] = 1;
    return gain;
  }

  void give_back(int kind, int line) { lines_[kind].chosen[static_cast<std::size_t>(line)] = 0; }

  static constexpr index_t bytes(index_t keys) { return 2 * keys * index_t{sizeof(double) + sizeof(char) + sizeof(entry)}; }

  void make_heaps() {
    for (int kind : {0, 1}) {
      auto& s = lines_[kind];
      s.heap.reserve(static_cast<std::size_t>(keys_));
      for (int line = 0; line < keys_; ++line) {
        if (double const key = rank(kind, line); key > 0) { s.heap.push_back({key, line}); }
      }
      std::make_heap(s.heap.begin(), s.heap.end());
    }
  }

  /// Takes the best line: what it adds, or 0 where nothing is left to gain. Ties go to the vertical, then to the lower index.
  double take_best() {
    for (;;) {
      double const vertical = best(0), slash = best(1);
      if (!(std::max(vertical, slash) > 0)) { return 0; }
      int const kind = vertical >= slash ? 0 : 1;
      int const line = lines_[kind].heap.front().line;
      double const gain = take(kind, line);
      if (gain > 0) { return gain; }
      give_back(kind, line);  // its gain was what rounding had left of nothing
    }
  }

 private:
  struct entry {
    double key;
    int line;
    bool operator<(entry const& other) const { return key < other.key || (key == other.key && line > other.line); }
  };
  struct side {
    explicit side(int keys) : gain(static_cast<std::size_t>(keys), 0.0), chosen(static_cast<std::size_t>(keys), 0) {}
    std::vector<double> gain;
    std::vector<char> chosen;
    std::vector<entry> heap;
  };

  double rank(int kind, int line) const {
    double const gain = lines_[kind].gain[static_cast<std::size_t>(line)];
    return by_density_ ? gain / static_cast<double>(line_length(line, rows_, keys_)) : gain;
  }

  double best(int kind) {
    auto& heap = lines_[kind].heap;
    while (!heap.empty()) {
      double const now = rank(kind, heap.front().line);
      if (now == heap.front().key && now > 0) { return now; }
      std::pop_heap(heap.begin(), heap.end());
      if (now > 0) {
        heap.back().key = now;
        std::push_heap(heap.begin(), heap.end());
      } else {
        heap.pop_back();
      }
    }
    return 0;
  }

  tensor_view<float const, 2> a_;
  std::span<int const> positions_;
  int rows_, keys_;
  bool by_density_;
  side lines_[2];
};

/// What covering one head holds on the host's heap while it runs: the state of both kinds of line, and the counts of slashes for the union's cells.
constexpr index_t cover_bytes(index_t keys) { return line_cover::bytes(keys) + (keys + 1) * index_t{sizeof(int)}; }

/// Writes the chosen lines, ascending, and counts the cells of their union from the number of chosen slashes below each offset.
inline void write_cover(line_cover const& cover, int rows, int keys, cover_options const& o, cover_result result, cover_view out) {
  std::vector<int> below(static_cast<std::size_t>(keys) + 1, 0);
  int verticals = 0, slashes = 0;
  for (int d = 0; d < keys; ++d) {
    bool const chosen = cover.chosen(1)[static_cast<std::size_t>(d)] != 0;
    below[static_cast<std::size_t>(d) + 1] = below[static_cast<std::size_t>(d)] + (chosen ? 1 : 0);
    if (!chosen) { continue; }
    out.slashes[slashes++] = d;
    result.cost += line_length(d, rows, keys);
  }
  index_t crossings = 0;
  for (int c = 0; c < keys; ++c) {
    if (cover.chosen(0)[static_cast<std::size_t>(c)] == 0) { continue; }
    out.verticals[verticals++] = c;
    result.cost += line_length(c, rows, keys);
    crossings += below[static_cast<std::size_t>(keys - c)] - below[static_cast<std::size_t>(std::max(0, keys - rows - c))];
  }
  result.area = result.cost - crossings;
  index_t const causal = index_t{rows} * (keys - rows) + index_t{rows} * (rows + 1) / 2;
  bool const dense = static_cast<double>(result.area) > o.dense_above * static_cast<double>(causal);
  *out.vertical_count = verticals;
  *out.slash_count = slashes;
  *out.dense = dense ? 1 : 0;
  *out.covered = dense ? 1.0F : static_cast<float>(result.covered);
  if (out.result != nullptr) { *out.result = result; }
}

/// cover_lines, with the backend's own line_mass.
template <class Backend>
void cover_head(Backend const& b, tensor_view<float const, 2> a, std::span<int const> positions, int rows, cover_options const& o, cover_view out) {
  int const keys = static_cast<int>(a.extent(1));
  line_cover cover(a, positions, rows, o.by_density);
  line_mass(b, a, positions, cover.gains(0), cover.gains(1));
  double mass = 0;
  for (int c = 0; c < std::min(o.sinks, keys); ++c) { mass += cover.take(0, c); }
  for (int d = 0; d < std::min(std::max(o.local, 1), keys); ++d) { mass += cover.take(1, d); }
  auto const share = [&](double of) { return positions.empty() ? 1.0 : of / static_cast<double>(positions.size()); };
  cover_result result;
  result.before_last = share(mass);
  if (share(mass) < o.alpha) {
    cover.make_heaps();
    while (share(mass) < o.alpha) {
      double const gain = cover.take_best();
      if (!(gain > 0)) { break; }
      result.before_last = share(mass);
      mass += gain;
      ++result.picks;
    }
  }
  result.covered = share(mass);
  if (result.picks == 0) { result.before_last = result.covered; }
  write_cover(cover, rows, keys, o, result, out);
}

}  // namespace detail

/// Chooses lines of small total length whose union holds at least `alpha` of the attention mass (LoopServe, arXiv 2507.13681, phase 1; weighted partial
/// cover is NP-hard, so greedily): forced lines first, then the line with the most uncovered mass per cell, a cell counted once, until the mean over the
/// sampled rows reaches alpha or nothing is left to gain. a (sampled rows, keys) as line_scores writes it; `positions` of its rows, ascending; `rows` = new
/// rows of the whole chunk, which are the last of the keys. Cost: O(rows of a) for each line taken. Different heads may be worked on at once.
inline void cover_lines(reference const& b, tensor_view<float const, 2> a, std::span<int const> positions, int rows, cover_options const& o, cover_view out) {
  detail::cover_head(b, a, positions, rows, o, out);
}

}  // namespace loopserve
