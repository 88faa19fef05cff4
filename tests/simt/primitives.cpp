// SPDX-License-Identifier: Apache-2.0
/// Every primitive against what its comment says, under the emulator and on a device.
#include "device_test.hpp"

#include <bit>

#include <loopserve/dev/kv_rows.hpp>
#include <loopserve/dev/reduce.hpp>

using namespace loopserve;
using namespace loopserve::device_test;

namespace {

struct indices_kernel {
  static constexpr int threads = 64;
  int* out;  // (2, 3, 2 blocks, 64 threads, 4)
  LOOPSERVE_DEVICE void operator()() const {
    auto const at = dev::block();
    auto const all = dev::blocks();
    int const b = (at.z * all.y + at.y) * all.x + at.x;
    int* const mine = out + index_t{b * dev::threads() + dev::thread()} * 4;
    dev::store_vec<4>(mine, dev::vec<int, 4>{{b, dev::thread(), dev::warp(), dev::lane()}});
  }
};

struct exchange_kernel {
  static constexpr int threads = 64;
  float* out;         // (64, 4)
  unsigned* ballots;  // (64)
  LOOPSERVE_DEVICE void operator()() const {
    int const t = dev::thread();
    float const x = static_cast<float>(t);
    dev::vec<float, 4> const got{
        {dev::shuffle(x, 31 - dev::lane()), dev::shuffle_xor(x, 4), dev::shuffle_down(x, 3), dev::shuffle_up(x, 3)}};
    dev::store_vec<4>(out + 4 * t, got);
    dev::warp_barrier();
    dev::store(ballots + t, dev::ballot(t % 3 == 0));
  }
};

struct reduce_kernel {
  static constexpr int threads = 96;
  using shared_layout = dev::reduce_scratch<float>;
  float* out;  // (96, 2)
  LOOPSERVE_DEVICE void operator()() const {
    auto& scratch = dev::shared<shared_layout>();
    float const x = static_cast<float>(dev::thread());
    float const sum = dev::block_reduce(x, 0.0F, dev::plus{}, scratch);
    float const most = dev::block_reduce(x == 77 ? 1000.0F : -x, -1e30F, dev::larger{}, scratch);
    dev::store_vec<2>(out + 2 * dev::thread(), dev::vec<float, 2>{{sum, most}});
  }
};

/// Copies `in` in pieces of every size, two groups under way.
struct copy_kernel {
  static constexpr int threads = 32;
  struct shared_layout {
    dev::vec<float, 4> four[2][32];
    dev::vec<float, 2> two[32];
    float one[32];
  };
  float const* in;  // (2, 32, 4)
  float* out;       // (32, 4): sums over the two rounds and sizes, backwards
  LOOPSERVE_DEVICE void operator()() const {
    auto& s = dev::shared<shared_layout>();
    int const t = dev::thread(), other = 31 - t;
    dev::copy_async<16>(&s.four[0][t], in + 4 * t);
    dev::copy_commit();
    dev::copy_async<16>(&s.four[1][t], in + 128 + 4 * t, t != 5);
    dev::copy_async<8>(&s.two[t], in + 4 * t);
    dev::copy_async<4>(&s.one[t], in + 4 * t, t % 2 == 0);
    dev::copy_commit();
    dev::copy_wait<1>();
    dev::barrier();
    auto sum = s.four[0][other];
    dev::copy_wait<0>();
    dev::barrier();
    for (int i = 0; i < 4; ++i) { sum[i] += s.four[1][other][i] + (i < 2 ? s.two[other][i] : 0) + (i == 0 ? s.one[other] : 0); }
    dev::store_vec<4>(out + 4 * t, sum);
  }
};

/// out (16, 8) = a (16, 16) * b, where b is given as (16, 8) or transposed as (8, 16).
template <class Element, bool Transposed>
struct product_kernel {
  static constexpr int threads = 32;
  struct shared_layout {
    Element a[16][16], b[Transposed ? 16 : 8][Transposed ? 8 : 16];
  };
  Element const* a;
  Element const* b;
  float* out;
  LOOPSERVE_DEVICE void operator()() const {
    auto& s = dev::shared<shared_layout>();
    int const l = dev::lane();
    for (int i = l; i < 256; i += 32) { s.a[i / 16][i % 16] = dev::load(a + i); }
    for (int i = l; i < 128; i += 32) { (&s.b[0][0])[i] = dev::load(b + i); }
    dev::barrier();
    std::uint32_t left[4], right[4];
    dev::load_matrices(left, &s.a[l % 16][l / 16 * 8]);
    if constexpr (Transposed) {
      dev::load_matrices_transposed(right, &s.b[l % 16][0]);
    } else {
      dev::load_matrices(right, &s.b[l % 8][l / 8 % 2 * 8]);
    }
    float c[4] = {1, 1, 1, 1};
    dev::multiply_add<Element>(c, left, right[0], right[1]);
    for (int j = 0; j < 4; ++j) { dev::store(out + (l / 4 + 8 * (j / 2)) * 8 + 2 * (l % 4) + j % 2, c[j] - 1); }
  }
};

struct atomics_kernel {
  static constexpr int threads = 64;
  struct shared_layout {
    int count;
  };
  int* numbers;  // (5): added, largest, smallest, exchanged, compared
  float* sum;
  unsigned long long* large;
  LOOPSERVE_DEVICE void operator()() const {
    auto& s = dev::shared<shared_layout>();
    int const id = dev::block().x * threads + dev::thread();
    if (dev::thread() == 0) { s.count = 0; }
    dev::barrier();
    dev::atomic_add(&s.count, 1);
    dev::barrier();
    if (dev::thread() == 0) { dev::atomic_add(numbers, s.count); }
    dev::atomic_max(numbers + 1, id);
    dev::atomic_min(numbers + 2, -id);
    if (id == 17) { dev::atomic_exchange(numbers + 3, 5); }
    dev::atomic_compare_exchange(numbers + 4, 0, 9);
    dev::atomic_add(sum, 0.5F);
    dev::atomic_max(large, static_cast<unsigned long long>(id) << 40);
  }
};

struct math_kernel {
  static constexpr int threads = 32;
  float* out;  // (32, 4)
  LOOPSERVE_DEVICE void operator()() const {
    float const x = 0.25F * static_cast<float>(dev::thread()) + 0.1F;
    float const y = 1 + 0x1p-12F * static_cast<float>(dev::thread() + 1), z = dev::product(y, y);
    dev::store_vec<4>(out + 4 * dev::thread(), dev::vec<float, 4>{{dev::rsqrt(x), dev::exp2(-x), dev::exp(-x), dev::product(y, y) - z}});
  }
};

struct popcount_kernel {
  static constexpr int threads = 64;
  int* out;  // (64): of the numbers whose bits 63, 62, .. are set
  LOOPSERVE_DEVICE void operator()() const { dev::store(out + dev::thread(), dev::popcount(~std::uint64_t{0} << dev::thread())); }
};

template <class Element>
struct pack_kernel {
  static constexpr int threads = 32;
  float const* in;  // (64)
  std::uint32_t* out;
  LOOPSERVE_DEVICE void operator()() const {
    int const t = dev::thread();
    dev::store(out + t, dev::pack<Element>(dev::load(in + 2 * t), dev::load(in + 2 * t + 1)));
  }
};

/// Every f16 as a float, and some floats as f16.
struct convert_kernel {
  static constexpr int threads = 256;
  float const* in;     // (count)
  float* of_f16;       // (65536)
  std::uint16_t* out;  // (count)
  int count;
  LOOPSERVE_DEVICE void operator()() const {
    int const i = dev::block().x * threads + dev::thread();
    f16 x;
    x.bits = static_cast<std::uint16_t>(i);
    if (i < 65536) { dev::store(of_f16 + i, static_cast<float>(x)); }
    if (i < count) { dev::store(out + i, f16(dev::load(in + i)).bits); }
  }
};

struct kv_kernel {
  static constexpr int threads = 32;
  kv_view<bf16> kv;
  float* out;  // (kv_heads, tokens, 3): the first element of key and value, the position; 0 past a head's end
  LOOPSERVE_DEVICE void operator()() const {
    int const head = dev::block().x;
    for (int i = dev::thread(); i < kv.tokens; i += threads) {
      float* const mine = out + 3 * (index_t{head} * kv.tokens + i);
      bool const there = i < dev::length(kv, head);
      dev::store(mine, there ? static_cast<float>(dev::load(dev::key(kv, i, head))) : 0);
      dev::store(mine + 1, there ? static_cast<float>(dev::load(dev::value(kv, i, head))) : 0);
      dev::store(mine + 2, there ? static_cast<float>(dev::position(kv, i, head)) : 0);
    }
  }
};

}  // namespace

