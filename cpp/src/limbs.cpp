// x3ddeploy/modalities/limbs.py: a limb is drawn about the line between two joints, MMAction2's generate_a_limb_heatmap.
#include <algorithm>
#include <cmath>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

float squared(float value) { return value * value; }

// Squared distance of a pixel from a segment.
double distance2(float x, float y, const Point& start, const Point& end, float length2) {
  const float from_start = squared(x - start.x) + squared(y - start.y), from_end = squared(x - end.x) + squared(y - end.y);
  const float share = (from_start - from_end + length2) / 2.0f / length2;
  if (share <= 0) return static_cast<double>(from_start);
  if (share >= 1) return static_cast<double>(from_end);
  return static_cast<double>(squared(x - (start.x + share * (end.x - start.x))) + squared(y - (start.y + share * (end.y - start.y))));
}

}  // namespace

void draw_limb(const Point& start, const Point& end, float peak, double sigma, int height, int width, float* map) {
  const auto reach = static_cast<float>(3 * sigma);
  const auto cut = [](float value) { return static_cast<int>(std::clamp(value, -1e6f, 1e6f)); };
  const int left = std::max(cut(std::min(start.x, end.x) - reach), 0), right = std::min(cut(std::max(start.x, end.x) + reach) + 1, width);
  const int top = std::max(cut(std::min(start.y, end.y) - reach), 0), bottom = std::min(cut(std::max(start.y, end.y) + reach) + 1, height);
  const float length2 = squared(start.x - end.x) + squared(start.y - end.y);
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) {
      const double far = distance2(static_cast<float>(x), static_cast<float>(y), start, end, length2);
      float& pixel = map[static_cast<std::ptrdiff_t>(y) * width + x];
      pixel = std::max(pixel, static_cast<float>(std::exp(-far / 2.0 / (sigma * sigma)) * static_cast<double>(peak)));
    }
  }
}

}  // namespace x3ddeploy::detail
