// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

#include <loopserve/core/error.hpp>

/// The largest single allocation of this program since it was set to 0. Included by one file of a program.
inline std::size_t largest_allocation = 0;

// noinline: gcc 12 would otherwise warn that malloc and delete do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  if (void* p = std::malloc(size > 0 ? size : 1)) { return p; }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

/// What a refused action says; "accepted" where it is not refused. Any exception but format_error leaves it.
template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (loopserve::format_error const& e) {
    return e.what();
  }
  return "accepted";
}

inline bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

/// A refusal has a file, what was expected and what was found.
inline bool complete(std::string const& message, std::string const& file) {
  return contains(message, file) && contains(message, ": expected ") && contains(message, ", found ");
}

inline std::string replaced(std::string text, std::string const& from, std::string const& to) {
  auto const at = text.find(from);
  return at == std::string::npos ? "" : text.replace(at, from.size(), to);
}
