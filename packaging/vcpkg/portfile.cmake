# An overlay port: `vcpkg install loopserve --overlay-ports=packaging/vcpkg` from a checkout; the sources are the checkout's own.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

vcpkg_check_features(OUT_FEATURE_OPTIONS features FEATURES onednn LOOPSERVE_WITH_ONEDNN)
vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS ${features} "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}" -DLOOPSERVE_INSTALL=ON -DLOOPSERVE_BUILD_TESTS=OFF -DLOOPSERVE_BUILD_EXAMPLES=OFF -DLOOPSERVE_BUILD_BENCH=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME loopserve CONFIG_PATH share/cmake/loopserve)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
