// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <loopserve/core/weight_view.hpp>
#include <loopserve/model/gguf.hpp>
#include <loopserve/model/gguf_config.hpp>
#include <loopserve/model/json_file.hpp>
#include <loopserve/model/model_config.hpp>
#include <loopserve/model/safetensors.hpp>
#include <loopserve/model/tensor_entry.hpp>

namespace loopserve {

/// A model as it lies on disk: a Hugging Face folder (config.json, model.safetensors or shards with an index) or a GGUF file. Owns the mappings that
/// weights view. Tensors are asked for by their Hugging Face names, whatever the format.
class model_files : public std::enable_shared_from_this<model_files> {
 public:
  /// `path`: a folder, a .gguf file, or a folder whose only model is one .gguf file. Throws format_error.
  static std::shared_ptr<model_files const> open(std::string const& path) { return std::shared_ptr<model_files const>(new model_files(path)); }

  model_config const& config() const { return config_; }
  model_shape const& shape() const { return config_.shape; }
  std::string const& path() const { return path_; }                                                    ///< of the folder or the GGUF file
  std::string folder() const { return gguf_ ? std::filesystem::path(path_).parent_path().string() : path_; }
  loopserve::gguf const* gguf() const { return gguf_ ? &*gguf_ : nullptr; }                            ///< null for a Hugging Face folder
  std::vector<tensor_entry> const& tensors() const { return tensors_; }

  bool has(std::string const& name) const { return find(name) != nullptr; }

  /// Weights (rows, cols) in the type they are stored in; they live as long as this object or `keeper()`. Throws format_error where the tensor is missing,
  /// of another shape, or of a type that cannot be computed with.
  weight_view matrix(std::string const& name, index_t rows, index_t cols) const {
    auto const& t = tensor(name, {rows, cols});
    return {*t.type, rows, cols, t.data};
  }

  /// A norm's weights or a bias as float32.
  std::vector<float> vector(std::string const& name, index_t n) const {
    auto const& t = tensor(name, {n});
    std::vector<float> out(static_cast<std::size_t>(n));
    unpack_row({*t.type, 1, n, t.data}, 0, out.data());
    return out;
  }

  index_t weight_bytes() const {
    index_t sum = 0;
    for (auto const& t : tensors_) { sum += t.bytes; }
    return sum;
  }

  /// Keeps the mapped files alive.
  std::shared_ptr<void const> keeper() const { return shared_from_this(); }

  /// The chat template's source: chat_template.jinja, or tokenizer_config.json's chat_template, or the GGUF's; "" where there is none.
  std::string chat_template() const {
    if (gguf_) { return std::string(gguf_->string_or("tokenizer.chat_template", "")); }
    namespace fs = std::filesystem;
    if (auto const own = path_ + "/chat_template.jinja"; fs::exists(own)) {
      mapped_file const file(own);
      return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
    }
    auto const config = path_ + "/tokenizer_config.json";
    if (!fs::exists(config)) { return ""; }
    auto const file = json_file::open(config);
    if (!file.has("chat_template")) { return ""; }
    auto const source = file.at("chat_template");
    if (!source.is_array()) { return file.string("chat_template"); }
    for (auto const& one : source.items()) {  // several by name
      if (one["name"].is_text("default") && one["template"].is_string()) { return one["template"].text(); }
    }
    file.wrong("chat_template", "a string, or a list with one named default");
  }

  /// The name that GGUF files have for a Hugging Face tensor name; "" where they have none.
  static std::string gguf_name(std::string const& name) {
    static constexpr std::array<std::pair<char const*, char const*>, 3> whole = {
        {{"model.embed_tokens.weight", "token_embd.weight"}, {"model.norm.weight", "output_norm.weight"}, {"lm_head.weight", "output.weight"}}};
    static constexpr std::array<std::pair<char const*, char const*>, 11> parts = {{{"input_layernorm", "attn_norm"},
                                                                                  {"self_attn.q_proj", "attn_q"},
                                                                                  {"self_attn.k_proj", "attn_k"},
                                                                                  {"self_attn.v_proj", "attn_v"},
                                                                                  {"self_attn.o_proj", "attn_output"},
                                                                                  {"self_attn.q_norm", "attn_q_norm"},
                                                                                  {"self_attn.k_norm", "attn_k_norm"},
                                                                                  {"post_attention_layernorm", "ffn_norm"},
                                                                                  {"mlp.gate_proj", "ffn_gate"},
                                                                                  {"mlp.up_proj", "ffn_up"},
                                                                                  {"mlp.down_proj", "ffn_down"}}};
    for (auto const& [theirs, ours] : whole) {
      if (name == theirs) { return ours; }
    }
    std::string const prefix = "model.layers.";
    auto const dot = name.find('.', prefix.size());
    auto const last = name.rfind('.');
    if (name.compare(0, prefix.size(), prefix) != 0 || dot == std::string::npos || last <= dot) { return ""; }
    for (auto const& [theirs, ours] : parts) {
      if (name.compare(dot + 1, last - dot - 1, theirs) == 0) { return "blk." + name.substr(prefix.size(), dot - prefix.size()) + "." + ours + name.substr(last); }
    }
    return "";
  }

