// SPDX-License-Identifier: MIT
#include "slots/text_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "formats/json.h"
#include "formats/reader.h"
#include "router/policy_json.h"

namespace sw {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMagic = "SWTEXT\r\n",
                           kEndMark = "\r\nSWEND.";  // line ends: a copy as text is noticed
constexpr uint32_t kVersion = 2;
constexpr uint64_t kHeadBytes = kMagic.size() + 2 * sizeof(uint32_t);
constexpr uint64_t kTailBytes = 2 * sizeof(uint64_t) + kEndMark.size();

template <class T>
std::span<const std::byte> bytes_of(const T& number) {
  return std::as_bytes(std::span(&number, 1));
}

const char* kind_name(CacheKind kind) {
  switch (kind) {
    case CacheKind::Pages:
      return "pages";
    case CacheKind::Window:
      return "window";
    case CacheKind::Latent:
      return "latent";
    case CacheKind::State:
      return "state";
  }
  return "";
}

/// Of keys, and of values where there are any.
Json types_json(const CachePlan& plan) {
  Json names = Json::array({type_name(plan.type.k)});
  if (plan.has_values()) names.push_back(type_name(plan.type.v));
  return names;
}

/// All that the bytes of a page depend on.
Json layout_json(const TextFileFit& fit) {
  Json groups = Json::array();
  for (const CacheGroup& g : fit.plan->groups) {
    groups.push_back({{"kind", kind_name(g.kind)},
                      {"n_head_kv", g.n_head_kv},
                      {"head_dim", g.head_dim},
                      {"window", g.window},
                      {"state_floats", g.state_floats},
                      {"blocks", g.blocks}});
  }
  return {{"types", types_json(*fit.plan)},
          {"page_tokens", fit.plan->page_tokens},
          {"long_positions", fit.long_positions},
          {"groups", groups}};
}

Json model_json(const TextFileFit& fit) {
  return {{"architecture", fit.architecture}, {"name", fit.name}, {"identity", fit.identity}};
}

/// The JSON at a file's end, read member by member.
class Members {
 public:
  Members(const Json& json, std::string file) : json_(json), file_(std::move(file)) {}

  const Json& object(const char* name) const {
    const Json& value = at(json_, name);
    if (!value.is_object()) fail(name, "an object", value);
    return value;
  }
  const Json& array(const char* name) const {
    const Json& value = at(json_, name);
    if (!value.is_array()) fail(name, "an array", value);
    return value;
  }
  int64_t integer(const char* name, int64_t least, int64_t most) const {
    const Json& value = at(json_, name);
    return integer(value, name, least, most);
  }
  int64_t integer(const Json& value, const char* name, int64_t least, int64_t most) const {
    const bool fits =
        value.is_number_integer() && value.get<int64_t>() >= least && value.get<int64_t>() <= most;
    if (!fits) fail(name, fmt::format("an integer from {} to {}", least, most), value);
    return value.get<int64_t>();
  }
  [[noreturn]] void fail(const char* name, const std::string& expected, const Json& got) const {
    throw Error({.what = "a saved text has a wrong value",
                 .where = file_ + ", " + name,
                 .expected = expected,
                 .got = shown(got)});
  }
  static std::string shown(const Json& value) {
    return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 120);
  }

 private:
  const Json& at(const Json& object, const char* name) const {
    const auto found = object.find(name);
    if (found == object.end())
      throw Error({.what = "a saved text lacks a value", .where = file_ + ", " + name});
    return *found;
  }

  const Json& json_;
  std::string file_;
};

void check_model(const Json& saved, const TextFileFit& fit, const std::string& file) {
  const Json own = model_json(fit);
  const auto same = [&](const char* name) { return saved.value(name, Json()) == own[name]; };
  if (same("architecture") && same("identity")) return;
  const auto describe = [](const Json& model) {
    const auto text = [&](const char* name) {
      const Json value = model.value(name, Json());
      return value.is_string() ? value.get<std::string>() : Members::shown(value);
    };
    return printable(fmt::format("{} ({}, {})", text("name"), text("architecture"), text("identity")));
  };
  throw Error({.what = "the text was saved with another model",
               .where = file,
               .expected = describe(own),
               .got = describe(saved)});
}

