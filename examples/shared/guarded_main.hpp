// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <CLI/CLI.hpp>

namespace programs {

/// One sentence on stderr, whatever went wrong.
inline int complain(std::string const& program, std::string what) {
  std::replace(what.begin(), what.end(), '\n', ' ');
  std::cerr << program << ": " << what << std::endl;
  return 1;
}

/// Reads the command line, then runs `body`, whose result is the program's. Every error, also of the command line, ends in one sentence and 1.
template <class Body>
int guarded_main(CLI::App& app, int argc, char** argv, Body&& body) {
  auto const program = app.get_name();
  try {
    app.parse(argc, argv);
    return body();
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() == 0) { return app.exit(e); }  // --help, --version
    return complain(program, std::string(e.what()) + " (see --help)");
  } catch (std::bad_alloc const&) {
    return complain(program, "there is not enough memory");
  } catch (std::exception const& e) { return complain(program, e.what()); }
}

}  // namespace programs
