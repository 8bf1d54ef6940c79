// SPDX-License-Identifier: MIT
#include "convert/idle_keys.h"

#include <algorithm>
#include <iterator>

#include "formats/idle_keys.h"

namespace sw {
namespace {

constexpr std::string_view kAbout[] = {"architectures",
                                       "model_type",
                                       "auto_map",
                                       "transformers_version",
                                       "torch_dtype",
                                       "dtype",
                                       "name_or_path",
                                       "license",
                                       "tokenizer",
                                       "tokenizer_class",
                                       "task_specific_params",
                                       "finetuning_task",
                                       "id2label",
                                       "label2id",
                                       "num_labels",
                                       "problem_type",
                                       "prefix",
                                       "custom_pipelines",
                                       "unsloth_fixed",
                                       "unsloth_version",
                                       "transformers.js_config",
                                       "is_llama_config"};
constexpr std::string_view kText[] = {"bos_token_id",  "eos_token_id",           "pad_token_id",
                                      "unk_token_id",  "sep_token_id",           "cls_token_id",
                                      "mask_token_id", "decoder_start_token_id", "chat_template"};
constexpr std::string_view kSampling[] = {"max_length",
                                          "min_length",
                                          "max_new_tokens",
                                          "do_sample",
                                          "early_stopping",
                                          "num_beams",
                                          "num_beam_groups",
                                          "diversity_penalty",
                                          "temperature",
                                          "top_k",
                                          "top_p",
                                          "typical_p",
                                          "repetition_penalty",
                                          "length_penalty",
                                          "no_repeat_ngram_size",
                                          "encoder_no_repeat_ngram_size",
                                          "bad_words_ids",
                                          "num_return_sequences",
                                          "output_scores",
                                          "return_dict_in_generate",
                                          "forced_bos_token_id",
                                          "forced_eos_token_id",
                                          "remove_invalid_values",
                                          "exponential_decay_length_penalty",
                                          "suppress_tokens",
                                          "begin_suppress_tokens"};
constexpr std::string_view kTraining[] = {"attention_dropout",
                                          "hidden_dropout",
                                          "embedding_dropout",
                                          "output_dropout",
                                          "dropout",
                                          "resid_pdrop",
                                          "embd_pdrop",
                                          "attn_pdrop",
                                          "classifier_dropout",
                                          "resid_dropout",
                                          "ffn_dropout",
                                          "initializer_range",
                                          "initializer_factor",
                                          "conv_use_xavier_init",
                                          "block_use_xavier_init",
                                          "router_aux_loss_coef",
                                          "aux_loss_alpha",
                                          "seq_aux",
                                          "router_jitter_noise",
                                          "router_z_loss_coef",
                                          "mtp_loss_scaling_factor",
                                          "z_loss_coef",
                                          "use_cache",
                                          "gradient_checkpointing",
                                          "deterministic"};
constexpr std::string_view kRunning[] = {"output_attentions",
                                         "output_hidden_states",
                                         "output_router_logits",
                                         "return_dict",
                                         "torchscript",
                                         "use_bfloat16",
                                         "tf_legacy_loss",
                                         "is_encoder_decoder",
                                         "is_decoder",
                                         "add_cross_attention",
                                         "cross_attention_hidden_size",
                                         "tie_encoder_decoder",
                                         "chunk_size_feed_forward",
                                         "pretraining_tp",
                                         "ep_size",
                                         "attn_implementation",
                                         "use_flash_attn",
                                         "use_flash_attention",
                                         "router_dtype"};
constexpr std::string_view kVision[] = {"vision_config",       "audio_config",   "image_token_id",
                                        "image_token_index",   "video_token_id", "vision_start_token_id",
                                        "vision_end_token_id", "vision_token_id"};
constexpr std::string_view kTensors[] = {
    "attention_bias", "mlp_bias",    "use_qkv_bias",    "use_qk_norm",
    "conv_bias",      "router_bias", "use_expert_bias", "moe_router_enable_expert_bias"};
constexpr std::string_view kFollows[] = {"rotary_dim",
                                         "qk_head_dim",
                                         "head_dim",
                                         "num_key_value_heads",
                                         "initial_context_length",
                                         "max_window_layers",
                                         "layer_types",
                                         "sliding_window",
                                         "text_config",
                                         "rope_parameters",
                                         "tie_word_embeddings",
                                         "quantization_config",
                                         "rope_scaling",
                                         "rope_interleaved",
                                         "num_nextn_predict_layers",
                                         "num_mtp_layers"};

constexpr IdleKeys kIdle[] = {
    {"it says where the model comes from", kAbout},
    {"the tokenizer's files say it", kText},
    {"generation_config.json says it", kSampling},
    {"it is about training", kTraining},
    {"it is about how the model's Python runs", kRunning},
    {"it is about images and sounds, which are left out", kVision},
    {"the tensors that are there say it, and one that nothing reads is an error", kTensors},
    {"other keys say it, or it is checked by itself", kFollows}};

constexpr std::string_view kRope[] = {"rope_type", "type",        "mrope_interleaved", "mrope_section",
                                      "finetuned", "long_factor", "short_factor"};

}  // namespace

std::string_view why_idle(std::string_view key) { return why_idle(kIdle, key); }

std::string_view why_idle_in_rope_scaling(std::string_view key) {
  return std::ranges::find(kRope, key) != std::end(kRope)
             ? "it is checked by itself, or says nothing about the positions of a text"
             : "";
}

}  // namespace sw
