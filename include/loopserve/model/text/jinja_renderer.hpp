// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/jinja_functions.hpp>
#include <loopserve/model/text/jinja_tree.hpp>
#include <loopserve/model/text/jinja_value.hpp>

namespace loopserve::detail::jinja {

/// A template's own refusal of a conversation, by raise_exception.
class refused : public error {
 public:
  using error::error;
};

/// Runs a template's tree. Work is bounded, so that no template runs for ever.
class renderer {
 public:
  explicit renderer(value::members globals) { scopes_.push_back(std::move(globals)); }

  [[gnu::cold]] tracked_text run(node const& root) && {
    execute(root);
    return std::move(out_);
  }

 private:
  using kind = node::kind;
  using variables = value::members;
  enum class flow { next, leave, go_on };

  static constexpr std::int64_t most_steps = 4'000'000;  // thousands of messages
  static constexpr std::int64_t round_steps = 64;        // a round of a loop counts as many: it copies its element and makes a map of nine

  [[noreturn]] static void fail(node const& n, std::string const& what) { throw unsupported("offset " + std::to_string(n.offset) + ": " + what); }

  void set(std::string const& name, value v) {
    auto& scope = scopes_.back();
    for (auto& [key, old] : scope) {
      if (key == name) {
        old = std::move(v);
        return;
      }
    }
    scope.emplace_back(name, std::move(v));
  }

  value get(std::string const& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      for (auto const& [key, v] : *scope) {
        if (key == name) { return v; }
      }
    }
    if (name == "raise_exception" || name == "namespace" || name == "range" || name == "dict") { return value::function(name); }
    return value::undefined(name);
  }

  [[gnu::cold]] flow execute(node const& n) {
    if (++steps_ > most_steps) { fail(n, "it runs too long"); }
    switch (n.type) {
      case kind::sequence:
        for (auto const& child : n.children) {
          if (auto const f = execute(*child); f != flow::next) { return f; }
        }
        return flow::next;
      case kind::data: out_.append(n.constant.text); return flow::next;
      case kind::output: out_.append(written(evaluate(*n.children[0]))); return flow::next;
      case kind::choose:
        if (evaluate(*n.children[0]).truth()) { return execute(*n.children[1]); }
        return n.children.size() > 2 ? execute(*n.children[2]) : flow::next;
      case kind::loop: loop(n); return flow::next;
      case kind::assign: assign(n, evaluate(*n.children[0])); return flow::next;
      case kind::assign_block: assign(n, value::string(captured(*n.children[0]))); return flow::next;
      case kind::macro:
        macros_.emplace_back(n.name, &n);
        set(n.name, value::function(n.name));
        return flow::next;
      case kind::leave: return flow::leave;
      case kind::go_on: return flow::go_on;
      default: fail(n, "an expression stands where a statement should");
    }
  }

  [[gnu::cold]] tracked_text captured(node const& body) {
    auto outer = std::move(out_);
    out_ = {};
    execute(body);
    std::swap(outer, out_);
    return outer;
  }

  [[gnu::cold]] void assign(node const& n, value v) {
    if (n.names.empty()) { return set(n.name, std::move(v)); }
    auto target = get(n.name);
    if (!target.is(value::kind::object)) { fail(n, "'" + n.name + "' is no namespace"); }
    target.set_member(n.names[0], std::move(v));
  }

  [[gnu::cold]] void loop(node const& n) {
    auto items = elements_of(evaluate(*n.children[0]));
    if (n.children[1]) {
      value::items kept;
      for (auto& item : items) {
        scopes_.emplace_back();
        bind(n, item);
        if (evaluate(*n.children[1]).truth()) { kept.push_back(item); }
        scopes_.pop_back();
      }
      items = std::move(kept);
    }
    if (items.empty() && n.children[3]) {
      execute(*n.children[3]);
      return;
    }
    auto const count = static_cast<std::int64_t>(items.size());
    steps_ += round_steps * count;
    if (steps_ > most_steps) { fail(n, "it runs too long"); }
    for (std::int64_t i = 0; i < count; ++i) {
      auto const at = [&](std::int64_t j) { return j < 0 || j >= count ? value::undefined("loop item") : items[static_cast<std::size_t>(j)]; };
      scopes_.emplace_back();
      bind(n, at(i));
      set("loop", value::map({{"index0", value::integer(i)},
                              {"index", value::integer(i + 1)},
                              {"revindex0", value::integer(count - 1 - i)},
                              {"revindex", value::integer(count - i)},
                              {"first", value::boolean(i == 0)},
                              {"last", value::boolean(i + 1 == count)},
                              {"length", value::integer(count)},
                              {"previtem", at(i - 1)},
                              {"nextitem", at(i + 1)}}));
      auto const f = execute(*n.children[2]);
      scopes_.pop_back();
      if (f == flow::leave) { break; }
    }
  }

