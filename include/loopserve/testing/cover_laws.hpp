// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <loopserve/ops/cover_lines.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// Attention of some sampled rows of a chunk, made up: a softmax of random scores, sharper or flatter by `sharpness`.
struct cover_case {
  cover_case(int rows, int keys, std::vector<int> sampled, double sharpness, std::uint64_t seed) : rows(rows), keys(keys), positions(std::move(sampled)) {
    for (int& p : positions) { p += keys - rows; }
    auto const scores = normal_floats({seed, 11}, static_cast<index_t>(positions.size()) * keys, sharpness);
    a.assign(scores.size(), 0.0F);
    for (std::size_t i = 0; i < positions.size(); ++i) {
      auto const at = i * static_cast<std::size_t>(keys);
      double weight = 0;
      for (std::size_t k = 0; k <= static_cast<std::size_t>(positions[i]); ++k) { weight += std::exp(static_cast<double>(scores[at + k])); }
      for (std::size_t k = 0; k <= static_cast<std::size_t>(positions[i]); ++k) { a[at + k] = static_cast<float>(std::exp(static_cast<double>(scores[at + k])) / weight); }
    }
  }

  tensor_view<float const, 2> view() const { return {a.data(), {static_cast<index_t>(positions.size()), keys}}; }

  /// Mean over the rows of the mass on these lines, cell by cell.
  double covered(std::vector<int> const& verticals, std::vector<int> const& slashes) const {
    std::vector<char> v(static_cast<std::size_t>(keys), 0), s(v);
    for (int c : verticals) { v[static_cast<std::size_t>(c)] = 1; }
    for (int d : slashes) { s[static_cast<std::size_t>(d)] = 1; }
    double sum = 0;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      for (int k = 0; k <= positions[i]; ++k) {
        if (v[static_cast<std::size_t>(k)] != 0 || s[static_cast<std::size_t>(positions[i] - k)] != 0) {
          sum += static_cast<double>(a[i * static_cast<std::size_t>(keys) + static_cast<std::size_t>(k)]);
        }
      }
    }
    return sum / static_cast<double>(positions.size());
  }

  int rows, keys;
  std::vector<int> positions;
  std::vector<float> a;
};

/// A cover with the memory that it is written to.
struct made_cover {
  std::vector<int> verticals, slashes;
  bool dense = false;
  float covered = 0;
  cover_result result;
};

template <class Backend>
made_cover cover(Backend& b, cover_case const& c, cover_options const& o) {
  std::vector<int> v(static_cast<std::size_t>(c.keys)), s(v);
  int counts[2] = {0, 0};
  unsigned char dense = 2;
  made_cover made;
  cover_view const out{v.data(), s.data(), &counts[0], &counts[1], &dense, &made.covered, &made.result};
  cover_lines(b, c.view(), c.positions, c.rows, o, out);
  made.verticals.assign(v.begin(), v.begin() + counts[0]);
  made.slashes.assign(s.begin(), s.begin() + counts[1]);
  require(dense < 2, "a cover says whether it is dense");
  made.dense = dense == 1;
  return made;
}

/// Lists ascend, hold what is forced and nothing outside; what is reported of them is true; alpha is reached, and where a line was picked, not without it.
template <class Backend>
void law_cover_reaches_alpha(Backend& b, cover_case const& c, cover_options const& o, double tolerance = 1e-6) {
  auto const made = cover(b, c, o);
  auto const ascending = [&](std::vector<int> const& lines) {
    return std::adjacent_find(lines.begin(), lines.end(), [](int x, int y) { return x >= y; }) == lines.end() && (lines.empty() || (lines.front() >= 0 && lines.back() < c.keys));
  };
  require(ascending(made.verticals) && ascending(made.slashes), "a cover's lists ascend and lie inside");
  int const local = std::min(std::max(1, o.local), c.keys), sinks = std::min(o.sinks, c.keys);
  require(static_cast<int>(made.slashes.size()) >= local && made.slashes[static_cast<std::size_t>(local) - 1] == local - 1, "a cover holds the local slashes");
  require(static_cast<int>(made.verticals.size()) >= sinks && (sinks == 0 || made.verticals[static_cast<std::size_t>(sinks) - 1] == sinks - 1), "a cover holds the sinks");
  double const covered = c.covered(made.verticals, made.slashes);
  require_near(made.result.covered, covered, tolerance, "a cover reports the mass that it covers");
  require(covered >= o.alpha - tolerance, "a cover reaches alpha: " + std::to_string(covered));
  require(made.result.picks == 0 || made.result.before_last < o.alpha, "the last line of a cover is needed");
  if (made.result.picks > 0 && c.keys <= 60) {
    bool found = false;  // one of the lines is the last: without it, what was covered before it
    for (auto* list : {&made.verticals, &made.slashes}) {
      for (std::size_t i = 0; i < list->size() && !found; ++i) {
        auto without = *list;
        without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
        double const rest = list == &made.verticals ? c.covered(without, made.slashes) : c.covered(made.verticals, without);
        found = std::abs(rest - made.result.before_last) <= tolerance;
      }
    }
    require(found, "taking back the last line of a cover leaves what it covered before");
  }
  require(made.result.picks == static_cast<int>(made.verticals.size() + made.slashes.size()) - local - sinks, "a cover counts the lines it picked");
  index_t cost = 0, area = 0, causal = 0;
  for (int line : made.verticals) { cost += line_length(line, c.rows, c.keys); }
  for (int line : made.slashes) { cost += line_length(line, c.rows, c.keys); }
  for (int p = c.keys - c.rows; p < c.keys; ++p) {
    for (int k = 0; k <= p; ++k) {
      area += std::binary_search(made.verticals.begin(), made.verticals.end(), k) || std::binary_search(made.slashes.begin(), made.slashes.end(), p - k) ? 1 : 0;
      ++causal;
    }
  }
  require(made.result.cost == cost && made.result.area == area, "a cover counts its cells");
  require(made.dense == (static_cast<double>(area) > o.dense_above * static_cast<double>(causal)), "a cover is declared dense above its area");
  require_near(static_cast<double>(made.covered), made.dense ? 1.0 : covered, tolerance, "a plan says what its lines cover");
}

