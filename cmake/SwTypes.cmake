# SPDX-License-Identifier: MIT
# quant/types.inc lists the weight formats; C++ cannot make an #include out of such a line, so this
# writes quant/all_types.h, one #include a format, into the build folder.

# sw_generate_types(DIRECTORY): makes DIRECTORY/quant/all_types.h; redone when the list changes.
function(sw_generate_types directory)
  set(list_file ${CMAKE_SOURCE_DIR}/src/quant/types.inc)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list_file})
  file(STRINGS ${list_file} lines REGEX "^SW_TYPE\\(")
  set(text "// Made by CMake from src/quant/types.inc.\n#pragma once\n")
  foreach(line ${lines})
    string(REGEX REPLACE "^SW_TYPE\\(([A-Za-z0-9_]+),.*" "\\1" name ${line})
    string(TOLOWER ${name} name)
    string(APPEND text "#include \"quant/${name}.h\"\n")
  endforeach()
  file(CONFIGURE OUTPUT ${directory}/quant/all_types.h CONTENT "${text}" @ONLY)
endfunction()
