// From the network's outputs to predictions.
#pragma once

#include "backend.hpp"

namespace x3ddeploy::detail {

// One prediction a clip. Where the contract's weights are not the bundle's, `anew`, the logits' probabilities are weighed
// here; else `scores` are the graph's, where it gives them.
Result<std::vector<Prediction>> predictions(const Outputs& outputs, std::int64_t clips, const Contract& contract,
                                            bool anew);

// In how many of its frames each clip of the heatmaps (clips, joints, frames, height, width) shows anybody.
void count_persons(const View<float>& heatmaps, std::vector<Prediction>& clips);

Result<Prediction> averaged(const std::vector<Prediction>& clips, const Contract& contract);

}  // namespace x3ddeploy::detail