TEST_CASE("threads and blocks know their places") {
  each_device([](auto const& b) {
    auto out = b.template make_buffer<int>(12 * 64 * 4);
    b.launch({2, 3, 2}, indices_kernel{out.data()});
    auto const seen = on_host(b, out);
    for (int i = 0; i < 12 * 64; ++i) {
      int const want[4] = {i / 64, i % 64, i % 64 / 32, i % 32};
      for (int j = 0; j < 4; ++j) { CHECK(seen[static_cast<std::size_t>(4 * i + j)] == want[j]); }
    }
  });
}

TEST_CASE("lanes exchange values") {
  each_device([](auto const& b) {
    auto out = b.template make_buffer<float>(64 * 4);
    auto ballots = b.template make_buffer<unsigned>(64);
    b.launch({}, exchange_kernel{out.data(), ballots.data()});
    auto const seen = on_host(b, out);
    auto const bits = on_host(b, ballots);
    for (int t = 0; t < 64; ++t) {
      int const l = t % 32, base = t - l;
      int const want[4] = {base + 31 - l, t ^ 4, l + 3 < 32 ? t + 3 : t, l >= 3 ? t - 3 : t};
      for (int j = 0; j < 4; ++j) { CHECK(seen[static_cast<std::size_t>(4 * t + j)] == static_cast<float>(want[j])); }
      CHECK((bits[static_cast<std::size_t>(t)] >> l & 1) == (t % 3 == 0 ? 1U : 0U));
    }
  });
}

