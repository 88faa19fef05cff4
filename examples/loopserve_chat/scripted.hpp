// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "../shared/dialogue_file.hpp"
#include "partner.hpp"

namespace chat {

/// Says every turn of every conversation and prints what came back: the texts, or a line of JSON a turn. A conversation that fails is reported on stderr and
/// the others go on. Returns the program's exit code: 1 where any failed.
int run_script(partner& with, std::vector<programs::scripted_dialogue> const& script, settings const& s);

}  // namespace chat
