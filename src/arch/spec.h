// SPDX-License-Identifier: MIT
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "arch/dim.h"
#include "arch/hparams.h"
#include "arch/layer_kind.h"
#include "arch/role.h"
#include "router/spec.h"

/// The vocabulary in which an architecture is declared. One constinit ArchSpec (src/arch/<name>.cpp, one
/// line in all.inc) drives loader, shape checks, converter, quantizer rules, `info` and the planner.
namespace sw {

/// A number among the hyperparameters.
struct Field {
  enum class Type : uint8_t { Int, Float, Bool };
  Type type = Type::Int;
  double (*get)(const HParams&) = nullptr;        ///< exact for each type; booleans are 0 and 1
  void (*set)(HParams&, double value) = nullptr;  ///< a value that the type holds
};

/// The field at the end of a path of members.
template <auto First, auto... Rest>
constexpr auto& follow(auto& h) {
  if constexpr (sizeof...(Rest) == 0) {
    return h.*First;
  } else {
    return follow<Rest...>(h.*First);
  }
}

template <class T>
inline constexpr Field::Type kFieldType = std::is_same_v<T, bool>    ? Field::Type::Bool
                                          : std::is_same_v<T, float> ? Field::Type::Float
                                                                     : Field::Type::Int;

/// A field of HParams: at<&HParams::moe, &Moe::n_expert> or at<&HParams::n_embd>.
template <auto... Path>
inline constexpr Field at = [] {  // NOLINT(readability-identifier-naming): it reads as a function
  using T = std::remove_cvref_t<decltype(follow<Path...>(std::declval<HParams&>()))>;
  return Field{kFieldType<T>, [](const HParams& h) { return static_cast<double>(follow<Path...>(h)); },
               [](HParams& h, double value) { follow<Path...>(h) = static_cast<T>(value); }};
}();

/// A text that a source uses where a field is a number.
struct NamedValue {
  std::string_view name = {};
  int value = 0;
};
/// Throws sw::Error with the list of known texts.
int value_of_name(std::span<const NamedValue> names, std::string_view text, const std::string& where);
/// The first text of a value, which must have one.
std::string_view name_of_value(std::span<const NamedValue> names, int value);

/// What a field is when the source does not say: nothing (an error), a number, or computed from the
/// fields declared before it.
class Default {
 public:
  constexpr Default() = default;
  template <class T>
  requires std::is_arithmetic_v<T>
  constexpr Default(T value)
      : value_(static_cast<double>(value)) {}  // NOLINT: implicit, declarations read plainly
  template <class F>
  requires std::is_invocable_r_v<double, F, const HParams&>
  constexpr Default(F)
      : from_([](const HParams& h) { return static_cast<double>(F{}(h)); }) {}  // NOLINT: likewise

  std::optional<double> get(const HParams& h) const { return from_ ? std::optional(from_(h)) : value_; }

