// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "recording.hpp"

namespace demo {

/// Draws which cells each head of a layer attends to, a panel a head, as SVG: rows (new tokens) downwards, keys to the right, both in one scale, so that slashes
/// run at 45 degrees.
class plan_picture {
 public:
  explicit plan_picture(recorded_plan const& plan) : plan_(&plan), scale_(width / std::max(1, plan.keys)) {}

  std::string svg() {
    double const panel = plan_->rows * scale_;
    double const step = panel + 44;
    double const height = top + step * static_cast<double>(plan_->heads.size()) + 30;
    text_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width + 2 * left) + " " + number(height) + "\" width=\"" +
            number(width + 2 * left) + "\" height=\"" + number(height) + "\" font-family=\"sans-serif\" font-size=\"13\">\n";
    text_ += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    label(left, 24,
          "Attention lines that LoopServe chose for turn " + std::to_string(plan_->turn + 1) + ", layer " + std::to_string(plan_->layer) +
              ": " + std::to_string(plan_->rows) + " new tokens (rows) against " + std::to_string(plan_->keys) + " tokens (columns)",
          15);
    legend(left, 36);
    double y = top;
    for (std::size_t h = 0; h < plan_->heads.size(); ++h, y += step) {
      auto const& head = plan_->heads[h];
      char title[160];
      std::snprintf(title, sizeof title, "head %zu: %s, area %.3f, covered mass %.3f", h, head.dense ? "dense" : lines_of(head).c_str(),
                    head.area, head.covered);
      label(left, y + 14, title, 13);
      draw(head, y + 20, panel);
    }
    label(left, height - 12, "0", 11);
    double const history = (plan_->keys - plan_->rows) * scale_;
    label(left + history, height - 12, "history " + std::to_string(plan_->keys - plan_->rows), 11, "end");
    label(left + width, height - 12, "key " + std::to_string(plan_->keys), 11, "end");
    return text_ + "</svg>\n";
  }

 private:
  static constexpr double width = 1100, left = 20, top = 66;

  static std::string number(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", x);
    return text;
  }
  static std::string lines_of(recorded_head const& head) {
    return std::to_string(head.verticals.size()) + " verticals, " + std::to_string(head.slashes.size()) + " slashes";
  }

  void label(double x, double y, std::string const& what, int size, char const* anchor = "start") {
    text_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" font-size=\"" + std::to_string(size) + "\" text-anchor=\"" + anchor +
             "\">" + what + "</text>\n";
  }

  void legend(double x, double y) {
    struct entry {
      char const* color;
      char const* what;
      double at;
    };
    for (auto const& [color, what, at] : {entry{"#2458c5", "vertical: one key, every row", 0},
                                          entry{"#d9601a", "slash: one distance, every row", 230}, entry{"#e6e6e6", "skipped", 470}}) {
      text_ += "<rect x=\"" + number(x + at) + "\" y=\"" + number(y) + "\" width=\"12\" height=\"12\" fill=\"" + color + "\"/>\n";
      label(x + at + 18, y + 11, what, 12);
    }
  }

  /// Runs of neighbouring lines, as [first, last].
  static std::vector<std::pair<int, int>> runs(std::vector<int> const& lines) {
    std::vector<std::pair<int, int>> found;
    for (int line : lines) {
      if (!found.empty() && found.back().second + 1 == line) {
        found.back().second = line;
      } else {
        found.emplace_back(line, line);
      }
    }
    return found;
  }

  /// A path through points (key, row), both in tokens, within a panel whose upper edge is at `y`.
  void shape(std::vector<std::pair<double, double>> const& points, double y, char const* color, char const* opacity) {
    text_ += "<path d=\"";
    for (std::size_t i = 0; i < points.size(); ++i) {
      text_ += (i == 0 ? "M" : "L") + number(left + points[i].first * scale_) + " " + number(y + points[i].second * scale_);
    }
    text_ += std::string("Z\" fill=\"") + color + "\" fill-opacity=\"" + opacity + "\"/>\n";
  }

  /// Row i sees the keys up to history + i. Keys and rows are intervals: key k spans [k, k + 1).
  void draw(recorded_head const& head, double y, double panel) {
    double const rows = plan_->rows;
    double const keys = plan_->keys;
    double const history = keys - rows;
    shape({{0, 0}, {history, 0}, {keys, rows}, {0, rows}}, y, head.dense ? "#2458c5" : "#e6e6e6", "1");
    if (!head.dense) {
      for (auto const& [first, last] : runs(head.verticals)) {
        double const from = std::max(0.0, first - history);
        double const until = std::max(0.0, last + 1 - history);
        shape({{first, from}, {last + 1.0, until}, {last + 1.0, rows}, {double(first), rows}}, y, "#2458c5", "0.9");
      }
      for (auto const& [near, far] : runs(head.slashes)) { slash(near, far + 1.0, y, history, rows); }
    }
    text_ += "<line x1=\"" + number(left + history * scale_) + "\" y1=\"" + number(y) + "\" x2=\"" + number(left + history * scale_) +
             "\" y2=\"" + number(y + panel) + "\" stroke=\"#444444\" stroke-dasharray=\"3 3\" stroke-width=\"0.8\"/>\n";
  }

  /// Distances from `near` up to `far`: keys between history + row - far and history + row - near, those before key 0 cut away.
  void slash(double near, double far, double y, double history, double rows) {
    std::vector<std::pair<double, double>> points;
    points.emplace_back(std::max(0.0, history - near + 1), std::max(0.0, near - 1 - history));
    points.emplace_back(std::max(0.0, history + rows - near + 1), rows);
    points.emplace_back(std::max(0.0, history + rows - far + 1), rows);
    points.emplace_back(std::max(0.0, history - far + 1), std::min(rows, std::max(0.0, far - 1 - history)));
    // The panel's corner, where the left edge is cut away but the upper one is not.
    if (far - 1 > history) { points.emplace_back(0, std::max(0.0, near - 1 - history)); }
    for (auto& p : points) { p.first = std::min(p.first, history + rows); }
    shape(points, y, "#d9601a", "0.8");
  }

  recorded_plan const* plan_;
  double scale_;
  std::string text_;
};

}  // namespace demo
