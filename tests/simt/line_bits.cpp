// SPDX-License-Identifier: Apache-2.0
/// What the index of lines says of a tile of rows is what its rows attend to. A key too many costs time and changes no result: attention's own tests do not see it.
#include "device_test.hpp"

#include <algorithm>

#include <loopserve/attention/line_bits_kernel.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

/// A head's lines, a flag a key and a flag an offset.
struct lines {
  std::vector<bool> verticals, slashes;

  lines(int keys, double density, std::uint64_t seed) : verticals(static_cast<std::size_t>(keys)), slashes(verticals.size()) {
    counter_rng const draw{seed};
    for (std::size_t i = 0; i < verticals.size(); ++i) {
      verticals[i] = draw.uniform(2 * i) < density;
      slashes[i] = draw.uniform(2 * i + 1) < density;
    }
  }
  int keys() const { return static_cast<int>(verticals.size()); }

  /// Whether the row at `position` attends to the key.
  bool attends(int position, int window, int key) const {
    int const offset = position - key;
    if (offset < 0 || (window > 0 && offset >= window)) { return false; }
    return verticals[static_cast<std::size_t>(key)] || slashes[static_cast<std::size_t>(offset)];
  }

  /// The index: verticals by the keys behind them, then slashes by their offset.
  std::vector<std::uint64_t> words(bool slash) const {
    std::vector<std::uint64_t> bits(static_cast<std::size_t>(detail::line_words(keys())));
    for (std::size_t i = 0; i < verticals.size(); ++i) {
      if (slash ? slashes[i] : verticals[verticals.size() - 1 - i]) { bits[i / 64] |= std::uint64_t{1} << i % 64; }
    }
    return bits;
  }
};

/// Rows of one head: where the first stands, how many they are, how many keys each sees.
struct alignas(8) tile {
  int position, count, window, unused = 0;
  LOOPSERVE_HOST_DEVICE detail::row_span rows() const { return {position, count, window}; }
};

/// All that the index says of all tiles: block (x, tile), a thread a key and, where there are so many, a word.
struct index_kernel {
  static constexpr int threads = 128;
  tile const* tiles;
  detail::line_bits bits;
  std::uint64_t* kept;       // (tiles, words)
  std::uint64_t* attending;  // (tiles, keys, 2): of the rows before the 64th and from it on
  int* words;                // (tiles, 2): the first word, and the one behind the last
  LOOPSERVE_DEVICE void operator()() const {
    int const key = dev::block().x * threads + dev::thread(), all = detail::line_words(bits.keys);
    index_t const at = dev::block().y;
    auto const rows = dev::load_whole(tiles + at).rows();
    if (key < all) { dev::store(kept + at * all + key, bits.kept(rows, key)); }
    if (key < bits.keys) {
      for (int half = 0; half < 2; ++half) {
        auto const its = 64 * half < rows.count ? bits.attending(rows.part(64 * half), key) : 0;
        dev::store(attending + (at * bits.keys + key) * 2 + half, its);
      }
    }
    if (key == 0) { dev::store_vec<2>(words + 2 * at, dev::vec<int, 2>{{bits.first_word(rows), bits.end_word(rows)}}); }
  }
};

/// Tiles at both ends of the context and within it, of up to 128 rows, with every window.
std::vector<tile> tiles_of(int keys) {
  std::vector<tile> all;
  for (int const window : {0, 1, 17, 64, 100}) {
    for (int const count : {1, 2, 33, 64, 65, 127, 128}) {
      int const most = std::min(count, keys), left = keys - most;
      all.push_back({left, most, window});
      if (left > 0) { all.push_back({count % 2 == 0 ? 0 : left / 2, most, window}); }
    }
  }
  return all;
}

void check_index(lines const& head) {
  CAPTURE(head.keys());
  auto const tiles = tiles_of(head.keys());
  index_t const count = static_cast<index_t>(tiles.size()), keys = head.keys(), all = detail::line_words(head.keys());
  std::vector<std::uint64_t> kept(static_cast<std::size_t>(count * all)), attending(static_cast<std::size_t>(count * keys * 2));
  for (index_t t = 0; t < count; ++t) {
    auto const& [position, rows, window, unused] = tiles[static_cast<std::size_t>(t)];
    for (int key = 0; key < keys; ++key) {
      index_t const back = keys - 1 - key;
      for (int i = 0; i < rows; ++i) {
        if (!head.attends(position + i, window, key)) { continue; }
        kept[static_cast<std::size_t>(t * all + back / 64)] |= std::uint64_t{1} << back % 64;
        attending[static_cast<std::size_t>((t * keys + key) * 2 + i / 64)] |= std::uint64_t{1} << i % 64;
      }
    }
  }
  each_device([&](auto const& b) {
    auto const on = on_device(b, tiles);
    auto const verticals = on_device(b, head.words(false)), slashes = on_device(b, head.words(true));
    auto got_kept = b.template make_buffer<std::uint64_t>(count * all),
         got_attending = b.template make_buffer<std::uint64_t>(count * keys * 2);
    auto got_words = b.template make_buffer<int>(2 * count);
    b.launch(
        {blocks_for(head.keys(), index_kernel::threads), static_cast<int>(count)},
        index_kernel{on.data(), {verticals.data(), slashes.data(), head.keys()}, got_kept.data(), got_attending.data(), got_words.data()});
    CHECK(on_host(b, got_kept) == kept);
    auto seen = on_host(b, got_attending);
    for (std::size_t i = 0; i < seen.size(); ++i) {  // bits behind the tile's last row say nothing
      seen[i] &= ~detail::bits_from(tiles[i / 2 / static_cast<std::size_t>(keys)].count - 64 * static_cast<int>(i % 2));
    }
    CHECK(seen == attending);
    auto const words = on_host(b, got_words);
    for (std::size_t t = 0; t < tiles.size(); ++t) {
      auto const& [position, rows, window, unused] = tiles[t];
      int const first_key = window > 0 ? std::max(0, position - window + 1) : 0;
      CHECK(words[2 * t] == (head.keys() - position - rows) / 64);
      CHECK(words[2 * t + 1] == (head.keys() - 1 - first_key) / 64 + 1);
    }
  });
}

}  // namespace

TEST_CASE("a tile keeps the keys that any of its rows attends to and no others, and each key knows its rows") {
  for (int const keys : {1, 63, 64, 65, 200}) {
    for (double const density : {0.02, 0.5}) { check_index(lines(keys, density, static_cast<std::uint64_t>(keys))); }
  }
  check_index(lines(700, 0.03, 5));
}

TEST_CASE("the same of all lines and of none") {
  check_index(lines(150, 2, 1));
  check_index(lines(150, 0, 1));
}
