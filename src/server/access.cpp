// SPDX-License-Identifier: MIT
#include "server/access.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/file.h"
#include "server/api_error.h"

namespace sw::server {
namespace {

constexpr uint64_t kMaxKeyFileBytes = 1 << 20;
constexpr size_t kHashDigits = 64;
constexpr std::string_view kHashed = "sha256:";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// "name:8080" and "[::1]:8080" without the port.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool has_port = colon != host.npos && host.find(']', colon) == host.npos &&
                        (host.starts_with('[') || host.find(':') == colon);
  return has_port ? host.substr(0, colon) : host;
}

bool has_good_port(std::string_view host) {
  const std::string_view name = without_port(host);
  if (name.size() == host.size()) return true;
  uint16_t port = 0;
  const char* end = host.data() + host.size();
  const auto [rest, error] = std::from_chars(host.data() + name.size() + 1, end, port);
  return error == std::errc() && rest == end;
}

/// "http://name:8080" without the scheme.
std::string_view host_of(std::string_view origin) {
  const size_t slashes = origin.find("://");
  return slashes == origin.npos ? std::string_view() : origin.substr(slashes + 3);
}

bool has(const std::vector<std::string>& list, std::string_view item) {
  return std::ranges::find(list, item) != list.end();
}

[[noreturn]] void forbid(const std::string& message, const char* code) {
  throw ApiError({.status = 403, .message = message, .code = code});
}

/// "sha256:HEX per-minute=60 at-once=2"
ApiKey read_hashed_key(std::string_view line, const std::string& where) {
  const size_t end = std::min(line.find(' '), line.size());
  ApiKey key{.hash = lower(line.substr(kHashed.size(), end - kHashed.size()))};
  if (key.hash.size() != kHashDigits || key.hash.find_first_not_of("0123456789abcdef") != key.hash.npos) {
    throw Error({.what = "not a hashed key",
                 .where = where,
                 .expected = "sha256: and 64 hexadecimal digits, as of printf %s KEY | sha256sum"});
  }
  for (std::string_view rest = line.substr(end); !rest.empty();) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view limit = rest.substr(0, rest.find(' '));
    rest.remove_prefix(limit.size());
    const size_t sign = std::min(limit.find('='), limit.size() - 1);
    const std::string_view name = limit.substr(0, sign);
    int64_t* const value = name == "per-minute" ? &key.n_per_minute
                           : name == "at-once"  ? &key.n_at_once
                                                : nullptr;
    int64_t n = 0;
    const auto [stop, error] = std::from_chars(limit.data() + sign + 1, limit.data() + limit.size(), n);
    if (!value || error != std::errc() || stop != limit.data() + limit.size() || n < 1) {
      throw Error({.what = "not a limit of a key",
                   .where = where,
                   .expected = "per-minute=N or at-once=N, N at least 1",
                   .got = std::string(limit)});
    }
    *value = n;
  }
  return key;
}

bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::string hash_key(std::string_view key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  SW_ASSERT(EVP_Digest(key.data(), key.size(), digest, &n, EVP_sha256(), nullptr) == 1);
  std::string hex;
  for (unsigned i = 0; i < n; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::vector<ApiKey> read_key_file(const std::string& path) {
  const std::string text = read_file(path, kMaxKeyFileBytes);
  std::vector<ApiKey> keys;
  size_t n_line = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
    ++n_line;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    keys.push_back(line.starts_with(kHashed) ? read_hashed_key(line, fmt::format("{}, line {}", path, n_line))
                                             : ApiKey{.hash = hash_key(line)});
  }
  if (keys.empty()) throw Error({.what = "the file holds no key", .where = path});
  return keys;
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  // An address, and not a name that begins like one.
  in_addr address = {};
  constexpr uint32_t kFirstByte = 0xff000000, kLoopback = 127u << 24;
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 &&
         (ntohl(address.s_addr) & kFirstByte) == kLoopback;
}

void check_binding(const ServerOptions& options, bool may_be_open) {
  if (is_loopback(options.http.host) || !options.api_keys.empty() || may_be_open) return;
  throw Error({.what = "others could use this server without a key",
               .where = "--host " + options.http.host,
               .expected = "--api-key-file",
               .hint = "--insecure-no-auth serves everybody who can reach it"});
}

void check_host_and_origin(const ServerOptions& options, const http::Request& request) {
  const std::string host = lower(request.header("host"));
  if (!has_good_port(host))
    throw ApiError({.message = "the Host header has a port that is none", .code = "bad_request"});
  const std::string name(without_port(host));
  // Keys protect a server that has names nobody listed here.
  const bool any_name = !is_loopback(options.http.host) && options.allowed_hosts.empty();
  if (!any_name && !is_loopback(name) && name != lower(options.http.host) &&
      !has(options.allowed_hosts, name))
    forbid(fmt::format("this server is not called {} (--allow-host)", printable(name, 80)),
           "host_not_allowed");
  const std::string origin = lower(request.header("origin"));
  if (origin.empty() || host_of(origin) == host || has(options.cors_origins, origin)) return;
  forbid(fmt::format("pages of {} may not call this server (--cors-origin)", printable(origin, 80)),
         "origin_not_allowed");
}

std::vector<http::Header> cors_headers(const ServerOptions& options, const http::Request& request) {
  const std::string origin = lower(request.header("origin"));
  if (!has(options.cors_origins, origin)) return {};
  return {{"Access-Control-Allow-Origin", origin},
          {"Access-Control-Expose-Headers", "x-request-id, request-id, retry-after"},
          {"Vary", "Origin"}};
}

std::string host_name(std::string_view text) {
  const bool is_name = !text.empty() && without_port(text).size() == text.size() &&
                       text.find_first_of("/*?#@, \t") == text.npos;
  return is_name ? lower(text) : std::string();
}

bool is_origin(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view host = text.substr(scheme.size());
    return !host.empty() && has_good_port(host) && host.find_first_of("/*?#@, \t") == host.npos &&
           lower(host) == host;
  }
  return false;
}

std::optional<size_t> find_key(const ServerOptions& options, Access access, const http::Request& request) {
  const bool open = access == Access::Open || (access == Access::Local && is_loopback(options.http.host));
  if (open || options.api_keys.empty()) return std::nullopt;
  std::string_view key = request.header("x-api-key");
  const std::string_view bearer = request.header("authorization");
  if (lower(bearer.substr(0, 7)) == "bearer ") key = bearer.substr(7);
  const std::string hash = hash_key(key);
  std::optional<size_t> found;
  for (size_t i = 0; i < options.api_keys.size(); ++i) {
    if (same(options.api_keys[i].hash, hash)) found = i;
  }
  if (found) return found;
  throw ApiError(
      {.status = 401,
       .message = key.empty() ? "a key is needed: Authorization: Bearer KEY" : "the key is not known",
       .code = "invalid_api_key"});
}

void check_content_type(const http::Request& request) {
  const std::string header = lower(request.header("content-type"));
  std::string_view type = std::string_view(header).substr(0, header.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  if (type == "application/json") return;
  throw ApiError({.status = 415,
                  .message = "the request must say Content-Type: application/json",
                  .code = "unsupported_media_type"});
}

}  // namespace sw::server
