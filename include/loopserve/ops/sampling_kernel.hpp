// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <loopserve/core/tensor_view.hpp>
#include <loopserve/dev/load_whole.hpp>
#include <loopserve/dev/reduce.hpp>
#include <loopserve/dev/scan.hpp>
#include <loopserve/ops/argmax_kernel.hpp>
#include <loopserve/ops/sampling_weight.hpp>

namespace loopserve {

/// What a draw asks, one after the other: which candidate is the k-th (each weighs 1), at which the kept weight reaches top_p, at which it reaches the draw's.
enum class draw_question : int { top_k, top_p, token };

/// The answers, by digits of the logits' keys. A launch, a pass, adds up the weight of each digit among the candidates that begin as the one does that is looked for; three
/// passes, of the leading 11, the middle 11 and the last 10 bits, answer a question. A pass begins with what the pass before it has added up, which every block
/// looks through for itself, so that nothing is launched in between; the first block notes it for the next pass. A row takes part in the passes that its draw needs.
struct token_search {
  static constexpr int threads = 256;
  static constexpr int tile = 16 * threads;
  static constexpr int bins = 2048, bins_a_thread = bins / threads;
  static constexpr int passes = 9;

  /// Where the search stands at the beginning of a pass.
  struct stand {
    std::uint64_t left;  ///< the weight to reach among the candidates that begin as `key` does
    std::uint32_t key;
    // What earlier questions have kept: the candidates above this key, and so many of its own. At first all that there are.
    std::uint32_t last, last_kept;
    std::uint32_t unused;
  };

  tensor_view<float const, 2> logits;
  token_draw const* draws;             // (rows)
  unsigned long long const* best;      // (rows), argmax_key
  unsigned long long* weights;         // (rows, passes, bins)
  stand* stands;                       // (rows, passes + 1)

  LOOPSERVE_HOST_DEVICE static constexpr int shift(int digit) { return digit == 0 ? 21 : digit == 1 ? 10 : 0; }
  LOOPSERVE_HOST_DEVICE static constexpr int width(int digit) { return digit == 2 ? 10 : 11; }
  /// Grows with the logit; the upper half of the argmax's keys.
  LOOPSERVE_HOST_DEVICE static constexpr std::uint32_t key_of(float logit) { return static_cast<std::uint32_t>(argmax_key::of(logit, 0) >> 32); }
  LOOPSERVE_HOST_DEVICE static constexpr float logit_of(std::uint32_t key) { return argmax_key::value(static_cast<unsigned long long>(key) << 32); }

  struct room {
    dev::scan_scratch<unsigned long long> scan;
    unsigned long long left;
    int bin;
  };

  /// A row's draw, and the logit that its weights are measured from.
  struct task {
    token_draw draw;
    float largest;
    bool drawn;
  };

  LOOPSERVE_DEVICE task task_of(int r) const {
    auto const draw = dev::load_whole(draws + r);
    float const largest = argmax_key::value(dev::load(best + r));
    return {draw, largest, draw.draws() && largest - largest == 0};  // neither infinite nor NaN
  }

  LOOPSERVE_DEVICE bool asks(task const& t, draw_question q) const {
    return q == draw_question::top_k ? t.draw.top_k > 0 && t.draw.top_k < logits.extent(1) : q == draw_question::top_p ? t.draw.top_p < 1 : true;
  }

  LOOPSERVE_DEVICE std::uint64_t weight_for(task const& t, draw_question q, float logit) const {
    if (q == draw_question::top_k) { return 1; }
    auto const weight = token_weight(logit, t.largest, t.draw.temperature);
    return q == draw_question::token && weight < least_weight(t.draw.min_p) ? 0 : weight;
  }

  LOOPSERVE_DEVICE std::uint64_t sought(task const& t, draw_question q, std::uint64_t total) const {
    return q == draw_question::top_k ? t.draw.top_k : q == draw_question::top_p ? nucleus_weight(total, t.draw.top_p) : drawn_weight(total, t.draw.random);
  }

  /// Row r's stand at the beginning of `pass`. All threads come here.
  LOOPSERVE_DEVICE stand begin(task const& t, int r, int pass, room& shared) const {
    if (pass % 3 != 0) { return behind(t, r, pass - 1, shared); }
    int q = pass / 3 - 1;
    while (q >= 0 && !asks(t, draw_question{q})) { --q; }
    if (q < 0) { return {}; }
    auto const found = behind(t, r, 3 * q + 2, shared);
    auto const each = weight_for(t, draw_question{q}, logit_of(found.key));
    return {0, 0, found.key, static_cast<std::uint32_t>((found.left + each - 1) / each), 0};
  }

  /// Where the search stands behind a pass: one digit further.
  LOOPSERVE_DEVICE stand behind(task const& t, int r, int pass, room& shared) const {
    auto s = dev::load_whole(stands + index_t{r} * (passes + 1) + pass);
    auto const* const from = weights + (index_t{r} * passes + pass) * bins;
    int const highest = bins - 1 - dev::thread() * bins_a_thread;
    unsigned long long own = 0;
    for (int i = 0; i < bins_a_thread; ++i) { own += dev::load(from + highest - i); }
    auto const sum = dev::block_scan(own, shared.scan);
    if (pass % 3 == 0) { s.left = sought(t, draw_question{pass / 3}, sum.total); }
    if (sum.before < s.left && s.left <= sum.before + own) {
      auto above = sum.before;
      int bin = highest;
      for (auto here = dev::load(from + bin); above + here < s.left; here = dev::load(from + bin)) {
        above += here;
        --bin;
      }
      shared.bin = bin;
      shared.left = s.left - above;
    }
    dev::barrier();
    s.key |= static_cast<std::uint32_t>(shared.bin) << shift(pass % 3);
    s.left = shared.left;
    return s;
  }

