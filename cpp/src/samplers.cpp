// x3ddeploy/modalities/samplers.py and crop.py: which frames, and which parts of them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "preprocess.hpp"
#include "steps.hpp"

namespace x3ddeploy::detail {
namespace {

// Frames of the video for those that lie after it; fractions are cut last, as MMAction2 does.
void put_within(std::vector<double>& clip, std::int64_t frames, bool repeat_last) {
  double last = 0;
  for (const double frame : clip) {
    if (frame < static_cast<double>(frames)) last = std::max(last, frame);
  }
  for (double& frame : clip) {
    if (frame >= static_cast<double>(frames)) frame = repeat_last ? last : std::fmod(frame, static_cast<double>(frames));
  }
}

Indices spread(const std::vector<double>& starts, const Sampler& sampler, std::int64_t frames) {
  Indices drawn;
  for (const double start : starts) {
    std::vector<double> clip;
    for (std::int64_t i = 0; i < sampler.clip_len; ++i) clip.push_back(start + static_cast<double>(i * sampler.frame_interval));
    put_within(clip, frames, sampler.repeat_last);
    for (const double frame : clip) drawn.push_back(static_cast<std::int64_t>(frame));
  }
  return drawn;
}

std::vector<double> evenly(const Sampler& sampler, std::int64_t frames) {
  std::vector<double> starts;
  if (sampler.clip_len == 1) {
    const double part = static_cast<double>(frames) / static_cast<double>(sampler.num_clips);
    for (std::int64_t i = 0; i < sampler.num_clips; ++i) starts.push_back(static_cast<double>(i) * part + part / 2.0);
    for (std::int64_t i = 0; sampler.twice_sample && i < sampler.num_clips; ++i) starts.push_back(static_cast<double>(i) * part);
    return starts;
  }
  const std::int64_t last = std::max<std::int64_t>(frames - ((sampler.clip_len - 1) * sampler.frame_interval + 1), 0);
  if (sampler.num_clips == 1) return {static_cast<double>(last / 2)};
  const double between = static_cast<double>(last) / static_cast<double>(sampler.num_clips - 1);
  for (std::int64_t i = 0; i < sampler.num_clips; ++i) starts.push_back(std::nearbyint(static_cast<double>(i) * between));
  return starts;
}

std::vector<double> densely(const Sampler& sampler, std::int64_t frames) {
  const std::int64_t positions = std::max<std::int64_t>(1, 1 + frames - sampler.sample_range);
  const std::int64_t count = sampler.num_sample_positions;
  std::vector<double> starts;
  for (std::int64_t i = 0; i < count; ++i) {
    const double step = count > 1 ? static_cast<double>(positions - 1) / static_cast<double>(count - 1) : 0;
    const bool is_last = i == count - 1 && count > 1;
    const auto start = is_last ? positions - 1 : static_cast<std::int64_t>(static_cast<double>(i) * step);
    for (std::int64_t clip = 0; clip < sampler.num_clips; ++clip) {
      starts.push_back(static_cast<double>((start + clip * (sampler.sample_range / sampler.num_clips)) % frames));
    }
  }
  return starts;
}

}  // namespace

std::int64_t Sampler::frames() const {
  const std::int64_t once = clip_len * num_clips;
  return type == "DenseSampleFrames" ? once * num_sample_positions : once * (twice_sample ? 2 : 1);
}

Indices Sampler::draw(std::int64_t frames) const {
  if (type == "UniformSampleFrames") return uniform_indices(frames, static_cast<int>(clip_len), static_cast<int>(num_clips), seed);
  if (type == "SampleFrames") return spread(evenly(*this, frames), *this, frames);
  if (type == "DenseSampleFrames") return spread(densely(*this, frames), *this, frames);
  Indices drawn;  // UniformSample
  const double part = static_cast<double>(frames - 1) / static_cast<double>(clip_len);
  const double step = part / static_cast<double>(num_clips + 1);
  for (std::int64_t clip = 0; clip < num_clips; ++clip) {
    for (std::int64_t i = 0; i < clip_len; ++i) {
      drawn.push_back(static_cast<std::int64_t>(std::nearbyint(part * static_cast<double>(i))) +
                      static_cast<std::int64_t>(step * static_cast<double>(clip + 1)));
    }
  }
  return drawn;
}

std::pair<int, int> Resizing::size(int picture_height, int picture_width) const {
  if (!keep_ratio) return {height, width};
  double share = factor;
  if (share == 0) {
    double longest = std::max(width, height), shortest = std::min(width, height);
    if (shortest == -1) {
      shortest = longest;
      longest = std::numeric_limits<double>::infinity();
    }
    share = std::min(longest / std::max(picture_height, picture_width), shortest / std::min(picture_height, picture_width));
  }
  const auto scaled = [&](int side) { return std::clamp(static_cast<int>(std::min(side * share + 0.5, 1e6)), 1, 1 << 14); };
  return {scaled(picture_height), scaled(picture_width)};
}

Result<std::vector<std::pair<int, int>>> Cropping::corners(int picture_height, int picture_width) const {
  using Corners = std::vector<std::pair<int, int>>;
  if (height == 0) return Corners{{0, 0}};
  const int down = picture_height - height, across = picture_width - width;
  const auto refused = [&](const std::string& what, const std::string& hint) {
    return Error{ErrorKind::failed, what + " of " + std::to_string(width) + " x " + std::to_string(height) + " pixels in a picture that is resized to " +
                 std::to_string(picture_width) + " x " + std::to_string(picture_height), hint, {}};
  };
  if (down < 0 || across < 0) return refused("a crop", "the network was tested on pictures of another shape");
  if (crops == 1) return Corners{{across / 2, down / 2}};
  if (crops == 3) {
    if (down != 0 && across != 0) return refused("three crops", "one of their sides must be the picture's");
    return Corners{{0, 0}, {across / 2 * 2, down / 2 * 2}, {across / 2, down / 2}};
  }
  const int x = across / 4, y = down / 4;
  return Corners{{0, 0}, {4 * x, 0}, {0, 4 * y}, {4 * x, 4 * y}, {2 * x, 2 * y}};
}

const Steps& steps_of(const Contract& contract) {
  static const Steps kUsual;
  return contract.steps == nullptr ? kUsual : *contract.steps;
}

}  // namespace x3ddeploy::detail
