// SPDX-License-Identifier: MIT
#include "model/program.h"

#include <algorithm>
#include <fmt/core.h>

namespace sw {
namespace {

using namespace program;

template <class... Visits>
struct Overload : Visits... {
  using Visits::operator()...;
};
template <class... Visits>
Overload(Visits...) -> Overload<Visits...>;  // some compilers do not deduce it by themselves

const char* name_of(Activation a) {
  switch (a) {
    case Activation::Residual:
      return "residual";
    case Activation::Normed:
      return "normed";
    case Activation::Part:
      return "part";
  }
  return "";
}

const char* name_of(Payload p) {
  switch (p) {
    case Payload::Residual:
      return "residual";
    case Payload::Routed:
      return "routed";
    case Payload::Part:
      return "part";
  }
  return "";
}

/// ":part" where an array is not the residual.
std::string suffix(Activation a) { return a == Activation::Residual ? "" : std::string(":") + name_of(a); }

/// With the kernel that was chosen.
std::string to_string(const Instruction& instruction) {
  return std::visit(
      [&](const auto& i) {
        std::string text = short_name(instruction);
        if constexpr (requires { i.op; }) text += std::string(": ") + i.op.kernel->name;
        return text;
      },
      instruction);
}

}  // namespace

std::string short_name(const Instruction& instruction) {
  using fmt::format;
  const auto name = Overload{
      [](const Embed& i) { return format("embed@{}", i.device); },
      []<class Desc>(const Mix<Desc>& i) { return format("{}@{}", OpTraits<Desc>::kName, i.device); },
      [](const Route& i) { return format("route@{}", i.device); },
      [](const Experts& i) { return format("experts@{}{}", i.device, suffix(i.out)); },
      [](const Ffn& i) { return format("ffn@{}{}", i.device, suffix(i.in)); },
      [](const Head& i) { return format("head@{}", i.device); },
      [](const Zero& i) { return format("zero@{}", i.device); },
      [](const AddPart& i) { return format("add@{}", i.device); },
      [](const Send& i) { return format("send:{}@{}>{}", name_of(i.what), i.from, i.to); },
      [](const Mark& i) { return format("mark@{}", i.device); },
      [](const Await& i) {
        return format("await@{}{}", i.device, i.until == Await::Until::Marked ? ":mark" : "");
      },
      [](const ShowHidden&) { return std::string("show"); },
      [](const ShowRouting&) { return std::string("show"); }};
  return std::visit(name, instruction);
}

std::vector<DeviceNeeds> needs_of(const Program& program, int n_device, const BatchSizes& sizes) {
  std::vector<DeviceNeeds> needs(static_cast<size_t>(n_device));
  const auto at = [&](int device) -> DeviceNeeds& { return needs[static_cast<size_t>(device)]; };
  for_each_op(program, [&]<class Op>(const Op& instruction) {
    DeviceNeeds& device = at(instruction.device);
    device.used = true;
    const int64_t n_row = std::is_same_v<Op, Head> ? sizes.n_logit_row : sizes.n_token;
    device.scratch_bytes =
        std::max(device.scratch_bytes, instruction.op.scratch_bytes(n_row, sizes.n_thread));
  });
  at(program.head.device).head = true;
  const auto count_arrays = Overload{[&](const Route& i) { at(i.device).routed = true; },
                                     [&](const Experts& i) { at(i.device).routed = true; },
                                     [&](const Ffn& i) { at(i.device).routed |= i.in == Activation::Normed; },
                                     [&](const Zero& i) { at(i.device).part = true; },
                                     [&](const AddPart& i) { at(i.device).part = true; },
                                     [](const auto&) {}};
  for (const Instruction& instruction : program.layers) std::visit(count_arrays, instruction);
  return needs;
}

std::string explain(const Program& program) {
  std::string text = "program:\n";
  std::vector<std::string> layer, before;
  int n_same = 0;
  const auto finish = [&] {
    if (layer.empty()) return;
    if (layer == before) {
      ++n_same;
    } else {
      if (n_same > 0) text += fmt::format("  (and {} like this)\n", n_same);
      n_same = 0;
      for (const std::string& line : layer) text += "  " + line + "\n";
      before = layer;
    }
    layer.clear();
  };
  for (const Instruction& instruction : program.layers) {
    const auto* shown = std::get_if<ShowHidden>(&instruction);
    if (!shown && !std::holds_alternative<ShowRouting>(instruction)) layer.push_back(to_string(instruction));
    const bool ends_layer = (shown && shown->part < 0) || std::holds_alternative<Embed>(instruction);
    if (ends_layer) finish();
  }
  finish();
  if (n_same > 0) text += fmt::format("  (and {} like this)\n", n_same);
  for (const Instruction& instruction : program.to_head) text += "  " + to_string(instruction) + "\n";
  return text + "  " + to_string(program.head) + "\n" + program.reasons;
}

}  // namespace sw