void check_layout(const Json& saved, const TextFileFit& fit, const std::string& file) {
  const Json own = layout_json(fit);
  for (const auto& [name, value] : own.items()) {
    const Json got = saved.value(name, Json());
    if (got == value) continue;
    const char* hint = name == "types"            ? "-ctk and -ctv choose the types of the cache"
                       : name == "long_positions" ? "-c decides whether positions are those of long contexts"
                                                  : "";
    throw Error({.what = "the text was saved with another cache",
                 .where = file + ", " + name,
                 .expected = Members::shown(value),
                 .got = Members::shown(got),
                 .hint = hint});
  }
}

void check_room(const TextFileContents& contents, const TextFileFit& fit, const std::string& file) {
  const int64_t n_token = std::ssize(contents.text.tokens);
  if (n_token > fit.n_ctx) {
    throw Error({.what = "the saved text does not fit in the context",
                 .where = file,
                 .expected = fmt::format("at most {} tokens", fit.n_ctx),
                 .got = std::to_string(n_token),
                 .hint = "a larger context: -c"});
  }
  for (int g = 0; g < fit.plan->n_group(); ++g) {
    if (!fit.plan->group(g).keeps_all_tokens() || contents.n_page <= fit.plan->n_page(g)) continue;
    throw Error({.what = "the saved text does not fit in the cache",
                 .where = file,
                 .expected = fmt::format("at most {} pages", fit.plan->n_page(g)),
                 .got = std::to_string(contents.n_page),
                 .hint = "a larger context: -c"});
  }
}

/// The pages of windows and states.
std::vector<std::vector<int64_t>> read_windows_and_states(const Members& members, const CachePlan& plan,
                                                          int64_t n_page) {
  const Json& lists = members.array("windows_and_states");
  if (std::ssize(lists) != plan.n_group())
    members.fail("windows_and_states", fmt::format("{} lists", plan.n_group()), lists.size());
  std::vector<std::vector<int64_t>> all;
  for (int g = 0; g < plan.n_group(); ++g) {
    const Json& list = lists[static_cast<size_t>(g)];
    if (!list.is_array() || (plan.group(g).keeps_all_tokens() && !list.empty()))
      members.fail("windows_and_states", "a list of the pages of windows and states", list);
    std::vector<int64_t>& pages = all.emplace_back();
    for (const Json& page : list)
      pages.push_back(
          members.integer(page, "windows_and_states", pages.empty() ? 0 : pages.back() + 1, n_page - 1));
  }
  return all;
}

}  // namespace

size_t TextFileFit::kept_page_bytes() const {
  size_t n = 0;
  for (int g = 0; g < plan->n_group(); ++g) {
    if (plan->group(g).keeps_all_tokens()) n += plan->group_page_bytes(g);
  }
  return n;
}

TextFileWriter::TextFileWriter(const std::filesystem::path& path) : file_(path) {
  write(std::as_bytes(std::span(kMagic)));
  write(bytes_of(kVersion));
  write(bytes_of(uint32_t{0}));
}

void TextFileWriter::write(std::span<const std::byte> bytes) {
  sum_.add(bytes);
  file_.write(bytes);
}

void TextFileWriter::commit(const TextFileContents& contents, const TextFileFit& fit) {
  write(std::as_bytes(std::span(contents.text.tokens)));
  const Json json = {{"model", model_json(fit)},
                     {"cache", layout_json(fit)},
                     {"n_token", contents.text.tokens.size()},
                     {"n_prompt", contents.text.n_prompt},
                     {"routing", policy_to_json(contents.text.routing)},
                     {"n_page", contents.n_page},
                     {"windows_and_states", contents.windows_and_states}};
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  write(std::as_bytes(std::span(text)));
  write(bytes_of(uint64_t{text.size()}));
  file_.write(bytes_of(sum_.value()));
  file_.write(std::as_bytes(std::span(kEndMark)));
  file_.commit();
}

