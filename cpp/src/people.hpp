// Is anybody in the picture, and can the keypoints be believed?
#pragma once

#include <optional>
#include <string>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

struct People {
  bool seen = false;    // whether a joint was found in the picture
  std::string problem;  // why the keypoints cannot be a skeleton; empty where they can
};

// Joints that are not finite, or whose score is 0 or under `min_score`; none where there is no `min_score`.
bool is_left_out(float x, float y, float score, const std::optional<float>& min_score);

// Looks at all joints of a video whose shapes are right. Without scores all of them are 1.
People look_at(const Video& video, const std::optional<float>& min_score);

}  // namespace x3ddeploy::detail
