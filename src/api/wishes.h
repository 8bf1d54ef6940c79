// SPDX-License-Identifier: MIT
#pragma once
#include <switchyard/switchyard.h>

#include "engine/sequence.h"

/// The header's wishes as the engine takes them.
namespace sw::api {

RoutingPolicy to_engine(const switchyard::RoutingPolicy& policy);
SamplerParams to_engine(const switchyard::Sampler& sampler);

}  // namespace sw::api
