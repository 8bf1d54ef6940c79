// SPDX-License-Identifier: MIT
#include "http/http.h"

namespace sw::http {

std::string_view Request::header(std::string_view lower_name) const {
  for (const Header& h : headers) {
    if (h.name == lower_name) return h.value;
  }
  return {};
}

std::string_view Request::query_value(std::string_view name) const {
  for (std::string_view rest = query; !rest.empty();) {
    const size_t end = rest.find('&');
    const std::string_view item = rest.substr(0, end);
    if (item.size() > name.size() && item.starts_with(name) && item[name.size()] == '=')
      return item.substr(name.size() + 1);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  return {};
}

}  // namespace sw::http
