// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/jinja_lexer.hpp>
#include <loopserve/model/text/jinja_tree.hpp>

namespace loopserve::detail::jinja {

/// Reads expressions: Jinja's own order of binding, without fractions and powers.
class expression_parser {
 protected:
  explicit expression_parser(std::string_view source) : tokens_(lexer(source).run()) {}

  using k = token::kind;
  token const& now() const { return tokens_[position_]; }
  token const& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  bool at(k type) const { return now().type == type; }
  bool at_op(std::string_view op) const { return at(k::op) && now().text == op; }
  bool at_name(std::string_view name) const { return at(k::name) && now().text == name; }
  bool accept_op(std::string_view op) { return at_op(op) && advance(); }
  bool accept_name(std::string_view name) { return at_name(name) && advance(); }
  bool advance() {
    if (position_ + 1 < tokens_.size()) { ++position_; }
    return true;
  }
  [[noreturn]] void fail(std::string const& what) const { throw unsupported("offset " + std::to_string(now().offset) + ": " + what); }
  void expect_op(std::string_view op) {
    if (!accept_op(op)) { fail("expected '" + std::string(op) + "', found '" + now().text + "'"); }
  }
  std::string expect_name() {
    if (!at(k::name)) { fail("expected a name, found '" + now().text + "'"); }
    auto out = now().text;
    advance();
    return out;
  }
  void end_block() {
    if (!at(k::block_end)) { fail("expected the end of the tag, found '" + now().text + "'"); }
    advance();
  }
  [[gnu::cold]] node_ptr make(node::kind type, std::string name = {}) const {
    auto out = std::make_unique<node>();
    out->type = type;
    out->offset = now().offset;
    out->name = std::move(name);
    return out;
  }

  /// Recursion is bounded: a template comes from a file.
  struct deeper {
    explicit deeper(expression_parser& p) : p_(p) {
      if (++p_.depth_ > 200) { p_.fail("it is nested too deeply"); }
    }
    ~deeper() { --p_.depth_; }
    deeper(deeper const&) = delete;
    deeper& operator=(deeper const&) = delete;
    expression_parser& p_;
  };

  [[gnu::cold]] node_ptr expression() {
    deeper const guard(*this);
    auto first = either();
    while (at_name("if")) {
      auto out = make(node::kind::conditional);
      advance();
      out->children.push_back(either());
      out->children.push_back(std::move(first));
      out->children.push_back(accept_name("else") ? expression() : nullptr);
      first = std::move(out);
    }
    return first;
  }

  [[gnu::cold]] node_ptr join(node_ptr out, node_ptr left, node_ptr right) const {
    out->children.push_back(std::move(left));
    out->children.push_back(std::move(right));
    return out;
  }

  [[gnu::cold]] node_ptr either() {
    auto left = both();
    while (at_name("or")) {
      auto out = make(node::kind::either);
      advance();
      left = join(std::move(out), std::move(left), both());
    }
    return left;
  }

  [[gnu::cold]] node_ptr both() {
    auto left = negation();
    while (at_name("and")) {
      auto out = make(node::kind::both);
      advance();
      left = join(std::move(out), std::move(left), negation());
    }
    return left;
  }

  [[gnu::cold]] node_ptr negation() {
    if (!at_name("not")) { return comparison(); }
    deeper const guard(*this);
    auto out = make(node::kind::unary, "not");
    advance();
    out->children.push_back(negation());
    return out;
  }

  [[gnu::cold]] node_ptr comparison() {
    auto left = binary(0);
    for (;;) {
      std::string op;
      if (at(k::op) && (now().text == "==" || now().text == "!=" || now().text == "<" || now().text == "<=" || now().text == ">" || now().text == ">=")) {
        op = now().text;
      } else if (at_name("in")) {
        op = "in";
      } else if (at_name("not") && ahead().type == k::name && ahead().text == "in") {
        op = "not in";
        advance();
      } else {
        return left;
      }
      auto out = make(node::kind::binary, op);
      advance();
      left = join(std::move(out), std::move(left), binary(0));
    }
  }

  /// + and -, then ~, then * / // %: each level binds tighter.
  [[gnu::cold]] node_ptr binary(int level) {
    static constexpr std::string_view levels[3][4] = {{"+", "-", "", ""}, {"~", "", "", ""}, {"*", "/", "//", "%"}};
    if (level == 3) { return unary(true); }
    auto left = binary(level + 1);
    for (;;) {
      bool found = false;
      for (auto op : levels[level]) {
        if (!op.empty() && at_op(op)) {
          auto out = make(node::kind::binary, std::string(op));
          advance();
          left = join(std::move(out), std::move(left), binary(level + 1));
          found = true;
          break;
        }
      }
      if (!found) { return left; }
    }
  }

