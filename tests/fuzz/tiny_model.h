// SPDX-License-Identifier: MIT
#pragma once
#include <filesystem>
#include <string>

namespace sw::fuzz {

/// Cuts the golden BailingMoeV2 checkpoint small: 2 layers (one dense, one of 4 experts in 2 groups), a
/// vocabulary of 288, rows of `n_embd`, feed-forwards of `n_ff`
/// (multiples of 32; weights of the golden one repeat).
/// Writes a Hugging Face folder. Throws std::runtime_error without the golden data.
void write_tiny_checkpoint(const std::filesystem::path& folder, int n_embd, int n_ff);

/// A GGUF file that holds a SentencePiece vocabulary alone, bytes included: "llama" (merges by scores) or
/// "t5" (unigram).
void write_sentence_piece(const std::filesystem::path& path, const std::string& model);

}  // namespace sw::fuzz
