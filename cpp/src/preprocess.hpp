// Frames and keypoints to tensors: the same numbers as x3ddeploy/data/ gives in Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

// A box in pixels of the frame. What of it lies outside the frame is black.
struct Box {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;

  int width() const { return right - left; }
  int height() const { return bottom - top; }
};

// How many planes a format has, and how many bytes a pixel takes in the first.
struct Layout {
  int planes = 0;
  int pixel_bytes = 0;
};

struct PlaneSize {
  std::size_t rows = 0;
  std::size_t row_bytes = 0;  // that hold pixels
};

// Where red, green and blue stand in a pixel of one plane, and how many bytes it takes; 0 of formats of several planes.
struct Interleaved {
  std::ptrdiff_t pixel = 0;
  std::ptrdiff_t red = 0;
  std::ptrdiff_t green = 0;
  std::ptrdiff_t blue = 0;
};

Interleaved interleaved(PixelFormat format);
Layout layout_of(PixelFormat format);
PlaneSize plane_size(PixelFormat format, int plane, int height, int width);

// With every plane and every row's length filled in.
Frame completed(Frame frame);

// Pixels `left` to `right` - 1 of a row of a completed frame, as R, G, B.
void read_row(const Frame& frame, int row, int left, int right, std::uint8_t* rgb);

// The frames of a video, from 0, that make its clips: `clips` times `length` indices (MMAction2's UniformSampleFrames
// in testing). Needs at least one frame.
std::vector<std::int64_t> uniform_indices(std::int64_t frames, int length, int clips, std::uint32_t seed = 255);

// The square about all joints, a quarter larger than they need; the whole frame where they need little (MMAction2's
// MMCompact). `keypoints` holds x, y, x, y, ...; a coordinate of 0 does not count.
Result<Box> crop_about(const std::vector<float>& keypoints, int height, int width);

// In place: pixels of the frame to pixels of the resized box. A coordinate of 0 stays 0.
void move_keypoints(std::vector<float>& keypoints, const Box& box, int height, int width);

// The box cut out of a completed frame and resized to height x width x 3, bilinear as OpenCV's INTER_LINEAR, bit by bit.
void crop_and_resize(const Frame& frame, const Box& box, int height, int width, std::uint8_t* result);

// A completed frame to three planes of (value - mean) / std, `plane_stride` elements apart.
void normalise_frame(const Frame& frame, const Contract& contract, float* planes, std::size_t plane_stride);

struct Point {
  float x = 0;
  float y = 0;
};

// The limb between two joints, in pixels of the map; what is brighter stays.
void draw_limb(const Point& start, const Point& end, float peak, double sigma, int height, int width, float* map);

// One clip's heatmaps (channels, frames, height, width), MMAction2's GeneratePoseTarget. `keypoints` (persons, frames,
// joints, 2) in pixels of the frame, `scores` (persons, frames, joints), the frames being the contract's.
void draw_heatmaps(const float* keypoints, const float* scores, std::int64_t persons, const Contract& contract,
                   float* heatmaps);

// Joints and limbs that are drawn.
std::int64_t channels_of(const Contract& contract);
void draw_twin(const float* clip, const Contract& contract, float* twin);

}  // namespace x3ddeploy::detail
