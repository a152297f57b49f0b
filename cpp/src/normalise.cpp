#include "preprocess.hpp"

namespace x3ddeploy::detail {

void normalise_frame(const Image& image, const Contract& contract, float* planes, std::size_t plane_stride) {
  // Locals, so that the compiler sees loops without aliasing and makes vectors of them.
  const float mean0 = contract.mean[0], mean1 = contract.mean[1], mean2 = contract.mean[2];
  const float std0 = contract.std[0], std1 = contract.std[1], std2 = contract.std[2];
  const auto width = static_cast<std::size_t>(image.width);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* __restrict pixel = image.pixels + image.row_bytes * static_cast<std::size_t>(y);
    float* __restrict red = planes + width * static_cast<std::size_t>(y);
    float* __restrict green = red + plane_stride;
    float* __restrict blue = green + plane_stride;
    for (std::size_t x = 0; x < width; ++x) {
      red[x] = (static_cast<float>(pixel[3 * x]) - mean0) / std0;
      green[x] = (static_cast<float>(pixel[3 * x + 1]) - mean1) / std1;
      blue[x] = (static_cast<float>(pixel[3 * x + 2]) - mean2) / std2;
    }
  }
}

}  // namespace x3ddeploy::detail
