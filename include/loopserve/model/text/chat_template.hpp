// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>
#include <loopserve/model/gguf.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/text/jinja_parser.hpp>
#include <loopserve/model/text/jinja_renderer.hpp>
#include <loopserve/model/text/json_part.hpp>
#include <loopserve/model/text/text_piece.hpp>
#include <loopserve/model/text/tokenizer_vocab_files.hpp>

namespace loopserve {

/// Writes a conversation as the model was trained to read it. The model's own Jinja template is run, in the part of the language that chat templates use;
/// what lies outside of it is an error that names the remedy, when the template is read. What a message's author wrote is never control text.
class chat_template {
 public:
  /// Renders a conversation in place of a template: (messages, whether an answer is to follow).
  using callback = std::function<std::vector<text_piece>(std::span<chat_message const>, bool)>;
  /// Strings that templates know by name; empty ones are undefined to them.
  struct special_strings {
    std::string bos = {};
    std::string eos = {};
    std::string pad = {};
    std::string unk = {};
  };

  /// Plain text: contents one after the other, nothing between. `tokenizer::initial_tokens` belong in front.
  chat_template() = default;
  explicit chat_template(callback render) : callback_(std::move(render)), name_("callback") {}

  /// Reads a Jinja template; `where` names it in errors. Throws `format_error` for what is not supported.
  [[gnu::cold]] static chat_template from_source(std::string_view source, special_strings strings, std::string const& where) {
    return chat_template(source, std::move(strings), where);
  }

  /// The template of a model folder: chat_template.jinja, else tokenizer_config.json's (of a list, the one named `default`); plain where there is none.
  [[gnu::cold]] static chat_template from_folder(std::filesystem::path const& folder) {
    auto const config = detail::json_of_folder(folder, "tokenizer_config.json");
    auto const config_path = (folder / "tokenizer_config.json").string();
    detail::json_part const part(config, config_path);
    special_strings strings{detail::token_text(part["bos_token"]), detail::token_text(part["eos_token"]), detail::token_text(part["pad_token"]),
                            detail::token_text(part["unk_token"])};
    auto const file = folder / "chat_template.jinja";
    if (std::filesystem::exists(file)) { return from_source(detail::read_text_file(file), std::move(strings), file.string()); }
    auto const own = part["chat_template"];
    if (own.missing()) { return {}; }
    if (!own.value().is_array()) { return from_source(own.text(), std::move(strings), config_path + ": chat_template"); }
    std::string source;
    own.for_each([&](detail::json_part p) {
      if (p["name"].text() == "default") { source = p["template"].text(); }
    });
    if (source.empty()) { own.fail("expected a template named default, found none; give the engine a chat_template::callback instead"); }
    return from_source(source, std::move(strings), config_path + ": chat_template");
  }

  /// The template of a GGUF file's metadata; plain where there is none.
  [[gnu::cold]] static chat_template from_gguf(gguf const& file) {
    if (!file.has("tokenizer.chat_template")) { return {}; }
    auto const tokens = file.strings("tokenizer.ggml.tokens");
    auto const named = [&](char const* key) {
      auto const id = file.integer_or(key, -1);
      return id >= 0 && static_cast<std::size_t>(id) < tokens.size() ? std::string(tokens[static_cast<std::size_t>(id)]) : std::string();
    };
    special_strings strings{named("tokenizer.ggml.bos_token_id"), named("tokenizer.ggml.eos_token_id"), named("tokenizer.ggml.padding_token_id"),
                            named("tokenizer.ggml.unknown_token_id")};
    return from_source(file.string("tokenizer.chat_template"), std::move(strings), file.file() + ": tokenizer.chat_template");
  }

  /// The template that lies with a model's weights.
  [[gnu::cold]] static chat_template from_model(model_files const& files) { return files.gguf() != nullptr ? from_gguf(*files.gguf()) : from_folder(files.folder()); }

