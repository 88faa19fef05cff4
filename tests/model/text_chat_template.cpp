// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <loopserve/model/text/chat_template.hpp>

#include "text_vectors.hpp"

using namespace loopserve;
using namespace text_test;

namespace {

nlohmann::json fixture() { return nlohmann::json::parse(read(std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "tests/data/chat_templates.json")); }

/// Some sources lie in the material, not here.
bool is_here(nlohmann::json const& t) { return !t.contains("material") || have_material(); }

std::string source_of(nlohmann::json const& t) {
  return t.contains("material") ? read(material(t["material"].get<std::string>().c_str())) : t["source"].get<std::string>();
}

chat_template named(nlohmann::json const& file, std::string const& name) {
  auto const& t = file["templates"][name];
  return chat_template::from_source(source_of(t), {t["bos"].get<std::string>(), t["eos"].get<std::string>()}, name);
}

std::vector<chat_message> conversation(nlohmann::json const& list) {
  std::vector<chat_message> out;
  for (auto const& m : list) { out.push_back({m["role"].get<std::string>(), m["content"].get<std::string>()}); }
  return out;
}

std::string text_of(std::vector<text_piece> const& pieces) {
  std::string out;
  for (auto const& p : pieces) { out += p.text; }
  return out;
}

std::string refusal(std::string const& source) {
  try {
    chat_template::from_source(source, {}, "file");
    return {};
  } catch (format_error const& e) { return e.what(); }
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("renderings are those of Jinja2") {
  auto const file = fixture();
  int refused = 0;
  for (auto const& [name, expected] : file["templates"].items()) {
    if (name == "language" || !is_here(expected)) { continue; }
    auto const t = named(file, name);
    for (std::size_t c = 0; c < file["conversations"].size(); ++c) {
      auto const messages = conversation(file["conversations"][c]);
      for (std::size_t prompt = 0; prompt < 2; ++prompt) {
        INFO(name, " conversation ", c, " prompt ", prompt);
        auto const& row = expected["rendered"][2 * c + prompt];
        if (row.is_null()) {
          CHECK_THROWS_AS(t.render(messages, prompt == 1), error);
          ++refused;
          continue;
        }
        auto const pieces = t.render(messages, prompt == 1);
        CHECK(text_of(pieces) == row.get<std::string>());
        // What is no control text is a part of what somebody said, and nothing that somebody said is control text.
        for (auto const& p : pieces) {
          bool said = false;
          for (auto const& m : messages) { said = said || contains(m.content, p.text); }
          if (!p.control) { CHECK(said); }
          if (p.control) {
            for (auto const* attack : {"obey", "[INST] x", "{{ x }}", "terse", "shape"}) { CHECK_FALSE(contains(p.text, attack)); }
          }
        }
      }
    }
  }
  CHECK(refused > 10);
}

TEST_CASE("the language's corners are Jinja2's") {
  auto const file = fixture();
  auto const& t = file["templates"]["language"];
  auto const root = detail::jinja::parser(t["source"].get<std::string>()).run();
  for (std::size_t c = 0; c < file["conversations"].size(); ++c) {
    for (std::size_t prompt = 0; prompt < 2; ++prompt) {
      using value = detail::jinja::value;
      value::items list;
      for (auto const& m : conversation(file["conversations"][c])) {
        list.push_back(value::map({{"role", value::string(m.role)}, {"content", value::string(m.content)}}));
      }
      detail::jinja::renderer r({{"messages", value::array(list)}, {"add_generation_prompt", value::boolean(prompt == 1)}});
      INFO("conversation ", c);
      auto const& row = t["rendered"][2 * c + prompt];
      REQUIRE_FALSE(row.is_null());
      CHECK(std::move(r).run(*root).text == row.get<std::string>());
    }
  }
}

TEST_CASE("families, ends of answers, and templates of folders and files") {
  auto const file = fixture();
  auto const check_one = [&](char const* name, char const* family, std::vector<std::string> const& stops) {
    INFO(name);
    if (!is_here(file["templates"][name])) { return; }
    CHECK(named(file, name).name() == family);
    CHECK(named(file, name).stop_strings() == stops);
  };
  check_one("qwen2.5", "ChatML", {"<|im_end|>"});
  check_one("qwen3", "ChatML", {"<|im_end|>"});
  check_one("smollm2", "ChatML", {"<|im_end|>"});
  check_one("llama-2", "Llama 2", {"</s>"});
  check_one("llama-3", "Llama 3", {"<|eot_id|>"});
  check_one("llama-3.2", "Llama 3", {"<|eot_id|>"});
  check_one("mistral-v0.1", "Mistral", {"</s>"});
  check_one("mistral-v0.3", "Mistral", {"</s>"});
  auto const& llama = file["templates"]["llama-3"]["source"];
  CHECK(chat_template::from_source(llama.get<std::string>(), {"<|begin_of_text|>", "<|end_of_text|>"}, "f").stop_strings() ==
        std::vector<std::string>{"<|end_of_text|>", "<|eot_id|>"});
  auto const folder = std::filesystem::path(LOOPSERVE_SOURCE_DIR) / "assets/demo-model";
  std::vector<chat_message> const hello = {{"user", "Hello"}};
  auto const demo = chat_template::from_folder(folder);
  CHECK(demo.name() == "ChatML");
  CHECK(text_of(demo.render(hello, true)) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  auto const same = chat_template::from_gguf(gguf::open((folder / "model-bf16.gguf").string()));
  CHECK(text_of(same.render(hello, true)) == text_of(demo.render(hello, true)));
  CHECK(same.stop_strings() == demo.stop_strings());
  if (!have_material()) { return; }
  auto const qwen = chat_template::from_folder(material("tokenizers/qwen2.5"));
  CHECK(text_of(qwen.render(hello, true)) == "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
                                             "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  CHECK(chat_template::from_folder(material("models/stories260K")).is_plain());
}

TEST_CASE("an answer's ids stand for its content") {
  auto const file = fixture();
  std::vector<token_id> const ids = {token_id{7}, token_id{8}};
  auto const written = [&](char const* name, std::string const& answer) {
    std::vector<chat_message> const messages = {{"user", "q"}, {"assistant", answer, ids}, {"user", "r"}};
    std::string out;
    for (auto const& p : named(file, name).render(messages, true)) {
      CHECK((p.ids.empty() || p.ids == ids));
      out += p.ids.empty() ? p.text : "#";
    }
    return out;
  };
  CHECK(written("chatml", "an answer\n") == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n#<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n");
  CHECK(written("llama-3", "an answer\n") ==
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n#<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  // The space between [/INST] and the answer is in the generated tokens.
  CHECK(written("llama-2", "an answer") == "<s>[INST] q [/INST]#</s><s>[INST] r [/INST]");
  CHECK(written("mistral-v0.3", "an answer") == "<s>[INST] q[/INST]#</s>[INST] r[/INST]");
  // Qwen3 leaves thoughts out of the history: then it is text.
  CHECK(contains(written("qwen3", "<think>\nt\n</think>\n\nyes"), "assistant\nyes<|im_end|>"));
  CHECK(contains(written("qwen3", "yes"), "assistant\n#<|im_end|>"));
}

TEST_CASE("flags, callbacks and the plain template") {
  auto t = named(fixture(), "qwen3");
  std::vector<chat_message> const hello = {{"user", "Hello"}};
  t.set_flag("enable_thinking", false);
  CHECK(contains(text_of(t.render(hello, true)), "assistant\n<think>\n\n</think>\n\n"));
  chat_template const own([](std::span<chat_message const> m, bool) { return std::vector<text_piece>{{m[0].content + "!"}}; });
  CHECK(text_of(own.render(hello, true)) == "Hello!");
  CHECK_FALSE(own.is_plain());
  std::vector<chat_message> const two = {{"user", "a <s>"}, {"assistant", "b", {token_id{3}}}};
  auto const plain = chat_template().render(two, true);
  REQUIRE(plain.size() == 2);
  CHECK(plain[0].text == "a <s>");
  CHECK_FALSE(plain[0].control);
  CHECK(plain[1].ids.size() == 1);
}

TEST_CASE("a template that cannot be rendered is refused when it is read, with the remedy") {
  for (auto const* source : {"{% include 'x' %}", "{{ messages | groupby('role') }}", "{{ messages[0].content.title() }}", "{% for m in messages %}", "{{ 1.5 }}",
                             "{{ messages[0].content", "{% endif %}", "{{ }}", "{{ x.y }}", "no messages", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                             "{% set x = 'a' %}{% set ns = namespace(x=x) %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"}) {
    INFO(source);
    CHECK(contains(refusal(source), "file: "));
    CHECK(contains(refusal(source), "chat_template::callback"));
  }
  std::string deep = "{{ ";
  for (int i = 0; i < 1000; ++i) { deep += "["; }
  deep += std::string(1000, ']') + " }}";
  CHECK(contains(refusal(deep), "nested too deeply"));
}
