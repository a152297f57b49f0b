// What x3ddeploy/data/people.py does: keypoints are looked at before they are drawn. No skeleton, no confident answer.
#include "people.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace x3ddeploy::detail {
namespace {

constexpr float kMinScore = 1e-4f;  // scores under this draw nothing
// Scores are peaks of regressed heatmaps, which overshoot 0 and 1 a little; percentages and logits do so by far.
constexpr float kScoreMargin = 0.5f;
// Joints that all lie within so few pixels of the corner are shares of the picture, not pixels.
constexpr float kNormalisedPx = 1.5f;
constexpr int kSmallestSidePx = 4;  // of a picture that this can be said of
constexpr double kMostOutside = 0.5;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

bool is_left_out(float x, float y, float score, const std::optional<float>& min_score) {
  if (!min_score) return false;
  return !(std::isfinite(x) && std::isfinite(y) && std::isfinite(score) && score > 0 && score >= *min_score);
}

People look_at(const Video& video, const std::optional<float>& min_score) {
  std::size_t joints = 1;
  for (std::size_t axis = 0; axis < 3; ++axis) joints *= static_cast<std::size_t>(video.keypoints.shape[axis]);
  const int height = video.keypoints_height == 0 ? video.height : video.keypoints_height;
  const int width = video.keypoints_width == 0 ? video.width : video.keypoints_width;
  People people;
  float lowest = 0, highest = 0, largest = 0;
  double inside = 0, outside = 0;
  for (std::size_t i = 0; i < joints; ++i) {
    const float x = video.keypoints.data[2 * i], y = video.keypoints.data[2 * i + 1];
    const float score = video.keypoint_scores.data == nullptr ? 1.0f : video.keypoint_scores.data[i];
    lowest = std::min(lowest, score);  // NaN changes neither
    highest = std::max(highest, score);
    if (is_left_out(x, y, score, min_score)) continue;
    if (std::isinf(x) || std::isinf(y)) people.problem = "the video has infinite keypoints";
    if (!std::isfinite(x) || !std::isfinite(y) || (x == 0 && y == 0) || !(score >= kMinScore)) continue;
    largest = std::max({largest, std::fabs(x), std::fabs(y)});
    const bool seen = x >= 0 && x <= static_cast<float>(width) && y >= 0 && y <= static_cast<float>(height);
    (seen ? inside : outside) += static_cast<double>(score);
  }
  people.seen = inside > 0;
  const std::string picture = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  if (lowest < -kScoreMargin || highest > 1 + kScoreMargin) {
    people.problem = "keypoint scores go from " + text_of(lowest) + " to " + text_of(highest) + ", and not from 0 to 1";
  } else if (people.problem.empty() && inside + outside > 0) {
    if (largest <= kNormalisedPx && std::max(height, width) >= kSmallestSidePx) {
      people.problem = "keypoints look like shares of the picture of " + picture + ", and not like pixels";
    } else if (outside > kMostOutside * (inside + outside)) {
      const std::string share = text_of(std::round(100 * outside / (inside + outside)));
      people.problem = share + "% of the keypoints lie outside of the picture of " + picture;
    }
  }
  return people;
}

}  // namespace x3ddeploy::detail
