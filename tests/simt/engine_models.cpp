// SPDX-License-Identifier: Apache-2.0
/// What a device says of a text, token by token, against the reference backend: biases, norms of queries and keys, windows, scaled rotations, tied heads.
#include "engine_on_device.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#if !LOOPSERVE_CUDA_COMPILER
#include <loopserve/attention/cpu/cpu_attention.hpp>
#include <loopserve/ops/cpu/cpu_ops.hpp>
#endif

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// The reference's sums of the numbers that a device computes with: products of rows and weights in 16 bits, keys and values in f16.
struct rounded : reference {
  using reference::reference;
};

float in(element_type type, float x) { return type == element_type::f16 ? static_cast<float>(f16(x)) : static_cast<float>(bf16(x)); }

void matmul(rounded const& b, tensor_view<float const, 2> x, weight_view w, std::span<float const> bias, tensor_view<float, 2> out) {
  auto const type = device_type(w.type);
  std::vector<float> rows(static_cast<std::size_t>(x.size())), weights(static_cast<std::size_t>(w.rows * w.cols));
  for (index_t i = 0; i < x.size(); ++i) { rows[static_cast<std::size_t>(i)] = in(type, x(i / w.cols, i % w.cols)); }
  for (index_t r = 0; r < w.rows; ++r) { unpack_row(w, r, weights.data() + r * w.cols); }
  for (auto& value : weights) { value = in(type, value); }
  matmul(static_cast<reference const&>(b), tensor_view<float const, 2>(rows.data(), x.extents()), {element_type::f32, w.rows, w.cols, weights.data()}, bias, out);
}

void embed(rounded const& b, weight_view table, std::span<token_id const> ids, tensor_view<float, 2> out) {
  embed(static_cast<reference const&>(b), table, ids, out);
  for (index_t i = 0; i < out.size(); ++i) { out.data()[i] = in(device_type(table.type), out.data()[i]); }
}

/// Keeps all logits that a model has computed.
template <class Backend>
struct noting_decoder : decoder<Backend> {
  noting_decoder(Backend& b, decoder_weights w) : decoder<Backend>(b, std::move(w)), backend(&b) {}
  void logits(tensor_view<float const, 2> x, tensor_view<float, 2> out) {
    decoder<Backend>::logits(x, out);
    std::vector<float> rows(static_cast<std::size_t>(out.size()));
    download(*backend, out.data(), out.size(), rows.data());
    noted.insert(noted.end(), rows.begin(), rows.end());
  }
  Backend* backend;
  std::vector<float> noted;
};
template <class Backend>
struct noting : dense<Backend> {
  using model = noting_decoder<Backend>;
};

template <class Backend>
struct scored {
  std::vector<double> logprobs;
  std::vector<float> logits;  // (tokens, vocabulary)

  scored(std::shared_ptr<model_files const> const& files, std::vector<token_id> const& ids) {
    using config = noting<Backend>;
    engine_options<config> o;
    o.chunk_tokens = 20;
    Backend b;
    noting_decoder<Backend> network(b, load_weights(*files));
    logprobs = scorer<config>(b, network, settle_options(o, files->shape(), files->weight_bytes())).run(ids).logprobs;
    logits = std::move(network.noted);
  }
};

#if LOOPSERVE_CUDA_COMPILER
using speaker = reference;  // nvcc does not compile the cpu backend
#else
using speaker = cpu;
#endif

/// Tokens of which the last ones were generated, greedily, by a host's backend.
struct said {
  std::vector<token_id> tokens;
  std::size_t generated = 0;

  said(std::shared_ptr<model_files const> const& files, std::string const& input, bool chat, int most) {
    auto const text = load_text(*files, {});
    engine<dense<speaker>> e(files);
    auto talk = e.open({.max_tokens = most, .raw = !chat});
    talk.say(input).text();
    std::vector<chat_message> const messages = {{"user", input}};
    tokens = chat ? text.encode(messages) : text.words.encode(input);
    generated = talk.last_answer().size();
    tokens.insert(tokens.end(), talk.last_answer().begin(), talk.last_answer().end());
  }
};

struct agreement {
  int positions = 0, close = 0, same = 0, differ = 0;
  double apart = 0;  ///< log-probabilities of the text's tokens

