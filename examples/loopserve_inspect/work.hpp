// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <loopserve/core/ids.hpp>
#include <loopserve/model/model_files.hpp>
#include <loopserve/serve/memory_plan.hpp>
#include <loopserve/serve/score.hpp>

#include "settings.hpp"

namespace inspect {

using files_pointer = std::shared_ptr<loopserve::model_files const>;

/// What needs an engine's parts, each backend in a translation unit of its own.
loopserve::memory_plan plan_cpu(settings const& s, files_pointer const& files);
loopserve::memory_plan plan_reference(settings const& s, files_pointer const& files);
loopserve::score_result score_cpu(settings const& s, files_pointer const& files, std::vector<loopserve::token_id> const& ids);
loopserve::score_result score_reference(settings const& s, files_pointer const& files, std::vector<loopserve::token_id> const& ids);

}  // namespace inspect
