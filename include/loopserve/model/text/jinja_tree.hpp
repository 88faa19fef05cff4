// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <loopserve/model/text/jinja_value.hpp>

namespace loopserve::detail::jinja {

/// A statement or an expression. `name` is what the kind needs: a variable, an operator, a filter.
struct node {
  enum class kind {
    // statements
    data, output, choose, loop, assign, assign_block, macro, sequence, leave, go_on,
    // expressions
    constant, variable, attribute, index, slice, call, filter, test, unary, binary, both, either, conditional, list, object, keyword
  };
  kind type;
  std::size_t offset = 0;
  std::string name = {};
  value constant = {};
  std::vector<std::unique_ptr<node>> children = {};  ///< absent parts are null
  std::vector<std::string> names = {};               ///< targets of a loop, parameters of a macro
  bool negated = false;                              ///< of a test
};
using node_ptr = std::unique_ptr<node>;

}  // namespace loopserve::detail::jinja
