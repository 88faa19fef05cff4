// SPDX-License-Identifier: Apache-2.0
/// Choices that are made beside a decode step, on a second queue of the device: the same answers whichever queue is late, and as on the reference backend.
#include "engine_on_device.hpp"

#if !LOOPSERVE_CUDA_COMPILER
#include "emulator/two_queues.hpp"
#endif

#include <string>
#include <vector>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

#if LOOPSERVE_CUDA_COMPILER
using paired = cuda;
#else
using paired = two_queues;
#endif

/// Notes all logits.
template <class Backend>
struct noting_decoder : decoder<Backend> {
  noting_decoder(Backend& b, decoder_weights w) : decoder<Backend>(b, std::move(w)), backend(&b) {}

  void logits(tensor_view<float const, 2> x, tensor_view<float, 2> out) {
    decoder<Backend>::logits(x, out);
    auto const first = seen().size();
    seen().resize(first + static_cast<std::size_t>(out.size()));
    download(*backend, static_cast<float const*>(out.data()), out.size(), seen().data() + first);
  }
  static std::vector<float>& seen() {
    static std::vector<float> all;
    return all;
  }
  Backend* backend;
};

template <class Backend>
struct reselecting : dense<Backend> {
  using model = noting_decoder<Backend>;
  using compressor = progressive<Backend>;
};
template <class Backend>
struct recalling : dense<Backend> {
  using model = noting_decoder<Backend>;
  using compressor = with_recall<progressive<Backend>>;
};

/// A conversation's answers, what they were taken from, and how many choices there were.
struct played {
  std::vector<std::vector<token_id>> answers;
  std::vector<float> logits;
  std::vector<int> selections;
  bool operator==(played const&) const = default;
};

template <class Config>
played play(bool beside) {
  engine_options<Config> o;
  o.chunk_tokens = 32;
  o.compressor.budget = kv_budget{16};
  if constexpr (requires { o.compressor.core; }) {
    o.compressor.core.interval = 3;
    o.compressor.core.beside = beside;
  } else {
    o.compressor.interval = 3;
    o.compressor.beside = beside;
  }
  Config::model::seen().clear();
  played p;
  engine<Config> e(demo_model, o);
  auto one = e.open({.max_tokens = 10}), other = e.open({.max_tokens = 8});
  for (auto const* text : {"The amber bear budget is 431. What is the amber bear budget?", "The golden prairie code is 956."}) {
    auto first = one.say(text), second = other.say(text);  // together
    first.text();
    second.text();
    for (auto* chat : {&one, &other}) {
      p.answers.emplace_back(chat->last_answer().begin(), chat->last_answer().end());
      p.selections.push_back(chat->reports().back().selections);
    }
  }
  p.logits = Config::model::seen();
  return p;
}

template <template <class> class Config>
void answers_do_not_depend_on_which_queue_is_late() {
#if LOOPSERVE_CUDA_COMPILER
  auto const got = play<Config<paired>>(true);
  CHECK(play<Config<paired>>(true) == got);
#else
  two_queues::which = two_queues::late::neither;
  auto const got = play<Config<paired>>(true);
  for (auto const late : {two_queues::late::first, two_queues::late::second}) {
    two_queues::which = late;
    CHECK(play<Config<paired>>(true) == got);
  }
  two_queues::which = two_queues::late::neither;
#endif
  auto const want = play<Config<reference>>(true);
  CHECK(got.answers == want.answers);
  CHECK(got.selections == want.selections);
  CHECK(got.selections[0] > 4);
  auto const at_once = play<Config<paired>>(false);
  CHECK(at_once.selections == got.selections);
  CHECK(at_once.logits != got.logits);
}

}  // namespace

TEST_CASE("rows that are chosen and gathered beside a step are attended from the next one on") { answers_do_not_depend_on_which_queue_is_late<reselecting>(); }
TEST_CASE("a core that is chosen beside a step is recalled from the next one on") { answers_do_not_depend_on_which_queue_is_late<recalling>(); }
