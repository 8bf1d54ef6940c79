// SPDX-License-Identifier: MIT
#pragma once
#include <switchyard/switchyard.h>

#include "engine/sequence.h"
#include "runtime/runtime.h"

/// The header's options as the rooms below take them. All throw sw::Error on values out of range.
namespace sw::api {

RoutingPolicy to_engine(const switchyard::RoutingPolicy& policy);
SamplerParams to_engine(const switchyard::Sampler& sampler);
RuntimeOptions to_runtime(const switchyard::EngineOptions& options);
Notes to_notes(const switchyard::OnNote& on_note);

}  // namespace sw::api
