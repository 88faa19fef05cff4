# What CUDA programs need, found the same way by the build and by the installed package. `loopserve_find_cuda(missing)` leaves a list of sentences in `missing`,
# empty where everything was found: nvcc and the toolkit; `loopserve_find_cuda_toolkit(missing)` looks for the toolkit alone, which is enough for C++ that
# links what nvcc has compiled. `loopserve_link_cuda(target)` links what was found and makes CUDA files C++20.

macro(loopserve_find_cuda missing)
  set(${missing} "")
  if(NOT CMAKE_CUDA_COMPILER_LOADED)
    list(APPEND ${missing} "the component cuda needs the language CUDA: project(... LANGUAGES CXX CUDA)")
  elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
    list(APPEND ${missing} "nvcc 13.0 is needed, ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}")
  else()
    loopserve_find_cuda_toolkit(${missing})
  endif()
endmacro()

macro(loopserve_find_cuda_toolkit missing)
  set(${missing} "")
  find_package(CUDAToolkit QUIET)
  if(NOT CUDAToolkit_FOUND)
    list(APPEND ${missing} "the CUDA toolkit was not found: name its folder by CUDAToolkit_ROOT")
  elseif(NOT TARGET CUDA::cublasLt OR NOT TARGET CUDA::cudart_static)
    list(APPEND ${missing} "cuBLASLt or the static CUDA runtime was not found in ${CUDAToolkit_LIBRARY_DIR}")
  endif()
endmacro()

function(loopserve_link_cuda target)
  target_link_libraries(${target} INTERFACE CUDA::cublasLt)
  if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    target_compile_features(${target} INTERFACE cuda_std_20)
  else()
    # CMake 3.25.1 does not know that nvcc speaks C++20: asking for the feature, or for CUDA_STANDARD 20, would stop the configure.
    target_compile_options(${target} INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
  endif()
  # The headers differ with and without OpenMP: C++ and CUDA files of one program must see the same.
  separate_arguments(openmp UNIX_COMMAND "${OpenMP_CXX_FLAGS}")
  foreach(flag IN LISTS openmp)
    target_compile_options(${target} INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
  endforeach()
endfunction()
