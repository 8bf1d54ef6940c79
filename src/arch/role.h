// SPDX-License-Identifier: MIT
#pragma once
#include <bit>
#include <cstdint>
#include <string_view>

/// The operations, the roles of weights and what follows from a role alone. A new role is one line in
/// roles.inc, and so is a new operation that mixes tokens.
namespace sw {

/// What reads weights: the coarse operations of a block, and what stands around the layers.
enum class Operation : uint8_t {
  Embed,
  Rope,  ///< the table of rotary angles, made on the host
#define SW_MIXER(name) name,
#include "arch/roles.inc"
  Route,
  Experts,
  Shared,
  Ffn,
  Nextn,  ///< joins a hidden state with the next token's embedding; not run
  Head
};

/// A set of operations.
class Operations {
 public:
  constexpr Operations() = default;
  constexpr Operations(Operation op)  // NOLINT: implicit, so that roles.inc reads plainly
      : bits_(static_cast<uint16_t>(1U << static_cast<unsigned>(op))) {}

  constexpr bool has(Operation op) const { return (bits_ & Operations(op).bits_) != 0; }
  constexpr bool meets(Operations others) const { return (bits_ & others.bits_) != 0; }
  /// The first by the order of Operation; the set must not be empty.
  constexpr Operation first() const { return static_cast<Operation>(std::countr_zero(bits_)); }

  friend constexpr Operations operator|(Operations a, Operations b) {
    Operations both;
    both.bits_ = static_cast<uint16_t>(a.bits_ | b.bits_);
    return both;
  }

 private:
  uint16_t bits_ = 0;
};
constexpr Operations operator|(Operation a, Operation b) { return Operations(a) | Operations(b); }

/// What a weight is for, whatever a file calls it.
enum class Role : uint8_t {
#define SW_ROLE(name, readers, form, quant_class) name,
#include "arch/roles.inc"
};

enum class RoleForm : uint8_t {
  Matrix,  ///< read in its stored format
  Vector   ///< norms, biases and the like, read as f32; of experts one row each
};

/// How the converter and the quantizer treat a role.
enum class QuantClass : uint8_t {
  Kept,  ///< stays f32: it is small, and its errors reach every token
  Plain,
  Embedding,  ///< the output matrix, too, where a model has no other
  Output,
  Queries,
  Keys,
  Values,   ///< carries attention's values, alone or with queries and keys
  AttnOut,  ///< leads from the heads back
  Up,       ///< leads to a feed-forward network's hidden width, gates too
  Down      ///< leads back from it
};

/// Every operation that reads the role.
constexpr Operations readers_of(Role role) {
  using enum Operation;
  switch (role) {
#define SW_ROLE(name, readers, form, quant_class) \
  case Role::name:                                \
    return readers;
#include "arch/roles.inc"
  }
  return {};
}

/// The operation that decides where a weight lives. Several that read one role share a device: of those that
/// mix tokens a block runs one; Route and Ffn both begin with the norm that one of them applies. So the first
/// reader stands for all of them.
constexpr Operation operation_of(Role role) { return readers_of(role).first(); }

constexpr RoleForm form_of(Role role) {
  switch (role) {
#define SW_ROLE(name, readers, form, quant_class) \
  case Role::name:                                \
    return RoleForm::form;
#include "arch/roles.inc"
  }
  return {};
}

constexpr QuantClass quant_class_of(Role role) {
  switch (role) {
#define SW_ROLE(name, readers, form, quant_class) \
  case Role::name:                                \
    return QuantClass::quant_class;
#include "arch/roles.inc"
  }
  return {};
}

/// For messages: "AttnQ".
constexpr std::string_view role_name(Role role) {
  switch (role) {
#define SW_ROLE(name, readers, form, quant_class) \
  case Role::name:                                \
    return #name;
#include "arch/roles.inc"
  }
  return {};
}

/// True for what a block has of each routed expert.
constexpr bool is_expert(Role role) { return operation_of(role) == Operation::Experts; }
/// Those that mix tokens.
inline constexpr Operations kMixers = Operations()
#define SW_MIXER(name) | Operation::name
#include "arch/roles.inc"
    ;
/// Those around the layers: what they read, a model has once.
inline constexpr Operations kModelOperations = Operation::Embed | Operation::Rope | Operation::Head;

}  // namespace sw
