// SPDX-License-Identifier: MIT
// Writes the seed corpus: make_seeds FOLDER makes one folder a target below it;
// make_seeds --checkpoint FOLDER WIDTH writes the tiny checkpoint alone, with rows of that width.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fmt/core.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "convert/convert_hf.h"
#include "convert/quant_mix.h"
#include "convert/quantize.h"
#include "formats/gguf.h"
#include "formats/importance.h"
#include "formats/safetensors.h"
#include "fuzz/request_seeds.h"
#include "fuzz/saved_text.h"
#include "fuzz/tiny_model.h"
#include "support/broken_files.h"
#include "support/test_data.h"

namespace sw::fuzz {
namespace {

namespace fs = std::filesystem;

using Json = nlohmann::ordered_json;

constexpr int kNarrow = 32, kWide = 256;  // the widths of rows: of the old formats' block, of the K formats'

void write(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  const fs::path kind = path.extension();
  AtomicFile file(path, kind == ".gguf"          ? FileKind::Gguf
                        : kind == ".safetensors" ? FileKind::Safetensors
                                                 : FileKind::Other);
  file.write(bytes);
  file.commit();
}

/// The weight formats that mixes are made of, by the width of rows that they need.
std::vector<Type> formats_for(int width) {
  std::vector<Type> formats;
  for (const QuantMix& mix : quant_mixes()) {
    const bool needs_wide = traits(mix.base).block_elems > kNarrow;
    const bool is_new = std::ranges::find(formats, mix.base) == formats.end();
    if (needs_wide == (width == kWide) && is_new) formats.push_back(mix.base);
  }
  return formats;
}

/// Tiny models whose tensors have all of these formats, `n_tensors` of them in a file: one file of many
/// formats stays small, and small files are tried more often. The first is called `name`, others have a
/// number too.
void write_mixed_models(const fs::path& folder, const std::string& name, const fs::path& f32,
                        const std::vector<Type>& formats, size_t n_tensors) {
  // Those whose rows are as wide as the model come first.
  constexpr const char* kTensors[] = {"attn_qkv",      "ffn_gate_exps", "token_embd",
                                      "ffn_up_exps",   "ffn_gate\\.",   "ffn_up\\.",
                                      "ffn_down_exps", "attn_output",   "ffn_down\\."};
  SW_ASSERT(n_tensors <= std::size(kTensors));
  for (size_t begin = 0; begin < formats.size(); begin += n_tensors) {
    QuantizeOptions options;
    for (size_t i = begin; i < std::min(begin + n_tensors, formats.size()); ++i) {
      options.tensor_types.push_back({kTensors[i - begin], formats[i]});
    }
    const std::string number = begin == 0 ? "" : std::to_string(begin / n_tensors + 1);
    quantize(f32, folder / (name + number + ".gguf"), "Q4_0", options);
  }
}

void write_models(const fs::path& folder, const fs::path& narrow, const fs::path& wide) {
  const testing::TempDir temp;
  const fs::path f32 = temp.path() / "f32.gguf";
  convert_hf(narrow, f32, {.out_type = Type::F32, .name = "tiny"});
  write_mixed_models(folder, "narrow", f32, formats_for(kNarrow), 9);
  quantize(f32, folder / "q8_0.gguf", "Q8_0");
  convert_hf(wide, f32, {.out_type = Type::F32, .name = "tiny"});
  write_mixed_models(folder, "wide", f32, formats_for(kWide), 6);
}

/// An importance matrix of a stack of two experts, in both forms.
void write_matrices(const fs::path& folder) {
  ImportanceMatrix matrix{
      .datasets = {"text"}, .n_chunk = 1, .chunk_tokens = 8, .architecture = "bailingmoe2"};
  matrix.routing = "";
  matrix.expert_keys = {{"bailingmoe2.expert_used_count", "2"}};
  matrix.tensors["blk.0.ffn_up_exps.weight"] = {.sum_squares = {1, 2, 3, 4}, .counts = {8, 0}};
  matrix.write(folder / "imatrix.gguf");
  std::string older;
  const auto put = [&](auto number) { older.append(reinterpret_cast<const char*>(&number), sizeof number); };
  put(int32_t{1});  // tensors
  put(int32_t{4});  // bytes of a name
  older += "blk.";
  put(int32_t{3});  // chunks
  put(int32_t{1});  // values
  put(1.5f);
  write(folder / "imatrix.dat", older);
}

/// A file with two rows or blocks of every tensor type, in one to four dimensions.
void write_types(const fs::path& path) {
  GgufWriter writer(path);
  std::vector<Type> types;
  for (uint32_t id = 0; id < 512; ++id) {
    if (const auto type = type_from_id(id)) types.push_back(*type);
  }
  const auto shape_of = [](Type type) {
    const int64_t n = traits(type).block_elems;
    const Shape shapes[] = {{2 * n}, {2, n}, {1, 2, n}, {1, 1, 2, n}};
    return shapes[static_cast<size_t>(type) % std::size(shapes)];
  };
  for (const Type type : types) writer.add_tensor(type_name(type), type, shape_of(type));
  for (const Type type : types) {
    const Shape shape = shape_of(type);
    const std::vector<std::byte> zeros(row_bytes(type, shape.n_cols()) * static_cast<size_t>(shape.n_rows()));
    writer.write_tensor(zeros);
  }
  writer.finish();
}

void write_gguf(const fs::path& folder, const fs::path& narrow, const fs::path& wide) {
  write(folder / "values.gguf", testing::sound_gguf().bytes());
  write_types(folder / "types.gguf");
  write_matrices(folder);
  write_sentence_piece(folder / "llama.gguf", "llama");
  write_sentence_piece(folder / "t5.gguf", "t5");
  write_models(folder, narrow, wide);
}

/// Every element type once.
std::string all_dtypes() {
  std::string header = "{";
  size_t at = 0;
  for (int i = 0; i < kStDtypeCount; ++i) {
    const auto dtype = static_cast<StDtype>(i);
    const size_t end = at + 6 * st_dtype_bytes(dtype);
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[2,3],"data_offsets":[{},{}]}})", i ? "," : "",
                          st_dtype_name(dtype), st_dtype_name(dtype), at, end);
    at = end;
  }
  return testing::safetensors_bytes(header + "}", at);
}

