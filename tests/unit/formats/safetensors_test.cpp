// SPDX-License-Identifier: MIT
#include "formats/safetensors.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/broken_files.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::as_bytes;
using testing::ByteBuilder;
using testing::safetensors_bytes;

void put(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

void expect_refused(const fs::path& path, const std::string& part) {
  testing::expect_refused([&] { Safetensors{path}; }, part);
}

/// One tensor "t" of `values`, stored as they are.
template <class T>
std::string one_tensor(const std::string& dtype, const std::vector<T>& values) {
  const size_t n_bytes = values.size() * sizeof(T);
  const std::string header = R"({"t":{"dtype":")" + dtype + R"(","shape":[)" + std::to_string(values.size()) +
                             R"(],"data_offsets":[0,)" + std::to_string(n_bytes) + "]}}";
  return ByteBuilder().str(header).raw({reinterpret_cast<const char*>(values.data()), n_bytes}).bytes();
}

template <class T>
std::vector<float> as_f32(const std::string& dtype, const std::vector<T>& values) {
  const std::string bytes = one_tensor(dtype, values);
  return Safetensors::to_f32(Safetensors(as_bytes(bytes), dtype).require("t"));
}

template <class T>
std::vector<int32_t> as_i32(const std::string& dtype, const std::vector<T>& values) {
  const std::string bytes = one_tensor(dtype, values);
  return Safetensors::to_i32(Safetensors(as_bytes(bytes), dtype).require("t"));
}

TEST(Safetensors, RoundTrip) {
  const testing::TempDir dir;
  const auto path = dir.path() / "x.safetensors";
  SafetensorsWriter writer;
  writer.add("z", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, -0.5f});
  writer.add("a", {2}, std::vector<int32_t>{-1, 1 << 30});
  writer.add("none", {0, 4}, std::vector<float>{});
  writer.add("one", {}, std::vector<float>{7});
  writer.write(path);
  const Safetensors file(path);
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.require("z").shape, (Shape{2, 3}));
  EXPECT_EQ(Safetensors::to_f32(file.require("z")), (std::vector<float>{1, 2, 3, 4, 5, -0.5f}));
  EXPECT_EQ(file.require("a").dtype, StDtype::I32);
  EXPECT_EQ(Safetensors::to_i32(file.require("a")), (std::vector<int32_t>{-1, 1 << 30}));
  EXPECT_EQ(file.require("none").shape, (Shape{0, 4}));
  EXPECT_TRUE(file.require("none").data.empty());
  EXPECT_EQ(file.require("one").shape, Shape{});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.require("z").data.data()) % 8, 0u);
}

TEST(Safetensors, WriterOfNothing) {
  const testing::TempDir dir;
  SafetensorsWriter().write(dir.path() / "x.safetensors");
  EXPECT_TRUE(Safetensors(dir.path() / "x.safetensors").tensors().empty());
}

TEST(Safetensors, WriterReplacesBytesThatAreNoUtf8) {
  const testing::TempDir dir;
  SafetensorsWriter writer;
  writer.add("\xff", {1}, std::vector<float>{1});
  writer.write(dir.path() / "x.safetensors");
  EXPECT_TRUE(Safetensors(dir.path() / "x.safetensors").find("\xef\xbf\xbd"));
}

