// SPDX-License-Identifier: MIT
#include "convert/target_size.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <random>

#include "convert/quantize.h"
#include "formats/gguf.h"
#include "support/converted_file.h"
#include "support/refusal.h"

namespace sw {
namespace {

namespace fs = std::filesystem;
using testing::expect_refused;
using Choices = std::vector<std::vector<FormatChoice>>;

struct Total {
  uint64_t bytes = 0;
  double error = 0;
};
Total total_of(const Choices& tensors, const std::vector<size_t>& chosen) {
  Total total;
  for (size_t t = 0; t < tensors.size(); ++t) {
    total.bytes += tensors[t][chosen[t]].size_bytes;
    total.error += tensors[t][chosen[t]].error;
  }
  return total;
}

/// The least error of all combinations within a budget.
double least_error(const Choices& tensors, uint64_t budget, size_t t = 0) {
  if (t == tensors.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const FormatChoice& choice : tensors[t]) {
    if (choice.size_bytes <= budget)
      best = std::min(best, choice.error + least_error(tensors, budget - choice.size_bytes, t + 1));
  }
  return best;
}

TEST(ChooseFormats, StaysWithinTheBudgetAndNearTheBest) {
  std::mt19937 random(7);  // NOLINT: the same numbers each time
  std::uniform_real_distribution<double> unit(0, 1);
  int n_best = 0, n_case = 0;
  for (int round = 0; round < 100; ++round) {
    Choices tensors(5);
    double largest_step = 0;
    for (auto& choices : tensors) {
      const double scale = unit(random);
      const uint64_t n_bytes = 64 + random() % 512;
      for (uint64_t bits = 2; bits <= 8; ++bits)
        choices.push_back({Type::F32, n_bytes * bits,
                           scale * std::pow(4.0, -static_cast<double>(bits)) * (0.5 + unit(random))});
      largest_step = std::max(largest_step, choices.front().error);
    }
    std::vector<size_t> smallest(tensors.size(), 0), largest(tensors.size(), 6);
    const uint64_t least = total_of(tensors, smallest).bytes, most = total_of(tensors, largest).bytes;
    EXPECT_FALSE(choose_formats(tensors, least - 1));
    EXPECT_EQ(choose_formats(tensors, least), smallest);
    for (uint64_t budget = least; budget < most; budget += (most - least) / 7) {
      const Total total = total_of(tensors, *choose_formats(tensors, budget));
      EXPECT_LE(total.bytes, budget);
      const double best = least_error(tensors, budget);
      EXPECT_LE(total.error, best + largest_step) << "one step from the best";
      n_best += total.error <= 1.2 * best;
      ++n_case;
    }
  }
  EXPECT_GT(n_best, n_case * 8 / 10) << "mostly it is the best, or next to it";
}

TEST(ChooseFormats, PassesOverFormatsThatAreNoGain) {
  const Choices tensors = {
      {{Type::Q4_0, 100, 1.0}, {Type::Q4_1, 110, 1.5}, {Type::Q5_0, 120, 0.2}, {Type::Q5_1, 121, 0.19}}};
  EXPECT_EQ(choose_formats(tensors, 115)->front(), 0u);
  EXPECT_EQ(choose_formats(tensors, 120)->front(), 2u);
  EXPECT_EQ(choose_formats(tensors, 1000)->front(), 3u);
  EXPECT_EQ(choose_formats(Choices{}, 0), std::vector<size_t>{});
}

/// 96 rows of 256: noise, with some columns that count.
class MeasureFormats : public ::testing::Test {
 protected:
  MeasureFormats() : weights_(96 * 256) {
    std::mt19937 random(3);  // NOLINT: the same numbers each time
    std::normal_distribution<float> normal(0, 0.1f);
    std::ranges::generate(weights_, [&] { return normal(random); });
  }
  MeasuredTensor tensor(int64_t n_matrix = 1, const Importance* importance = nullptr) const {
    return {.rows = {Type::F32, reinterpret_cast<const std::byte*>(weights_.data()), 96, 256},
            .n_matrix = n_matrix,
            .importance = importance};
  }
  static double error_of(const std::vector<FormatChoice>& choices, Type type) {
    return std::ranges::find(choices, type, &FormatChoice::type)->error;
  }

