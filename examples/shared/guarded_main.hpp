// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdio>
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

/// 0, or a complaint where what was printed did not arrive: a full disk, say. A stream keeps that to itself until it is asked.
inline int finish_output(std::string const& program) {
  bool const written = static_cast<bool>(std::cout.flush());
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && written) { return 0; }
  return complain(program, "standard output cannot be written: what it took is not complete");
}

/// Reads the command line, then runs `body`, whose result is the program's. Every error, also of the command line, ends in one sentence and 1.
template <class Body>
int guarded_main(CLI::App& app, int argc, char** argv, Body&& body) {
  auto const program = app.get_name();
  try {
    app.parse(argc, argv);
    int const code = body();
    return code == 0 ? finish_output(program) : code;
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() == 0) {  // --help, --version
      app.exit(e);
      return finish_output(program);
    }
    return complain(program, std::string(e.what()) + " (see --help)");
  } catch (std::bad_alloc const&) {
    return complain(program, "there is not enough memory");
  } catch (std::exception const& e) { return complain(program, e.what()); }
}

}  // namespace programs
