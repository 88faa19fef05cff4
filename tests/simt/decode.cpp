// SPDX-License-Identifier: Apache-2.0
#include "device_test.hpp"

#include <deque>

#include <loopserve/attention/decode.cuh>
#include <loopserve/testing/decode_cases.hpp>

#include "decode_on_device.hpp"

using namespace loopserve;
using namespace loopserve::device_test;
using testing::decode_case;
using testing::kv_layout;

namespace {

constexpr double tolerance = 3e-6;

/// What the definition says, head by head.
template <class Element>
std::vector<double> expected(testing::decode_world<Element>& world) {
  std::vector<double> all;
  for (int h = 0; h < world.shape().heads; ++h) {
    auto const row = world.expected(h);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// One batch of all these cases, each held against the definition.
template <class Element>
void check_batch(std::vector<decode_case> const& cases) {
  std::deque<testing::decode_world<Element>> worlds;
  std::vector<std::vector<double>> want;
  for (auto const& shape : cases) {
    worlds.emplace_back(shape);
    want.push_back(expected(worlds.back()));
  }
  each_device([&](auto const& b) {
    using backend_type = std::remove_cvref_t<decltype(b)>;
    std::deque<decode_on_device<backend_type, Element>> on;
    std::vector<decode_job<Element>> jobs;
    for (auto& world : worlds) { jobs.push_back(on.emplace_back(b, world.job()).job()); }
    attend_decode(b, std::span<decode_job<Element> const>(jobs));
    for (std::size_t i = 0; i < cases.size(); ++i) {
      INFO(name_of(cases[i]));
      CHECK(worst(on[i].out(b), want[i]) <= tolerance);
    }
  });
}

}  // namespace

TEST_CASE_TEMPLATE("decode attention is the definition's, for a ragged batch of working sets and whole caches", Element, float, bf16, f16) {
  check_batch<Element>({{300, 20, 4, 2, 64, true, 0, kv_layout::paged},
                        {1, 0, 4, 2, 64, false, 0, kv_layout::token_major},
                        {131, 0, 1, 1, 24, false, 0, kv_layout::head_major},
                        {0, 19, 4, 2, 64, false, 0, kv_layout::token_major},
                        {0, 0, 4, 2, 64, false, 0, kv_layout::token_major},
                        {150, 33, 2, 1, 128, false, 0, kv_layout::paged}});
}

TEST_CASE("all query heads of a KV head share its rows, whatever their number") {
  for (int const ratio : {1, 2, 3, 4, 5, 6, 7, 8, 11}) { check_batch<bf16>({{70, 5, 2 * ratio, 2, 24, false, 0, kv_layout::paged}}); }
}

TEST_CASE("every head_dim that is a multiple of 8 up to 256") {
  for (int const dim : {8, 16, 40, 72, 96, 136, 192, 256}) { check_batch<bf16>({{45, 3, 3, 1, dim, false, 0, kv_layout::token_major}}); }
  check_batch<float>({{45, 3, 3, 1, 256, true, 0, kv_layout::paged}, {33, 0, 8, 1, 136, false, 0, kv_layout::head_major}});
}

TEST_CASE("tokens before first_position are passed over, and a head that is left without one is zero") {
  check_batch<bf16>({{300, 5, 2, 1, 8, false, 100, kv_layout::token_major},
                     {200, 40, 4, 2, 48, true, 300, kv_layout::token_major},
                     {50, 7, 2, 1, 64, false, 53, kv_layout::paged},
                     {50, 7, 2, 1, 64, false, 57, kv_layout::paged},
                     {2, 0, 4, 2, 64, true, 0, kv_layout::head_major}});
}

TEST_CASE("a long context takes more keys a split, not more splits than the merge has threads") {
  static_assert(detail::decode_keys_per_split(1) == 128);
  static_assert(detail::decode_keys_per_split(128 * 128) == 128);
  static_assert(detail::decode_keys_per_split(128 * 128 + 1) == 256);
  for (int const tokens : {1, 16384, 16385, 1 << 20, (1 << 30) + 7}) {
    int const keys = detail::decode_keys_per_split(tokens);
    CHECK((tokens + index_t{keys} - 1) / keys <= detail::decode_most_splits);
  }
  // Here a warp has more than one tile, and a lane copies pieces of other lanes' rows.
  check_batch<bf16>({{16500, 3, 1, 1, 24, false, 0, kv_layout::paged}});
  check_batch<float>({{130, 20, 2, 1, 256, true, 0, kv_layout::paged}});
}

TEST_CASE("a head's bits do not depend on the other jobs, and records are replayed with other content") {
  testing::decode_world<bf16> alone({200, 3, 4, 2, 64, true, 0, kv_layout::paged}),
      other({700, 0, 8, 1, 64, false, 0, kv_layout::token_major});
  each_device([&](auto const& b) {
    using backend_type = std::remove_cvref_t<decltype(b)>;
    decode_on_device<backend_type, bf16> first(b, alone.job()), second(b, other.job());
    std::vector<decode_job<bf16>> const jobs{first.job()}, both{second.job(), first.job()};
    attend_decode(b, std::span<decode_job<bf16> const>(jobs));
    auto const bits = first.out(b);
    attend_decode(b, std::span<decode_job<bf16> const>(both));
    CHECK(first.out(b) == bits);

    std::vector<decode_record<bf16>> records{record_of(both[0]), record_of(both[1])};
    auto most = bounds_of(std::span<decode_record<bf16> const>(records));
    most.splits += 2;  // room to grow
    auto const array = on_device(b, records);
    auto states = b.template make_buffer<float>(most.state_floats());
    attend_decode(b, array.data(), most, states.data());
    CHECK(first.out(b) == bits);
    auto const with_one_less = [&] {
      auto shorter = both[1];
      shorter.parts[1] = shorter.parts[1].slice(0, 2);
      return shorter;
    }();
    records[1] = record_of(with_one_less);
    b.copy_to_device(const_cast<decode_record<bf16>*>(array.data()), records.data(), array.bytes());
    attend_decode(b, array.data(), most, states.data());
    auto const replayed = first.out(b);
    CHECK(replayed != bits);
    std::vector<decode_job<bf16>> const again{with_one_less};
    attend_decode(b, std::span<decode_job<bf16> const>(again));
    CHECK(first.out(b) == replayed);
  });
}

TEST_CASE("the scratch that a batch's bounds ask for holds what its jobs write") {
  testing::decode_world<bf16> world({300, 20, 4, 2, 64, false, 0, kv_layout::paged});
  auto const want = expected(world);
  each_device([&](auto const& b) {
    using backend_type = std::remove_cvref_t<decltype(b)>;
    decode_on_device<backend_type, bf16> on(b, world.job());
    std::vector<decode_record<bf16>> const records{record_of(on.job())};  // none is smaller, and none has room to grow
    auto const most = bounds_of(std::span<decode_record<bf16> const>(records));
    auto const array = on_device(b, records);
    auto states = b.template make_buffer<float>(most.state_floats());
    attend_decode(b, array.data(), most, states.data());
    CHECK(worst(on.out(b), want) <= tolerance);
  });
}

TEST_CASE("keys that are not numbers show in the output, and values that nobody may see do not") {
  testing::decode_world<bf16> world({40, 3, 2, 1, 32, false, 0, kv_layout::token_major});
  const_cast<bf16*>(world.job().parts[0].key(7, 0))[3] = bf16(NAN);
  each_device([&](auto const& b) {
    using backend_type = std::remove_cvref_t<decltype(b)>;
    auto host = world.job();
    decode_on_device<backend_type, bf16> seen(b, host);
    host.first_position = 13;  // of token 8: the view starts at 5
    decode_on_device<backend_type, bf16> unseen(b, host);
    std::vector<decode_job<bf16>> const jobs{seen.job(), unseen.job()};
    attend_decode(b, std::span<decode_job<bf16> const>(jobs));
    for (float const x : seen.out(b)) { CHECK(std::isnan(x)); }
    for (float const x : unseen.out(b)) { CHECK(std::isfinite(x)); }
  });
}

TEST_CASE("shapes that the device does not take are refused before anything is queued; a batch may be empty") {
  each_device([&](auto const& b) {
    attend_decode(b, std::span<decode_job<bf16> const>{});
    for (auto const& shape : {decode_case{3, 0, 2, 1, 264}, decode_case{3, 0, 2, 1, 12}}) {
      testing::decode_world<bf16> world(shape);
      std::vector<decode_job<bf16>> const jobs{world.job()};
      CHECK_THROWS_AS(attend_decode(b, std::span<decode_job<bf16> const>(jobs)), error);
    }
    testing::decode_world<bf16> world({3, 0, 2, 1, 64});
    auto job = world.job();
    job.parts[0].row_stride = 68;
    std::vector<decode_job<bf16>> jobs{job};
    CHECK_THROWS_AS(attend_decode(b, std::span<decode_job<bf16> const>(jobs)), error);
    jobs[0] = world.job();
    jobs[0].parts[0].kv_heads = 3;
    CHECK_THROWS_AS(attend_decode(b, std::span<decode_job<bf16> const>(jobs)), error);
  });
}
