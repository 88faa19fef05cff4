// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "partner.hpp"

namespace chat {

/// Reads turns and commands from standard input until it ends. Returns the program's exit code.
int run_interactive(partner& with, settings const& s);

}  // namespace chat
