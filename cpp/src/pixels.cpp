// Rows of pictures as R, G, B. Y, U, V: BT.601 of limited range in OpenCV's integers (modules/imgproc/src/color_yuv.simd.hpp).
#include <algorithm>
#include <cstring>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr int kShift = 20, kHalf = 1 << (kShift - 1);
constexpr int kY = 1220542, kUToBlue = 2116026, kUToGreen = -409993, kVToGreen = -852492, kVToRed = 1673527;

std::uint8_t saturated(int value) { return static_cast<std::uint8_t>(std::clamp(value >> kShift, 0, 255)); }

void yuv_pixel(int y, int u, int v, std::uint8_t* rgb) {
  const int luma = std::max(0, y - 16) * kY + kHalf;
  u -= 128;
  v -= 128;
  rgb[0] = saturated(luma + kVToRed * v);
  rgb[1] = saturated(luma + kVToGreen * v + kUToGreen * u);
  rgb[2] = saturated(luma + kUToBlue * u);
}

void pick(const std::uint8_t* __restrict pixels, int count, const Interleaved& bytes, std::uint8_t* __restrict rgb) {
  for (int i = 0; i < count; ++i, pixels += bytes.pixel) {
    rgb[3 * i] = pixels[bytes.red];
    rgb[3 * i + 1] = pixels[bytes.green];
    rgb[3 * i + 2] = pixels[bytes.blue];
  }
}

}  // namespace

Interleaved interleaved(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb: return {3, 0, 1, 2};
    case PixelFormat::bgr: return {3, 2, 1, 0};
    case PixelFormat::rgba: return {4, 0, 1, 2};
    case PixelFormat::bgra: return {4, 2, 1, 0};
    case PixelFormat::gray: return {1, 0, 0, 0};
    default: return {};
  }
}

Layout layout_of(PixelFormat format) {
  switch (format) {
    case PixelFormat::rgb:
    case PixelFormat::bgr: return {1, 3};
    case PixelFormat::rgba:
    case PixelFormat::bgra: return {1, 4};
    case PixelFormat::gray: return {1, 1};
    case PixelFormat::nv12: return {2, 1};
    case PixelFormat::i420: return {3, 1};
  }
  return {0, 0};
}

PlaneSize plane_size(PixelFormat format, int plane, int height, int width) {
  const auto rows = static_cast<std::size_t>(height), columns = static_cast<std::size_t>(width);
  if (plane == 0) return {rows, columns * static_cast<std::size_t>(layout_of(format).pixel_bytes)};
  const std::size_t half = (columns + 1) / 2;
  return {(rows + 1) / 2, format == PixelFormat::nv12 ? 2 * half : half};
}

Frame completed(Frame frame) {
  const int planes = layout_of(frame.format).planes;
  for (int plane = 0; plane < planes; ++plane) {
    const auto at = static_cast<std::size_t>(plane);
    const PlaneSize size = plane_size(frame.format, plane, frame.height, frame.width);
    // A padded plane that is followed by others is padded alike in them.
    const std::size_t padded = plane == 0 ? 0 : frame.format == PixelFormat::nv12 ? frame.row_bytes[0] : frame.row_bytes[0] / 2;
    const bool follows = plane > 0 && frame.planes[at] == nullptr;
    if (frame.row_bytes[at] == 0) frame.row_bytes[at] = follows ? std::max(padded, size.row_bytes) : size.row_bytes;
    if (follows && frame.planes[at - 1] != nullptr) {
      const PlaneSize before = plane_size(frame.format, plane - 1, frame.height, frame.width);
      frame.planes[at] = frame.planes[at - 1] + frame.row_bytes[at - 1] * before.rows;
    }
  }
  return frame;
}

void read_row(const Frame& frame, int row, int left, int right, std::uint8_t* rgb) {
  const auto line = [&](std::size_t plane, int at) { return frame.planes[plane] + frame.row_bytes[plane] * static_cast<std::size_t>(at); };
  const std::uint8_t* pixels = line(0, row) + static_cast<std::size_t>(layout_of(frame.format).pixel_bytes * left);
  const int count = right - left;
  switch (frame.format) {
    case PixelFormat::rgb: std::memcpy(rgb, pixels, static_cast<std::size_t>(3 * count)); break;
    case PixelFormat::bgr:
    case PixelFormat::rgba:
    case PixelFormat::bgra:
    case PixelFormat::gray: pick(pixels, count, interleaved(frame.format), rgb); break;
    case PixelFormat::nv12: {
      const std::uint8_t* pairs = line(1, row / 2);
      for (int i = 0; i < count; ++i) {
        const int pair = (left + i) / 2;
        yuv_pixel(pixels[i], pairs[2 * pair], pairs[2 * pair + 1], rgb + 3 * i);
      }
      break;
    }
    case PixelFormat::i420: {
      const std::uint8_t *u = line(1, row / 2), *v = line(2, row / 2);
      for (int i = 0; i < count; ++i) yuv_pixel(pixels[i], u[(left + i) / 2], v[(left + i) / 2], rgb + 3 * i);
      break;
    }
  }
}

}  // namespace x3ddeploy::detail
