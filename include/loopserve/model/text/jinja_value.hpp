// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopserve/core/error.hpp>

namespace loopserve::detail::jinja {

/// Something in a template that is outside the part of the language this library renders.
class unsupported : public format_error {
 public:
  using format_error::format_error;
};

/// A text that knows of each byte where it came from: 0 for the template, m + 1 for the content of message m.
struct tracked_text {
  static constexpr std::size_t largest = std::size_t{1} << 24;  ///< bytes; no template makes memory run out

  std::string text;
  std::vector<std::int32_t> source;

  // Out of line, as value's below: they stand at hundreds of places, and templates are read for milliseconds.
  [[gnu::cold, gnu::noinline]] tracked_text() noexcept {}
  [[gnu::cold, gnu::noinline]] tracked_text(tracked_text const& other) : text(other.text), source(other.source) {}
  [[gnu::cold, gnu::noinline]] tracked_text(tracked_text&& other) noexcept : text(std::move(other.text)), source(std::move(other.source)) {}
  [[gnu::cold, gnu::noinline]] tracked_text& operator=(tracked_text other) noexcept {
    text.swap(other.text);
    source.swap(other.source);
    return *this;
  }
  [[gnu::cold, gnu::noinline]] ~tracked_text() {}
  [[gnu::cold, gnu::noinline]] tracked_text(std::string t, std::int32_t from = 0) : text(std::move(t)), source(text.size(), from) {}

  std::size_t size() const { return text.size(); }
  [[gnu::cold]] void append(tracked_text const& other) {
    if (text.size() + other.text.size() > largest) { throw unsupported("a text becomes too long"); }
    text += other.text;
    source.insert(source.end(), other.source.begin(), other.source.end());
  }
  [[gnu::cold]] tracked_text part(std::size_t begin, std::size_t end) const {
    tracked_text out;
    out.text = text.substr(begin, end - begin);
    out.source.assign(source.begin() + static_cast<std::ptrdiff_t>(begin), source.begin() + static_cast<std::ptrdiff_t>(end));
    return out;
  }
};

/// A value of the template language. Lists and objects are shared; only a namespace changes after it was made.
struct value {
  enum class kind { undefined, none, boolean, integer, text, list, object, function };
  using items = std::vector<value>;
  using members = std::vector<std::pair<std::string, value>>;

  kind type = kind::undefined;
  std::int64_t number = 0;  ///< integer, or boolean
  tracked_text text;        ///< text, or the name of an undefined variable or of a function
  std::shared_ptr<items> list;
  std::shared_ptr<members> object;

  [[gnu::cold, gnu::noinline]] value() noexcept {}
  [[gnu::cold, gnu::noinline]] value(value const& other) : type(other.type), number(other.number), text(other.text), list(other.list), object(other.object) {}
  [[gnu::cold, gnu::noinline]] value(value&& other) noexcept
      : type(other.type), number(other.number), text(std::move(other.text)), list(std::move(other.list)), object(std::move(other.object)) {}
  [[gnu::cold, gnu::noinline]] value& operator=(value other) noexcept {
    type = other.type;
    number = other.number;
    text = std::move(other.text);
    list.swap(other.list);
    object.swap(other.object);
    return *this;
  }
  [[gnu::cold, gnu::noinline]] ~value() {}
  [[gnu::cold]] static value none() { return of(kind::none); }
  [[gnu::cold]] static value undefined(std::string name) {
    value v;
    v.text = tracked_text(std::move(name));
    return v;
  }
  [[gnu::cold]] static value function(std::string name) {
    auto v = of(kind::function);
    v.text = tracked_text(std::move(name));
    return v;
  }
  [[gnu::cold]] static value boolean(bool b) {
    auto v = of(kind::boolean);
    v.number = b ? 1 : 0;
    return v;
  }
  [[gnu::cold]] static value integer(std::int64_t i) {
    auto v = of(kind::integer);
    v.number = i;
    return v;
  }
  [[gnu::cold]] static value string(tracked_text t) {
    auto v = of(kind::text);
    v.text = std::move(t);
    return v;
  }
  [[gnu::cold]] static value array(items i) {
    auto v = of(kind::list);
    v.list = std::make_shared<items>(std::move(i));
    return v;
  }
  [[gnu::cold]] static value map(members m) {
    auto v = of(kind::object);
    v.object = std::make_shared<members>(std::move(m));
    return v;
  }

  bool is(kind k) const { return type == k; }
  bool is_number() const { return type == kind::integer || type == kind::boolean; }

  bool truth() const {
    switch (type) {
      case kind::undefined:
      case kind::none: return false;
      case kind::boolean:
      case kind::integer: return number != 0;
      case kind::text: return !text.text.empty();
      case kind::list: return !list->empty();
      case kind::object: return !object->empty();
      case kind::function: return true;
    }
    return false;
  }

  value const* member(std::string_view name) const {
    if (!object) { return nullptr; }
    for (auto const& [key, v] : *object) {
      if (key == name) { return &v; }
    }
    return nullptr;
  }

  void set_member(std::string const& name, value v) {
    for (auto& [key, old] : *object) {
      if (key == name) {
        old = std::move(v);
        return;
      }
    }
    object->emplace_back(name, std::move(v));
  }

  bool operator==(value const& other) const {
    if (is_number() && other.is_number()) { return number == other.number; }
    if (type != other.type) { return false; }
    switch (type) {
      case kind::text: return text.text == other.text.text;
      case kind::list: return *list == *other.list;
      case kind::object: return *object == *other.object;
      case kind::function: return text.text == other.text.text;
      default: return true;
    }
  }

 private:
  [[gnu::cold]] static value of(kind k) {
    value v;
    v.type = k;
    return v;
  }
};

}  // namespace loopserve::detail::jinja
