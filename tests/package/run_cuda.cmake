# Builds and runs the consumer of loopserve::cuda: cmake -DHOW=... -DSOURCE=... -DWORK=... -DCXX=... -DNVCC=... -DLAUNCHER=... -DGENERATOR=... -P run_cuda.cmake
set(build "${WORK}/cuda_${HOW}")
file(REMOVE_RECURSE "${build}")
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
set(common -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_CUDA_COMPILER_LAUNCHER=${LAUNCHER}")
if(HOW STREQUAL "find_package")
  # Configured as on a machine without nvcc.
  run("${CMAKE_COMMAND}" ${common} -S "${SOURCE}" -B "${build}/host" -DLOOPSERVE_BUILD_TESTS=OFF -DLOOPSERVE_BUILD_EXAMPLES=OFF -DLOOPSERVE_BUILD_BENCH=OFF
      -DCMAKE_CUDA_COMPILER=NOTFOUND)
  run("${CMAKE_COMMAND}" --install "${build}/host" --prefix "${build}/prefix")
endif()
run("${CMAKE_COMMAND}" ${common} -S "${SOURCE}/tests/package/cuda" -B "${build}/consumer" "-DHOW=${HOW}" "-DLOOPSERVE_SOURCE=${SOURCE}" "-DCMAKE_PREFIX_PATH=${build}/prefix"
    "-DCMAKE_CUDA_COMPILER=${NVCC}")
run("${CMAKE_COMMAND}" --build "${build}/consumer")
execute_process(COMMAND "${build}/consumer/consumer" OUTPUT_VARIABLE said RESULT_VARIABLE result)
string(STRIP "${said}" said)
if(result EQUAL 77 AND said MATCHES "^skipped: no CUDA device can be used here" OR result EQUAL 0 AND said STREQUAL "device and host agree")
  message("consumer of cuda by ${HOW}: built; ${said}")
else()
  message(FATAL_ERROR "consumer of cuda by ${HOW}: exit ${result}: ${said}")
endif()
