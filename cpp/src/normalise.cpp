#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

// Interleaved bytes to interleaved values. One loop without strides, which every compiler turns into vectors, carries the
// divisions; the channels are parted afterwards, where nothing is left to compute.
void scale_row(const std::uint8_t* __restrict pixels, const float* __restrict mean, const float* __restrict std,
               std::size_t size, float* __restrict values) {
  for (std::size_t i = 0; i < size; ++i) values[i] = (static_cast<float>(pixels[i]) - mean[i]) / std[i];
}

void part_channels(const float* __restrict values, std::size_t width, float* __restrict red, float* __restrict green,
                   float* __restrict blue) {
  for (std::size_t x = 0; x < width; ++x) {
    red[x] = values[3 * x];
    green[x] = values[3 * x + 1];
    blue[x] = values[3 * x + 2];
  }
}

}  // namespace

void normalise_frame(const Frame& frame, const Contract& contract, float* planes, std::size_t plane_stride) {
  const auto width = static_cast<std::size_t>(frame.width);
  std::vector<float> mean(3 * width), std(3 * width), values(3 * width);
  std::vector<std::uint8_t> pixels(3 * width);
  for (std::size_t i = 0; i < 3 * width; ++i) {
    mean[i] = contract.mean[i % 3];
    std[i] = contract.std[i % 3];
  }
  for (int y = 0; y < frame.height; ++y) {
    read_row(frame, y, 0, frame.width, pixels.data());
    scale_row(pixels.data(), mean.data(), std.data(), 3 * width, values.data());
    float* red = planes + width * static_cast<std::size_t>(y);
    part_channels(values.data(), width, red, red + plane_stride, red + 2 * plane_stride);
  }
}

}  // namespace x3ddeploy::detail