  /// At each position where a token was generated: `want`'s largest logit leads by more than 0.05, or the position is close; where it is not, `got`'s most likely token is
  /// to be the same.
  template <class Got, class Want>
  void add(Got const& got, Want const& want, std::size_t vocabulary, std::size_t generated) {
    for (std::size_t i = 0; i < want.logprobs.size(); ++i) {
      double const e = std::fabs(got.logprobs[i] - want.logprobs[i]);
      if (!(e <= apart)) { apart = e; }
    }
    for (std::size_t at = want.logits.size() - (generated + 1) * vocabulary; at + vocabulary < want.logits.size(); at += vocabulary) {
      auto const best = [&](std::vector<float> const& all) { return std::max_element(all.begin() + at, all.begin() + at + vocabulary) - (all.begin() + at); };
      auto row = std::vector<float>(want.logits.begin() + at, want.logits.begin() + at + vocabulary);
      std::partial_sort(row.begin(), row.begin() + 2, row.end(), std::greater<>());
      bool const leads = row[0] - row[1] > 0.05F, equal = best(got.logits) == best(want.logits);
      ++positions;
      close += leads ? 0 : 1;
      same += leads && equal ? 1 : 0;
      differ += equal ? 0 : 1;
    }
  }
  agreement& operator+=(agreement const& other) {
    positions += other.positions;
    close += other.close;
    same += other.same;
    differ += other.differ;
    apart = std::max(apart, other.apart);
    return *this;
  }
  bool as_it_should() const { return same == positions - close; }
  std::string text() const {
    return std::to_string(same) + " of " + std::to_string(positions - close) + " greedy tokens are the same, " + std::to_string(close) + " of " + std::to_string(positions) +
           " positions lead by at most 0.05, " + std::to_string(differ) + " differ, log-probabilities differ by at most " + std::to_string(apart);
  }
};

/// Against the same numbers summed in float64, and against float32 throughout.
struct compared {
  agreement in_kind, in_float;

  compared(std::string const& path, std::vector<std::string> const& inputs, bool chat = false) {
    CAPTURE(path);
    auto const files = model_files::open(path);
    auto const vocabulary = static_cast<std::size_t>(files->shape().vocabulary);
    for (auto const& input : inputs) {
      said const text(files, input, chat, 32);
      scored<device> const got(files, text.tokens);
      in_kind.add(got, scored<rounded>(files, text.tokens), vocabulary, text.generated);
      in_float.add(got, scored<reference>(files, text.tokens), vocabulary, text.generated);
    }
    MESSAGE(path << ": " << in_kind.text() << "; against float32: " << in_float.text());
    // A sum in another order may round to the other side, and prefill's tensor cores round queries and weights to the 16 bits of K and V.
    CHECK(in_kind.apart <= 0.2);
    CHECK(in_kind.as_it_should());
  }
};

}  // namespace

TEST_CASE("what the host says greedily is what a device would say, with biases, norms of queries and keys, windows, scaled rotations") {
  std::vector<std::string> const notes = {"The amber bear budget is 431. We met today and talked for a while. What is the amber bear budget?",
                                          "The golden prairie code is 956. The silver fox price is 12. Tell me the golden prairie code.",
                                          "The silver fox code is 12. What is the silver fox code?"};
  agreement demo;
  for (auto const* files : {"", "/model-bf16.gguf"}) { demo += compared(demo_model + files, notes, true).in_float; }
  CHECK(demo.positions > 50);
  CHECK(demo.as_it_should());
  CHECK(demo.close * 100 <= demo.positions);
  if (!std::filesystem::exists(material)) {
    MESSAGE("the rest skipped: no material");
    return;
  }
  std::vector<std::string> const stories = {"One day, a cat named Tom went to the park with his mom.", "Lily and Ben", "The sun was hot and"};
  CHECK(compared(material + "stories260K", stories).in_float.as_it_should());
  for (auto const* name : {"stories260K/model-f32.gguf", "tiny1m", "families/qwen2", "families/qwen3", "families/llama3-scaled", "families/mistral-window"}) {
    compared(material + name, stories);
  }
}

TEST_CASE("stories260K tells the same story, token by token") {
  auto const stories = material + "stories260K";
  if (!std::filesystem::exists(stories)) {
    MESSAGE("skipped: no material");
    return;
  }
  auto const told = [&]<class Config>() {
    engine<Config> e(stories, {.chunk_tokens = 16});
    auto chat = e.open({.max_tokens = 32, .raw = true});
    chat.say("One day, a cat named Tom").text();
    return std::vector<token_id>(chat.last_answer().begin(), chat.last_answer().end());
  };
  auto const got = told.template operator()<dense<device>>(), want = told.template operator()<dense<reference>>();
  CHECK(got.size() == want.size());
  auto const same = std::mismatch(got.begin(), got.end(), want.begin(), want.end()).first - got.begin();
  MESSAGE("the first " << same << " of " << want.size() << " tokens are the same");
  CHECK(got == want);
}

TEST_CASE("an engine says what it has converted, and plans with what its weights take") {
  engine<dense<device>> e(demo_model);
  CHECK(e.loaded().text().empty());
  CHECK(e.plan(100).weights_bytes >= e.loaded().bytes);
  auto const stories = material + "stories260K";
  if (!std::filesystem::exists(stories)) {
    MESSAGE("skipped: no material");
    return;
  }
  engine<dense<device>> f(stories);
  CHECK(f.loaded().text().find(" matrices in f32, ") != std::string::npos);
  CHECK(f.plan(100).weights_bytes < engine<dense<reference>>(stories).plan(100).weights_bytes);
}
