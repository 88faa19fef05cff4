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

struct agreement {
  int positions = 0, close = 0, same = 0;
  double apart = 0;  ///< log-probabilities of the text's tokens

  /// `want`'s largest logit leads by more than 0.05, or the position is close; a position that is not has the same most likely token.
  template <class Got, class Want>
  void add(Got const& got, Want const& want, std::size_t vocabulary) {
    for (std::size_t i = 0; i < want.logprobs.size(); ++i) {
      double const e = std::fabs(got.logprobs[i] - want.logprobs[i]);
      if (!(e <= apart)) { apart = e; }
    }
    for (std::size_t at = 0; at < want.logits.size(); at += vocabulary) {
      auto const best = [&](std::vector<float> const& all) { return std::max_element(all.begin() + at, all.begin() + at + vocabulary) - (all.begin() + at); };
      auto row = std::vector<float>(want.logits.begin() + at, want.logits.begin() + at + vocabulary);
      std::partial_sort(row.begin(), row.begin() + 2, row.end(), std::greater<>());
      ++positions;
      if (row[0] - row[1] <= 0.05F) {
        ++close;
      } else {
        same += best(got.logits) == best(want.logits) ? 1 : 0;
      }
    }
  }
  std::string text() const {
    return std::to_string(same) + " of " + std::to_string(positions - close) + " most likely tokens are the same, " + std::to_string(close) +
           " positions are close, log-probabilities differ by at most " + std::to_string(apart);
  }
};

/// Against the same numbers summed in float64, and against float32 throughout.
agreement compare(std::string const& path, std::string const& text) {
  CAPTURE(path);
  auto const files = model_files::open(path);
  auto const vocabulary = static_cast<std::size_t>(files->shape().vocabulary);
  auto ids = load_text(*files, {}).words.encode(text);
  ids.resize(std::min<std::size_t>(ids.size(), 40));
  scored<device> const got(files, ids);
  agreement in_kind, in_float;
  in_kind.add(got, scored<rounded>(files, ids), vocabulary);
  in_float.add(got, scored<reference>(files, ids), vocabulary);
  MESSAGE(path << ": " << in_kind.text() << "; against float32: " << in_float.text());
  // A sum in another order may round to the other side, and prefill's tensor cores round queries and weights to the 16 bits of K and V.
  CHECK(in_kind.apart <= 0.2);
  CHECK(in_kind.same == in_kind.positions - in_kind.close);
  return in_float;
}

}  // namespace

TEST_CASE("texts are as likely as on the reference, with biases, norms of queries and keys, windows, scaled rotations") {
  auto const demo = compare(demo_model, "The amber bear budget is 431. We met today and talked for a while. What is the amber bear budget?");
  CHECK(demo.same == demo.positions - demo.close);
  compare(demo_model + "/model-bf16.gguf", "The amber bear budget is 431. What is the amber bear budget?");
  if (!std::filesystem::exists(material)) {
    MESSAGE("the rest skipped: no material");
    return;
  }
  std::string const story = "One day, a cat named Tom went to the park with his mom. They saw a big box with a big box.";
  auto const stories = compare(material + "stories260K", story);
  CHECK(stories.same == stories.positions - stories.close);
  for (auto const* name : {"stories260K/model-f32.gguf", "tiny1m", "families/qwen2", "families/qwen3", "families/llama3-scaled", "families/mistral-window"}) {
    compare(material + name, story);
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