 private:
  explicit model_files(std::string path) : path_(std::move(path)) {
    namespace fs = std::filesystem;
    std::error_code failure;
    if (fs::is_directory(path_, failure)) {
      while (path_.size() > 1 && path_.back() == '/') { path_.pop_back(); }
      if (fs::exists(path_ + "/config.json", failure)) {
        open_folder();
        return;
      }
      path_ = only_gguf(path_);
    }
    weights_file_ = path_;
    gguf_ = loopserve::gguf::open(path_);
    tensors_ = gguf_->tensors();
    index_tensors();
    config_ = read_model_config(*gguf_);
  }

  static std::string only_gguf(std::string const& folder) {
    std::set<std::string> found;
    for (auto const& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".gguf") { found.insert(entry.path().string()); }
    }
    if (found.size() != 1) { bad_file(folder, "the model", "config.json or one .gguf file", std::to_string(found.size()) + " .gguf files and no config.json"); }
    return *found.begin();
  }

  void open_folder() {
    namespace fs = std::filesystem;
    auto const config = json_file::open(path_ + "/config.json");
    std::optional<json_file> generation;
    if (auto const file = path_ + "/generation_config.json"; fs::exists(file)) { generation.emplace(json_file::open(file)); }
    config_ = read_model_config(config, generation ? &*generation : nullptr);
    if (auto const one = path_ + "/model.safetensors"; fs::exists(one)) {
      weights_file_ = one;
      add_safetensors(one);
    } else if (auto const index = one + ".index.json"; fs::exists(index)) {
      weights_file_ = index;
      add_shards(json_file::open(index));
    } else {
      bad_file(path_, "the weights", "model.safetensors or model.safetensors.index.json", "neither");
    }
    index_tensors();
  }

  void add_safetensors(std::string const& file) {
    auto const part = safetensors::open(file);
    tensors_.insert(tensors_.end(), part.tensors().begin(), part.tensors().end());
    keepers_.insert(keepers_.end(), part.keepers().begin(), part.keepers().end());
  }

  void add_shards(json_file const& index) {
    auto const map = index.object("weight_map");
    std::set<std::string> shards;
    for (auto const& [name, shard] : map.value().members()) {
      // A shard lies beside its index: names that lead elsewhere are refused.
      if (!shard.is_string() || shard.text().empty() || shard.text().find_first_of("/\\") != std::string::npos) {
        map.wrong(name, "the name of a file in the same folder");
      }
      shards.insert(shard.text());
    }
    for (auto const& shard : shards) { add_safetensors(path_ + "/" + shard); }
    index_tensors();
    for (auto const& [name, shard] : map.value().members()) {
      auto const found = index_.find(name);
      auto const file = path_ + "/" + shard.text();
      if (found == index_.end() || tensors_[found->second].file != file) {
        bad_file(index.file(), "tensor '" + shown(name) + "'", "it in " + file, found == index_.end() ? "it in no shard" : "it in " + tensors_[found->second].file);
      }
    }
  }

  void index_tensors() {
    index_.clear();
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      auto const [place, added] = index_.emplace(tensors_[i].name, i);
      if (!added) { bad_file(tensors_[i].file, "tensor '" + shown(tensors_[i].name) + "'", "every tensor once", "another one in " + tensors_[place->second].file); }
    }
  }

  tensor_entry const* find(std::string const& name) const {
    auto const found = index_.find(gguf_ ? gguf_name(name) : name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
  }

  tensor_entry const& tensor(std::string const& name, std::vector<index_t> const& shape) const {
    auto const* t = find(name);
    auto const what = "tensor '" + (gguf_ ? gguf_name(name) : name) + "'";
    if (t == nullptr) { bad_file(weights_file_, what, shape_text(shape), "no such tensor"); }
    if (t->shape != shape) { bad_file(t->file, what, shape_text(shape), shape_text(t->shape)); }
    if (!t->type) { bad_file(t->file, what, "type f32, f16, bf16 or (GGUF) q8_0", t->type_name + ", which is not supported"); }
    return *t;
  }

  std::string path_;
  std::string weights_file_;  ///< that lists the tensors: safetensors, index or GGUF
  model_config config_;
  std::optional<loopserve::gguf> gguf_;
  std::vector<tensor_entry> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::shared_ptr<void const>> keepers_;
};

}  // namespace loopserve
