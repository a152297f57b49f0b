// A keypoint draws exp(-((x - mu_x)^2 + (y - mu_y)^2) / (2 sigma^2)) * score inside a window of three sigma, whose
// borders are cut to integers toward zero; the maximum over persons stays (mmaction/datasets/transforms/
// pose_transforms.py, `generate_a_heatmap`). The Gaussian is separable: a column vector times a row vector.
#include <algorithm>
#include <cmath>
#include <limits>

#include "preparation.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr float kLeastPeak = 1e-4f;  // scores under this draw nothing
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

namespace {

// What a joint is, in pixels of the map, and how bright it is drawn: 0 where it is not.
struct Joint {
  Point place;
  float peak = 0;
};

class Drawing {
 public:
  Drawing(const Contract& contract) : contract_(contract), rows_(static_cast<std::size_t>(contract.pose_height)), columns_(static_cast<std::size_t>(contract.pose_width)) {}

  void joint(const Joint& joint, float* map) {
    if (joint.peak == 0) return;
    const Window across = gaussian(joint.place.x, contract_.pose_width, contract_.sigma, columns_);
    const Window down = gaussian(joint.place.y, contract_.pose_height, contract_.sigma, rows_);
    for (int row = down.first; row < down.end; ++row) {
      const float strength = rows_[static_cast<std::size_t>(row - down.first)] * joint.peak;
      float* line = map + static_cast<std::size_t>(row) * columns_.size();
      for (int column = across.first; column < across.end; ++column) {
        line[column] = std::max(line[column], strength * columns_[static_cast<std::size_t>(column - across.first)]);
      }
    }
  }

  void limb(const Joint& start, const Joint& end, float* map) {
    const float peak = std::min(start.peak, end.peak);
    if (peak == 0) return;
    const float x = start.place.x - end.place.x, y = start.place.y - end.place.y;
    // Shorter than a pixel it is its first joint.
    if (x * x + y * y < 1) return joint(start, map);
    draw_limb(start.place, end.place, peak, contract_.sigma, contract_.pose_height, contract_.pose_width, map);
  }

 private:
  const Contract& contract_;
  std::vector<float> rows_;
  std::vector<float> columns_;
};

}  // namespace

void draw_heatmaps(const float* keypoints, const float* scores, std::int64_t persons, const Contract& contract,
                   float* heatmaps) {
  const Steps& steps = steps_of(contract);
  const auto frames = static_cast<std::size_t>(contract.pose_frames), joints = static_cast<std::size_t>(contract.joints);
  const std::size_t size = static_cast<std::size_t>(contract.pose_height) * static_cast<std::size_t>(contract.pose_width);
  std::fill_n(heatmaps, static_cast<std::size_t>(channels_of(contract)) * frames * size, 0.0f);
  const auto scaling = static_cast<float>(contract.scaling);
  Drawing drawing(contract);
  std::vector<Joint> body(joints);
  for (std::size_t place = 0; place < static_cast<std::size_t>(persons) * frames; ++place) {
    for (std::size_t joint = 0; joint < joints; ++joint) {
      const std::size_t at = place * joints + joint;
      const float peak = contract.use_score ? scores[at] : 1.0f;
      body[joint] = {{keypoints[2 * at] * scaling, keypoints[2 * at + 1] * scaling}, peak};
      const bool finite = std::isfinite(peak) && std::isfinite(body[joint].place.x) && std::isfinite(body[joint].place.y);
      if (!(peak >= kLeastPeak) || !finite) body[joint].peak = 0;
    }
    const auto map = [&](std::size_t channel) { return heatmaps + (channel * frames + place % frames) * size; };
    for (std::size_t joint = 0; steps.draws_joints && joint < joints; ++joint) drawing.joint(body[joint], map(joint));
    for (std::size_t limb = 0; limb < steps.limbs.size(); ++limb) {
      const auto& [first, second] = steps.limbs[limb];
      drawing.limb(body[static_cast<std::size_t>(first)], body[static_cast<std::size_t>(second)], map(limb));
    }
  }
}

