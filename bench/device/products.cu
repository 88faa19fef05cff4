// SPDX-License-Identifier: Apache-2.0
// The products of an 8B model's layer (width 4096, 32 query heads of 128 over 8 KV heads, feed forward 14336) and of its head (128256 words), bf16, for 1 to 2048 rows: the
// operation as the engine calls it, with the rounding of its float32 rows. Each call goes to another layer's weights, so that none of them lies in the cache. Few rows are held
// against the bandwidth of a copy (bytes are those of the weights), many against the rate of a large product.
#include <string>
#include <vector>

#include <loopserve/ops/matmul.cuh>

#include "ceilings.cuh"
#include "device_data.cuh"
#include "report.hpp"

namespace {

namespace ls = loopserve;
constexpr int width = 4096, kv_width = 1024, feed_forward = 14336, vocabulary = 128256, layers = 4, most_rows = 2048;

/// Products of the same rows.
struct group {
  char const* name;
  int inputs;
  std::vector<int> outputs;
  int most_rows;
};

std::vector<group> const groups{{"queries, keys, values", width, {width, kv_width, kv_width}, most_rows},
                                {"attention's output", width, {width}, most_rows},
                                {"gate and up", width, {feed_forward, feed_forward}, most_rows},
                                {"down", feed_forward, {width}, most_rows}};

/// A group's weights for several layers, its rows and its results.
class products {
 public:
  products(ls::cuda const& b, group const& g, std::uint64_t seed) : group_(g), x_(bench::random_numbers<float>(b, ls::index_t{g.most_rows} * g.inputs, seed)) {
    for (int outputs : g.outputs) {
      out_.push_back(b.make_buffer<float>(ls::index_t{g.most_rows} * outputs));
      for (int l = 0; l < layers; ++l) { weights_.push_back(bench::random_bf16(b, ls::index_t{outputs} * g.inputs, ++seed + 1000, 0.02F)); }
    }
  }

  void multiply(ls::cuda const& b, int layer, int rows) {
    ls::tensor_view<float const, 2> const x(x_.data(), {rows, group_.inputs});
    auto const part = [&](std::size_t p) {
      ls::index_t const outputs = group_.outputs[p];
      ls::weight_view const w{ls::element_type::bf16, outputs, group_.inputs, weights_[p * layers + static_cast<std::size_t>(layer)].data()};
      return ls::matmul_part{w, {}, ls::tensor_view<float, 2>(out_[p].data(), {rows, outputs})};
    };
    switch (group_.outputs.size()) {
      case 1: return matmul_parts(b, x, {part(0)});
      case 2: return matmul_parts(b, x, {part(0), part(1)});
      default: return matmul_parts(b, x, {part(0), part(1), part(2)});
    }
  }

  double numbers() const {
    double sum = 0;
    for (int outputs : group_.outputs) { sum += static_cast<double>(outputs) * group_.inputs; }
    return sum;
  }
  group const& what() const { return group_; }

 private:
  group group_;
  ls::cuda_buffer<float> x_;
  std::vector<ls::cuda_buffer<float>> out_;
  std::vector<ls::cuda_buffer<ls::bf16>> weights_;
};

void measure(bench::report& r) {
  ls::cuda const b;
  auto const ceilings = [&] {
    r.ceiling("copy_bytes_per_second", bench::copy_bandwidth(b));
    r.ceiling("bf16_flops_per_second", bench::bf16_rate(b));
  };
  ceilings();
  std::vector<products> layer;
  for (auto const& g : groups) { layer.emplace_back(b, g, 10 * layer.size() + 1); }
  products head(b, {"head", width, {vocabulary}, 16}, 77);

  auto const add = [&](std::string const& name, int rows, double numbers, auto multiply) {
    auto const time = bench::time_of(b, 5 * layers, [&](int i) { multiply(i % layers); }, layers);
    double const bytes = numbers * sizeof(ls::bf16), flops = 2 * numbers * rows;
    bench::report::fields const f{{"rows", rows}, {"us", time.median}, {"us_low", time.low}, {"us_high", time.high}, {"bytes", bytes}, {"flops", flops}};
    r.row("products, " + name, std::to_string(rows) + (rows == 1 ? " row" : " rows"), f);
  };
  for (int const rows : {1, 2, 4, 8, 16, 64, 128, 512, 1024, 2048}) {
    double all = 0;
    for (auto& g : layer) {
      all += g.numbers();
      add(g.what().name, rows, g.numbers(), [&](int l) { g.multiply(b, l, rows); });
    }
    add("a layer", rows, all, [&](int l) {
      for (auto& g : layer) { g.multiply(b, l, rows); }
    });
    if (rows <= head.what().most_rows) { add("head", rows, head.numbers(), [&](int l) { head.multiply(b, l, rows); }); }
  }
  ceilings();
}

}  // namespace

int main() { return bench::run(measure); }
