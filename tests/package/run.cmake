# Builds and runs one consumer program: cmake -DCONSUMER=... -DSOURCE=... -DPREFIX=... -DWORK=... -DCXX=... -P run.cmake
set(build "${WORK}/${CONSUMER}")
file(REMOVE_RECURSE "${build}")
file(MAKE_DIRECTORY "${build}")
set(sources "${SOURCE}/tests/package/main.cpp" "${SOURCE}/tests/package/other.cpp")
set(program "${build}/consumer")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(CONSUMER STREQUAL "pkg_config")
  find_program(pkg_config pkg-config REQUIRED)
  set(ENV{PKG_CONFIG_PATH} "${PREFIX}/share/pkgconfig")
  execute_process(COMMAND "${pkg_config}" --cflags --libs loopserve OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run("${CXX}" -std=c++20 ${sources} ${flags} -o "${program}")
elseif(CONSUMER STREQUAL "bare")
  # No OpenMP, no oneDNN: standard threads and own products.
  run("${CXX}" -std=c++20 "-I${SOURCE}/include" ${sources} -lpcre2-8 -lutf8proc -pthread -o "${program}")
else()
  run("${CMAKE_COMMAND}" -G "${GENERATOR}" -S "${SOURCE}/tests/package/${CONSUMER}" -B "${build}" "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
      "-DCMAKE_PREFIX_PATH=${PREFIX}" "-DLOOPSERVE_SOURCE=${SOURCE}" "-DLOOPSERVE_WITH_ONEDNN=${ONEDNN}")
  run("${CMAKE_COMMAND}" --build "${build}")
endif()
execute_process(COMMAND "${program}" OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
message("consumer ${CONSUMER}: ${said}")
