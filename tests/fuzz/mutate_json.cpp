// SPDX-License-Identifier: MIT
#include "fuzz/mutate_json.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fuzz/edge_values.h"

namespace sw::fuzz {
namespace {

using Json = nlohmann::ordered_json;

Json nested(int depth) {
  Json value = 1;
  for (int i = 0; i < depth; ++i) value = Json::array({value});
  return value;
}

Json edge_value(Rng& rng) {
  switch (rng.below(10)) {
    case 0:
      return nullptr;
    case 1:
      return rng.below(2) == 0;
    case 2:
      return pick(kEdgeNumbers, rng);
    case 3:
      return -static_cast<int64_t>(pick(kEdgeNumbers, rng) >> 1);
    case 4: {
      constexpr double kFloats[] = {-1, -0.0, 0.5, 1e-308, 1e38, 1e39, 1e308, 4.9e-324, 1.5, -1e308};
      return pick(kFloats, rng);
    }
    case 5:
      return Json::array();
    case 6:
      return Json::object();
    case 7:
      return nested(pick({1, 3, 63, 64, 65, 200}, rng));
    default:
      return edge_text(rng);
  }
}

/// A value at a random depth, so that one of a large list is no likelier than its neighbours above.
Json& random_node(Json& root, Rng& rng) {
  Json* node = &root;
  while (node->is_structured() && !node->empty() && (node == &root || rng.below(5) > 0)) {
    node = &*std::next(node->begin(), static_cast<std::ptrdiff_t>(rng.below(node->size())));
  }
  return *node;
}

Json* random_container(Json& root, Rng& rng) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    Json& node = random_node(root, rng);
    if (node.is_structured() && !node.empty()) return &node;
  }
  return root.is_structured() && !root.empty() ? &root : nullptr;
}

void drop_or_double(Json& container, Rng& rng) {
  const auto at = std::next(container.begin(), static_cast<std::ptrdiff_t>(rng.below(container.size())));
  if (rng.below(2) == 0) {
    container.erase(at);
  } else if (container.is_array()) {
    container.push_back(Json(*at));
  } else {
    const Json copy = *at;
    container[edge_text(rng)] = copy;
  }
}

void rename(Json& container, Rng& rng) {
  if (!container.is_object()) return;
  const auto at = std::next(container.begin(), static_cast<std::ptrdiff_t>(rng.below(container.size())));
  const std::string key{at.key().begin(), at.key().end()};  // erase() ends the element's own
  const Json value = *at;
  container.erase(key);
  container[edge_text(rng)] = value;
}

void change_value(Json& node, Rng& rng) {
  if (node.is_number_integer() && rng.below(2) == 0) {
    node = changed_number(node.get<uint64_t>(), rng);
  } else if (node.is_string() && rng.below(2) == 0) {
    auto text = node.get<std::string>();
    node = rng.below(2) == 0 ? mutate_bytes(text, rng) : text + edge_text(rng);
  } else {
    node = edge_value(rng);
  }
}

void change(Json& root, Rng& rng) {
  const uint64_t kind = rng.below(10);
  Json* container = kind < 4 ? random_container(root, rng) : nullptr;
  if (container && kind < 2) {
    drop_or_double(*container, rng);
  } else if (container && kind == 2) {
    rename(*container, rng);
  } else if (kind == 3) {
    const Json other = random_node(root, rng);
    random_node(root, rng) = other;
  } else {
    change_value(random_node(root, rng), rng);
  }
}

}  // namespace

std::string mutate_bytes(std::string bytes, Rng& rng) {
  for (uint64_t n = 1 + rng.below(3); n-- > 0 && !bytes.empty();) {
    const size_t at = rng.below(bytes.size()),
                 length = rng.below(std::min<size_t>(bytes.size() - at, 64) + 1);
    switch (rng.below(8)) {
      case 0:
        bytes.resize(at);
        break;
      case 1:
        bytes.erase(at, length);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 3:
        bytes[at] = static_cast<char>(rng.below(256));
        break;
      default:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
    }
  }
  return bytes;
}

std::string mutate_json(const std::string& text, Rng& rng) {
  Json root = rng.below(10) == 0 ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
  if (root.is_discarded()) return mutate_bytes(text, rng);
  for (uint64_t n = 1 + rng.below(3); n-- > 0;) change(root, rng);
  return root.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string mutate_safetensors(const std::string& file, Rng& rng) {
  uint64_t header_bytes = 0;
  if (file.size() >= sizeof header_bytes) std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const bool sound = file.size() >= sizeof header_bytes && header_bytes <= file.size() - sizeof header_bytes;
  if (!sound || rng.below(8) == 0) return mutate_bytes(file, rng);
  const std::string header = mutate_json(file.substr(sizeof header_bytes, header_bytes), rng);
  const size_t data_at = sizeof header_bytes + header_bytes;
  header_bytes = rng.below(16) == 0 ? changed_number(header.size(), rng) : header.size();
  std::string out(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  return out + header + file.substr(data_at);
}

}  // namespace sw::fuzz
