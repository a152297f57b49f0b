// Sums and products in float, in the order of x3ddeploy/modalities/crop.py: a box that rounds differently is another image.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

// MMCompact's defaults, with the hw_ratio of 1 that RGBPoseConv3D's configs set.
constexpr float kPadding = 0.25f;
constexpr float kThresholdPx = 10;
// One as wide as this comes from keypoints that are no pixels.
constexpr float kLargestBoxPx = 1 << 14;

std::string short_text(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
  return text;
}

constexpr std::ptrdiff_t kChannels = 3;
// OpenCV's fixed point for bytes: weights of 11 bits (INTER_RESIZE_COEF_BITS), two of which make 22.
constexpr int kWeightOne = 1 << 11;

struct Tap {
  int first;  // index of the first of two neighbours
  int second;
  int weight0;  // of the first, in 1/kWeightOne
  int weight1;
};

int rounded(float weight) { return static_cast<int>(std::lrint(weight * kWeightOne)); }

// Neighbours and weights of each of `result` places over `source` of them. Beyond the ends columns lose the weight of the
// outer neighbour and rows repeat the last one, which is the same sum in other roundings.
std::vector<Tap> taps(int source, int result, bool columns) {
  std::vector<Tap> all(static_cast<std::size_t>(result));
  const double scale = 1.0 / (static_cast<double>(result) / source);
  for (int i = 0; i < result; ++i) {
    auto place = static_cast<float>((i + 0.5) * scale - 0.5);
    int first = static_cast<int>(std::floor(place));
    place -= static_cast<float>(first);
    if (columns && (first < 0 || first >= source - 1)) {
      first = first < 0 ? 0 : source - 1;
      place = 0;
    }
    const int last = source - 1;
    all[static_cast<std::size_t>(i)] = {std::clamp(first, 0, last), std::clamp(first + 1, 0, last),
                                        rounded(1.0f - place), rounded(place)};
  }
  return all;
}

// Pixels of a row of the box: of interleaved bytes where they lie in the frame, else converted to R, G, B.
struct Row {
  const std::uint8_t* first = nullptr;
  Interleaved bytes;
};

Row row_of(const Frame& frame, const Box& box, int row, std::vector<std::uint8_t>& converted) {
  const int y = box.top + row, left = std::max(box.left, 0), right = std::min(box.right, frame.width);
  const Interleaved bytes = interleaved(frame.format);
  const bool is_inside = y >= 0 && y < frame.height && left == box.left && right == box.right;
  if (is_inside && bytes.pixel != 0) {
    return {frame.planes[0] + frame.row_bytes[0] * static_cast<std::size_t>(y) + bytes.pixel * left, bytes};
  }
  if (!is_inside) std::fill(converted.begin(), converted.end(), std::uint8_t{0});
  if (y >= 0 && y < frame.height && left < right) read_row(frame, y, left, right, converted.data() + kChannels * (left - box.left));
  return {converted.data(), interleaved(PixelFormat::rgb)};
}

// One row of the box, black outside of the image, resampled to `columns`; 11 bits of fraction.
void resample_row(const Row& row, const std::vector<Tap>& columns, int* __restrict result) {
  const std::ptrdiff_t offsets[3] = {row.bytes.red, row.bytes.green, row.bytes.blue};
  for (const Tap& tap : columns) {
    const std::uint8_t* first = row.first + row.bytes.pixel * tap.first;
    const std::uint8_t* second = row.first + row.bytes.pixel * tap.second;
    for (const std::ptrdiff_t channel : offsets) *result++ = first[channel] * tap.weight0 + second[channel] * tap.weight1;
  }
}

// OpenCV's VResizeLinear: 4 bits go before the product, 16 after.
void blend_rows(const int* __restrict upper, const int* __restrict lower, const Tap& tap, std::size_t size,
                std::uint8_t* __restrict result) {
  const int weight0 = tap.weight0, weight1 = tap.weight1;
  for (std::size_t i = 0; i < size; ++i) {
    const int sum = (weight0 * (upper[i] >> 4) >> 16) + (weight1 * (lower[i] >> 4) >> 16);
    result[i] = static_cast<std::uint8_t>((sum + 2) >> 2);
  }
}

}  // namespace

Result<Box> crop_about(const std::vector<float>& keypoints, int height, int width) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float low[2] = {kInfinity, kInfinity}, high[2] = {-kInfinity, -kInfinity};
  for (std::size_t i = 0; i < keypoints.size(); ++i) {
    if (keypoints[i] == 0) continue;
    low[i % 2] = std::min(low[i % 2], keypoints[i]);
    high[i % 2] = std::max(high[i % 2], keypoints[i]);
  }
  if (high[0] - low[0] < kThresholdPx || high[1] - low[1] < kThresholdPx) return Box{0, 0, width, height};
  float half_width = (high[0] - low[0]) / 2 * (1 + kPadding);
  float half_height = (high[1] - low[1]) / 2 * (1 + kPadding);
  half_height = std::max(half_width, half_height);
  half_width = std::max(half_height, half_width);
  const float x = (high[0] + low[0]) / 2, y = (high[1] + low[1]) / 2;
  if (!(half_width < kLargestBoxPx / 2) || !(std::fabs(x) + std::fabs(y) < 1 << 30)) {
    return Error{ErrorKind::failed,
                 "keypoints from " + short_text(low[0]) + ", " + short_text(low[1]) + " to " + short_text(high[0]) +
                     ", " + short_text(high[1]) + " in frames of " + std::to_string(width) + " x " +
                     std::to_string(height) + " pixels",
                 "keypoints are x and y in pixels of the annotation's img_shape",
                 {}};
  }
  return Box{static_cast<int>(x - half_width), static_cast<int>(y - half_height), static_cast<int>(x + half_width),
             static_cast<int>(y + half_height)};
}

void move_keypoints(std::vector<float>& keypoints, const Box& box, int height, int width) {
  const float corner[2] = {static_cast<float>(box.left), static_cast<float>(box.top)};
  const float scale[2] = {static_cast<float>(static_cast<double>(width) / box.width()),
                          static_cast<float>(static_cast<double>(height) / box.height())};
  for (std::size_t i = 0; i < keypoints.size(); ++i) {
    if (keypoints[i] != 0) keypoints[i] -= corner[i % 2];
    keypoints[i] *= scale[i % 2];
  }
}

void crop_and_resize(const Frame& frame, const Box& box, int height, int width, std::uint8_t* result) {
  const std::vector<Tap> columns = taps(box.width(), width, true), rows = taps(box.height(), height, false);
  const std::size_t row_size = std::size_t{3} * static_cast<std::size_t>(width);
  std::vector<std::uint8_t> source(std::size_t{3} * static_cast<std::size_t>(box.width()));
  std::vector<int> lines[2] = {std::vector<int>(row_size), std::vector<int>(row_size)};
  int held[2] = {-1, -1};  // which row of the box each line is
  for (const Tap& tap : rows) {
    if (held[1] == tap.first) {
      std::swap(lines[0], lines[1]);
      std::swap(held[0], held[1]);
    }
    const int wanted[2] = {tap.first, tap.second};
    for (int line = 0; line < 2; ++line) {
      if (held[line] == wanted[line]) continue;
      resample_row(row_of(frame, box, wanted[line], source), columns, lines[line].data());
      held[line] = wanted[line];
    }
    blend_rows(lines[0].data(), lines[1].data(), tap, row_size, result);
    result += row_size;
  }
}

}  // namespace x3ddeploy::detail
