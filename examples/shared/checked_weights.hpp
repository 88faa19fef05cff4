// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <loopserve/model/check_finite.hpp>
#include <loopserve/model/model_files.hpp>

#include "progress.hpp"

namespace programs {

/// Looks for NaN and infinity in all weights, and shows how far it is: reading the files is what loading takes. The engine need not do it again.
inline void check_weights(loopserve::model_files const& files) {
  constexpr loopserve::index_t portion = loopserve::index_t{64} << 20;
  progress bar("loading", "MB");
  std::vector<loopserve::tensor_entry> some;
  loopserve::index_t done = 0;
  loopserve::index_t held = 0;
  for (std::size_t i = 0; i < files.tensors().size(); ++i) {
    some.push_back(files.tensors()[i]);
    held += some.back().bytes;
    if (held < portion && i + 1 < files.tensors().size()) { continue; }
    loopserve::check_finite(some);
    done += held;
    held = 0;
    some.clear();
    bar.update(done / 1'000'000, files.weight_bytes() / 1'000'000);
  }
}

}  // namespace programs