void write_safetensors(const fs::path& folder) {
  write(folder / "sound.safetensors", testing::sound_safetensors());
  write(folder / "dtypes.safetensors", all_dtypes());
  write(folder / "scalar.safetensors",
        testing::safetensors_bytes(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8));
  write(folder / "six.safetensors",
        testing::safetensors_bytes(R"({"s":{"dtype":"U8","shape":[1,2,1,2,1,2],"data_offsets":[0,8]}})", 8));
  write(folder / "empty.safetensors", testing::safetensors_bytes("{}", 0));
}

void write_tokenizers(const fs::path& folder, const fs::path& checkpoint) {
  write(folder / "tiny.json", read_file(checkpoint / "tokenizer.json"));
  for (const char* model : {"bailing_moe_v2", "qwen3_moe", "gpt_oss", "llama", "deepseek_v3"}) {
    const auto found = testing::find_data(std::string("golden/") + model + "/tokenizer.json");
    if (found) write(folder / (std::string(model) + ".json"), read_file(*found));
  }
}

void write_tiktoken(const fs::path& folder) {
  const fs::path made = testing::source_dir() / "tests" / "data" / "tiktoken";
  for (const char* name : {"trained", "shuffled"})
    write(folder / name, read_file(made / name / "tiktoken.model"));
}

void write_texts(const fs::path& folder) {
  const std::pair<const char*, std::string> texts[] = {
      {"plain", "Once upon a time there was a fox, 1234567 years old.\n\n  It's \t here.\r\n"},
      {"unicode",
       "na\u00efve e\u0301 \u2581 \u4f60\u597d \U0001f600\u200d\U0001f525 \u0300\u0301 \u1100\u1161"},
      {"special", "<|role_end|><role>HUMAN</role>hi<think></think><0x0A><s></s><|endoftext|"},
      {"bytes", "\xff\xfe\x80\xc3(\xed\xa0\x80\xf4\x90\x80\x80"},
      {"runs",
       std::string(2000, 'a') + std::string(2000, ' ') + std::string(2000, '\n') + std::string(500, '1')},
      {"code", "for (int i = 0; i < n; ++i) { x[i] += \"\\u0041\"; }  // 0xff"},
  };
  for (const auto& [name, text] : texts) {
    for (char tokenizer = 0; tokenizer < 4; ++tokenizer)
      write(folder / fmt::format("{}-{}", name, int{tokenizer}), tokenizer + text);
  }
}

/// What the converter reads: the name of a file, a line end, its contents. The other files stay sound.
void write_checkpoint_files(const fs::path& folder, const fs::path& checkpoint) {
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                           "model.safetensors"}) {
    write(folder / name, name + ("\n" + read_file(checkpoint / name)));
  }
}

