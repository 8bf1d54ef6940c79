# SPDX-License-Identifier: MIT
# Some lists of src name files that C++ must include, one per line, but C++ cannot make an #include out of
# such a line. So these write the #includes into the build folder; redone when a list changes.

# sw_list_lines(LIST_FILE MACRO VARIABLE): the arguments of each MACRO(...) line of the list.
function(sw_list_lines list_file macro variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list_file})
  file(STRINGS ${list_file} lines REGEX "^${macro}\\(")
  list(TRANSFORM lines REPLACE "^${macro}\\((.+)\\)" "\\1")
  set(${variable} ${lines} PARENT_SCOPE)
endfunction()

# sw_generate_lists(DIRECTORY): makes DIRECTORY/quant/all_types.h, one #include per weight format, and
# DIRECTORY/kernels/op_variants.inc, the variants of each operation between SW_OP_BEGIN(Name) and SW_OP_END.
function(sw_generate_lists directory)
  sw_list_lines(${CMAKE_SOURCE_DIR}/src/quant/types.inc SW_TYPE types)
  set(text "// Made by CMake from src/quant/types.inc.\n#pragma once\n")
  foreach(type ${types})
    string(REGEX REPLACE "^([A-Za-z0-9_]+),.*" "\\1" name ${type})
    string(TOLOWER ${name} name)
    string(APPEND text "#include \"quant/${name}.h\"\n")
  endforeach()
  file(CONFIGURE OUTPUT ${directory}/quant/all_types.h CONTENT "${text}" @ONLY)

  sw_list_lines(${CMAKE_SOURCE_DIR}/src/kernels/ops.inc SW_OP ops)
  set(text "// Made by CMake from src/kernels/ops.inc.\n")
  foreach(op ${ops})
    string(REGEX MATCH "^([a-z_]+), *([A-Za-z]+)$" op ${op})
    string(APPEND text "SW_OP_BEGIN(${CMAKE_MATCH_2})\n#include \"kernels/variants/${CMAKE_MATCH_1}.inc\"\nSW_OP_END\n")
  endforeach()
  file(CONFIGURE OUTPUT ${directory}/kernels/op_variants.inc CONTENT "${text}" @ONLY)
endfunction()
