// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <loopserve/kv/cache_storage.hpp>
#include <loopserve/testing/backend_memory.hpp>
#include <loopserve/testing/host_kv.hpp>
#include <loopserve/testing/law.hpp>

namespace loopserve::testing {

/// Rows of the law suite: random, a function of stream, layer and place alone.
struct law_rows {
  law_rows(cache_shape shape, int layer, int tokens, int stream)
      : k(normal_floats({static_cast<std::uint64_t>(stream), 1, static_cast<std::uint64_t>(layer)}, index_t{tokens} * shape.kv_heads * shape.head_dim)),
        v(normal_floats({static_cast<std::uint64_t>(stream), 2, static_cast<std::uint64_t>(layer)}, index_t{tokens} * shape.kv_heads * shape.head_dim)) {}

  std::vector<float> k, v;  // (tokens, kv_heads, head_dim)
};

/// Appends tokens [from, to) of `stream` in every layer.
template <cache_storage Storage>
void append_rows(typename Storage::backend_type& b, Storage& s, cache_shape shape, sequence_id id, int from, int to, int stream) {
  for (int l = 0; l < shape.layers; ++l) {
    law_rows const rows(shape, l, to, stream);
    auto const k = uploaded(b, rows.k), v = uploaded(b, rows.v);
    auto const part = [&](float const* all) { return tensor_view<float const, 3>(all, {to, shape.kv_heads, shape.head_dim}).rows(from, to - from); };
    s.append(id, l, part(k.data()), part(v.data()));
  }
}

/// Tokens [from, to) of the sequence are those of `stream`, converted to the element type, at their own positions.
template <cache_storage Storage>
void require_rows(typename Storage::backend_type& b, Storage const& s, cache_shape shape, sequence_id id, int from, int to, int stream, std::string const& law) {
  using element = typename Storage::element_type;
  for (int l = 0; l < shape.layers; ++l) {
    law_rows const rows(shape, l, to, stream);
    auto const there = s.view(id, l);
    require(there.length() >= to && s.length(id, l) == there.length(), law + ": the length is wrong");
    downloaded_kv const held(b, there);
    auto const& kv = held.view();
    for (int head = 0; head < shape.kv_heads; ++head) {
      for (int i = from; i < to; ++i) {
        require(kv.position(i, head) == i, law + ": a position moved");
        for (int c = 0; c < shape.head_dim; ++c) {
          auto const at = static_cast<std::size_t>((index_t{i} * shape.kv_heads + head) * shape.head_dim + c);
          require(static_cast<float>(kv.key(i, head)[c]) == static_cast<float>(static_cast<element>(rows.k[at])) &&
                      static_cast<float>(kv.value(i, head)[c]) == static_cast<float>(static_cast<element>(rows.v[at])),
                  law + ": token " + std::to_string(i) + " of layer " + std::to_string(l) + " changed");
        }
      }
    }
  }
}

/// What is appended, in whatever chunks, is read back in the element type.
template <cache_storage Storage>
void law_append_reads_back(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  Storage s(b, shape, o);
  auto const whole = s.open(), parts = s.open();
  append_rows(b, s, shape, whole, 0, 150, 1);
  int at = 0;
  for (int count : {1, 0, 62, 1, 1, 63, 22}) {
    append_rows(b, s, shape, parts, at, at + count, 1);
    at += count;
  }
  require_rows(b, s, shape, whole, 0, 150, 1, "append at once");
  require_rows(b, s, shape, parts, 0, 150, 1, "append in chunks");
  require(s.length(parts, 0) == 150, "append in chunks: the length is their sum");
}

/// A fork has the parent's content and its own future, on both sides.
template <cache_storage Storage>
void law_forks_are_apart(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  Storage s(b, shape, o);
  auto const parent = s.open();
  append_rows(b, s, shape, parent, 0, 100, 1);
  auto const child = s.fork(parent);
  auto const grandchild = s.fork(child);
  append_rows(b, s, shape, child, 100, 140, 2);
  append_rows(b, s, shape, parent, 100, 130, 3);
  require_rows(b, s, shape, child, 0, 100, 1, "fork: the child's past");
  require_rows(b, s, shape, child, 100, 140, 2, "fork: the child's future");
  require_rows(b, s, shape, parent, 0, 100, 1, "fork: the parent's past");
  require_rows(b, s, shape, parent, 100, 130, 3, "fork: the parent's future");
  s.release(parent);
  require_rows(b, s, shape, child, 0, 100, 1, "fork: the child outlives its parent");
  append_rows(b, s, shape, grandchild, 100, 101, 4);
  require_rows(b, s, shape, grandchild, 0, 100, 1, "fork of a fork: past");
  require_rows(b, s, shape, child, 100, 140, 2, "fork of a fork: the child's future");
}

/// Cutting one side leaves the other as it is; what is appended after the cut takes the place of what was cut.
template <cache_storage Storage>
void law_truncate_keeps_forks(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  Storage s(b, shape, o);
  auto const a = s.open();
  append_rows(b, s, shape, a, 0, 200, 1);
  auto const fork = s.fork(a);
  for (int cut : {170, 128, 70, 0}) {
    s.truncate(a, cut);
    require(s.length(a, 0) == cut && s.view(a, 0).length() == cut, "truncate: the length is the cut");
    append_rows(b, s, shape, a, cut, cut + 40, 5);
    require_rows(b, s, shape, a, 0, cut, 1, "truncate: what is before the cut");
    require_rows(b, s, shape, a, cut, cut + 40, 5, "truncate: what is written after it");
    require_rows(b, s, shape, fork, 0, 200, 1, "truncate: the fork");
    s.truncate(a, cut);
  }
  s.truncate(fork, 1000);
  require(s.length(fork, 0) == 200, "truncate: a cut behind the end changes nothing");
}

/// A view stays good while other sequences come, grow and go.
template <cache_storage Storage>
void law_views_are_stable(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  Storage s(b, shape, o);
  auto const a = s.open();
  append_rows(b, s, shape, a, 0, 90, 1);
  auto const before = s.view(a, 0);
  auto const pages = page_addresses(b, before);
  for (int round = 0; round < 5; ++round) {
    auto const other = round % 2 == 0 ? s.open() : s.fork(a);
    append_rows(b, s, shape, other, s.length(other, 0), s.length(other, 0) + 300, 2);
    s.release(other);
  }
  require(page_addresses(b, before) == pages && page_addresses(b, s.view(a, 0)) == pages, "a view stays where it is while other sequences change");
  require_rows(b, s, shape, a, 0, 90, 1, "a view's content while other sequences change");
}

/// Bytes are those that are held: something while there are tokens, nothing after the last release, and no growth by opening and closing.
template <cache_storage Storage>
void law_bytes_are_held(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  Storage s(b, shape, o);
  require(s.bytes() == 0, "an empty storage holds no bytes");
  index_t once = 0;
  for (int round = 0; round < 3; ++round) {
    auto const a = s.open();
    append_rows(b, s, shape, a, 0, 130, 1);
    index_t const needed = index_t{2} * shape.layers * 130 * shape.kv_heads * shape.head_dim * static_cast<index_t>(sizeof(typename Storage::element_type));
    require(s.bytes(a) >= needed && s.bytes() >= s.bytes(a), "bytes: at least the rows themselves");
    auto const held = s.bytes();
    auto const fork = s.fork(a);
    require(s.bytes(fork) > 0 && s.bytes() >= held, "bytes: a fork refers to bytes");
    if constexpr (requires { Storage::sharing; }) { require(s.bytes() == held, "bytes: a fork adds none before one side writes"); }
    s.release(fork);
    require(s.bytes() == held, "bytes: a released fork leaves what was there");
    s.release(a);
    require(s.bytes() == 0, "bytes: the last release gives all back");
    if constexpr (requires { Storage::planned_bytes(shape, o, 130); }) {
      Storage fresh(b, shape, o);
      auto const id = fresh.open();
      fresh.reserve(id, 130);
      require(fresh.bytes() == Storage::planned_bytes(shape, o, 130), "bytes: what was planned is what is held");
    }
    require(round == 0 || held == once, "bytes: the same content takes the same bytes again");
    once = held;
  }
}

/// After reserve(id, n), n tokens fit; a reserve that does not fit throws capacity_error and changes nothing. `o.max_bytes` bounds the storage.
template <cache_storage Storage>
void law_reserve_is_all_or_nothing(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  index_t const row_bytes = index_t{2} * shape.layers * shape.kv_heads * shape.head_dim * static_cast<index_t>(sizeof(typename Storage::element_type));
  o.max_bytes = row_bytes * 64 * 4;
  Storage s(b, shape, o);
  auto const a = s.open(), c = s.open();
  append_rows(b, s, shape, a, 0, 60, 1);
  s.reserve(a, 120);
  auto const before = s.bytes();
  bool refused = false;
  try {
    s.reserve(c, 64 * 4);
  } catch (capacity_error const&) { refused = true; }
  require(refused, "reserve: more than max_bytes is a capacity_error");
  require(s.bytes() == before && s.length(c, 0) == 0, "reserve: a refusal changes nothing");
  append_rows(b, s, shape, a, 60, 120, 1);
  require(s.bytes() == before, "reserve: what was reserved is what append uses");
  require(s.bytes() <= o.max_bytes, "reserve: the bound holds");
  require_rows(b, s, shape, a, 0, 120, 1, "reserve: content");
  s.reserve(c, 60);
  append_rows(b, s, shape, c, 0, 60, 2);
  require_rows(b, s, shape, c, 0, 60, 2, "reserve: content of the other");
}

/// Every law of a storage.
template <cache_storage Storage>
void storage_laws(typename Storage::backend_type& b, cache_shape shape, typename Storage::options o = {}) {
  law_append_reads_back<Storage>(b, shape, o);
  law_forks_are_apart<Storage>(b, shape, o);
  law_truncate_keeps_forks<Storage>(b, shape, o);
  law_views_are_stable<Storage>(b, shape, o);
  law_bytes_are_held<Storage>(b, shape, o);
  if constexpr (requires { o.max_bytes; }) { law_reserve_is_all_or_nothing<Storage>(b, shape, o); }
}

}  // namespace loopserve::testing
