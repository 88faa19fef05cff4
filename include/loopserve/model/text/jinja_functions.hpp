// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/model/text/jinja_value.hpp>
#include <loopserve/model/text/utf8.hpp>

namespace loopserve::detail::jinja {

inline constexpr std::string_view white_space = " \t\n\r\v\f";  ///< what strip() takes of ASCII

enum class side { left, right, both };

/// Python's strip: the characters of `set`, or all white space where it is empty. Bytes keep their sources.
[[gnu::cold]] inline tracked_text stripped(tracked_text const& t, side which, std::string_view set) {
  std::string_view const text = t.text;
  auto const width_at = [&](std::size_t i) -> std::size_t {  // of a character to strip at i, else 0
    auto const step = step_utf8(text, i);
    auto const c = text.substr(i, static_cast<std::size_t>(step.length));
    if (!set.empty()) { return set.find(c) != std::string_view::npos ? c.size() : 0; }
    bool const space = step.valid && (is_white_space(code_point(text, i)) || (c[0] >= '\x1c' && c[0] <= '\x1f'));
    return space ? c.size() : 0;
  };
  std::size_t begin = 0;
  auto end = text.size();
  if (which != side::right) {
    while (begin < end) {
      auto const n = width_at(begin);
      if (n == 0) { break; }
      begin += n;
    }
  }
  if (which != side::left) {
    while (end > begin) {
      auto last = end - 1;
      while (last > begin && (static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) { --last; }
      auto const n = width_at(last);
      if (n == 0 || last + n != end) { break; }
      end = last;
    }
  }
  return t.part(begin, end);
}

/// Python's split with a separator.
[[gnu::cold]] inline value split(tracked_text const& t, std::string_view separator, std::int64_t limit) {
  value::items out;
  std::size_t at = 0;
  for (auto next = t.text.find(separator); next != std::string::npos && limit != 0; next = t.text.find(separator, at), --limit) {
    out.push_back(value::string(t.part(at, next)));
    at = next + separator.size();
  }
  out.push_back(value::string(t.part(at, t.size())));
  return value::array(std::move(out));
}

/// Python's split without one: words between white space.
[[gnu::cold]] inline value split_words(tracked_text const& t) {
  value::items out;
  std::size_t at = 0;
  for (;;) {
    at = std::min(t.text.find_first_not_of(white_space, at), t.size());
    if (at == t.size()) { return value::array(std::move(out)); }
    auto const end = std::min(t.text.find_first_of(white_space, at), t.size());
    out.push_back(value::string(t.part(at, end)));
    at = end;
  }
}

[[gnu::cold]] inline tracked_text replaced(tracked_text const& t, std::string_view from, tracked_text const& to) {
  if (from.empty()) { throw unsupported("replace() of an empty text is not supported"); }
  tracked_text out;
  std::size_t at = 0;
  for (auto next = t.text.find(from); next != std::string::npos; next = t.text.find(from, at)) {
    out.append(t.part(at, next));
    out.append(to);
    at = next + from.size();
  }
  out.append(t.part(at, t.size()));
  return out;
}

/// ASCII letters only: other letters change their length.
[[gnu::cold]] inline tracked_text with_case(tracked_text t, bool upper) {
  for (auto& c : t.text) {
    if (upper ? (c >= 'a' && c <= 'z') : (c >= 'A' && c <= 'Z')) { c = static_cast<char>(c ^ 0x20); }
  }
  return t;
}

/// What {{ }} writes.
[[gnu::cold]] inline tracked_text written(value const& v) {
  switch (v.type) {
    case value::kind::undefined: return {};
    case value::kind::none: return tracked_text("None");
    case value::kind::boolean: return tracked_text(v.number != 0 ? "True" : "False");
    case value::kind::integer: return tracked_text(std::to_string(v.number));
    case value::kind::text: return v.text;
    default: throw unsupported("writing a list or an object is not supported");
  }
}

/// JSON as Hugging Face's tojson filter writes it (Python's separators, UTF-8 as it is).
[[gnu::cold]] inline tracked_text json_of(value const& v, int depth = 0) {
  if (depth > 100) { throw unsupported("tojson: nested too deeply"); }
  tracked_text out;
  switch (v.type) {
    case value::kind::none: return tracked_text("null");
    case value::kind::boolean: return tracked_text(v.number != 0 ? "true" : "false");
    case value::kind::integer: return tracked_text(std::to_string(v.number));
    case value::kind::text: {
      out.append(tracked_text("\""));
      for (std::size_t i = 0; i < v.text.size(); ++i) {
        auto const c = v.text.text[i];
        static constexpr char const* hex = "0123456789abcdef";
        auto const code = static_cast<unsigned char>(c);
        std::string escaped(1, c);
        if (c == '"' || c == '\\') {
          escaped = std::string("\\") + c;
        } else if (c == '\n') {
          escaped = "\\n";
        } else if (c == '\r') {
          escaped = "\\r";
        } else if (c == '\t') {
          escaped = "\\t";
        } else if (c == '\b') {
          escaped = "\\b";
        } else if (c == '\f') {
          escaped = "\\f";
        } else if (code < 0x20) {
          escaped = std::string("\\u00") + hex[code >> 4] + hex[code & 15];
        }
        out.append(tracked_text(std::move(escaped), v.text.source[i]));
      }
      out.append(tracked_text("\""));
      return out;
    }
    case value::kind::list: {
      out.append(tracked_text("["));
      for (std::size_t i = 0; i < v.list->size(); ++i) {
        if (i > 0) { out.append(tracked_text(", ")); }
        out.append(json_of((*v.list)[i], depth + 1));
      }
      out.append(tracked_text("]"));
      return out;
    }
    case value::kind::object: {
      out.append(tracked_text("{"));
      for (std::size_t i = 0; i < v.object->size(); ++i) {
        if (i > 0) { out.append(tracked_text(", ")); }
        out.append(json_of(value::string(tracked_text((*v.object)[i].first)), depth + 1));
        out.append(tracked_text(": "));
        out.append(json_of((*v.object)[i].second, depth + 1));
      }
      out.append(tracked_text("}"));
      return out;
    }
    default: throw unsupported("tojson: '" + v.text.text + "' is undefined");
  }
}

/// The elements that a loop sees: of a list, the keys of an object, the characters of a text; none of what is undefined.
[[gnu::cold]] inline value::items elements_of(value const& v) {
  value::items out;
  switch (v.type) {
    case value::kind::undefined: return out;
    case value::kind::list: return *v.list;
    case value::kind::object:
      for (auto const& [key, unused] : *v.object) { out.push_back(value::string(tracked_text(key))); }
      return out;
    case value::kind::text:
      for (std::size_t i = 0; i < v.text.size();) {
        auto const end = i + static_cast<std::size_t>(step_utf8(v.text.text, i).length);
        out.push_back(value::string(v.text.part(i, end)));
        i = end;
      }
      return out;
    default: throw unsupported("a value that is no list is used as one");
  }
}

inline std::int64_t length_of(value const& v) {
  if (v.is(value::kind::list)) { return static_cast<std::int64_t>(v.list->size()); }
  if (v.is(value::kind::object)) { return static_cast<std::int64_t>(v.object->size()); }
  return static_cast<std::int64_t>(elements_of(v).size());
}

[[gnu::cold]] inline bool contains(value const& whole, value const& part) {
  if (whole.is(value::kind::text)) {
    if (!part.is(value::kind::text)) { throw unsupported("'in' looks for a value that is no text in a text"); }
    return whole.text.text.find(part.text.text) != std::string::npos;
  }
  auto const all = elements_of(whole);
  return std::find(all.begin(), all.end(), part) != all.end();
}

/// `value is name`. Throws for tests that are not known.
[[gnu::cold]] inline bool passes(std::string const& name, value const& v, std::vector<value> const& arguments) {
  using kind = value::kind;
  auto const other = [&]() -> value const& {
    if (arguments.size() != 1) { throw unsupported("the test '" + name + "' wants one value"); }
    return arguments[0];
  };
  if (name == "defined") { return !v.is(kind::undefined); }
  if (name == "undefined") { return v.is(kind::undefined); }
  if (name == "none") { return v.is(kind::none); }
  if (name == "string") { return v.is(kind::text); }
  if (name == "mapping") { return v.is(kind::object); }
  if (name == "iterable" || name == "sequence") { return v.is(kind::text) || v.is(kind::list) || v.is(kind::object) || (name == "iterable" && v.is(kind::undefined)); }
  if (name == "number" || name == "integer") { return v.is(kind::integer) || (name == "number" && v.is(kind::boolean)); }
  if (name == "boolean") { return v.is(kind::boolean); }
  if (name == "true" || name == "false") { return v.is(kind::boolean) && (v.number != 0) == (name == "true"); }
  if (name == "callable") { return v.is(kind::function); }
  if (name == "eq" || name == "equalto") { return v == other(); }
  if (name == "ne") { return !(v == other()); }
  if (name == "in") { return contains(other(), v); }
  if (name == "odd" || name == "even") { return v.is_number() && (v.number % 2 != 0) == (name == "odd"); }
  if (name == "divisibleby") { return v.is_number() && other().is_number() && other().number != 0 && v.number % other().number == 0; }
  throw unsupported("the test '" + name + "' is not supported");
}

/// text.name(arguments). Throws for methods that are not known.
[[gnu::cold]] inline value text_method(tracked_text const& t, std::string const& name, std::vector<value> const& arguments) {
  auto const text_at = [&](std::size_t i) -> tracked_text const& {
    if (i >= arguments.size() || !arguments[i].is(value::kind::text)) { throw unsupported("the method '" + name + "' wants a text"); }
    return arguments[i].text;
  };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    auto const which = name == "strip" ? side::both : name == "lstrip" ? side::left : side::right;
    return value::string(stripped(t, which, arguments.empty() ? std::string_view() : std::string_view(text_at(0).text)));
  }
  if (name == "startswith") { return value::boolean(t.text.compare(0, text_at(0).size(), text_at(0).text) == 0); }
  if (name == "endswith") {
    auto const n = text_at(0).size();
    return value::boolean(n <= t.size() && t.text.compare(t.size() - n, n, text_at(0).text) == 0);
  }
  if (name == "split") {
    if (arguments.empty()) { return split_words(t); }
    if (text_at(0).text.empty()) { throw unsupported("split() by an empty text is not supported"); }
    return split(t, text_at(0).text, arguments.size() > 1 && arguments[1].is_number() ? arguments[1].number : -1);
  }
  if (name == "replace") { return value::string(replaced(t, text_at(0).text, text_at(1))); }
  if (name == "upper" || name == "lower") { return value::string(with_case(t, name == "upper")); }
  if (name == "find") {
    auto const at = t.text.find(text_at(0).text);
    return value::integer(at == std::string::npos ? -1 : static_cast<std::int64_t>(at));
  }
  throw unsupported("the method '" + name + "' of a text is not supported");
}

/// -1, 0 or 1 against what an operator asks for.
[[gnu::cold]] inline value compared(std::string const& op, std::int64_t difference) {
  return value::boolean(op == "<" ? difference < 0 : op == "<=" ? difference <= 0 : op == ">" ? difference > 0 : difference >= 0);
}

/// Python's arithmetic of whole numbers.
[[gnu::cold]] inline value arithmetic(std::string const& op, std::int64_t x, std::int64_t y) {
  if (op[0] == '<' || op[0] == '>') { return compared(op, x < y ? -1 : x > y ? 1 : 0); }
  constexpr std::int64_t largest = std::int64_t{1} << 30;
  if (x > largest || x < -largest || y > largest || y < -largest) { throw unsupported("the numbers are too large"); }
  if (op == "+") { return value::integer(x + y); }
  if (op == "-") { return value::integer(x - y); }
  if (op == "*") { return value::integer(x * y); }
  if (y == 0 || op == "/") { throw unsupported("division is supported by // and % only, and not by zero"); }
  auto const rest = ((x % y) + y) % y;  // Python's: the sign of the divisor
  return value::integer(op == "%" ? rest : (x - rest) / y);
}

}  // namespace loopserve::detail::jinja
