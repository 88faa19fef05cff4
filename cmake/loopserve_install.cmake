# Installs headers, the CMake package and the pkg-config file, which depend on no processor, and loopserve::compiled and loopserve::compiled_cuda where they were built.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/loopserve" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh" PATTERN "*.inc")

# Where the archives of loopserve::compiled and loopserve::compiled_cuda go; empty where this build has none.
foreach(library compiled compiled_cuda)
  set(${library}_archive "")
  if(TARGET loopserve_${library})
    install(TARGETS loopserve_${library} ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    set(${library}_archive "${CMAKE_INSTALL_LIBDIR}/${CMAKE_STATIC_LIBRARY_PREFIX}loopserve_${library}${CMAKE_STATIC_LIBRARY_SUFFIX}")
  endif()
endforeach()

set(package_folder "${CMAKE_INSTALL_DATADIR}/cmake/loopserve")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/loopserveConfig.cmake.in" "${PROJECT_BINARY_DIR}/package/loopserveConfig.cmake"
                              INSTALL_DESTINATION "${package_folder}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR compiled_archive compiled_cuda_archive NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/loopserveConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/package/loopserveConfig.cmake" "${PROJECT_BINARY_DIR}/package/loopserveConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/loopserve_dependencies.cmake" "${PROJECT_SOURCE_DIR}/cmake/loopserve_cuda.cmake" DESTINATION "${package_folder}")

# The .pc file names oneDNN or Eigen, whichever this build has found: pkg-config cannot look for optional things.
set(pc_prefix "\${pcfiledir}/../..")
set(pc_requires " eigen3")
set(pc_cflags "")
set(pc_libs "")
get_target_property(definitions loopserve INTERFACE_COMPILE_DEFINITIONS)
if("LOOPSERVE_HAS_ONEDNN=1" IN_LIST definitions)
  set(pc_requires "")
  set(pc_cflags " -DLOOPSERVE_HAS_ONEDNN=1")
  set(pc_libs " -ldnnl")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/loopserve.pc.in" "${PROJECT_BINARY_DIR}/package/loopserve.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/package/loopserve.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
