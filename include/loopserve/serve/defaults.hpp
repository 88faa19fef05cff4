// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/attention/line_sparse_attention.hpp>
#include <loopserve/kv/kv_element.hpp>
#include <loopserve/kv/paged.hpp>
#include <loopserve/kv/progressive.hpp>
#include <loopserve/kv/with_recall.hpp>
#include <loopserve/model/decoder.hpp>
#include <loopserve/prefill/online_vertical_slash.hpp>
#include <loopserve/serve/scheduler.hpp>

namespace loopserve {

/// The parts an engine has where nothing else is named. Derive from it and name what differs:
///   struct my : defaults<cpu> { using compressor = progressive<backend>; };
template <class Backend>
struct defaults {
  using backend = Backend;
  using model = loopserve::decoder<Backend>;
  using storage = paged<Backend, kv_element<Backend>>;
  using selector = online_vertical_slash<Backend>;
  using compressor = with_recall<progressive<Backend>>;
  using attention = line_sparse_attention<Backend>;
  using scheduler = fcfs;
};

}  // namespace loopserve