  /// The conversation as pieces; with `add_generation_prompt`, up to where the assistant's next answer begins. An assistant's message with ids is these
  /// ids where the template writes its content whole; blanks that the template writes beside it are left out then, for the ids stand as generated.
  /// Throws `error` where the template refuses the conversation (roles that do not alternate, say).
  std::vector<text_piece> render(std::span<chat_message const> messages, bool add_generation_prompt) const {
    if (callback_) { return callback_(messages, add_generation_prompt); }
    if (!root_) { return render_plain(messages); }
    return pieces(run(messages, add_generation_prompt), messages);
  }

  /// Sets a variable that the template asks for, as `enable_thinking` of Qwen3.
  void set_flag(std::string const& name, bool on) { flags_.emplace_back(name, detail::jinja::value::boolean(on)); }

  /// Whether the rendering has no beginning-of-text token of its own, so that the tokenizer's initial tokens belong in front.
  bool is_plain() const { return !root_ && !callback_; }

  /// ChatML, Llama 3, Llama 2, Mistral, another family's "Jinja", "callback" or "plain".
  std::string const& name() const { return name_; }

  /// The strings of tokens that end an answer: the model's end-of-text token and what the template writes behind an answer.
  std::vector<std::string> const& stop_strings() const { return stop_strings_; }

 private:
  using tracked = detail::jinja::tracked_text;
  using value = detail::jinja::value;

  [[gnu::cold]] chat_template(std::string_view source, special_strings strings, std::string const& where) : strings_(std::move(strings)), where_(where) {
    auto const has = [&](std::string_view mark) { return source.find(mark) != std::string_view::npos; };
    name_ = has("<|im_start|>") ? "ChatML" : has("<|start_header_id|>") ? "Llama 3" : has("<<SYS>>") ? "Llama 2" : has("[INST]") ? "Mistral" : "Jinja";
    guarded([&] {
      if (source.size() > 1'000'000) { throw detail::jinja::unsupported("it is longer than 1 MB"); }
      root_ = detail::jinja::parser(source).run();
    });
    try_out();
  }

  /// Runs conversations of the usual kinds once, so that a template that cannot be rendered is refused now, and learns what stands beside an answer.
  [[gnu::cold]] void try_out() {
    std::vector<chat_message> const user = {{"user", "q7"}};
    std::vector<chat_message> const with_system = {{"system", "s7"}, {"user", "q7"}, {"assistant", "a7"}, {"user", "r7"}};
    std::vector<chat_message> const answered = {{"user", "q7"}, {"assistant", "a7"}, {"user", "r7"}};
    auto const begun = tried(user, true);
    tried(with_system, true);
    auto const whole = tried(answered, false);
    if (begun.find("q7") == std::string::npos || whole.find("a7") == std::string::npos) {
      throw format_error(where_ + ": the chat template does not write what users and assistants say" + remedy);
    }
    auto const answer = whole.find("a7");
    if (begun.size() < answer && whole.compare(0, begun.size(), begun) == 0 && whole.find_first_not_of(' ', begun.size()) == answer) { gap_ = answer - begun.size(); }
    auto const behind = whole.find_first_not_of(' ', answer + 2);
    if (!strings_.eos.empty()) { stop_strings_.push_back(strings_.eos); }
    if (behind != std::string::npos && whole[behind] == '<') {
      auto const end = whole.find('>', behind);
      auto const mark = end == std::string::npos ? std::string() : whole.substr(behind, end + 1 - behind);
      bool const starts_turn = begun.compare(0, mark.size(), mark) == 0;  // the next turn's beginning is not an end
      if (!mark.empty() && !starts_turn && mark != strings_.eos) { stop_strings_.push_back(mark); }
    }
  }

  /// Empty where the template refuses the conversation.
  [[gnu::cold]] std::string tried(std::vector<chat_message> const& messages, bool add_generation_prompt) const {
    try {
      return run(messages, add_generation_prompt).text;
    } catch (detail::jinja::refused const&) { return {}; }
  }

  template <class F>
  void guarded(F&& f) const {
    try {
      f();
    } catch (detail::jinja::unsupported const& e) {
      throw format_error(where_ + ": the chat template is not one that loopserve can render: " + e.what() + remedy);
    }
  }

