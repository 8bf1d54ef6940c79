# SPDX-License-Identifier: MIT
# The server's page: web/index.html with its style sheet and its scripts put in their places, so that the
# program holds, and a browser fetches, one file. Its Content-Security-Policy names what may run by its hash.
#
# As a script it writes the page alone:  cmake -DPAGE=page.html [-DPOLICY=policy.txt] -P cmake/SwPage.cmake

set(sw_web ${CMAKE_CURRENT_LIST_DIR}/../web)
# Joined in this order into one module: a later file uses what earlier ones declare.
set(sw_web_scripts dom.js inline.js markdown.js wire.js store.js layers.js settings.js heat_map.js token_routes.js charts.js answer.js
    chat.js page.js)

# sw_base64(HEX VARIABLE): the bytes that HEX writes in hexadecimal, in base64.
function(sw_base64 hex variable)
  set(digits ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  string(LENGTH ${hex} n_hex)
  set(text "")
  foreach(at RANGE 0 ${n_hex} 6)
    if(at EQUAL n_hex)
      break()
    endif()
    string(SUBSTRING "${hex}" ${at} 6 part)  # three bytes are four digits; at the end there may be fewer
    string(LENGTH "${part}" n_part)
    string(SUBSTRING "${part}00000" 0 6 part)
    math(EXPR n_digit "(${n_part} * 4 + 5) / 6")
    foreach(digit RANGE 1 4)
      if(digit GREATER n_digit)
        string(APPEND text "=")
      else()
        math(EXPR index "(0x${part} >> (24 - 6 * ${digit})) & 63")
        string(SUBSTRING ${digits} ${index} 1 character)
        string(APPEND text ${character})
      endif()
    endforeach()
  endforeach()
  set(${variable} ${text} PARENT_SCOPE)
endfunction()

# sw_join_page(PAGE POLICY): sets PAGE to the joined text and POLICY to the header that goes with it.
function(sw_join_page page_variable policy_variable)
  file(READ ${sw_web}/style.css style)
  set(script "\n")
  foreach(name ${sw_web_scripts})
    file(READ ${sw_web}/${name} text)
    string(APPEND script "${text}")
  endforeach()
  if(script MATCHES "</script|<!--")
    message(FATAL_ERROR "web/*.js: '${CMAKE_MATCH_0}' would end or change the script element of the page")
  endif()
  set(style "\n${style}")
  string(SHA256 script_hash "${script}")
  string(SHA256 style_hash "${style}")
  sw_base64(${script_hash} script_hash)
  sw_base64(${style_hash} style_hash)

  file(READ ${sw_web}/index.html page)
  string(REPLACE "<style></style>" "<style>${style}</style>" page "${page}")
  string(REPLACE "<script type=\"module\"></script>" "<script type=\"module\">${script}</script>" page "${page}")
  set(${page_variable} "${page}" PARENT_SCOPE)
  string(JOIN "; " policy
    "default-src 'none'" "script-src 'sha256-${script_hash}'" "style-src 'sha256-${style_hash}'" "img-src data:"
    "connect-src 'self'" "base-uri 'none'" "form-action 'none'" "frame-ancestors 'none'"
    "require-trusted-types-for 'script'" "trusted-types 'none'")
  set(${policy_variable} "${policy}" PARENT_SCOPE)
endfunction()

# sw_generate_page(DIRECTORY): writes DIRECTORY/server/page.inc with the constants kPage and
# kPageSecurityPolicy; redone when a file of web/ changes.
function(sw_generate_page directory)
  list(TRANSFORM sw_web_scripts PREPEND ${sw_web}/ OUTPUT_VARIABLE files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files} ${sw_web}/index.html ${sw_web}/style.css)
  sw_join_page(page policy)
  if(page MATCHES "\\)page\"")
    message(FATAL_ERROR "web/: the page holds the end of the C++ string that it is written as")
  endif()
  string(CONCAT text "// Made by CMake from web/.\n"
    "inline constexpr std::string_view kPage = R\"page(${page})page\";\n"
    "inline constexpr std::string_view kPageSecurityPolicy = R\"page(${policy})page\";\n")
  file(WRITE ${directory}/server/page.inc.new "${text}")
  file(COPY_FILE ${directory}/server/page.inc.new ${directory}/server/page.inc ONLY_IF_DIFFERENT)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  sw_join_page(page policy)
  file(WRITE ${PAGE} "${page}")
  if(POLICY)
    file(WRITE ${POLICY} "${policy}")
  endif()
endif()
