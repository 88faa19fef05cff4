# loopserve::compiled and, with CUDA, loopserve::compiled_cuda: the usual engines, compiled once. Programs that link them see them declared (serve/compiled.hpp and
# serve/compiled.cuh), and change nothing else.
function(loopserve_engines name public define)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC ${public})
  target_compile_definitions(${name} INTERFACE ${define}=1)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  loopserve_warnings(${name} PRIVATE)
endfunction()

loopserve_engines(loopserve_compiled loopserve LOOPSERVE_COMPILED "${PROJECT_SOURCE_DIR}/src/compiled/cpu.cpp" "${PROJECT_SOURCE_DIR}/src/compiled/reference.cpp")
add_library(loopserve::compiled ALIAS loopserve_compiled)
if(LOOPSERVE_CUDA)
  loopserve_engines(loopserve_compiled_cuda loopserve_cuda LOOPSERVE_COMPILED_CUDA "${PROJECT_SOURCE_DIR}/src/compiled/cuda.cu")
  add_library(loopserve::compiled_cuda ALIAS loopserve_compiled_cuda)
endif()