 private:
  std::optional<double> value_ = {};
  double (*from_)(const HParams&) = nullptr;
};

/// When a converted file holds a key; a reader takes the default for one that it does not find.
enum class Written : uint8_t {
  Always,
  IfSaid,     ///< where the config says it, or it is not the default
  IfUnusual,  ///< where it is not the default
};

/// One hyperparameter: where it goes, its GGUF key after "<arch>.", its Hugging Face name (with dots
/// into objects; of names with | between them the first that is there). Either name may be empty: that source
/// then never says it.
struct Key {
  Field field = {};
  std::string_view gguf = {}, hf = {};
  Default fallback = {};
  std::span<const NamedValue> names = {};       ///< the texts of a config; empty: it has numbers
  std::span<const NamedValue> gguf_names = {};  ///< likewise of GGUF
  Written written = Written::Always;
  std::string_view gguf_count = {};  ///< a GGUF array whose length it is, in files that lack the key
  bool hf_counts = false;            ///< it is the length of the config's array
  std::string_view gguf_older = {};  ///< the name in older files that lack the key
};

/// A list of whole numbers; empty where a source does not have it. A file holds it where it is not empty.
struct ListKey {
  std::vector<int>& (*field)(HParams&) = nullptr;
  std::string_view gguf = {}, hf = {};
  size_t length = 0;  ///< not 0: one that is not empty is filled up with zeros to so many
  std::span<const NamedValue> names = {};  ///< the texts of a config; empty: it has numbers
  /// Has a function: the list says 1 or 0, and a file holds this number in place of each 1.
  Field one = {};
  /// A file has true and false. A lone number under the name is that of a Key.
  bool booleans = false;
};

/// A shape in terms of Dim, outermost first.
struct Dims {
  std::array<Dim, 4> dim = {};
  int n = 0;
  constexpr Dims() = default;
  constexpr Dims(std::initializer_list<Dim> list) {
    for (const Dim d : list) dim[static_cast<size_t>(n++)] = d;
  }
};

/// How the stored tensor comes from the checkpoint's.
enum class Transform : uint8_t {
  None,
  Stack,                 ///< one tensor per expert ({e}), stacked
  PairsToNeighbours,     ///< rows of each head from the rotary pairs (i, i + n_rot / 2) to (2i, 2i + 1)
  Llama3Factors,         ///< computed: what llama3 scaling divides the frequencies by; none without it
  LongFactors,           ///< what longrope divides them by in long contexts, as a config says it
  ShortFactors,          ///< likewise in short ones
  Transposed,            ///< matrices stored as [n_in, n_out]
  EvenTransposed,        ///< likewise, its columns 0, 2, ... alone
  OddTransposed,         ///< its columns 1, 3, ...
  FirstHalfTransposed,   ///< its first half of columns
  SecondHalfTransposed,  ///< its second half
  KeyRowsTransposed,     ///< of [n_head * (nope_dim + value_dim), kv_rank] each head's first rows, transposed
  ValueRows,             ///< likewise the rest of its rows, as they are
  Even,                  ///< every second value of a row, from the first on
  Odd,                   ///< from the second on
  OneRowEach             ///< each row as a matrix of one row: the weights of a depthwise convolution
};

enum class Presence : uint8_t {
  Required,
  Optional,
  IfSized  ///< required where no dimension is 0, else absent
};
inline constexpr Presence kOptional = Presence::Optional, kIfSized = Presence::IfSized;

/// What older files store in a tensor's place, in the form that the checkpoint has.
struct OlderForm {
  Role role = {};
  std::string_view gguf = {};
};

struct TensorSpec {
  Role role = {};
  /// {l}: the block in GGUF, the layer in a checkpoint; {part}: the block of the layer; {e}: the expert.
  std::string_view gguf = {}, hf = {};
  Dims dims = {};
  Transform transform = Transform::None;
  Presence presence = Presence::Required;
  OlderForm older = {};
};

/// Which dims of a head form a rotary pair: (i, i + n_rot / 2) or (2i, 2i + 1).
enum class RopePairs : uint8_t { Halves, Neighbours };

/// A setting of a config that the declaration takes for granted.
struct Granted {
  std::string_view hf = {};
  std::string_view only = {};  ///< its one value, as JSON; absent and null are fine, too
};

/// Tensors of a checkpoint that are left out, with a note.
struct Dropped {
  /// How their names begin; {l}: any layer, {nextn}: any behind the last, {zero}: any identity expert.
  std::string_view hf = {};
  std::string_view what = {};
};

/// A model class of a config, and what it takes where a config leaves a key out: a JSON object ("a.b": member
/// b of an object a that the config has). Keys that shapes depend on are not in it; a config has to say them.
struct HfClass {
  std::string_view name = {};
  std::string_view defaults = "{}";
  std::span<const Granted> granted = {};  ///< beside those of the architecture
};

/// The index in ArchSpec::kinds of a layer that is run, 0 to n_layer - 1.
using KindRule = int (*)(const HParams& h, int layer);

struct ArchSpec {
  std::string_view name = {};              ///< general.architecture
  std::array<HfClass, 2> hf_classes = {};  ///< config.json, architectures[0]
  std::string_view hf_root = "model.";     ///< what stands for a leading "model." in a checkpoint's names
  std::span<const Key> keys = {};
  std::span<const ListKey> lists = {};
  std::span<const TensorSpec> tensors = {};
  std::span<const LayerKind> kinds = {};
  KindRule kind_of = nullptr;        ///< may be null where there is one kind
  std::span<const Step> nextn = {};  ///< of next-token-prediction layers, which are stored and not run
  RopePairs rope_pairs = RopePairs::Halves;
  RouterSpec router = {};  ///< what no key says
  std::span<const Granted> granted = {};
  std::span<const Dropped> dropped = {};
};

#define SW_ARCH(symbol) extern const ArchSpec symbol;
#include "arch/all.inc"
#undef SW_ARCH

/// Every architecture of all.inc.
std::span<const ArchSpec* const> all_archs();
/// Throw sw::Error with the list of known ones.
const ArchSpec& arch_by_name(std::string_view gguf_name);
const ArchSpec& arch_by_hf_class(std::string_view hf_class);
/// The class of an architecture that has it.
const HfClass& hf_class_of(const ArchSpec& arch, std::string_view hf_class);

/// Looks a key up in a file; nothing where it is absent. Booleans are 0 and 1.
using KeyLookup = std::function<std::optional<double>(const Key&)>;
/// Which name of a key a source uses, for messages.
using KeyName = std::string_view Key::*;
/// Likewise a list.
using ListLookup = std::function<std::optional<std::vector<int64_t>>(const ListKey&)>;

/// One field as it was read, for `info`.
struct ReadKey {
  const Key* key = nullptr;
  double value = 0;
  bool from_file = false;  ///< else a default
};

/// The lists of a source, and what they say about single numbers. Throws sw::Error where an item is
/// impossible.
HParams read_lists(const ArchSpec& arch, std::string_view ListKey::*name_of, const ListLookup& lookup);
/// Adds the rest to the lists of a source: every key that it has, then defaults in the order declared.
/// Throws sw::Error where a needed key is missing or a value is impossible.
HParams read_hparams(const ArchSpec& arch, KeyName name_of, const KeyLookup& lookup,
                     std::vector<ReadKey>* read = nullptr, HParams lists = {});

/// The router of a model's MoE layers.
RouterSpec make_router_spec(const ArchSpec& arch, const HParams& h);

/// The kind of a layer that is run (0 to n_layer - 1).
const LayerKind& layer_kind(const ArchSpec& arch, const HParams& h, int layer);
/// Likewise of the layer that a block (0 to n_run_block() - 1) belongs to.
const LayerKind& block_kind(const ArchSpec& arch, const HParams& h, int block);
/// What a block (0 to n_block - 1, so next-token-prediction layers too) performs.
Operations block_operations(const ArchSpec& arch, const HParams& h, int block);

}  // namespace sw
