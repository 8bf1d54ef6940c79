// SPDX-License-Identifier: MIT
#include "kernels/devices.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <sstream>
#include <strings.h>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace sw {
namespace {

constexpr int kMaxFakes = 64;

/// The number that follows `prefix`, where the text is just that.
std::optional<int> number_after(const std::string& text, const char* prefix) {
  const size_t n = std::strlen(prefix);
  if (strncasecmp(text.c_str(), prefix, n) != 0) return std::nullopt;
  int number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + n, end, number);
  return error == std::errc{} && stop == end && number >= 0 ? std::optional(number) : std::nullopt;
}

}  // namespace

Devices open_devices(const std::string& wanted, std::string* note, PeerAccess peer_access) {
  if (const auto n = number_after(wanted, "fake:")) {
    if (*n > kMaxFakes) throw Error({.what = "too many fake devices", .where = "--device", .got = wanted});
    return open_fakes(*n);
  }
  Devices devices;
  devices.push_back(open_cpu());
  if (wanted == "none") return devices;
  std::string why;
  const int n_gpu = cuda::device_count(&why);
  if (note) *note = why;
  const auto add = [&](int gpu) {
    devices.push_back(cuda::open(gpu, {static_cast<int>(devices.size())}, peer_access));
  };
  if (wanted.empty()) {
    for (int gpu = 0; gpu < n_gpu; ++gpu) {
      try {
        add(gpu);
      } catch (const SystemError& e) {  // a GPU that others have filled, say: the rest goes on without it
        if (note) *note = "CUDA" + std::to_string(gpu) + " cannot be used: " + e.what();
      }
    }
    return devices;
  }
  std::istringstream list(wanted);
  for (std::string name; std::getline(list, name, ',');) {
    const auto gpu = number_after(name, "CUDA");
    if (!gpu || *gpu >= n_gpu) {
      throw Error({.what = "there is no such device",
                   .where = "--device",
                   .expected = n_gpu > 0 ? "none, fake:N, or CUDA0 to CUDA" + std::to_string(n_gpu - 1)
                                         : "none or fake:N",
                   .got = name,
                   .hint = why});
    }
    add(*gpu);
  }
  return devices;
}

int find_device(std::span<const std::string> names, const std::string& name, const std::string& where) {
  for (size_t device = 0; device < names.size(); ++device) {
    if (strcasecmp(names[device].c_str(), name.c_str()) == 0) return static_cast<int>(device);
  }
  std::string all;
  for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
  throw Error({.what = "there is no such device", .where = where, .expected = all, .got = name});
}

}  // namespace sw
