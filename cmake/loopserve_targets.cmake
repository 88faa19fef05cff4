# What the programs, tests and benchmarks of this repository share. Users of the library need none of it.

# loopserve_program(NAME SOURCES... [LIBRARIES ...]): a program with the project's warnings, in build/<preset>/bin.
function(loopserve_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBRARIES")
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE loopserve::loopserve ${arg_LIBRARIES})
  loopserve_warnings(${name} PRIVATE)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

function(loopserve_warnings target scope)
  set(cxx COMPILE_LANGUAGE:CXX)
  set(cuda COMPILE_LANGUAGE:CUDA)
  target_compile_options(${target} ${scope} $<$<${cxx}>:-Wall> $<$<${cxx}>:-Wextra> $<$<AND:$<${cxx}>,$<BOOL:${LOOPSERVE_WERROR}>>:-Werror>)
  # g++ 12 sees overlapping copies in "text" + std::string(...) where there are none (GCC bug 105651, mended in 13).
  set(gcc_12 $<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>)
  target_compile_options(${target} ${scope} $<$<AND:$<${cxx}>,${gcc_12}>:-Wno-restrict> $<$<AND:$<${cuda}>,${gcc_12}>:-Xcompiler=-Wno-restrict>)
  target_compile_options(${target} ${scope} $<$<${cuda}>:-Xcompiler=-Wall,-Wextra> "$<$<AND:$<${cuda}>,$<BOOL:${LOOPSERVE_WERROR}>>:SHELL:-Werror all-warnings>")
endfunction()

# loopserve_headers(OUT): every public header, relative to include/, sorted.
function(loopserve_headers out)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/include/loopserve/*.hpp")
  list(SORT headers)
  set(${out} ${headers} PARENT_SCOPE)
endfunction()
