// From the head's outputs to predictions.
#pragma once

#include "backend.hpp"

namespace x3ddeploy::detail {

// One prediction a clip. With `fusion` the streams' probabilities are weighed anew, without it `scores` are the graph's.
Result<std::vector<Prediction>> predictions(const Outputs& outputs, std::int64_t clips, const Contract& contract,
                                            const std::optional<std::array<double, 2>>& fusion);

// In how many of its frames each clip of the heatmaps (clips, joints, frames, height, width) shows anybody.
void count_persons(const View<float>& heatmaps, std::vector<Prediction>& clips);

Result<Prediction> averaged(const std::vector<Prediction>& clips, const std::string& how,
                            const std::array<double, 2>& fusion);

}  // namespace x3ddeploy::detail
