// SPDX-License-Identifier: MIT
#include "support/broken_files.h"

namespace sw::testing {
namespace {

// Value types and tensor types by their number in the file.
enum : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
enum : uint32_t { kTensorF32 = 0, kTensorQ8_0 = 8, kTensorUnknown = 9999 };

constexpr uint64_t kHuge = uint64_t{1} << 61;

ByteBuilder head(uint64_t n_tensors, uint64_t n_keys, uint32_t version = 3) {
  return ByteBuilder().raw("GGUF").u32(version).u64(n_tensors).u64(n_keys);
}

/// A file whose only key is "k" of `type`; its value is to follow.
ByteBuilder one_key(uint32_t type) { return head(0, 1).str("k").u32(type); }

ByteBuilder alignment_of(uint32_t value) {
  return head(0, 1).str("general.alignment").u32(kU32).u32(value).zeros(64);
}

struct TensorEntry {
  std::string name = "w";
  std::vector<uint64_t> dims = {32};  // innermost first, as in the file
  uint32_t type = kTensorF32;
  uint64_t offset = 0;
};

void put_entry(ByteBuilder& out, const TensorEntry& t) {
  out.str(t.name).u32(static_cast<uint32_t>(t.dims.size()));
  for (const uint64_t dim : t.dims) out.u64(dim);
  out.u32(t.type).u64(t.offset);
}

std::string with_tensors(const std::vector<TensorEntry>& entries, size_t n_data_bytes = 128) {
  ByteBuilder out = head(entries.size(), 0);
  for (const TensorEntry& entry : entries) put_entry(out, entry);
  return out.pad(32).zeros(n_data_bytes).bytes();
}

std::string nested_arrays(int depth) {
  ByteBuilder out = one_key(kArray);
  for (int i = 0; i < depth; ++i) out.u32(kArray).u64(1);
  return out.u32(kU8).u64(0).bytes();
}

std::string repeat(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

std::vector<BrokenFile> broken_gguf_headers() {
  return {
      {"empty.gguf", "", "offset 0, magic"},
      {"magic.gguf", "GGML" + std::string(60, '\0'), "offset 0, magic"},
      {"git_lfs_pointer.gguf", "version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
      {"version_1.gguf", head(0, 0, 1).bytes(), "offset 4, version"},
      {"version_4.gguf", head(0, 0, 4).bytes(), "offset 4, version"},
      {"big_endian.gguf", head(0, 0, 0x03000000).bytes(), "big-endian"},
      {"tensor_count_huge.gguf", head(kHuge, 0).bytes(), "offset 8, tensor count"},
      {"tensor_count_negative.gguf", head(~uint64_t{0}, 0).bytes(), "offset 8, tensor count"},
      {"key_count_huge.gguf", head(0, kHuge).bytes(), "offset 16, key count"},
      {"tensor_missing.gguf", head(1, 1).str("k").u32(kU8).u8(1).zeros(16).bytes(), "name of tensor 1 of 1"},
  };
}

std::vector<BrokenFile> broken_gguf_metadata() {
  return {
      {"key_empty.gguf", head(0, 1).str("").u32(kU8).u8(1).zeros(8).bytes(), "offset 24, name of key 1"},
      {"key_length_huge.gguf", head(0, 1).u64(kHuge).zeros(64).bytes(), "offset 24, name of key 1"},
      {"key_too_long.gguf", head(0, 1).str(std::string(65536, 'k')).u32(kU8).u8(1).bytes(), "65536"},
      {"key_past_end.gguf", head(0, 1).u64(100).zeros(32).bytes(), "offset 32, name of key 1"},
      {"key_zero_byte.gguf", head(0, 1).str(std::string("a\0b", 3)).u32(kU8).u8(1).bytes(), "zero byte"},
      {"key_twice.gguf", head(0, 2).str("k").u32(kU8).u8(1).str("k").u32(kU8).u8(1).bytes(), "key k"},
      {"value_type.gguf", head(0, 1).str("k").u32(13).u8(1).bytes(), "value type of key k"},
      {"string_length_huge.gguf", one_key(kString).u64(kHuge).zeros(16).bytes(), "string of key k"},
      {"string_cut.gguf", one_key(kString).u64(17).zeros(16).bytes(), "string of key k"},
      {"bool_7.gguf", one_key(kBool).u8(7).bytes(), "value of key k"},
      {"bool_7_in_array.gguf", one_key(kArray).u32(kBool).u64(2).u8(1).u8(7).bytes(), "value of key k"},
      {"array_type.gguf", one_key(kArray).u32(99).u64(0).bytes(), "array type of key k"},
      {"array_nested.gguf", nested_arrays(1), "array type of key k"},
      {"array_nested_100k.gguf", nested_arrays(100'000), "array type of key k"},
      {"array_count_huge.gguf", one_key(kArray).u32(kU8).u64(kHuge).zeros(8).bytes(),
       "array length of key k"},
      {"array_count_wraps.gguf", one_key(kArray).u32(kF64).u64(kHuge + 1).zeros(8).bytes(), "array length"},
      {"array_strings_cut.gguf", one_key(kArray).u32(kString).u64(2).str("abcdefgh").bytes(), "key k"},
      {"alignment_0.gguf", alignment_of(0).bytes(), "general.alignment"},
      {"alignment_4.gguf", alignment_of(4).bytes(), "general.alignment"},
      {"alignment_33.gguf", alignment_of(33).bytes(), "general.alignment"},
      {"alignment_2_31.gguf", alignment_of(1u << 31).bytes(), "general.alignment"},
      {"alignment_u64.gguf", head(0, 1).str("general.alignment").u32(kU64).u64(32).bytes(), "expected u32"},
      {"alignment_string.gguf", head(0, 1).str("general.alignment").u32(kString).str("32").bytes(),
       "expected u32"},
  };
}

std::vector<BrokenFile> broken_gguf_tensors() {
  const uint64_t max = ~uint64_t{0};
  return {
      {"tensor_name_empty.gguf", with_tensors({{.name = ""}}), "offset 24, name of tensor 1"},
      {"tensor_name_too_long.gguf", with_tensors({{.name = std::string(70'000, 'w')}}), "70000"},
      {"tensor_name_twice.gguf", with_tensors({{}, {.type = kTensorUnknown}}), "name of tensor w"},
      {"dimensions_0.gguf", with_tensors({{.dims = {}}}), "number of dimensions of tensor w"},
      {"dimensions_5.gguf", with_tensors({{.dims = {1, 1, 1, 1, 1}}}), "number of dimensions of tensor w"},
      {"zero_dimension.gguf", with_tensors({{.dims = {32, 0}}}), "dimension of tensor w"},
      {"zero_row.gguf", with_tensors({{.dims = {0}}}), "dimension of tensor w"},
      {"elements_wrap.gguf", with_tensors({{.dims = {1ull << 32, 1ull << 32}}}), "dimension of tensor w"},
      {"elements_2_63.gguf", with_tensors({{.dims = {1ull << 31, 1ull << 32}}}), "dimension of tensor w"},
      {"elements_wrap_unknown_type.gguf", with_tensors({{.dims = {max}, .type = kTensorUnknown}}),
       "dimension of"},
      {"bytes_wrap.gguf", with_tensors({{.dims = {1ull << 62}}}), "shape of tensor w"},
      {"rows_wrap.gguf", with_tensors({{.dims = {32, 1ull << 57}}}), "shape of tensor w"},
      {"tensor_2_40.gguf", with_tensors({{.dims = {1ull << 40}}}), "shape of tensor w"},
      {"part_of_a_block.gguf", with_tensors({{.dims = {33}, .type = kTensorQ8_0}}), "multiple of 32"},
      {"row_shorter_than_block.gguf", with_tensors({{.dims = {16, 2}, .type = kTensorQ8_0}}),
       "multiple of 32"},
      {"offset_unaligned.gguf", with_tensors({{.offset = 8}}, 256), "data offset of tensor w"},
      {"offset_past_end.gguf", with_tensors({{.offset = 4096}}), "data offset of tensor w"},
      {"offset_wraps.gguf", with_tensors({{.offset = max - 31}}), "data offset of tensor w"},
      {"offset_past_end_unknown_type.gguf", with_tensors({{.type = kTensorUnknown, .offset = 160}}),
       "data offset of tensor w"},
      {"data_cut.gguf", with_tensors({{}}, 127), "data offset of tensor w"},
      {"data_missing.gguf", with_tensors({{}}, 0), "tensor w"},
      {"tensors_overlap.gguf", with_tensors({{.name = "a"}, {.name = "b", .offset = 96}}, 256), "overlap"},
      {"tensors_share_data.gguf", with_tensors({{.name = "a"}, {.name = "b"}}), "overlap"},
  };
}

/// `entries` after a sound first tensor "a" of 8 bytes.
std::string after_a(const std::string& entries, size_t n_data_bytes) {
  return safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})" + entries + "}",
                           n_data_bytes);
}

/// One tensor "t" with these fields and 8 bytes of data.
std::string with_fields(const std::string& fields) {
  return safetensors_bytes(R"({"t":{)" + fields + "}}", 8);
}

std::vector<BrokenFile> broken_safetensors_json() {
  const std::string open_100k = R"({"t":)" + repeat("[", 100'000);
  return {
      {"empty.safetensors", "", "offset 0, header length"},
      {"header_length_cut.safetensors", std::string(7, '\1'), "offset 0, header length"},
      {"header_length_huge.safetensors", ByteBuilder().u64(kHuge).zeros(64).bytes(), "header length"},
      {"header_over_100_mb.safetensors", ByteBuilder().u64(100'000'001).raw("{}").bytes(), "header length"},
      {"header_past_end.safetensors", ByteBuilder().u64(64).raw("{}").bytes(), "offset 8, header"},
      {"header_empty.safetensors", safetensors_bytes("", 0), "offset 8"},
      {"header_not_json.safetensors", safetensors_bytes("{\"a\":nonsense}", 0), "offset"},
      {"header_cut.safetensors", safetensors_bytes("{\"a\":{", 0), "offset"},
      {"header_two_values.safetensors", safetensors_bytes("{}{}", 0), "offset"},
      {"header_array.safetensors", safetensors_bytes("[]", 0), "header is not a JSON object"},
      {"header_bad_utf8.safetensors", safetensors_bytes("{\"\xff\xfe\":{}}", 0), "offset"},
      {"nested_arrays_100k.safetensors", safetensors_bytes(open_100k + repeat("]", 100'000) + "}", 0),
       "nested"},
      {"nested_arrays_open_100k.safetensors", safetensors_bytes(open_100k, 0), "nested"},
      {"nested_objects_100k.safetensors", safetensors_bytes(repeat("{\"a\":", 100'000), 0), "nested"},
      {"number_huge.safetensors", with_fields(R"("dtype":"F32","shape":[1e999],"data_offsets":[0,8])"),
       "JSON"},
      {"name_twice.safetensors", after_a(R"(,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8),
       "at name a"},
      {"field_twice.safetensors",
       with_fields(R"("dtype":"F32","dtype":"U8","shape":[2],"data_offsets":[0,8])"), "at name dtype"},
  };
}

std::vector<BrokenFile> broken_safetensors_tensors() {
  const auto shape = [](const std::string& dims) {
    return with_fields(R"("dtype":"U8","shape":)" + dims + R"(,"data_offsets":[0,8])");
  };
  const auto offsets = [](const std::string& pair) {
    return with_fields(R"("dtype":"U8","shape":[8],"data_offsets":)" + pair);
  };
  return {
      {"name_empty.safetensors",
       safetensors_bytes(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0), "name"},
      {"entry_not_object.safetensors", safetensors_bytes(R"({"t":7})", 0), "entry of tensor t"},
      {"dtype_missing.safetensors", with_fields(R"("shape":[2],"data_offsets":[0,8])"), "dtype of tensor t"},
      {"dtype_number.safetensors", with_fields(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"),
       "dtype of tensor t"},
      {"dtype_unknown.safetensors", with_fields(R"("dtype":"F8_E5M2","shape":[8],"data_offsets":[0,8])"),
       "F8_E5M2"},
      {"shape_missing.safetensors", with_fields(R"("dtype":"U8","data_offsets":[0,8])"), "shape of tensor t"},
      {"shape_negative.safetensors", shape("[-8]"), "shape of tensor t"},
      {"shape_fraction.safetensors", shape("[8.0]"), "shape of tensor t"},
      {"shape_string.safetensors", shape("\"8\""), "shape of tensor t"},
      {"shape_wraps.safetensors", shape("[4294967296,4294967296,0]"), "shape of tensor t"},
      {"shape_2_64.safetensors", shape("[18446744073709551615]"), "shape of tensor t"},
      {"offsets_missing.safetensors", with_fields(R"("dtype":"U8","shape":[8])"), "data_offsets of tensor t"},
      {"offsets_three.safetensors", offsets("[0,8,8]"), "data_offsets of tensor t"},
      {"offsets_reversed.safetensors", offsets("[8,0]"), "data_offsets of tensor t"},
      {"offsets_past_end.safetensors", offsets("[0,9]"), "data_offsets of tensor t"},
      {"offsets_huge.safetensors", offsets("[18446744073709551608,18446744073709551615]"), "data_offsets of"},
      {"size_wrong.safetensors", offsets("[0,7]"), "wrong size"},
      {"size_wraps.safetensors",
       with_fields(R"("dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8])"), "wrong size"},
      {"overlap.safetensors", after_a(R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]})", 12),
       "overlap"},
      {"same_span.safetensors", after_a(R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8),
       "overlap"},
      {"gap.safetensors", after_a(R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]})", 20), "gap"},
      {"bytes_left_over.safetensors", after_a("", 9), "no tensor"},
  };
}

}  // namespace

std::vector<BrokenFile> broken_files() {
  std::vector<BrokenFile> all;
  for (auto* part : {broken_gguf_headers, broken_gguf_metadata, broken_gguf_tensors, broken_safetensors_json,
                     broken_safetensors_tensors}) {
    for (BrokenFile& file : part()) all.push_back(std::move(file));
  }
  return all;
}

ByteBuilder sound_gguf() {
  ByteBuilder out = head(3, 18);
  out.str("u8").u32(kU8).u8(200).str("i8").u32(kI8).num(int8_t{-8});
  out.str("u16").u32(kU16).num(uint16_t{60'000}).str("i16").u32(kI16).num(int16_t{-16});
  out.str("u32").u32(kU32).u32(4'000'000'000).str("i32").u32(kI32).num(int32_t{-32});
  out.str("f32").u32(kF32).num(0.5f).str("bool").u32(kBool).u8(1).str("string").u32(kString).str("text");
  out.str("u64")
      .u32(kU64)
      .u64(1ull << 63)
      .str("i64")
      .u32(kI64)
      .num(int64_t{-64})
      .str("f64")
      .u32(kF64)
      .num(0.25);
  out.str("u8s").u32(kArray).u32(kU8).u64(2).u8(1).u8(2);
  out.str("bools").u32(kArray).u32(kBool).u64(2).u8(0).u8(1);
  out.str("strings").u32(kArray).u32(kString).u64(3).str("a").str("").str("c");
  out.str("f64s").u32(kArray).u32(kF64).u64(1).num(1.5).str("none").u32(kArray).u32(kI32).u64(0);
  out.str("general.alignment").u32(kU32).u32(64);
  put_entry(out, {.name = "blk.0.w", .dims = {64, 2}, .type = kTensorQ8_0, .offset = 0});  // 136 bytes
  put_entry(out, {.name = "odd", .dims = {7}, .type = kTensorUnknown, .offset = 192});
  put_entry(out, {.name = "norm", .dims = {4, 3, 2, 1}, .type = kTensorF32, .offset = 256});  // 96 bytes
  return out.pad(64).zeros(256 + 96);
}

size_t sound_gguf_header_bytes() { return sound_gguf().bytes().size() - (256 + 96); }

std::string safetensors_bytes(const std::string& header, size_t n_data_bytes) {
  return ByteBuilder().str(header).zeros(n_data_bytes).bytes();
}

std::string sound_safetensors() {
  return safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},)"
      R"("a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("none":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]}}   )",
      20);
}

}  // namespace sw::testing