  LOOPSERVE_DEVICE void note(int r, int pass, stand const& s) const {
    if (dev::block().x != 0 || dev::thread() != 0) { return; }
    auto* const to = stands + index_t{r} * (passes + 1) + pass;
    dev::store(&to->left, s.left);
    dev::store(&to->key, s.key);
    dev::store(&to->last, s.last);
    dev::store(&to->last_kept, s.last_kept);
    dev::store(&to->unused, 0u);
  }

  /// This block's tile.
  LOOPSERVE_DEVICE int first() const { return dev::block().x * tile; }
  LOOPSERVE_DEVICE int end() const {
    auto const n = static_cast<int>(logits.extent(1));
    return first() + tile < n ? first() + tile : n;
  }
};

/// Block (x, row): a pass over tile x.
struct add_weights_kernel {
  static constexpr int threads = token_search::threads;
  /// Sums in halves: shared memory adds 32 bits at once, and 64 by trying.
  struct shared_layout {
    token_search::room room;
    std::uint32_t low[token_search::bins], high[token_search::bins];
  };

  token_search search;
  int pass;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const r = dev::block().y, digit = pass % 3, above = search.shift(digit) + search.width(digit);
    draw_question const question{pass / 3};
    auto const task = search.task_of(r);
    if (!task.drawn || !search.asks(task, question)) { return; }  // the same on all threads
    for (int i = dev::thread(); i < search.bins; i += threads) { shared.low[i] = shared.high[i] = 0; }
    auto const s = search.begin(task, r, pass, shared.room);
    search.note(r, pass, s);
    dev::barrier();
    auto const add = [&](std::uint32_t key, std::uint64_t times) {
      if (digit > 0 && key >> above != s.key >> above) { return; }
      auto const weight = times * search.weight_for(task, question, search.logit_of(key));
      if (weight == 0) { return; }
      auto const bin = key >> search.shift(digit) & ((1u << search.width(digit)) - 1);
      auto const low = static_cast<std::uint32_t>(weight), before = dev::atomic_add(shared.low + bin, low);
      auto const high = static_cast<std::uint32_t>(weight >> 32) + (before + low < low ? 1u : 0u);
      if (high != 0) { dev::atomic_add(shared.high + bin, high); }
    };
    for (int i = search.first() + dev::thread(); i < search.end(); i += threads) {
      auto const key = search.key_of(dev::load(&search.logits(r, i)));
      if (key > s.last) { add(key, 1); }
    }
    if (dev::block().x == 0 && dev::thread() == 0 && s.last_kept > 0) { add(s.last, s.last_kept); }
    dev::barrier();
    auto* const to = search.weights + (index_t{r} * search.passes + pass) * search.bins;
    for (int i = dev::thread(); i < search.bins; i += threads) {
      auto const weight = static_cast<unsigned long long>(shared.high[i]) << 32 | shared.low[i];
      if (weight != 0) { dev::atomic_add(to + i, weight); }
    }
  }
};

/// Block (x, row): how many logits of tile x equal the drawn one. counts (rows, tiles).
struct count_drawn_kernel {
  static constexpr int threads = token_search::threads;
  struct shared_layout {
    token_search::room room;
    dev::reduce_scratch<int> sums;
  };

  token_search search;
  int* counts;

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const r = dev::block().y;
    auto const task = search.task_of(r);
    if (!task.drawn) { return; }
    auto const s = search.begin(task, r, search.passes, shared.room);
    search.note(r, search.passes, s);
    int equal = 0;
    for (int i = search.first() + dev::thread(); i < search.end(); i += threads) {
      equal += search.key_of(dev::load(&search.logits(r, i))) == s.last ? 1 : 0;
    }
    equal = dev::block_reduce(equal, 0, dev::plus{}, shared.sums);
    if (dev::thread() == 0) { dev::store(counts + index_t{r} * dev::blocks().x + dev::block().x, equal); }
  }
};

/// Block (x, row): names the drawn token where it is in tile x.
struct name_drawn_kernel {
  static constexpr int threads = token_search::threads;
  struct shared_layout {
    dev::scan_scratch<int> scan;
    dev::reduce_scratch<int> sums;
  };

  token_search search;
  int const* counts;
  unsigned long long* drawn;  // (rows)

  LOOPSERVE_DEVICE void operator()() const {
    auto& shared = dev::shared<shared_layout>();
    int const r = dev::block().y;
    if (!search.task_of(r).drawn) { return; }
    auto const s = dev::load_whole(search.stands + index_t{r} * (search.passes + 1) + search.passes);
    auto const wanted = static_cast<int>(s.last_kept);
    int before = 0;
    for (int i = dev::thread(); i < dev::block().x; i += threads) { before += dev::load(counts + index_t{r} * dev::blocks().x + i); }
    before = dev::block_reduce(before, 0, dev::plus{}, shared.sums);
    for (int from = search.first(); from < search.end() && before < wanted; from += threads) {
      int const i = from + dev::thread();
      bool const equal = i < search.end() && search.key_of(dev::load(&search.logits(r, i))) == s.last;
      auto const sum = dev::block_scan(equal ? 1 : 0, shared.scan);
      if (equal && before + sum.before + 1 == wanted) { dev::store(drawn + r, static_cast<unsigned long long>(i)); }
      before += sum.total;
    }
  }
};

}  // namespace loopserve