/// The smallest total length of lines, slash 0 among them, that covers alpha: all sets of verticals, and for each all sets of slashes.
inline index_t cheapest_cover(cover_case const& c, double alpha) {
  auto const n = static_cast<std::size_t>(c.keys);
  auto best = std::numeric_limits<index_t>::max();
  double const target = alpha * static_cast<double>(c.positions.size()) - 1e-9;
  for (unsigned v = 0; v < 1u << n; ++v) {
    index_t base = line_length(0, c.rows, c.keys);
    double mass = 0;
    std::vector<double> rest(n, 0.0);
    for (std::size_t line = 0; line < n; ++line) { base += (v >> line & 1u) != 0 ? line_length(static_cast<index_t>(line), c.rows, c.keys) : 0; }
    if (base >= best) { continue; }
    for (std::size_t i = 0; i < c.positions.size(); ++i) {
      for (std::size_t k = 0; k <= static_cast<std::size_t>(c.positions[i]); ++k) {
        auto const d = static_cast<std::size_t>(c.positions[i]) - k;
        double const cell = c.a[i * n + k];
        if ((v >> k & 1u) != 0 || d == 0) {
          mass += cell;
        } else {
          rest[d] += cell;
        }
      }
    }
    // Slashes 1 .. n - 1 in Gray code order: one joins or leaves at a step.
    unsigned gray = 0;
    index_t cost = base;
    for (unsigned step = 0;;) {
      if (mass >= target) { best = std::min(best, cost); }
      if (++step == 1u << (n - 1)) { break; }
      auto const bit = static_cast<std::size_t>(std::countr_zero(step));
      gray ^= 1u << bit;
      bool const joins = (gray >> bit & 1u) != 0;
      mass += joins ? rest[bit + 1] : -rest[bit + 1];
      cost += (joins ? 1 : -1) * line_length(static_cast<index_t>(bit) + 1, c.rows, c.keys);
    }
  }
  return best;
}

struct cover_costs {
  double mean = 0;     ///< of cost / cheapest cost
  double largest = 0;
};

/// Against the optimum on `seeds` matrices of 6 to 10 tokens, without forced lines but slash 0.
template <class Backend>
cover_costs cover_costs_of(Backend& b, int seeds, double alpha, double sharpness) {
  cover_costs found;
  for (int seed = 0; seed < seeds; ++seed) {
    int const keys = 6 + seed % 5;
    std::vector<int> rows;
    for (int i = 0; i < keys; ++i) { rows.push_back(i); }
    cover_case const c(keys, keys, rows, sharpness, static_cast<std::uint64_t>(seed));
    cover_options o;
    o.alpha = alpha;
    o.sinks = 0;
    o.local = 0;
    double const ratio = static_cast<double>(cover(b, c, o).result.cost) / static_cast<double>(cheapest_cover(c, alpha));
    found.mean += ratio / seeds;
    found.largest = std::max(found.largest, ratio);
  }
  return found;
}

/// The greedy's cost stays near the optimum's: on average within 1.12, never beyond 1.6.
template <class Backend>
void law_cover_is_cheap(Backend& b, int seeds = 1000) {
  auto const found = cover_costs_of(b, seeds, 0.955, 1.5);
  require(found.mean <= 1.12, "a cover costs on average at most 1.12 of the optimum: " + std::to_string(found.mean));
  require(found.largest <= 1.6, "a cover never costs more than 1.6 of the optimum: " + std::to_string(found.largest));
}

/// Every law of a cover.
template <class Backend>
void cover_laws(Backend& b) {
  std::uint64_t seed = 0;
  for (auto [rows, keys] : {std::pair{1, 1}, {1, 40}, {7, 7}, {50, 50}, {30, 200}, {200, 333}}) {
    for (double sharpness : {0.3, 2.0, 5.0}) {
      for (double alpha : {0.5, 0.9, 0.98}) {
        for (bool by_density : {true, false}) {
          std::vector<int> sampled;
          for (int i = 0; i < rows; ++i) {
            if (i % 3 == 0 || i > rows - 9) { sampled.push_back(i); }
          }
          cover_options o;
          o.alpha = alpha;
          o.sinks = static_cast<int>(seed % 3) * 2;
          o.local = static_cast<int>(seed % 4) * 5;
          o.by_density = by_density;
          o.dense_above = seed % 2 == 0 ? 1.0 : 0.5;
          law_cover_reaches_alpha(b, cover_case(rows, keys, sampled, sharpness, ++seed), o);
        }
      }
    }
  }
  law_cover_is_cheap(b);
}

}  // namespace loopserve::testing