  [[gnu::cold]] void bind(node const& n, value const& item) {
    if (n.names.size() == 1) { return set(n.names[0], item); }
    auto const parts = elements_of(item);
    if (parts.size() != n.names.size()) { fail(n, "a loop's element has not as many parts as the loop has names"); }
    for (std::size_t i = 0; i < parts.size(); ++i) { set(n.names[i], parts[i]); }
  }

  [[gnu::cold]] value evaluate(node const& n) {
    if (++steps_ > most_steps) { fail(n, "it runs too long"); }
    switch (n.type) {
      case kind::constant: return n.constant;
      case kind::variable: return get(n.name);
      case kind::attribute: return member(n, evaluate(*n.children[0]), n.name);
      case kind::index: return indexed(n);
      case kind::slice: return sliced(n);
      case kind::call: return called(n);
      case kind::filter: return filtered(n);
      case kind::test: return value::boolean(passes(n.name, evaluate(*n.children[0]), values(n, 1)) != n.negated);
      case kind::unary: return unary(n);
      case kind::binary: return binary(n, evaluate(*n.children[0]), evaluate(*n.children[1]));
      case kind::both: {
        auto left = evaluate(*n.children[0]);
        return left.truth() ? evaluate(*n.children[1]) : left;
      }
      case kind::either: {
        auto left = evaluate(*n.children[0]);
        return left.truth() ? left : evaluate(*n.children[1]);
      }
      case kind::conditional:
        if (evaluate(*n.children[0]).truth()) { return evaluate(*n.children[1]); }
        return n.children[2] ? evaluate(*n.children[2]) : value::undefined("the other case");
      case kind::list: return value::array(values(n, 0));
      case kind::object: {
        value::members members;
        for (std::size_t i = 0; i < n.children.size(); i += 2) {
          auto const key = evaluate(*n.children[i]);
          if (!key.is(value::kind::text)) { fail(n, "an object's key is no text"); }
          members.emplace_back(key.text.text, evaluate(*n.children[i + 1]));
        }
        return value::map(std::move(members));
      }
      default: fail(n, "a statement stands where a value should");
    }
  }

  /// The plain arguments; keyword arguments are read where they are known.
  [[gnu::cold]] std::vector<value> values(node const& n, std::size_t first) {
    std::vector<value> out;
    for (auto i = first; i < n.children.size(); ++i) {
      if (n.children[i]->type != kind::keyword) { out.push_back(evaluate(*n.children[i])); }
    }
    return out;
  }

  [[gnu::cold]] static value member(node const& n, value const& of, std::string const& name) {
    if (of.is(value::kind::undefined)) { fail(n, "'" + of.text.text + "' is undefined, and its '" + name + "' is wanted"); }
    auto const* found = of.member(name);
    return found ? *found : value::undefined(name);
  }

  [[gnu::cold]] value indexed(node const& n) {
    auto const of = evaluate(*n.children[0]);
    auto const key = evaluate(*n.children[1]);
    if (key.is(value::kind::text)) { return member(n, of, key.text.text); }
    if (!key.is_number() || of.is(value::kind::undefined)) { fail(n, "a subscript of this kind is not supported"); }
    auto const items = of.is(value::kind::list) ? of.list : std::make_shared<value::items>(elements_of(of));
    auto const size = static_cast<std::int64_t>(items->size());
    auto const i = key.number < 0 ? key.number + size : key.number;
    return i < 0 || i >= size ? value::undefined("element " + std::to_string(key.number)) : (*items)[static_cast<std::size_t>(i)];
  }