  [[gnu::cold]] tracked run(std::span<chat_message const> messages, bool add_generation_prompt) const {
    value::items list;
    for (std::size_t m = 0; m < messages.size(); ++m) {
      list.push_back(value::map({{"role", value::string(tracked(messages[m].role))},
                                 {"content", value::string(tracked(messages[m].content, static_cast<std::int32_t>(m) + 1))}}));
    }
    value::members globals = {{"messages", value::array(std::move(list))},
                              {"add_generation_prompt", value::boolean(add_generation_prompt)},
                              {"tools", value::none()},
                              {"documents", value::none()}};
    auto const give = [&](char const* name, std::string const& text) {
      if (!text.empty()) { globals.emplace_back(name, value::string(tracked(text))); }
    };
    give("bos_token", strings_.bos);
    give("eos_token", strings_.eos);
    give("pad_token", strings_.pad);
    give("unk_token", strings_.unk);
    globals.insert(globals.begin(), flags_.rbegin(), flags_.rend());
    tracked out;
    guarded([&] { out = detail::jinja::renderer(std::move(globals)).run(*root_); });
    return out;
  }

  static std::vector<text_piece> render_plain(std::span<chat_message const> messages) {
    std::vector<text_piece> out;
    for (auto const& m : messages) { out.push_back(m.ids.empty() ? text_piece{m.content} : text_piece{"", false, m.ids}); }
    return out;
  }

  /// Cuts a rendering where the source changes, and puts ids in the place of contents that are written whole, once.
  [[gnu::cold]] std::vector<text_piece> pieces(tracked const& text, std::span<chat_message const> messages) const {
    struct stretch {
      std::size_t begin;
      std::size_t end;
      std::int32_t source;
    };
    std::vector<stretch> stretches;
    std::vector<int> times(messages.size() + 1, 0);
    for (std::size_t i = 0; i < text.size();) {
      auto end = i;
      while (end < text.size() && text.source[end] == text.source[i]) { ++end; }
      ++times[static_cast<std::size_t>(text.source[i])];
      stretches.push_back({i, end, text.source[i]});
      i = end;
    }
    auto const is_ids = [&](std::size_t i) {
      if (i >= stretches.size() || stretches[i].source == 0 || times[static_cast<std::size_t>(stretches[i].source)] != 1) { return false; }
      auto const& m = messages[static_cast<std::size_t>(stretches[i].source) - 1];
      if (m.ids.empty()) { return false; }
      auto const bare = [](std::string const& t) { return detail::jinja::stripped(tracked(t), detail::jinja::side::both, {}).text; };
      return bare(text.text.substr(stretches[i].begin, stretches[i].end - stretches[i].begin)) == bare(m.content);
    };
    std::vector<text_piece> out;
    for (std::size_t i = 0; i < stretches.size(); ++i) {
      auto [begin, end, source] = stretches[i];
      if (is_ids(i)) {
        out.push_back({"", false, messages[static_cast<std::size_t>(source) - 1].ids});
        continue;
      }
      if (i > 0 && source == 0 && is_ids(i - 1)) { begin = std::min(text.text.find_first_not_of(' ', begin), end); }
      for (auto n = gap_; n > 0 && source == 0 && is_ids(i + 1) && end > begin && text.text[end - 1] == ' '; --n) { --end; }
      if (begin < end) { out.push_back({text.text.substr(begin, end - begin), source == 0}); }
    }
    return out;
  }

  static constexpr char const* remedy = "; give the engine a chat_template::callback that writes the conversation, or use the plain template";

  std::shared_ptr<detail::jinja::node const> root_;  ///< shared by copies; null for plain and callback
  callback callback_;
  special_strings strings_;
  std::string where_;
  std::string name_ = "plain";
  value::members flags_;
  std::vector<std::string> stop_strings_;
  std::size_t gap_ = 0;  ///< blanks that the template writes between where an answer begins and its content
};

}  // namespace loopserve
