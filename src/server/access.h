// SPDX-License-Identifier: MIT
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "http/http.h"
#include "server/routes.h"

/// Who may call. Each throws ApiError where somebody may not.
namespace sw::server {

/// SHA-256 of a key, in hexadecimal: all that is kept of it.
std::string hash_key(std::string_view key);
/// A file of keys: a line is "sha256:", 64 hexadecimal digits and, if any, limits as " per-minute=60
/// at-once=2"; or a key itself. Empty lines and those that begin with # are left out. Throws sw::Error that
/// names the line.
std::vector<ApiKey> read_key_file(const std::string& path);

/// Throws sw::Error where others than this machine could call and nobody would be asked for a key, unless
/// `may_be_open`.
void check_binding(const ServerOptions& options, bool may_be_open);
bool is_loopback(std::string_view host);

/// A page of another site, or a name that leads here without being ours (DNS rebinding): 403.
void check_host_and_origin(const ServerOptions& options, const http::Request& request);
/// The headers that let a page of an allowed origin read the answer; none for others.
std::vector<http::Header> cors_headers(const ServerOptions& options, const http::Request& request);
/// A name or address as the Host header has it without its port, in lower case; empty where it is none.
std::string host_name(std::string_view text);
/// Whether a text is an origin as browsers send it: "https://name" or "http://name:8080".
bool is_origin(std::string_view text);
/// Which of the keys the request has; none where none is needed. 401 without one that is. Takes as long for a
/// wrong key as for a right one.
std::optional<size_t> find_key(const ServerOptions& options, Access access, const http::Request& request);
/// 415 unless the body is JSON: other types are what a page may send without asking.
void check_content_type(const http::Request& request);

}  // namespace sw::server
