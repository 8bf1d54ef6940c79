// SPDX-License-Identifier: MIT
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "arch/role.h"
#include "quant/type.h"
#include "tensor/shape.h"

/// Quantisation mixes by their usual names: which tensor gets which format. "Q4_K_M" is Q4_K with more
/// bits where errors hurt most. The choices are mainline's, so files come out alike.
namespace sw {

/// The blocks of a model for which a rule holds.
enum class Blocks {
  All,
  MoreBits,        ///< the first and the last eighth, and every third in between
  Middle,          ///< neither the first nor the last eighth
  FirstEighth,     ///< rounded down
  FirstSixteenth,  ///< rounded down
  FirstFour,
  FirstTwo,
};

/// The models and tensors for which a rule holds.
enum class Only {
  Any,
  SharedHeads,           ///< at least four query heads share a key head
  SharedHeadsOrExperts,  ///< or there are at least four experts
  EightExperts,          ///< exactly
  Stacked,               ///< tensors of stacked experts
  Weighted,              ///< errors are weighed by an importance matrix
  Unweighted,            ///< or they are not
};

/// A format for the tensors of one class.
struct MixRule {
  QuantClass tensors = QuantClass::Plain;
  Blocks blocks = Blocks::All;
  Type type = Type::F32;
  Only only = Only::Any;
};

struct QuantMix {
  const char* name = nullptr;
  uint32_t file_type = 0;               ///< general.file_type of files made with it
  Type base = Type::F32;                ///< for every matrix that no rule covers
  std::span<const MixRule> rules = {};  ///< the first that fits counts
};

std::span<const QuantMix> quant_mixes();
/// By name in any case, or by the number of its files; Q3_K, Q4_K and Q5_K are Q3_K_M, Q4_K_M and Q5_K_M.
/// Throws sw::Error that lists all names.
const QuantMix& quant_mix(std::string_view name);

/// general.file_type of a file most of whose bytes are in this format: that of the mix that has it for plain
/// matrices, or for experts.
uint32_t file_type_of(Type type);
/// Whether there is one.
bool has_file_type(Type type);

/// What rules ask of a model.
struct MixModel {
  int64_t n_layer = 0;     ///< block_count of the file
  bool has_output = true;  ///< false: token_embd is the output matrix too, and treated as such
  int64_t n_expert = 0;
  int64_t heads_per_kv = 1;     ///< query heads that share a key head, in the first block
  bool has_importance = false;  ///< an importance matrix comes with it
};

/// A tensor to be quantised.
struct MixTensor {
  std::string_view name = {};  ///< as in the GGUF file
  Shape shape = {};
  MixModel model = {};
};

struct MixChoice {
  Type type = Type::F32;
  std::string note = {};  ///< why it is not the format that the mix has for it; mostly empty
};

/// The tensor's format. Vectors, norms, biases and the router stay F32. Where the wanted format's block
/// does not divide the rows: what mainline then takes (Q5_0 for Q4_K), or F16 where that does not fit either.
MixChoice choose_type(const QuantMix& mix, const MixTensor& tensor);

}  // namespace sw
