// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "golden/dense_run.hpp"
#include "model/gguf_writer.hpp"
#include "model/temporary_folder.hpp"

using namespace loopserve;

namespace {

struct tensor {
  std::string name;
  std::vector<index_t> shape;
  std::vector<float> values;
};

/// All of a folder's tensors under their GGUF names; llama's query and key rows reordered for interleaved pairs, as converters do.
std::vector<tensor> tensors_of(model_files const& files) {
  std::vector<tensor> out;
  for (auto const& t : files.tensors()) {
    tensor one{model_files::gguf_name(t.name), t.shape, {}};
    if (one.name.empty()) { continue; }
    index_t const rows = t.shape[0];
    index_t const cols = t.shape.size() == 2 ? t.shape[1] : 1;  // a bias is reordered like the rows
    one.values.resize(static_cast<std::size_t>(rows * cols));
    bool const reorder = files.config().family == "llama" && (one.name.find("attn_q.") != std::string::npos || one.name.find("attn_k.") != std::string::npos);
    index_t const d = files.shape().head_dim;
    for (index_t r = 0; r < rows; ++r) {
      index_t const from = reorder ? r / d * d + (r % 2) * (d / 2) + r % d / 2 : r;
      unpack_row({*t.type, rows, cols, t.data}, from, one.values.data() + r * cols);
    }
    out.push_back(std::move(one));
  }
  return out;
}

/// Rounds values to what q8_0 stores, and gives its bytes.
std::vector<unsigned char> as_q8_0(std::vector<float>& values) {
  std::vector<unsigned char> bytes;
  for (std::size_t b = 0; b < values.size(); b += 32) {
    float top = 0;
    for (std::size_t i = b; i < b + 32; ++i) { top = std::max(top, std::fabs(values[i])); }
    f16 const scale(top / 127);
    bytes.push_back(static_cast<unsigned char>(scale.bits & 0xff));
    bytes.push_back(static_cast<unsigned char>(scale.bits >> 8));
    for (std::size_t i = b; i < b + 32; ++i) {
      auto const code = scale > 0 ? std::min(127L, std::max(-127L, std::lround(values[i] / scale))) : 0;
      bytes.push_back(static_cast<unsigned char>(static_cast<signed char>(code)));
      values[i] = scale * static_cast<float>(code);
    }
  }
  return bytes;
}

/// A GGUF file of the tensors, matrices with rows of whole blocks as `type`, the rest as f32; values become what is stored. `keys` writes further metadata.
std::vector<unsigned char> gguf_file(model_config const& config, std::vector<tensor>& tensors, element_type type, int more, void (*keys)(gguf_writer&)) {
  auto const& s = config.shape;
  auto const arch = config.family;
  gguf_writer w;
  w.header(3, tensors.size(), static_cast<std::uint64_t>(10 + more));
  w.key("general.architecture", gguf_type::string).text(arch);
  auto const count = [&](char const* name, int value) { w.key(arch + name, gguf_type::u32).put(static_cast<std::uint32_t>(value)); };
  count(".block_count", s.layers);
  count(".embedding_length", s.width);
  count(".feed_forward_length", s.feed_forward);
  count(".context_length", s.max_context);
  count(".attention.head_count", s.heads);
  count(".attention.head_count_kv", s.kv_heads);
  count(".attention.key_length", s.head_dim);
  w.key(arch + ".rope.freq_base", gguf_type::f32).put(static_cast<float>(config.rope.theta));
  w.key(arch + ".attention.layer_norm_rms_epsilon", gguf_type::f32).put(static_cast<float>(config.norm_eps));
  keys(w);
  std::vector<unsigned char> data;
  for (auto& t : tensors) {
    auto const stored = t.shape.size() == 2 && (type != element_type::q8_0 || t.shape[1] % 32 == 0) ? type : element_type::f32;
    w.text(t.name).put(static_cast<std::uint32_t>(t.shape.size()));
    for (std::size_t axis = t.shape.size(); axis-- > 0;) { w.put(static_cast<std::uint64_t>(t.shape[axis])); }
    w.put(std::uint32_t{stored == element_type::f32 ? 0u : stored == element_type::f16 ? 1u : stored == element_type::bf16 ? 30u : 8u});
    data.resize((data.size() + 31) / 32 * 32);
    w.put(static_cast<std::uint64_t>(data.size()));
    gguf_writer numbers;
    if (stored == element_type::q8_0) { numbers.bytes = as_q8_0(t.values); }
    for (auto& v : t.values) {
      if (stored == element_type::f32) { numbers.put(v); }
      if (stored == element_type::f16) { numbers.put(f16(v).bits), v = f16(v); }
      if (stored == element_type::bf16) { numbers.put(bf16(v).bits), v = bf16(v); }
    }
    data.insert(data.end(), numbers.bytes.begin(), numbers.bytes.end());
  }
  w.bytes.resize((w.bytes.size() + 31) / 32 * 32);
  w.bytes.insert(w.bytes.end(), data.begin(), data.end());
  return w.bytes;
}

void no_keys(gguf_writer&) {}

void yarn_keys(gguf_writer& w) {
  w.key("llama.rope.scaling.type", gguf_type::string).text("yarn");
  w.key("llama.rope.scaling.factor", gguf_type::f32).put(4.0F);
  w.key("llama.rope.scaling.original_context_length", gguf_type::u32).put(std::uint32_t{64});
  w.key("llama.rope.scaling.attn_factor", gguf_type::f32).put(static_cast<float>(1.25 / yarn_attention_factor(4)));
  w.key("llama.rope.scaling.yarn_beta_fast", gguf_type::f32).put(16.0F);
  w.key("llama.rope.scaling.yarn_beta_slow", gguf_type::f32).put(2.0F);
}

void linear_keys(gguf_writer& w) {
  w.key("llama.rope.scaling.type", gguf_type::string).text("linear");
  w.key("llama.rope.scaling.factor", gguf_type::f32).put(4.0F);
}

struct variant {
  std::string path;
  int more;
  void (*keys)(gguf_writer&);
};

std::string const shapes = std::string(LOOPSERVE_SOURCE_DIR) + "/tests/data/shapes/";
std::vector<variant> const variants = {{shapes + "llama-yarn-factor", 6, yarn_keys}, {shapes + "llama-linear", 2, linear_keys}, {shapes + "llama-bias", 0, no_keys},
                                       {shapes + "llama-odd-f16", 0, no_keys},       {shapes + "qwen3-wide-heads", 0, no_keys}};

}  // namespace