TEST_CASE("a block's sum and maximum reach every thread") {
  each_device([](auto const& b) {
    auto out = b.template make_buffer<float>(96 * 2);
    b.launch({}, reduce_kernel{out.data()});
    auto const seen = on_host(b, out);
    for (std::size_t t = 0; t < 96; ++t) {
      CHECK(seen[2 * t] == 96 * 95 / 2);
      CHECK(seen[2 * t + 1] == 1000);
    }
  });
}

TEST_CASE("asynchronous copies land group by group, and write zeros for what is not valid") {
  each_device([](auto const& b) {
    auto const x = numbers(256, 1);
    auto const in = on_device(b, x);
    auto out = b.template make_buffer<float>(128);
    b.launch({}, copy_kernel{in.data(), out.data()});
    auto const seen = on_host(b, out);
    for (int t = 0; t < 32; ++t) {
      int const o = 31 - t;
      for (int i = 0; i < 4; ++i) {
        auto const first = x[static_cast<std::size_t>(4 * o + i)], second = o == 5 ? 0 : x[static_cast<std::size_t>(128 + 4 * o + i)];
        CHECK(seen[static_cast<std::size_t>(4 * t + i)] == first + (second + (i < 2 ? first : 0) + (i == 0 && o % 2 == 0 ? first : 0)));
      }
    }
  });
}

