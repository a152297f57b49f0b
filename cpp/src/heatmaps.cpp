// A keypoint draws exp(-((x - mu_x)^2 + (y - mu_y)^2) / (2 sigma^2)) * score inside a window of three sigma, whose
// borders are cut to integers toward zero; the maximum over persons stays (mmaction/datasets/transforms/
// pose_transforms.py, `generate_a_heatmap`). The Gaussian is separable: a column vector times a row vector.
#include <algorithm>
#include <cmath>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr float kMinScore = 1e-4f;  // scores under this draw nothing
constexpr double kReach = 3;        // a window reaches this many sigma

struct Window {
  int first = 0;
  int end = 0;  // one behind the last pixel
};

// The pixels of one axis that a Gaussian reaches, and its values there.
Window gaussian(float centre, int size, double sigma, std::vector<float>& values) {
  const auto reach = static_cast<float>(kReach * sigma);
  // Far outside the map the window is empty whatever the exact centre; the bound keeps the integers in range.
  centre = std::clamp(centre, -2 * reach - 2, static_cast<float>(size) + 2 * reach + 2);
  const float first = std::trunc(centre - reach), end = std::trunc(centre + reach) + 1;
  const Window window = {static_cast<int>(std::max(first, 0.0f)),
                         static_cast<int>(std::min(end, static_cast<float>(size)))};
  const float two_variances = static_cast<float>(2 * (sigma * sigma));
  for (int pixel = window.first; pixel < window.end; ++pixel) {
    const float distance = static_cast<float>(pixel) - centre;
    values[static_cast<std::size_t>(pixel - window.first)] = std::exp(-(distance * distance) / two_variances);
  }
  return window;
}

}  // namespace

void draw_heatmaps(const float* keypoints, const float* scores, std::int64_t persons, const Contract& contract,
                   float* heatmaps) {
  const auto frames = static_cast<std::size_t>(contract.pose_frames),
             joints = static_cast<std::size_t>(contract.joints);
  const auto height = static_cast<std::size_t>(contract.pose_height),
             width = static_cast<std::size_t>(contract.pose_width);
  std::fill_n(heatmaps, joints * frames * height * width, 0.0f);
  const auto scaling = static_cast<float>(contract.scaling);
  std::vector<float> rows(height), columns(width);
  for (std::size_t place = 0; place < static_cast<std::size_t>(persons) * frames * joints; ++place) {
    const float x = keypoints[2 * place] * scaling, y = keypoints[2 * place + 1] * scaling;
    const float peak = contract.use_score ? scores[place] : 1.0f;
    if (!(peak >= kMinScore) || !std::isfinite(peak) || !std::isfinite(x) || !std::isfinite(y)) continue;
    const Window across = gaussian(x, contract.pose_width, contract.sigma, columns);
    const Window down = gaussian(y, contract.pose_height, contract.sigma, rows);
    const std::size_t joint = place % joints, frame = place / joints % frames;
    float* map = heatmaps + (joint * frames + frame) * height * width;
    for (int row = down.first; row < down.end; ++row) {
      const float strength = rows[static_cast<std::size_t>(row - down.first)] * peak;
      float* line = map + static_cast<std::size_t>(row) * width;
      for (int column = across.first; column < across.end; ++column) {
        line[column] = std::max(line[column], strength * columns[static_cast<std::size_t>(column - across.first)]);
      }
    }
  }
}

}  // namespace x3ddeploy::detail
