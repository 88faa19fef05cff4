# loopserve::compiled: the usual engines, compiled once. Programs that link it see them declared (serve/compiled.hpp), and change nothing else.
add_library(loopserve_compiled STATIC "${PROJECT_SOURCE_DIR}/src/compiled/cpu.cpp" "${PROJECT_SOURCE_DIR}/src/compiled/reference.cpp")
add_library(loopserve::compiled ALIAS loopserve_compiled)
target_link_libraries(loopserve_compiled PUBLIC loopserve)
target_compile_definitions(loopserve_compiled INTERFACE LOOPSERVE_COMPILED=1)
set_target_properties(loopserve_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON)
loopserve_warnings(loopserve_compiled PRIVATE)