TEST_CASE_TEMPLATE("matrices of 16-bit elements are loaded and multiplied", Element, bf16, f16) {
  // Small integers, so that all sums are exact.
  std::vector<Element> a, b_rows(128), b_columns(128);
  for (int i = 0; i < 256; ++i) { a.push_back(static_cast<Element>(static_cast<float>((i * 7) % 13 - 6))); }
  for (int k = 0; k < 16; ++k) {
    for (int j = 0; j < 8; ++j) {
      auto const x = static_cast<Element>(static_cast<float>((k * 5 + j * 3) % 11 - 5));
      b_rows[static_cast<std::size_t>(k * 8 + j)] = x;
      b_columns[static_cast<std::size_t>(j * 16 + k)] = x;
    }
  }
  std::vector<float> want;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) {
        sum +=
            static_cast<float>(a[static_cast<std::size_t>(i * 16 + k)]) * static_cast<float>(b_rows[static_cast<std::size_t>(k * 8 + j)]);
      }
      want.push_back(sum);
    }
  }
  each_device([&](auto const& b) {
    auto const left = on_device(b, a), rows = on_device(b, b_rows), columns = on_device(b, b_columns);
    auto out = b.template make_buffer<float>(128);
    b.launch({}, product_kernel<Element, false>{left.data(), columns.data(), out.data()});
    CHECK(on_host(b, out) == want);
    b.launch({}, product_kernel<Element, true>{left.data(), rows.data(), out.data()});
    CHECK(on_host(b, out) == want);
  });
}

TEST_CASE("atomics count across threads and blocks") {
  each_device([](auto const& b) {
    auto numbers = on_device(b, std::vector<int>{0, 0, 0, 0, 0});
    auto sum = on_device(b, std::vector<float>{0});
    auto large = on_device(b, std::vector<unsigned long long>{0});
    b.launch({5}, atomics_kernel{numbers.data(), sum.data(), large.data()});
    CHECK(on_host(b, numbers) == std::vector<int>{320, 319, -319, 5, 9});
    CHECK(on_host(b, sum)[0] == 160);
    CHECK(on_host(b, large)[0] == 319ULL << 40);
  });
}

TEST_CASE("the fast functions are close to exact") {
  each_device([](auto const& b) {
    auto out = b.template make_buffer<float>(128);
    b.launch({}, math_kernel{out.data()});
    auto const seen = on_host(b, out);
    for (int t = 0; t < 32; ++t) {
      double const x = 0.25F * static_cast<float>(t) + 0.1F;
      double const want[3] = {1 / std::sqrt(x), std::exp2(-x), std::exp(-x)};
      for (int j = 0; j < 3; ++j) { CHECK(std::fabs(seen[static_cast<std::size_t>(4 * t + j)] / want[j] - 1) <= 2e-6); }
      CHECK(seen[static_cast<std::size_t>(4 * t + 3)] == 0);  // a product joined with the difference leaves its rounding
    }
  });
}

TEST_CASE("bits are counted in both halves of a word") {
  each_device([](auto const& b) {
    auto out = b.template make_buffer<int>(64);
    b.launch({}, popcount_kernel{out.data()});
    auto const seen = on_host(b, out);
    for (int i = 0; i < 64; ++i) { CHECK(seen[static_cast<std::size_t>(i)] == 64 - i); }
  });
}

TEST_CASE_TEMPLATE("two numbers are packed as their conversions round them, the first one low", Element, bf16, f16) {
  each_device([](auto const& b) {
    auto x = numbers(64, 5, 3);
    x[0] = 1 + static_cast<float>(rounding<Element>);  // a tie, to even
    x[1] = 1 + 3 * static_cast<float>(rounding<Element>);
    auto const in = on_device(b, x);
    auto out = b.template make_buffer<std::uint32_t>(32);
    b.launch({}, pack_kernel<Element>{in.data(), out.data()});
    auto const seen = on_host(b, out);
    for (std::size_t i = 0; i < 64; ++i) { CHECK((seen[i / 2] >> (i % 2 * 16) & 0xffff) == Element(x[i]).bits); }
  });
}

