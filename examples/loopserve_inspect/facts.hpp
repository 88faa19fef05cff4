// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <loopserve/model/model_files.hpp>
#include <loopserve/serve/memory_plan.hpp>

namespace inspect {

/// What a folder or file holds, by name; numbers as numbers.
nlohmann::ordered_json facts_of(loopserve::model_files const& files);

/// A memory plan, in bytes.
nlohmann::ordered_json facts_of(loopserve::memory_plan const& plan);

/// Such an object for people: a line a fact, objects indented, bytes with their unit.
std::string text_of(nlohmann::ordered_json const& facts, int indent = 0);

}  // namespace inspect
