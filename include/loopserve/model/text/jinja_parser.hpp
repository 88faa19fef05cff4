// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/jinja_expression_parser.hpp>
#include <loopserve/model/text/jinja_tree.hpp>

namespace loopserve::detail::jinja {

/// Builds the tree of a template. The language is Jinja's without inheritance, imports and line statements.
class parser : private expression_parser {
 public:
  explicit parser(std::string_view source) : expression_parser(source) {}

  [[gnu::cold]] node_ptr run() && {
    auto out = statements({});
    if (!at(token::kind::end)) { fail("'" + now().text + "' has no beginning"); }
    return out;
  }

 private:
  /// Statements up to a block tag whose name is one of `ends`; the tag's name has been read then, its rest has not.
  [[gnu::cold]] node_ptr statements(std::vector<std::string_view> const& ends) {
    deeper const guard(*this);
    auto out = make(node::kind::sequence);
    while (!at(k::end)) {
      if (at(k::data)) {
        auto n = make(node::kind::data);
        n->constant = value::string(tracked_text(now().text));
        out->children.push_back(std::move(n));
        advance();
      } else if (at(k::output_begin)) {
        advance();
        auto n = make(node::kind::output);
        n->children.push_back(expression());
        if (!at(k::output_end)) { fail("expected '}}', found '" + now().text + "'"); }
        advance();
        out->children.push_back(std::move(n));
      } else {
        advance();
        auto const name = expect_name();
        for (auto end : ends) {
          if (name == end) {
            found_ = name;
            return out;
          }
        }
        out->children.push_back(statement(name));
      }
    }
    if (!ends.empty()) { fail("expected {% " + std::string(ends.back()) + " %}, found the end"); }
    return out;
  }

  [[gnu::cold]] node_ptr statement(std::string const& name) {
    if (name == "if") { return choose(); }
    if (name == "for") { return loop(); }
    if (name == "set") { return assign(); }
    if (name == "macro") { return macro(); }
    if (name == "generation") {  // Hugging Face's mark for what an assistant generates
      end_block();
      auto body = statements({"endgeneration"});
      end_block();
      return body;
    }
    if (name == "break" || name == "continue") {
      auto out = make(name == "break" ? node::kind::leave : node::kind::go_on);
      end_block();
      return out;
    }
    fail("the statement '" + name + "' is not supported");
  }

  [[gnu::cold]] node_ptr choose() {
    deeper const guard(*this);
    auto out = make(node::kind::choose);
    out->children.push_back(expression());
    end_block();
    out->children.push_back(statements({"elif", "else", "endif"}));
    if (found_ == "elif") {
      out->children.push_back(choose());
      return out;
    }
    if (found_ == "else") {
      end_block();
      out->children.push_back(statements({"endif"}));
    }
    end_block();
    return out;
  }

  /// children: the list, the condition or null, the body, what stands for an empty list or null
  [[gnu::cold]] node_ptr loop() {
    auto out = make(node::kind::loop);
    do { out->names.push_back(expect_name()); } while (accept_op(","));
    if (!accept_name("in")) { fail("expected 'in', found '" + now().text + "'"); }
    out->children.push_back(either());
    out->children.push_back(accept_name("if") ? expression() : nullptr);
    if (at_name("recursive")) { fail("recursive loops are not supported"); }
    end_block();
    out->children.push_back(statements({"else", "endfor"}));
    out->children.push_back(nullptr);
    if (found_ == "else") {
      end_block();
      out->children.back() = statements({"endfor"});
    }
    end_block();
    return out;
  }

  [[gnu::cold]] node_ptr assign() {
    auto out = make(node::kind::assign, expect_name());
    if (accept_op(".")) { out->names.push_back(expect_name()); }
    if (accept_op("=")) {
      out->children.push_back(expression());
      end_block();
      return out;
    }
    out->type = node::kind::assign_block;
    end_block();
    out->children.push_back(statements({"endset"}));
    end_block();
    return out;
  }

  /// children: the body, then a default or null for each parameter
  [[gnu::cold]] node_ptr macro() {
    auto out = make(node::kind::macro, expect_name());
    out->children.push_back(nullptr);
    expect_op("(");
    while (!accept_op(")")) {
      out->names.push_back(expect_name());
      out->children.push_back(accept_op("=") ? expression() : nullptr);
      if (!at_op(")")) { expect_op(","); }
    }
    end_block();
    out->children[0] = statements({"endmacro"});
    end_block();
    return out;
  }

  std::string found_;  ///< the name of the tag that ended the last statements
};

}  // namespace loopserve::detail::jinja