  std::vector<float> weights_;
};

TEST_F(MeasureFormats, ErrorsAreThoseOfTheRows) {
  ThreadPool pool(1);
  const std::vector<FormatChoice> choices = measure_formats(tensor(), pool);
  for (const Type type : {Type::Q4_K, Type::Q8_0, Type::IQ2_XS}) {
    std::vector<std::byte> coded(row_bytes(type, 256) * 96);
    std::vector<float> again(weights_.size());
    encode_rows(type, weights_.data(), 96, 256, coded.data());
    decode_rows(type, coded.data(), 96, 256, again.data());
    double error = 0, squares = 0;
    for (size_t i = 0; i < weights_.size(); ++i) {
      error += std::pow(double{weights_[i]} - double{again[i]}, 2);
      squares += double{weights_[i]} * double{weights_[i]};
    }
    EXPECT_NEAR(error_of(choices, type), error / squares, 1e-9) << type_name(type);
  }
  EXPECT_GT(error_of(choices, Type::IQ1_S), 10 * error_of(choices, Type::Q4_K));
}

TEST_F(MeasureFormats, ThreadsDoNotChangeTheBits) {
  ThreadPool one(1), more(5);
  const std::vector<FormatChoice> a = measure_formats(tensor(), one), b = measure_formats(tensor(), more);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].error, b[i].error) << type_name(a[i].type);
}

/// Three experts of 32 rows: what is never used does not count, and what is used more counts more.
TEST_F(MeasureFormats, ExpertsCountByTheirUse) {
  for (size_t i = 32 * 256; i < 64 * 256; ++i)
    weights_[i] = weights_[i] > 0 ? 0.25f : -0.25f;  // easy to store
  ThreadPool pool(2);
  const auto errors = [&](std::vector<float> counts) {
    Importance importance{.sum_squares = {}, .counts = std::move(counts)};
    for (const float n : importance.counts)
      importance.sum_squares.insert(importance.sum_squares.end(), 256, n);
    return measure_formats(tensor(3, &importance), pool);
  };
  const double noise = error_of(errors({9, 0, 0}), Type::IQ4_NL),
               easy = error_of(errors({0, 9, 0}), Type::IQ4_NL);
  EXPECT_LT(easy, noise / 4);
  const double both = error_of(errors({1, 9, 0}), Type::IQ4_NL),
               more = error_of(errors({9, 1, 0}), Type::IQ4_NL);
  EXPECT_LT(easy, both);
  EXPECT_LT(both, more);
  EXPECT_LT(more, noise);
  EXPECT_NEAR(error_of(errors({9, 0, 9}), Type::IQ4_NL), noise, 0.1 * noise) << "noise as well";
  const std::vector<FormatChoice> unknown = errors({0, 0, 0}), plain = measure_formats(tensor(3), pool);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(unknown[i].error, plain[i].error) << "as without";
}

TEST_F(MeasureFormats, OddWeightsMakeNoNaN) {
  ThreadPool pool(2);
  std::ranges::fill(weights_, 0.0f);
  for (const FormatChoice& choice : measure_formats(tensor(), pool)) EXPECT_EQ(choice.error, 0);
  weights_[5] = std::numeric_limits<float>::quiet_NaN();
  for (const FormatChoice& choice : measure_formats(tensor(), pool)) EXPECT_EQ(choice.error, 0);
}

/// golden/bailing_moe_v2: its rows take Q8_0, Q5_1, Q5_0 and IQ4_NL.
class QuantizeTarget : public testing::TinyLingFile {
 protected:
  fs::path out() const { return folder() / "out.gguf"; }
  QuantizeReport run(const SizeTarget& target, QuantizeOptions options = {}) const {
    options.target = target;
    return quantize(file(), out(), "", options);
  }
  /// Of all weights, by the definition: each tensor's error relative to its squares.
  double error() const {
    const GgufFile source(file()), coded(out());
    double sum = 0;
    for (size_t i = 0; i < source.tensors().size(); ++i) {
      const GgufTensor &a = source.tensors()[i], &b = coded.tensors()[i];
      std::vector<float> x(static_cast<size_t>(a.shape.n_elements())), y(x.size());
      decode_rows(*type_from_id(a.type_id), a.data, a.shape.n_rows(), a.shape.n_cols(), x.data());
      decode_rows(*type_from_id(b.type_id), b.data, b.shape.n_rows(), b.shape.n_cols(), y.data());
      double error = 0, squares = 0;
      for (size_t j = 0; j < x.size(); ++j) {
        error += std::pow(double{x[j]} - double{y[j]}, 2);
        squares += double{x[j]} * double{x[j]};
      }
      sum += squares > 0 ? error / squares : 0;
    }
    return sum;
  }
};

