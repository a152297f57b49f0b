// Keypoints of a video to the tensor that graph convolutions take.
#pragma once

#include <optional>

#include "steps.hpp"

namespace x3ddeploy::detail {

// (clips, persons, frames, joints, channels) of a video whose keypoints are as the steps take them. Joints that are not
// finite, or have a score under `min_score`, are zeros.
Result<std::vector<float>> skeletons_of(const Video& video, std::int64_t clips, const Steps& steps,
                                        const std::optional<float>& min_score);

}  // namespace x3ddeploy::detail
