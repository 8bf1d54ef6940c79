# SPDX-License-Identifier: MIT
# The installed C++ library: one header, one static archive of the rooms' objects, and a CMake package that
# finds what the archive needs (docs/adr/0008-installed-library.md).
include(CMakePackageConfigHelpers)

# sw_install_library(ROOM...)
function(sw_install_library)
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_OBJECTS:sw_\\1>" OUTPUT_VARIABLE objects)
  add_library(switchyard_library STATIC ${objects})
  set_target_properties(switchyard_library PROPERTIES OUTPUT_NAME switchyard EXPORT_NAME switchyard
                        LINKER_LANGUAGE CXX ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  target_compile_features(switchyard_library INTERFACE cxx_std_20)
  target_include_directories(switchyard_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(switchyard_library PRIVATE fmt::fmt spdlog::spdlog Threads::Threads PkgConfig::HWLOC
                        PkgConfig::PCRE2 PkgConfig::UTF8PROC)
  if(SWITCHYARD_CUDA)
    target_link_libraries(switchyard_library PRIVATE CUDA::cudart_static)
  endif()

  set(folder ${CMAKE_INSTALL_LIBDIR}/cmake/switchyard)
  install(TARGETS switchyard_library EXPORT switchyard_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT switchyard_targets NAMESPACE switchyard:: DESTINATION ${folder} FILE switchyard-targets.cmake)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/switchyard DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/switchyard-config.cmake.in
                                ${CMAKE_BINARY_DIR}/switchyard-config.cmake INSTALL_DESTINATION ${folder})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/switchyard-config-version.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/switchyard-config.cmake ${CMAKE_BINARY_DIR}/switchyard-config-version.cmake
          DESTINATION ${folder})
endfunction()