/// The *.jinja of a folder, and those of models.
std::vector<fs::path> template_files(const fs::path& own) {
  std::vector<fs::path> folders = {own}, files;
  if (const auto models = testing::find_data("chat_templates")) folders.push_back(*models);
  for (const fs::path& folder : folders) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".jinja") files.push_back(entry.path());
    }
  }
  return files;
}

/// A template, a zero byte, and what it renders: one that uses much of the language, every case of the
/// language's test, and our own and models' templates (where they are at hand) over all conversations.
void write_templates(const fs::path& folder) {
  const std::string variables =
      R"({"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi \u00e9"},)"
      R"({"role":"assistant","content":"<think>x</think>Yes","tool_calls":[{"type":"function","function":)"
      R"({"name":"f","arguments":{"a":1,"b":[1.5,null,true]}}}]},{"role":"tool","content":"42"}],)"
      R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],)"
      R"("add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>"})";
  const std::string much =
      "{%- macro show(m, n=1) %}{{ m.role|upper }}:{{ m['content'].strip()[:n] }}{% endmacro -%}\n"
      "{%- set ns = namespace(i=0) %}{% for m in messages if m.role != 'tool' %}\n"
      "{% if loop.first and not loop.last %}{{ show(m, 3) }}{% elif m.tool_calls is defined %}\n"
      "{{ m.tool_calls|tojson(indent=2) }}{% else %}{{ m|items|list|length + ns.i }}{% endif %}\n"
      "{% set ns.i = ns.i + 1 %}{% if ns.i > 2 %}{% break %}{% endif %}{% endfor %}\n"
      "{{ tools|map(attribute='type')|join(', ') ~ 'a'.replace('a', \"b\") ~ (1 // 2 ** 3) }}\n"
      "{{ [1, 2, 3][::-1]|sort|first }}{{ '%s-%d'|format('x', 3) }}{# note #}{% raw %}{{{% endraw %}";
  write(folder / "much", much + '\0' + variables);
  const fs::path data = testing::source_dir() / "tests" / "data" / "chat";
  int n = 0;
  for (const auto& each : Json::parse(read_file(data / "language.json"))) {
    const std::string input = each.value("variables", Json::object()).dump();
    write(folder / fmt::format("language-{}", n++), each.at("template").get<std::string>() + '\0' + input);
  }
  const auto conversations = Json::parse(read_file(data / "conversations.json"));
  for (const fs::path& path : template_files(data / "own")) {
    n = 0;
    for (const auto& input : conversations) {
      write(folder / fmt::format("{}-{}", path.stem().string(), n++), read_file(path) + '\0' + input.dump());
    }
  }
}

void make_seeds(const fs::path& folder) {
  const testing::TempDir temp;
  const fs::path narrow = temp.path() / "narrow", wide = temp.path() / "wide";
  write_tiny_checkpoint(narrow, kNarrow, kNarrow);
  write_tiny_checkpoint(wide, kWide, kNarrow);
  write_gguf(folder / "gguf", narrow, wide);
  write_safetensors(folder / "safetensors");
  write_tokenizers(folder / "tokenizer_json", narrow);
  write_tiktoken(folder / "tiktoken");
  write_texts(folder / "text");
  write_checkpoint_files(folder / "convert", narrow);
  write_templates(folder / "template");
  const auto into = [&](const char* target) {
    return [=](const std::string& name, const std::string& bytes) { write(folder / target / name, bytes); };
  };
  make_request_seeds(into("request"));
  make_http_seeds(into("http"));
  fs::create_directories(folder / "slot");
  SavedTextRig().save(folder / "slot" / "text");
}

}  // namespace
}  // namespace sw::fuzz

int main(int argc, char** argv) {
  const bool checkpoint = argc == 4 && std::string(argv[1]) == "--checkpoint";
  if (argc != 2 && !checkpoint) {
    std::fprintf(stderr, "usage: make_seeds FOLDER | make_seeds --checkpoint FOLDER WIDTH\n");
    return 2;
  }
  try {
    if (checkpoint) {
      sw::fuzz::write_tiny_checkpoint(argv[2], std::stoi(argv[3]), std::stoi(argv[3]));
    } else {
      sw::fuzz::make_seeds(argv[1]);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "make_seeds: %s\n", e.what());
    return 1;
  }
  return 0;
}
