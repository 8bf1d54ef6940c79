# SPDX-License-Identifier: MIT
# A room is a folder of src/ and one CMake target sw_<room>. What a room may include stands here as
# its dependencies; scripts/check_rooms holds every #include against the same list.

add_library(sw_flags INTERFACE)
# -ffp-contract=off: a*b+c must round the same way in every kernel, on every machine.
# -Wno-restrict: g++ 12 warns falsely on operator+(const char*, std::string&&) (its bug 105651).
set(warnings -Wall -Wextra -Werror $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
# 554: nvcc warns that TensorView<const T> has a conversion to itself, which is never called.
target_compile_options(sw_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${warnings};-ffp-contract=off;-fno-math-errno>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-diag-suppress=554;--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra,-ffp-contract=off>")
target_include_directories(sw_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
if(SWITCHYARD_SANITIZE)
  target_compile_options(sw_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SWITCHYARD_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=undefined>")
  # With sanitizers g++ 12 takes std::function inside std::regex for uninitialised (its bug 105562).
  target_compile_options(sw_flags INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>")
  target_link_options(sw_flags INTERFACE -fsanitize=${SWITCHYARD_SANITIZE})
endif()

if(SWITCHYARD_FUZZ)
  target_compile_options(sw_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# sw_room(NAME [ROOMS room...] [LIBS lib...])
function(sw_room name)
  cmake_parse_arguments(ARG "" "" "ROOMS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  list(TRANSFORM ARG_ROOMS PREPEND sw_)
  if(sources)
    add_library(sw_${name} STATIC ${sources})
    target_link_libraries(sw_${name} PUBLIC sw_flags ${ARG_ROOMS} ${ARG_LIBS})
  else()
    add_library(sw_${name} INTERFACE)
    target_link_libraries(sw_${name} INTERFACE sw_flags ${ARG_ROOMS} ${ARG_LIBS})
  endif()
endfunction()