TEST(Safetensors, EveryElementTypeToF32) {
  const std::vector<float> expected = {0, 1, 2};
  EXPECT_EQ(as_f32<double>("F64", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<float>("F32", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<uint16_t>("F16", {0, 0x3c00, 0x4000}), expected);
  EXPECT_EQ(as_f32<uint16_t>("BF16", {0, 0x3f80, 0x4000}), expected);
  EXPECT_EQ(as_f32<int64_t>("I64", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<int32_t>("I32", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<int16_t>("I16", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<int8_t>("I8", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<uint8_t>("U8", {0, 1, 2}), expected);
  EXPECT_EQ(as_f32<uint8_t>("BOOL", {0, 1, 1}), (std::vector<float>{0, 1, 1}));
}

TEST(Safetensors, IntegersToI32) {
  EXPECT_EQ(as_i32<int64_t>("I64", {INT32_MIN, INT32_MAX}), (std::vector<int32_t>{INT32_MIN, INT32_MAX}));
  EXPECT_EQ(as_i32<int16_t>("I16", {-3}), std::vector<int32_t>{-3});
  EXPECT_EQ(as_i32<int8_t>("I8", {-3}), std::vector<int32_t>{-3});
  EXPECT_EQ(as_i32<uint8_t>("U8", {200}), std::vector<int32_t>{200});
  EXPECT_EQ(as_i32<uint8_t>("BOOL", {1}), std::vector<int32_t>{1});
  EXPECT_THROW(as_i32<int64_t>("I64", {int64_t{INT32_MAX} + 1}), Error);
  EXPECT_THROW(as_i32<int64_t>("I64", {int64_t{INT32_MIN} - 1}), Error);
  EXPECT_THROW(as_i32<float>("F32", {1}), Error);
  EXPECT_THROW(as_i32<uint16_t>("BF16", {1}), Error);
}

TEST(Safetensors, UnalignedDataIsRead) {
  // A header of odd length puts every element at an odd address.
  const std::string bytes =
      safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]} })", 0) +
      std::string("\0\0\x80\x3f\0\0\0\x40", 8);
  EXPECT_EQ(Safetensors::to_f32(Safetensors(as_bytes(bytes), "x").require("t")), (std::vector<float>{1, 2}));
}

TEST(Safetensors, MoreThanFourDimensionsFold) {
  const std::string bytes =
      safetensors_bytes(R"({"t":{"dtype":"U8","shape":[2,3,4,1,2,2],"data_offsets":[0,96]}})", 96);
  EXPECT_EQ(Safetensors(as_bytes(bytes), "x").require("t").shape, (Shape{24, 1, 2, 2}));
}

TEST(Safetensors, FindAndRequire) {
  const std::string bytes = testing::sound_safetensors();
  const Safetensors file(as_bytes(bytes), "sound.safetensors");
  EXPECT_EQ(file.tensors().size(), 3u) << "__metadata__ is no tensor";
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(testing::refusal([&] { file.require("absent"); }),
            "a tensor is missing: sound.safetensors, tensor absent");
}

TEST(Safetensors, MovedFileKeepsItsTensors) {
  const testing::TempDir dir;
  put(dir.path() / "x.safetensors", one_tensor<float>("F32", {1, 2}));
  Safetensors first(dir.path() / "x.safetensors");
  const Safetensors second = std::move(first);
  EXPECT_EQ(Safetensors::to_f32(second.require("t")), (std::vector<float>{1, 2}));
}

class Sharded : public ::testing::Test {
 protected:
  void index(const std::string& weight_map) {
    put(dir_.path() / "model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
  }
  void shard(const std::string& file, const std::vector<std::pair<std::string, float>>& tensors) {
    SafetensorsWriter writer;
    for (const auto& [name, value] : tensors) writer.add(name, {1}, std::vector<float>{value});
    writer.write(dir_.path() / file);
  }
  float value(const Safetensors& file, const std::string& name) {
    return Safetensors::to_f32(file.require(name))[0];
  }

  testing::TempDir dir_;
};

TEST_F(Sharded, TensorsComeFromTheShardThatTheIndexNames) {
  shard("one.safetensors", {{"a", 1}, {"b", 2}});
  shard("two.safetensors", {{"a", 3}, {"c", 4}});  // another "a", which the index does not name
  index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  const Safetensors file(dir_.path());
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(value(file, "a"), 1);
  EXPECT_EQ(value(file, "b"), 2);
  EXPECT_EQ(value(file, "c"), 4);
}

TEST_F(Sharded, WholeFileGoesBeforeIndex) {
  shard("model.safetensors", {{"a", 5}});
  index(R"({"a":"missing.safetensors"})");
  EXPECT_EQ(value(Safetensors(dir_.path()), "a"), 5);
}

TEST_F(Sharded, MissingShard) {
  index(R"({"a":"model-00001-of-00002.safetensors"})");
  expect_refused(dir_.path(), "a shard of the model is missing");
}

TEST_F(Sharded, TensorNotInItsShard) {
  shard("one.safetensors", {{"a", 1}});
  index(R"({"a":"one.safetensors","b":"one.safetensors"})");
  expect_refused(dir_.path(), "one.safetensors, tensor b");
}

TEST_F(Sharded, ShardNamesMayNotLeaveTheFolder) {
  for (const std::string name : {"../x.safetensors", "/x.safetensors", "sub/x.safetensors", "..", "", ".",
                                 "x\\\\y.safetensors", "x\\u0000.safetensors", "config.json"}) {
    SCOPED_TRACE(name);
    index(R"({"a":")" + name + "\"}");
    expect_refused(dir_.path(), "plain");
  }
}

TEST_F(Sharded, BrokenIndex) {
  for (const std::string map : {"[]", "7", "null"}) {
    index(map);
    expect_refused(dir_.path(), "weight_map");
  }
  index(R"({"a":7})");
  expect_refused(dir_.path(), "not a string");
  index(R"({"a":"x.safetensors","a":"x.safetensors"})");
  expect_refused(dir_.path(), "twice");
  put(dir_.path() / "model.safetensors.index.json", "[1]");
  expect_refused(dir_.path(), "weight_map");
  put(dir_.path() / "model.safetensors.index.json", "{");
  expect_refused(dir_.path(), "offset");
}

TEST_F(Sharded, FolderWithoutModel) { expect_refused(dir_.path(), "expected model.safetensors or"); }

TEST_F(Sharded, MissingPath) { expect_refused(dir_.path() / "no.safetensors", "no.safetensors"); }

}  // namespace
}  // namespace sw