TEST_CASE("a GGUF made of a folder's tensors gives the folder's goldens") {
  temporary_folder const folder;
  for (auto const& v : variants) {
    CAPTURE(v.path);
    auto const files = model_files::open(v.path);
    auto tensors = tensors_of(*files);
    auto const path = folder.write("f32.gguf", gguf_file(files->config(), tensors, element_type::f32, v.more, v.keys));
    auto const want = golden::read_json(v.path + "/golden.json");
    auto const ids = want["ids"].get<std::vector<int>>();
    golden::dense_run run(path);
    auto const logits = run.feed(ids);
    CHECK(golden::largest_difference(run.logprobs(logits, ids), want["logprobs"].get<std::vector<double>>()) <= 2e-4);
    CHECK(golden::largest_difference(run.last_row(logits), want["last_logits"].get<std::vector<double>>()) <= 2e-4);
  }
}

TEST_CASE("f16, bf16 and q8_0 weights give the bits of float32 weights of the same values") {
  temporary_folder const folder;
  for (auto type : {element_type::f16, element_type::bf16, element_type::q8_0}) {
    for (auto const& v : variants) {
      CAPTURE(v.path);
      CAPTURE(name_of(type));
      auto const files = model_files::open(v.path);
      auto tensors = tensors_of(*files);
      auto const packed = folder.write("packed.gguf", gguf_file(files->config(), tensors, type, v.more, v.keys));
      auto const plain = folder.write("plain.gguf", gguf_file(files->config(), tensors, element_type::f32, v.more, v.keys));
      std::vector<int> const ids = {3, 1, 4, 1, 5, 9, 2, 6};
      golden::dense_run a(packed);
      golden::dense_run b(plain);
      for (auto const& t : a.files().tensors()) {
        if (type != element_type::q8_0 && t.shape.size() == 2) { CHECK(t.type == type); }
      }
      CHECK(a.feed(ids) == b.feed(ids));
    }
  }
}

TEST_CASE("llama3's scaling from rope_freqs.weight is that of rope_scaling") {
  rope_settings llama3;
  llama3.theta = 500000;
  llama3.kind = rope_scaling::llama3;
  llama3.factor = 8;
  llama3.original_context = 8192;
  auto plain = llama3;
  plain.kind = rope_scaling::none;
  auto const scaled = rope_frequencies(llama3, 128);
  auto const unscaled = rope_frequencies(plain, 128);
  CHECK(scaled[0] == unscaled[0]);
  CHECK(std::fabs(scaled[63] / unscaled[63] - 0.125) <= 1e-6);

  temporary_folder const folder;
  auto const files = model_files::open(shapes + "llama-odd-f16");
  auto tensors = tensors_of(*files);
  auto const d = files->shape().head_dim;
  tensor divisors{"rope_freqs.weight", {d / 2}, {}};
  for (int i = 0; i < d / 2; ++i) { divisors.values.push_back(static_cast<float>(1 + i)); }
  tensors.push_back(divisors);
  auto const path = folder.write("m.gguf", gguf_file(files->config(), tensors, element_type::f32, 0, no_keys));
  auto const with = load_weights(*model_files::open(path)).rope_inv_freq;
  auto const without = load_weights(*files).rope_inv_freq;
  for (int i = 0; i < d / 2; ++i) { CHECK(std::fabs(with[static_cast<std::size_t>(i)] * static_cast<float>(1 + i) / without[static_cast<std::size_t>(i)] - 1) <= 1e-6); }
}
