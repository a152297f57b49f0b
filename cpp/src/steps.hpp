// What a network's test pipeline does to a video, in MMAction2's steps; the same as x3ddeploy/modalities/ does in Python.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "decoder.hpp"
#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

using Shape = std::vector<std::int64_t>;
using Indices = std::vector<std::int64_t>;

// Which frames make the clips.
struct Sampler {
  std::string type = "UniformSampleFrames";
  std::int64_t clip_len = 1;
  std::int64_t num_clips = 1;
  std::int64_t frame_interval = 1;
  std::int64_t sample_range = 64;
  std::int64_t num_sample_positions = 10;
  bool twice_sample = false;
  bool repeat_last = false;
  std::uint32_t seed = 255;

  // Frames that are drawn from a video, of all clips together.
  std::int64_t frames() const;
  Indices draw(std::int64_t frames) const;
};

// MMAction2's Resize: to a size, by a factor, or inside bounds of the longer and the shorter side.
struct Resizing {
  bool keep_ratio = false;
  double factor = 0;  // 0 where there is a scale
  int width = 0;
  int height = 0;

  // Height and width of a picture once it is resized.
  std::pair<int, int> size(int picture_height, int picture_width) const;
};

// Parts of the resized picture: one in the middle, three along it, or four corners and the middle.
struct Cropping {
  int height = 0;  // 0: the whole picture
  int width = 0;
  int crops = 1;
  bool mirrored = false;  // each is seen mirrored as well, right after it
  bool flipped = false;   // all are seen mirrored only

  int count() const { return crops * (mirrored ? 2 : 1); }
  // Left and top of each part.
  Result<std::vector<std::pair<int, int>>> corners(int picture_height, int picture_width) const;
};

struct SkeletonStep {
  std::string type;
  std::string dataset = "nturgb+d";
  std::string source = "keypoint";
  std::string target = "keypoint";
  std::string mode;
  std::vector<std::string> features;
  std::int64_t length = 0;   // of clips, or of what is padded
  std::int64_t persons = 2;
  std::uint32_t seed = 255;
  int zaxis[2] = {0, 1};
  int xaxis[2] = {8, 4};
  bool align_spine = true, align_shoulder = true, align_center = true;
  int height = 1080;  // of pictures whose size is not known
  int width = 1920;
};

struct View2D {
  Sampler sampler;
  bool compact = false;
  Resizing resizing;
  Cropping cropping;
};

struct Steps {
  View2D frames;
  View2D heatmaps;
  bool draws_joints = true;
  std::vector<std::pair<int, int>> limbs;
  std::vector<int> twin;  // for each channel of the mirrored view which channel it is made of; empty where there is none
  std::vector<SkeletonStep> skeleton;
  bool in_space = false;  // skeletons of three coordinates
  bool scored = false;    // skeletons of two coordinates and their scores
  Shape skeleton_shape;   // (persons, frames, joints, channels)
};

// What a contract that says nothing else means: clips drawn uniformly, of frames that are resized.
const Steps& steps_of(const Contract& contract);

// Reads the pipeline of an input; gives what of it is not understood, nothing where all is.
std::string read_view(const Place& pipeline, bool heatmaps, std::int64_t length, View2D& view);
std::string read_drawing(const Place& parameters, std::int64_t channels, Steps& steps, std::int64_t& joints);
std::string read_skeleton(const Place& pipeline, const Shape& clip, Steps& steps);

}  // namespace x3ddeploy::detail
