// SPDX-License-Identifier: Apache-2.0
#include "facts.hpp"

#include <algorithm>
#include <exception>
#include <map>
#include <string>
#include <utility>

#include <loopserve/model/planned_weights.hpp>
#include <loopserve/model/text/chat_template.hpp>

#include "../shared/bytes_text.hpp"
#include "../shared/model_text.hpp"

namespace inspect {
namespace {

using json = nlohmann::ordered_json;

json shape_facts(loopserve::model_shape const& s) {
  return {{"layers", s.layers}, {"width", s.width},           {"heads", s.heads},           {"kv_heads", s.kv_heads},
          {"head_dim", s.head_dim}, {"feed_forward", s.feed_forward}, {"vocabulary", s.vocabulary}, {"max_context", s.max_context}};
}

json rope_facts(loopserve::rope_settings const& r) {
  json facts{{"theta", r.theta}, {"scaling", name_of(r.kind)}};
  if (r.kind != loopserve::rope_scaling::none) { facts["factor"] = r.factor; }
  if (r.original_context > 0) { facts["original_context"] = r.original_context; }
  if (r.kind == loopserve::rope_scaling::llama3) {
    facts["low_freq_factor"] = r.low_freq_factor;
    facts["high_freq_factor"] = r.high_freq_factor;
  }
  if (r.kind == loopserve::rope_scaling::yarn) {
    facts["beta_fast"] = r.beta_fast;
    facts["beta_slow"] = r.beta_slow;
    facts["attention_factor"] = r.scale;
  }
  if (!r.divisors.empty()) { facts["divisors"] = r.divisors.size(); }
  facts["pairs"] = r.interleaved ? "(2i, 2i + 1)" : "(i, i + head_dim / 2)";
  return facts;
}

json ids_of(std::vector<loopserve::token_id> const& ids) {
  json list = json::array();
  for (auto const id : ids) { list.push_back(loopserve::raw(id)); }
  return list;
}

/// A model without a tokenizer, or with a template that is not known, can still be looked at: the reason stands in their place.
json text_facts(loopserve::model_files const& files) {
  json facts;
  try {
    auto const words = programs::tokenizer_of(files);
    facts["tokens"] = words.size();
    facts["initial"] = ids_of(words.initial_tokens());
  } catch (std::exception const& e) { facts["tokenizer"] = e.what(); }
  try {
    facts["template"] = loopserve::chat_template::from_model(files).name();
  } catch (std::exception const& e) { facts["template"] = e.what(); }
  facts["ends_answers"] = ids_of(files.config().eos_ids);
  return facts;
}

/// What `cuda` makes of the tensors when it loads them.
json device_facts(loopserve::model_files const& files) {
  auto const plan = loopserve::planned_on_device(files);
  json facts{{"bytes", plan.bytes}};
  for (auto const& [type, c] : plan.to_bf16) {
    facts["bf16_from_" + std::string(name_of(type))] = json{{"count", c.matrices}, {"bytes", c.bytes_after}};
  }
  return facts;
}

json tensor_facts(loopserve::model_files const& files) {
  std::map<std::string, std::pair<int, loopserve::index_t>> types;
  for (auto const& t : files.tensors()) {
    auto& of_type = types[t.type_name];
    ++of_type.first;
    of_type.second += t.bytes;
  }
  json by_type;
  for (auto const& [type, of_type] : types) { by_type[type] = json{{"count", of_type.first}, {"bytes", of_type.second}}; }
  json list;
  for (auto const& t : files.tensors()) { list[t.name] = t.type_name + " " + loopserve::shape_text(t.shape); }
  return {{"count", files.tensors().size()}, {"bytes", files.weight_bytes()}, {"types", by_type}, {"on_cuda", device_facts(files)}, {"list", list}};
}

}  // namespace

json facts_of(loopserve::model_files const& files) {
  auto const& c = files.config();
  json facts{{"path", files.path()}, {"format", files.gguf() != nullptr ? "GGUF version " + std::to_string(files.gguf()->version()) : "Hugging Face folder"}};
  facts["family"] = c.family;
  facts["shape"] = shape_facts(c.shape);
  facts["norm_eps"] = c.norm_eps;
  facts["rope"] = rope_facts(c.rope);
  facts["qkv_bias"] = c.qkv_bias;
  facts["output_bias"] = c.output_bias;
  facts["qk_norm"] = c.qk_norm;
  facts["tied_head"] = c.tied_head;
  if (std::any_of(c.windows.begin(), c.windows.end(), [](int w) { return w > 0; })) { facts["windows"] = c.windows; }
  facts["text"] = text_facts(files);
  facts["tensors"] = tensor_facts(files);
  return facts;
}

json facts_of(loopserve::memory_plan const& plan) {
  return {{"context_tokens", plan.context_tokens}, {"weights_bytes", plan.weights_bytes},         {"cache_bytes", plan.cache_bytes},
          {"compressor_bytes", plan.compressor_bytes}, {"working_set_bytes", plan.working_set_bytes}, {"scratch_bytes", plan.scratch_bytes},
          {"total_bytes", plan.total_bytes()},     {"longest_context", plan.longest_context}};
}

std::string text_of(json const& facts, int indent) {
  std::string text;
  for (auto const& [name, value] : facts.items()) {
    text += std::string(static_cast<std::size_t>(indent), ' ') + name;
    if (value.is_object()) {
      text += "\n" + text_of(value, indent + 2);
      continue;
    }
    text += std::string(name.size() + static_cast<std::size_t>(indent) < 20 ? 20 - name.size() - static_cast<std::size_t>(indent) : 1, ' ');
    text += value.is_string() ? value.get<std::string>() : value.dump();
    bool const bytes = name.size() >= 5 && name.compare(name.size() - 5, 5, "bytes") == 0;
    if (bytes) { text += " (" + programs::bytes_text(value.get<double>()) + ")"; }
    text += "\n";
  }
  return text;
}

}  // namespace inspect