ClipPersons persons_of(const float* keypoints, const float* scores, std::int64_t persons, const Contract& contract) {
  const auto frames = static_cast<std::size_t>(contract.pose_frames), joints = static_cast<std::size_t>(contract.joints);
  const auto scaling = static_cast<float>(contract.scaling);
  const auto peak_of = [&](std::size_t at) {
    const float peak = contract.use_score ? scores[at] : 1.0f;
    const bool finite = std::isfinite(peak) && std::isfinite(keypoints[2 * at]) && std::isfinite(keypoints[2 * at + 1]);
    return finite && peak >= kLeastPeak ? peak : 0.0f;
  };
  std::vector<std::vector<std::size_t>> drawn(frames);  // who is drawn in a frame
  for (std::size_t frame = 0; frame < frames; ++frame) {
    for (std::size_t person = 0; person < static_cast<std::size_t>(persons); ++person) {
      const std::size_t first = (person * frames + frame) * joints;
      bool any = false;
      for (std::size_t at = first; at < first + joints && !any; ++at) any = peak_of(at) > 0;
      if (any) drawn[frame].push_back(person);
    }
  }
  ClipPersons result;
  for (const auto& persons_here : drawn) result.places = std::max(result.places, static_cast<std::int64_t>(persons_here.size()));
  const std::size_t values = static_cast<std::size_t>(result.places) * frames * joints;
  result.keypoints.assign(2 * values, contract.use_score ? 0.0f : std::numeric_limits<float>::quiet_NaN());
  result.scores.assign(values, 0.0f);
  std::vector<float> row;
  const auto brightest = [&](float centre, int size) {
    row.resize(static_cast<std::size_t>(size));
    const Window window = gaussian(centre * scaling, size, contract.sigma, row);
    return window.end <= window.first ? 0.0f : *std::max_element(row.begin(), row.begin() + (window.end - window.first));
  };
  for (std::size_t frame = 0; frame < frames; ++frame) {
    bool seen = false;
    for (std::size_t place = 0; place < drawn[frame].size(); ++place) {
      for (std::size_t joint = 0; joint < joints; ++joint) {
        const std::size_t from = (drawn[frame][place] * frames + frame) * joints + joint, to = (place * frames + frame) * joints + joint;
        const float peak = peak_of(from);
        if (peak == 0) continue;
        const float x = keypoints[2 * from], y = keypoints[2 * from + 1];
        result.keypoints[2 * to] = x;
        result.keypoints[2 * to + 1] = y;
        result.scores[to] = peak;
        seen = seen || brightest(x, contract.pose_width) * brightest(y, contract.pose_height) * peak >= kLeastPeak;
      }
    }
    result.frames_with_persons += seen ? 1 : 0;
  }
  return result;
}

std::int64_t channels_of(const Contract& contract) {
  const Steps& steps = steps_of(contract);
  return (steps.draws_joints ? contract.joints : 0) + static_cast<std::int64_t>(steps.limbs.size());
}

// A clip (channels, frames, height, width) seen in a mirror, left and right exchanged.
void draw_twin(const float* clip, const Contract& contract, float* twin) {
  const std::vector<int>& channels = steps_of(contract).twin;
  const auto width = static_cast<std::size_t>(contract.pose_width);
  const std::size_t rows = static_cast<std::size_t>(contract.pose_frames) * static_cast<std::size_t>(contract.pose_height);
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    const float* from = clip + static_cast<std::size_t>(channels[channel]) * rows * width;
    float* to = twin + channel * rows * width;
    for (std::size_t row = 0; row < rows; ++row) std::reverse_copy(from + row * width, from + (row + 1) * width, to + row * width);
  }
}

}  // namespace x3ddeploy::detail
