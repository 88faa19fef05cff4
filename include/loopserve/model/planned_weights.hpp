// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <loopserve/core/backend.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/model/upload_weights.hpp>
#include <loopserve/model/weights_report.hpp>

namespace loopserve {

/// What a file's tensors will take in a device's memory, matrices in 16 bits and lists in float32, and what is converted for that.
inline weights_report planned_on_device(model_files const& files) {
  weights_report plan;
  for (auto const& t : files.tensors()) {
    if (!t.type) { continue; }
    index_t elements = 1;
    for (auto const e : t.shape) { elements *= e; }
    if (t.shape.size() > 1) {
      plan.add(*t.type, t.bytes, device_type(*t.type), bytes_of(device_type(*t.type), elements));
    } else {
      plan.bytes += elements * index_t{sizeof(float)};
    }
  }
  return plan;
}

/// What a file's tensors take in the backend's memory: on the host what they take in the file.
template <class Backend>
index_t planned_weight_bytes(model_files const& files) {
  return Backend::space == memory_space::host ? files.weight_bytes() : planned_on_device(files).bytes;
}

}  // namespace loopserve