namespace {

/// The JSON at the end, once the frame around all is sound; `body` becomes what stands before it, behind the
/// head.
Json read_frame(const MappedFile& file, std::span<const std::byte>& body) {
  const std::span<const std::byte> bytes = file.bytes();
  const std::string name = file.path().string();
  ByteReader head(bytes, name);
  if (head.text(std::min<uint64_t>(kMagic.size(), bytes.size()), "magic") != kMagic)
    throw Error({.what = "this is no saved text", .where = name});
  const auto version = head.number<uint32_t>("version");
  if (version != kVersion) {
    throw Error({.what = "the text was saved in another version of the format",
                 .where = name,
                 .expected = fmt::format("version {}", kVersion),
                 .got = std::to_string(version)});
  }
  head.number<uint32_t>("reserved");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (head.remaining() < kTailBytes || !text.ends_with(kEndMark))
    throw Error({.what = "the saved text is cut: its end is missing", .where = name});
  ByteReader tail(bytes.last(kTailBytes), name);
  const auto json_bytes = tail.number<uint64_t>("size of the description"),
             sum = tail.number<uint64_t>("checksum");
  Checksum checksum;
  checksum.add(bytes.first(bytes.size() - kTailBytes + sizeof json_bytes));
  if (checksum.value() != sum) {
    throw Error({.what = "the saved text is damaged: its checksum differs",
                 .where = name,
                 .expected = fmt::format("{:016x}", sum),
                 .got = fmt::format("{:016x}", checksum.value())});
  }
  body = bytes.subspan(kHeadBytes, bytes.size() - kHeadBytes - kTailBytes);
  if (json_bytes > body.size())
    throw Error({.what = "the saved text's description is larger than the file", .where = name});
  body = body.first(body.size() - json_bytes);
  const uint64_t json_at = kHeadBytes + body.size();
  return parse_json(text.substr(json_at, json_bytes), name, json_at);
}

/// The file's last tokens, each of the vocabulary.
std::vector<int32_t> read_tokens(std::span<const std::byte> bytes, const TextFileFit& fit,
                                 const std::string& file) {
  std::vector<int32_t> tokens(bytes.size() / sizeof(int32_t));
  if (!bytes.empty()) std::memcpy(tokens.data(), bytes.data(), bytes.size());
  for (const int32_t id : tokens) {
    if (id >= 0 && id < fit.n_vocab) continue;
    throw Error({.what = "a saved text has a token that is not in the model's vocabulary",
                 .where = file,
                 .expected = fmt::format("an id below {}", fit.n_vocab),
                 .got = std::to_string(id)});
  }
  return tokens;
}

}  // namespace

TextFileReader::TextFileReader(const std::filesystem::path& path, const TextFileFit& fit)
    : file_(path, Reading::Update) {
  static_assert(std::endian::native == std::endian::little, "tokens are copied as they are");
  const std::string name = path.string();
  std::span<const std::byte> body;
  const Json json = read_frame(file_, body);
  if (!json.is_object())
    throw Error({.what = "the saved text's description is no JSON object", .where = name});
  const Members members(json, name);
  check_model(members.object("model"), fit, name);
  check_layout(members.object("cache"), fit, name);
  const CachePlan& plan = *fit.plan;
  const int64_t n_token = members.integer("n_token", 0, static_cast<int64_t>(body.size() / sizeof(int32_t)));
  contents_.n_page = members.integer("n_page", 0, n_token / plan.page_tokens);
  contents_.windows_and_states = read_windows_and_states(members, plan, contents_.n_page);
  contents_.text.n_prompt = members.integer("n_prompt", 0, n_token);
  contents_.text.routing = naming_file(name, [&] { return policy_from_json(members.object("routing")); });
  Checked size = Checked(fit.kept_page_bytes()) * Checked(static_cast<uint64_t>(contents_.n_page));
  for (int g = 0; g < plan.n_group(); ++g)
    size = size + Checked(plan.group_page_bytes(g)) *
                      Checked(contents_.windows_and_states[static_cast<size_t>(g)].size());
  const uint64_t pages_bytes = body.size() - static_cast<uint64_t>(n_token) * sizeof(int32_t);
  if (size.value() != pages_bytes) {
    throw Error({.what = "the saved text's pages have another size than its description says",
                 .where = name,
                 .expected = size.valid() ? std::to_string(*size.value()) : "an impossible size",
                 .got = fmt::format("{} bytes", pages_bytes)});
  }
  pages_ = body.first(pages_bytes);
  contents_.text.tokens = read_tokens(body.subspan(pages_bytes), fit, name);
  check_room(contents_, fit, name);
}

}  // namespace sw