  [[gnu::cold]] value sliced(node const& n) {
    auto const of = evaluate(*n.children[0]);
    auto const items = elements_of(of);
    auto const size = static_cast<std::int64_t>(items.size());
    auto const number = [&](std::size_t i, std::int64_t otherwise) {
      if (!n.children[i]) { return otherwise; }
      auto const v = evaluate(*n.children[i]);
      if (!v.is_number()) { fail(n, "a slice's bound is no number"); }
      return v.number;
    };
    auto const step = number(3, 1);
    if (step != 1 && step != -1) { fail(n, "slices with steps other than 1 and -1 are not supported"); }
    auto const bound = [&](std::size_t i, std::int64_t otherwise) {
      if (!n.children[i]) { return otherwise; }
      auto const x = number(i, 0);
      return std::clamp(x < 0 ? x + size : x, step > 0 ? std::int64_t{0} : std::int64_t{-1}, step > 0 ? size : size - 1);
    };
    auto const begin = bound(1, step > 0 ? 0 : size - 1);
    auto const end = bound(2, step > 0 ? size : -1);
    value::items out;
    for (auto i = begin; step > 0 ? i < end : i > end; i += step) { out.push_back(items[static_cast<std::size_t>(i)]); }
    return of.is(value::kind::text) ? value::string(joined(out, {})) : value::array(std::move(out));
  }