TEST_CASE("f16 is converted as on the host: every one of them, ties and their neighbours, and what is too large or too small; a NaN stays one") {
  std::vector<float> x{65504, 65519.996F, 65520, -65520, 1e30F, 0x1p-24F, 0x1p-25F, 0x1.000002p-25F, -0x1p-26F, 0.0F, -0.0F, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
  for (std::uint32_t i = 0; i < 0x7bff; i += 5) {
    auto const lower = detail::f16_to_float(static_cast<std::uint16_t>(i)), upper = detail::f16_to_float(static_cast<std::uint16_t>(i + 1));
    float const tie = lower + (upper - lower) / 2;
    for (float const near : {tie, std::nextafter(tie, lower), std::nextafter(tie, upper)}) { x.push_back(i % 2 == 0 ? near : -near); }
  }
  each_device([&](auto const& b) {
    auto const in = on_device(b, x);
    auto of_f16 = b.template make_buffer<float>(65536);
    auto out = b.template make_buffer<std::uint16_t>(static_cast<index_t>(x.size()));
    b.launch({256}, convert_kernel{in.data(), of_f16.data(), out.data(), static_cast<int>(x.size())});
    auto const floats = on_host(b, of_f16);
    auto const bits = on_host(b, out);
    int differ = 0;
    for (std::uint32_t i = 0; i < 65536; ++i) {
      float const want = detail::f16_to_float(static_cast<std::uint16_t>(i));
      differ += std::isnan(want) ? !std::isnan(floats[i]) : std::bit_cast<std::uint32_t>(floats[i]) != std::bit_cast<std::uint32_t>(want);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      f16 const want(x[i]);
      differ += std::isnan(x[i]) ? !std::isnan(detail::f16_to_float(bits[i])) : bits[i] != want.bits;
    }
    CHECK(differ == 0);
  });
}

TEST_CASE("a kernel reads keys, values and positions through tables of pages") {
  each_device([](auto const& b) {
    // Two heads of 3 and 5 tokens, pages of 2 tokens, 3 pages a head, the view begins at token 1.
    constexpr int heads = 2, pages = 3, dim = 8;
    std::vector<bf16> keys, values;
    for (int i = 0; i < heads * pages * 2 * dim; ++i) {
      keys.push_back(static_cast<bf16>(static_cast<float>(i / dim)));
      values.push_back(static_cast<bf16>(static_cast<float>(100 + i / dim)));
    }
    auto const k = on_device(b, keys), v = on_device(b, values);
    std::vector<bf16 const*> key_table, value_table;
    for (int p = heads * pages - 1; p >= 0; --p) {
      key_table.push_back(k.data() + p * 2 * dim);
      value_table.push_back(v.data() + p * 2 * dim);
    }
    auto const key_pages = on_device(b, key_table), value_pages = on_device(b, value_table);
    auto const lengths = on_device(b, std::vector<int>{3, 5});
    auto const positions = on_device(b, std::vector<int>{0, 10, 20, 30, 40, 50, 0, 11, 21, 31, 41, 51});
    kv_view<bf16> kv;
    kv.key_pages = key_pages.data();
    kv.value_pages = value_pages.data();
    kv.page_table_stride = pages;
    kv.page_shift = 1;
    kv.row_stride = dim;
    kv.kv_heads = heads;
    kv.head_dim = dim;
    kv.tokens = 5;
    kv.first = 1;
    kv.lengths = lengths.data();
    kv.positions = positions.data();
    kv.positions_stride = 6;
    auto out = b.template make_buffer<float>(heads * 5 * 3);
    b.launch({heads}, kv_kernel{kv, out.data()});
    auto const seen = on_host(b, out);
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < 5; ++i) {
        int const t = i + 1, page = heads * pages - 1 - (h * pages + t / 2);
        bool const there = i < (h == 0 ? 3 : 5);
        auto const row = static_cast<float>(page * 2 + t % 2);
        auto const* const mine = &seen[static_cast<std::size_t>(3 * (h * 5 + i))];
        CHECK(mine[0] == (there ? row : 0));
        CHECK(mine[1] == (there ? row + 100 : 0));
        CHECK(mine[2] == (there ? static_cast<float>(10 * t + h) : 0));
      }
    }
  });
}