TEST_F(QuantizeTarget, IsMetAndBetterThanTheMixOfItsSize) {
  for (const char* mix : {"IQ4_NL", "Q5_0", "Q5_1"}) {
    const uint64_t size = quantize(file(), out(), mix).file_bytes;
    const double uniform = error();
    const QuantizeReport report = run({.file_bytes = size});
    EXPECT_EQ(report.file_bytes, fs::file_size(out()));
    EXPECT_LE(report.file_bytes, size) << mix;
    EXPECT_GT(report.file_bytes, size * 99 / 100) << mix;
    EXPECT_LT(error(), uniform) << mix;
  }
}

TEST_F(QuantizeTarget, BitsAreMet) {
  for (const double bits : {5.5, 6.25, 8.0}) {
    const QuantizeReport report = run({.bits_per_weight = bits});
    EXPECT_LE(bits_per_weight(report), bits);
    EXPECT_GT(bits_per_weight(report), bits - 0.1);
    EXPECT_EQ(GgufFile(out()).metadata().find("general.file_type")->type, GgufType::U32);
  }
  const QuantizeReport all = run({.bits_per_weight = 20});
  for (const QuantizedTensor& t : all.tensors) EXPECT_TRUE(t.to == Type::Q8_0 || t.to == Type::F32) << t.name;
}

TEST_F(QuantizeTarget, ThreadsDoNotChangeTheBytes) {
  run({.bits_per_weight = 6}, {.n_thread = 1});
  const std::string one = read_file(out());
  run({.bits_per_weight = 6}, {.n_thread = 3});
  EXPECT_TRUE(read_file(out()) == one);
}

TEST_F(QuantizeTarget, RulesComeFirst) {
  const QuantizeReport report =
      run({.bits_per_weight = 9},
          {.tensor_types = {parse_tensor_type_rule("ffn_down_exps=f16")}, .output_type = Type::Q8_0});
  EXPECT_LE(bits_per_weight(report), 9);
  for (const QuantizedTensor& t : report.tensors) {
    if (t.name.find("ffn_down_exps") != t.name.npos) {
      EXPECT_EQ(t.to, Type::F16) << t.name;
    }
    if (t.name == "output.weight") {
      EXPECT_EQ(t.to, Type::Q8_0);
    }
  }
}

TEST_F(QuantizeTarget, WhatCannotBeMetIsRefusedWithTheLeast) {
  expect_refused([&] { run({.bits_per_weight = 2}); }, "--target-bpw: expected at least ");
  expect_refused([&] { run({.file_bytes = 1000}); }, "--target-size: expected at least ");
  EXPECT_FALSE(fs::exists(out()));
  try {
    run({.file_bytes = 1000});
  } catch (const Error& e) {
    const uint64_t least = std::stoull(e.parts().expected.substr(std::string("at least ").size()));
    EXPECT_EQ(run({.file_bytes = least}).file_bytes, least) << "and that can be met";
  }
}

TEST_F(QuantizeTarget, QuantisedTensorsAreKeptUnlessAllowed) {
  quantize(file(), out(), "Q5_1");
  fs::rename(out(), file());
  const QuantizeReport kept = run({.bits_per_weight = 9});
  EXPECT_FALSE(kept.notes.empty());
  EXPECT_EQ(kept.to_bytes, kept.from_bytes);
  const QuantizeReport again = run({.bits_per_weight = 5.5}, {.allow_requantize = true});
  EXPECT_LT(again.to_bytes, again.from_bytes);
}

}  // namespace
}  // namespace sw