  [[gnu::cold]] static tracked_text joined(value::items const& items, tracked_text const& separator) {
    tracked_text out;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) { out.append(separator); }
      out.append(written(items[i]));
    }
    return out;
  }

  [[gnu::cold]] value called(node const& n) {
    auto const& callee = *n.children[0];
    if (callee.type == kind::attribute) {
      auto const of = evaluate(*callee.children[0]);
      auto const arguments = values(n, 1);
      if (of.is(value::kind::text)) { return text_method(of.text, callee.name, arguments); }
      if (of.is(value::kind::object)) { return object_method(n, of, callee.name, arguments); }
      fail(n, "the method '" + callee.name + "' is not supported here");
    }
    auto const f = evaluate(callee);
    if (!f.is(value::kind::function)) { fail(n, "'" + callee.name + "' is no function"); }
    auto const& name = f.text.text;
    for (auto m = macros_.rbegin(); m != macros_.rend(); ++m) {
      if (m->first == name) { return run_macro(n, *m->second); }
    }
    if (name == "raise_exception") {
      auto const arguments = values(n, 1);
      throw refused("the model's chat template refuses this conversation: " + (arguments.empty() ? "" : written(arguments[0]).text));
    }
    if (name == "namespace" || name == "dict") {
      value::members members;
      for (std::size_t i = 1; i < n.children.size(); ++i) {
        if (n.children[i]->type != kind::keyword) { fail(n, name + "() takes named values only"); }
        members.emplace_back(n.children[i]->name, evaluate(*n.children[i]->children[0]));
      }
      return value::map(std::move(members));
    }
    auto const arguments = values(n, 1);
    if (arguments.empty() || arguments.size() > 2 || !arguments[0].is_number() || !arguments.back().is_number()) { fail(n, "range() takes one or two numbers"); }
    auto const end = arguments.back().number;
    value::items out;
    for (auto i = arguments.size() == 2 ? arguments[0].number : 0; i < end; ++i) {
      if (out.size() > 100000) { fail(n, "the range is too long"); }
      out.push_back(value::integer(i));
    }
    return value::array(std::move(out));
  }

  [[gnu::cold]] static value object_method(node const& n, value const& of, std::string const& name, std::vector<value> const& arguments) {
    if (name == "get" && !arguments.empty() && arguments[0].is(value::kind::text)) {
      auto const* found = of.member(arguments[0].text.text);
      return found ? *found : arguments.size() > 1 ? arguments[1] : value::none();
    }
    if (name == "items" || name == "keys" || name == "values") {
      value::items out;
      for (auto const& [key, v] : *of.object) {
        auto k = value::string(tracked_text(key));
        out.push_back(name == "keys" ? k : name == "values" ? v : value::array({k, v}));
      }
      return value::array(std::move(out));
    }
    fail(n, "the method '" + name + "' of an object is not supported");
  }

  [[gnu::cold]] value run_macro(node const& call, node const& m) {
    if (++depth_ > 50) { fail(call, "macros call each other too deeply"); }
    auto const given = values(call, 1);
    variables scope;
    for (std::size_t i = 0; i < m.names.size(); ++i) {
      value v = i < given.size() ? given[i] : m.children[i + 1] ? evaluate(*m.children[i + 1]) : value::undefined(m.names[i]);
      for (std::size_t j = 1; j < call.children.size(); ++j) {
        if (call.children[j]->type == kind::keyword && call.children[j]->name == m.names[i]) { v = evaluate(*call.children[j]->children[0]); }
      }
      scope.emplace_back(m.names[i], std::move(v));
    }
    scopes_.push_back(std::move(scope));
    auto out = captured(*m.children[0]);
    scopes_.pop_back();
    --depth_;
    return value::string(std::move(out));
  }

  [[gnu::cold]] value filtered(node const& n) {
    auto const& name = n.name;
    auto const of = evaluate(*n.children[0]);
    auto const arguments = values(n, 1);
    if (name == "tojson") {
      if (n.children.size() > 1) { fail(n, "tojson with options is not supported"); }
      return value::string(json_of(of));
    }
    if (name == "trim") { return value::string(stripped(written(of), side::both, arguments.empty() ? std::string_view() : std::string_view(arguments[0].text.text))); }
    if (name == "length" || name == "count") { return value::integer(length_of(of)); }
    if (name == "string" || name == "safe") { return value::string(written(of)); }
    if (name == "upper" || name == "lower" || name == "replace") { return text_method(written(of), name, arguments); }
    if (name == "default" || name == "d") {
      bool const use = of.is(value::kind::undefined) || (arguments.size() > 1 && arguments[1].truth() && !of.truth());
      return use ? (arguments.empty() ? value::string({}) : arguments[0]) : of;
    }
    if (name == "list") { return value::array(elements_of(of)); }
    if (name == "items") { return object_method(n, of, name, {}); }
    if (name == "selectattr" || name == "rejectattr") { return chosen(n, of, arguments); }
    if (name == "join") { return value::string(joined(elements_of(of), arguments.empty() ? tracked_text() : arguments[0].text)); }
    if (name == "first" || name == "last") {
      auto const items = elements_of(of);
      return items.empty() ? value::undefined(name) : name == "first" ? items.front() : items.back();
    }
    fail(n, "the filter '" + name + "' is not supported");
  }

  /// selectattr(member, test, value) and rejectattr: the elements whose member passes, or does not.
  [[gnu::cold]] static value chosen(node const& n, value const& of, std::vector<value> const& arguments) {
    if (arguments.empty() || arguments.size() > 3) { fail(n, n.name + " takes a member's name, a test and a value"); }
    value::items out;
    for (auto const& item : elements_of(of)) {
      auto const m = member(n, item, arguments[0].text.text);
      bool const pass = arguments.size() == 1 ? m.truth() : passes(arguments[1].text.text, m, {arguments.begin() + 2, arguments.end()});
      if (pass == (n.name == "selectattr")) { out.push_back(item); }
    }
    return value::array(std::move(out));
  }

  [[gnu::cold]] value unary(node const& n) {
    auto const of = evaluate(*n.children[0]);
    if (n.name == "not") { return value::boolean(!of.truth()); }
    if (!of.is_number()) { fail(n, "a sign before a value that is no number"); }
    return value::integer(n.name == "-" ? -of.number : of.number);
  }

  [[gnu::cold]] static value binary(node const& n, value const& a, value const& b) {
    auto const& op = n.name;
    if (op == "==") { return value::boolean(a == b); }
    if (op == "!=") { return value::boolean(!(a == b)); }
    if (op == "in") { return value::boolean(contains(b, a)); }
    if (op == "not in") { return value::boolean(!contains(b, a)); }
    if (op == "~" || (op == "+" && a.is(value::kind::text) && b.is(value::kind::text))) {
      auto out = written(a);
      out.append(written(b));
      return value::string(std::move(out));
    }
    if (op == "+" && a.is(value::kind::list) && b.is(value::kind::list)) {
      auto out = *a.list;
      if (out.size() + b.list->size() > 1'000'000) { fail(n, "the list becomes too long"); }
      out.insert(out.end(), b.list->begin(), b.list->end());
      return value::array(std::move(out));
    }
    if (op.size() <= 2 && (op[0] == '<' || op[0] == '>') && a.is(value::kind::text) && b.is(value::kind::text)) { return compared(op, a.text.text.compare(b.text.text)); }
    if (!a.is_number() || !b.is_number()) { fail(n, "'" + op + "' of these values is not supported"); }
    return arithmetic(op, a.number, b.number);
  }

  std::vector<variables> scopes_;
  std::vector<std::pair<std::string, node const*>> macros_;
  tracked_text out_;
  std::int64_t steps_ = 0;
  int depth_ = 0;
};

}  // namespace loopserve::detail::jinja