  [[gnu::cold]] node_ptr unary(bool with_filters) {
    if (!at_op("-") && !at_op("+")) {
      auto out = postfix(primary());
      return with_filters ? filters(std::move(out)) : std::move(out);
    }
    deeper const guard(*this);
    auto out = make(node::kind::unary, now().text);
    advance();
    out->children.push_back(unary(false));
    auto postfixed = postfix(std::move(out));
    return with_filters ? filters(std::move(postfixed)) : std::move(postfixed);
  }

  [[gnu::cold]] node_ptr primary() {
    deeper const guard(*this);
    auto out = make(node::kind::constant);
    if (at(k::string)) {
      std::string text;
      for (; at(k::string); advance()) { text += now().text; }
      out->constant = value::string(tracked_text(std::move(text)));
    } else if (at(k::integer)) {
      if (now().text.size() > 15) { fail("the number is too large"); }
      out->constant = value::integer(std::stoll(now().text));
      advance();
    } else if (at(k::name)) {
      auto const name = now().text;
      advance();
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        out->constant = value::boolean(name == "true" || name == "True");
      } else if (name == "none" || name == "None") {
        out->constant = value::none();
      } else {
        out->type = node::kind::variable;
        out->name = name;
      }
    } else if (accept_op("(")) {
      out = expression();
      if (at_op(",")) { return list(std::move(out), ")"); }
      expect_op(")");
    } else if (accept_op("[")) {
      return list(nullptr, "]");
    } else if (accept_op("{")) {
      return object();
    } else {
      fail("expected a value, found '" + now().text + "'");
    }
    return out;
  }

  [[gnu::cold]] node_ptr list(node_ptr first, std::string_view end) {
    auto out = make(node::kind::list);
    if (first) {
      out->children.push_back(std::move(first));
      expect_op(",");
    }
    while (!accept_op(end)) {
      out->children.push_back(expression());
      if (!at_op(end)) { expect_op(","); }
    }
    return out;
  }

  [[gnu::cold]] node_ptr object() {
    auto out = make(node::kind::object);
    while (!accept_op("}")) {
      out->children.push_back(expression());
      expect_op(":");
      out->children.push_back(expression());
      if (!at_op("}")) { expect_op(","); }
    }
    return out;
  }

  [[gnu::cold]] node_ptr postfix(node_ptr of) {
    for (;;) {
      if (at_op(".")) {
        auto out = make(node::kind::attribute);
        advance();
        out->name = expect_name();
        out->children.push_back(std::move(of));
        of = std::move(out);
      } else if (at_op("[")) {
        of = subscript(std::move(of));
      } else if (at_op("(")) {
        auto out = make(node::kind::call);
        out->children.push_back(std::move(of));
        arguments(*out);
        of = std::move(out);
      } else {
        return of;
      }
    }
  }

  [[gnu::cold]] node_ptr subscript(node_ptr of) {
    auto out = make(node::kind::index);
    advance();
    out->children.push_back(std::move(of));
    out->children.push_back(at_op(":") ? nullptr : expression());
    if (at_op(":")) {
      out->type = node::kind::slice;
      while (accept_op(":")) { out->children.push_back(at_op(":") || at_op("]") ? nullptr : expression()); }
      out->children.resize(4);
    }
    expect_op("]");
    return out;
  }

  [[gnu::cold]] void arguments(node& out) {
    expect_op("(");
    while (!accept_op(")")) {
      if (at(k::name) && ahead().type == k::op && ahead().text == "=") {
        auto keyword = make(node::kind::keyword, now().text);
        advance();
        advance();
        keyword->children.push_back(expression());
        out.children.push_back(std::move(keyword));
      } else {
        out.children.push_back(expression());
      }
      if (!at_op(")")) { expect_op(","); }
    }
  }

  [[gnu::cold]] node_ptr filters(node_ptr of) {
    for (;;) {
      if (at_op("|")) {
        auto out = make(node::kind::filter);
        advance();
        out->name = expect_name();
        out->children.push_back(std::move(of));
        if (at_op("(")) { arguments(*out); }
        of = std::move(out);
      } else if (at_name("is")) {
        of = test(std::move(of));
      } else if (at_op("(")) {
        of = postfix(std::move(of));
      } else {
        return of;
      }
    }
  }

  [[gnu::cold]] node_ptr test(node_ptr of) {
    auto out = make(node::kind::test);
    advance();
    out->negated = accept_name("not");
    out->name = at_op("==") ? (advance(), "eq") : expect_name();
    out->children.push_back(std::move(of));
    if (at_op("(")) {
      arguments(*out);
    } else if (at(k::string) || at(k::integer) || at_op("[") ||
               (at(k::name) && now().text != "else" && now().text != "or" && now().text != "and" && now().text != "is" && now().text != "if" && now().text != "not" &&
                now().text != "in")) {
      out->children.push_back(postfix(primary()));
    }
    return out;
  }

 private:
  std::vector<token> tokens_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace loopserve::detail::jinja
