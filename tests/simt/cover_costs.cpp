// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/kv/contiguous.hpp>
#include <loopserve/model/decoder.hpp>
#include <loopserve/model/load_weights.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/tokenizer.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#include <loopserve/prefill/choose_lines.cuh>
#include <loopserve/prefill/online_vertical_slash.hpp>

#include "cover_on_device.hpp"
#include "kv_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// Costs of a device's covers as shares of the greedy's on the same scores. What is looked at here is the algorithm, so one schedule will do.
struct ratios {
  double sum = 0, most = 0;
  int count = 0;

  void add(testing::cover_case const& c, cover_options const& o) {
    cpu const host(1);
    emulated const device{};
    auto const greedy = testing::cover(host, c, o);
    auto const made = cover_on(device, c, o);
    double const covered = c.covered(made.verticals, made.slashes);
    CHECK(covered >= o.alpha - 1e-6);
    CHECK(!(std::fabs(covered - made.covered) > 1e-6));
    double const ratio = static_cast<double>(cost_of(c, made)) / static_cast<double>(greedy.result.cost);
    sum += ratio;
    most = std::max(most, ratio);
    ++count;
  }
};

/// The tokens of a dialogue of the demo model's file, up to `count`.
std::vector<token_id> tokens_of(int dialogue, std::size_t count) {
  std::string const folder = LOOPSERVE_SOURCE_DIR "/assets/demo-model";
  std::ifstream file(folder + "/dialogues.jsonl");
  std::string line, text;
  for (int i = 0; i <= dialogue; ++i) { std::getline(file, line); }
  auto const turns = nlohmann::json::parse(line).at("turns");
  for (auto const& turn : turns) { text += turn.at("user").get<std::string>() + "\n" + turn.at("dense").get<std::string>() + "\n"; }
  auto ids = tokenizer::from_folder(folder).encode(text);
  ids.resize(std::min(ids.size(), count));
  return ids;
}

/// Lifts a few lines of a matrix, crossing ones among them.
void plant(testing::cover_case& c, std::uint64_t seed) {
  counter_rng const random{seed, 99};
  auto const keys = static_cast<std::size_t>(c.keys);
  std::vector<char> vertical(keys, 0), slash(keys, 0);
  for (std::uint64_t i = 0; i < 12; ++i) {
    vertical[random.below(2 * i, keys)] = 1;
    slash[random.below(2 * i + 1, keys)] = 1;
  }
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    auto const p = static_cast<std::size_t>(c.positions[i]);
    double sum = 0;
    for (std::size_t k = 0; k <= p; ++k) {
      float& cell = c.a[i * keys + k];
      cell *= vertical[k] != 0 || slash[p - k] != 0 ? 60.0F : 1.0F;
      sum += static_cast<double>(cell);
    }
    for (std::size_t k = 0; k <= p; ++k) { c.a[i * keys + k] = static_cast<float>(static_cast<double>(c.a[i * keys + k]) / sum); }
  }
}

}  // namespace

TEST_CASE("a device's covers cost what the greedy's do on the demo model's own attention") {
  cpu backend(2);
  auto const files = model_files::open(LOOPSERVE_SOURCE_DIR "/assets/demo-model");
  decoder<cpu> model(backend, load_weights(*files));
  auto const& s = model.shape();
  auto const ids = tokens_of(0, 1000);
  auto const n = static_cast<index_t>(ids.size());
  REQUIRE(n > 700);
  std::vector<int> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  auto const floats = [&](index_t each) { return std::vector<float>(static_cast<std::size_t>(n * each)); };
  auto x = floats(s.width), q = floats(s.heads * s.head_dim), out = q, k = floats(s.kv_heads * s.head_dim), v = k;
  tensor_view<float, 2> const xs(x.data(), {n, s.width});
  tensor_view<float, 3> const qs(q.data(), {n, s.heads, s.head_dim}), outs(out.data(), qs.extents());
  tensor_view<float, 3> const ks(k.data(), {n, s.kv_heads, s.head_dim}), vs(v.data(), ks.extents());
  contiguous<cpu, float> storage(backend, {s.layers, s.kv_heads, s.head_dim});
  auto const sequence = storage.open();
  model.embed(ids, xs);
  ratios found;
  for (int layer = 0; layer < s.layers; ++layer) {
    model.project(layer, xs, positions, qs, ks, vs);
    storage.append(sequence, layer, ks, vs);
    auto const kv = storage.view(sequence, layer);
    for (int head = 0; head < s.heads; ++head) {
      int const rows = head % 2 == 0 ? 256 : static_cast<int>(n);
      auto const sampled = sample_rows(rows, 64, 16, {static_cast<std::uint64_t>(layer), static_cast<std::uint64_t>(head)});
      testing::cover_case c(rows, static_cast<int>(n), sampled, 1, 1);
      line_scores(backend, qs.rows(n - rows, rows), kv, sampled, head,
                  tensor_view<float, 2>(c.a.data(), {static_cast<index_t>(sampled.size()), n}));
      for (double const alpha : {0.9, 0.955, 0.99}) { found.add(c, {.alpha = alpha, .local = alpha == 0.955 ? 128 : 4}); }
    }
    std::array<prefill_job<float>, 1> const jobs{{{qs, kv, nullptr, 0, outs}}};
    attend_dense(backend, std::span<prefill_job<float> const>(jobs));
    model.mix(layer, outs, xs);
  }
  CHECK(found.count == 72);
  CHECK(found.most <= 1.15);
  CHECK(found.sum / found.count <= 1.02);
}

TEST_CASE("and on random and planted attention of every sharpness") {
  ratios random, planted;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    int const keys = 300 + 137 * static_cast<int>(seed % 5), rows = seed % 3 == 0 ? keys : 90 + 30 * static_cast<int>(seed % 7);
    double const sharpness = 0.3 + 0.8 * static_cast<double>(seed % 6);
    testing::cover_case c(rows, keys, sample_rows(rows, 64, 16, {seed}), sharpness, seed);
    cover_options const o{.alpha = seed % 2 == 0 ? 0.955 : 0.9, .local = static_cast<int>(seed % 4) * 4};
    random.add(c, o);
    plant(c, seed);
    planted.add(c, o);
  }
  for (auto const& found : {random, planted}) {
    CHECK(found.most <= 1.15);
    CHECK(found.sum / found.count <= 1.03);
  }
}

TEST_CASE("a device holds what was planned, and little less") {
  testing::host_kv<bf16> keys(2000, 1, 256);
  keys.fill(1, 0.2);
  emulated const b;
  auto const kv = kv_of(b, keys);
  auto const q = on_device(b, numbers(index_t{70} * 2 * 256, 2));
  auto lines = b.make_buffer<int>(2 * 2 * 2000), all_counts = b.make_buffer<int>(4);
  auto dense = b.make_buffer<unsigned char>(2);
  auto covered = b.make_buffer<float>(2);
  line_plan_view const plan{
      2, 70, 2000, 2000, lines.data(), lines.data() + 4000, all_counts.data(), all_counts.data() + 2, dense.data(), covered.data()};
  line_scratch<emulated> none;
  auto& memory = simt::device_memory::instance();
  memory.forget_peak();
  index_t const before = memory.held();
  choose_lines(b, {.cover = {.alpha = 0.5}}, tensor_view<float const, 3>(q.data(), {70, 2, 256}), kv.view(), plan, none);
  index_t const planned = online_vertical_slash<emulated>::planned_bytes({}, 2, 70, 2000, 1);
  CHECK(memory.peak() - before <= planned);
  CHECK(planned <= (memory.peak() - before) * 5 / 4);
}
