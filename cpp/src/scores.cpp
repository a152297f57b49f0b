#include "scores.hpp"

#include <algorithm>
#include <cmath>

namespace x3ddeploy::detail {
namespace {

constexpr float kDrawn = 1e-4f;  // the least score that is drawn

std::vector<double> softmax(const std::vector<float>& logits) {
  std::vector<double> values(logits.begin(), logits.end());
  const double largest = values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - largest);
  for (double& value : values) value /= sum;
  return values;
}

std::vector<float> fused(const Prediction& clip, const std::array<double, 2>& fusion) {
  const std::vector<double> rgb = softmax(clip.rgb_logits), pose = softmax(clip.pose_logits);
  const double total = fusion[0] + fusion[1];
  std::vector<float> scores(std::min(rgb.size(), pose.size()));
  for (std::size_t k = 0; k < scores.size(); ++k) {
    scores[k] = static_cast<float>(fusion[0] / total * rgb[k] + fusion[1] / total * pose[k]);
  }
  return scores;
}

bool is_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

std::vector<float> mean(const std::vector<Prediction>& clips, std::vector<float> Prediction::* member) {
  std::vector<double> sums((clips.front().*member).size(), 0.0);
  for (const Prediction& clip : clips) {
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += (clip.*member)[k];
  }
  std::vector<float> means;
  for (const double sum : sums) means.push_back(static_cast<float>(sum / static_cast<double>(clips.size())));
  return means;
}

constexpr std::pair<const char*, std::vector<float> Prediction::*> kMembers[] = {
    {"scores", &Prediction::scores},
    {"rgb_logits", &Prediction::rgb_logits},
    {"pose_logits", &Prediction::pose_logits},
    {"rgb_coarse_logits", &Prediction::rgb_coarse_logits},
    {"pose_coarse_logits", &Prediction::pose_coarse_logits}};

}  // namespace

Result<std::vector<Prediction>> predictions(const Outputs& outputs, std::int64_t clips, const Contract& contract,
                                            const std::optional<std::array<double, 2>>& fusion) {
  std::vector<Prediction> all(static_cast<std::size_t>(clips));
  for (const auto& [name, member] : kMembers) {
    const bool coarse = std::string(name).find("coarse") != std::string::npos;
    const auto width = static_cast<std::size_t>(coarse ? contract.coarse_classes : contract.classes);
    if (width == 0) continue;
    const auto output = outputs.find(name);
    const std::size_t found = output == outputs.end() ? 0 : output->second.size();
    if (found != width * all.size()) {
      return Error{ErrorKind::failed,
                   std::string("the graph gives ") + std::to_string(found) + " values of " + name +
                       ", and the manifest says " + std::to_string(width) + " a clip",
                   "export again",
                   {}};
    }
    if (!is_finite(output->second)) {
      return Error{ErrorKind::gate,
                   std::string(name) + " holds NaN or infinity",
                   "look at the inputs; `x3ddeploy verify` looks at the graphs",
                   {}};
    }
    for (std::size_t clip = 0; clip < all.size(); ++clip) {
      const auto start = output->second.begin() + static_cast<std::ptrdiff_t>(clip * width);
      (all[clip].*member).assign(start, start + static_cast<std::ptrdiff_t>(width));
    }
  }
  if (fusion) {
    for (Prediction& clip : all) clip.scores = fused(clip, *fusion);
  }
  return all;
}

void count_persons(const View<float>& heatmaps, std::vector<Prediction>& clips) {
  if (heatmaps.shape.size() != 5) return;
  const auto joints = static_cast<std::size_t>(heatmaps.shape[1]), frames = static_cast<std::size_t>(heatmaps.shape[2]);
  const auto size = static_cast<std::size_t>(heatmaps.shape[3] * heatmaps.shape[4]);
  for (std::size_t clip = 0; clip < clips.size(); ++clip) {
    int count = 0;
    for (std::size_t frame = 0; frame < frames; ++frame) {
      bool found = false;
      for (std::size_t joint = 0; joint < joints && !found; ++joint) {
        const float* map = heatmaps.data + ((clip * joints + joint) * frames + frame) * size;
        found = std::any_of(map, map + size, [](float value) { return value >= kDrawn; });
      }
      count += found ? 1 : 0;
    }
    clips[clip].frames_with_persons = count;
  }
}

Result<Prediction> averaged(const std::vector<Prediction>& clips, const std::string& how,
                            const std::array<double, 2>& fusion) {
  const auto refused = [](const char* message, const char* hint) { return Error{ErrorKind::usage, message, hint, {}}; };
  if (clips.empty()) return refused("there are no clips to average", "give at least one");
  if (clips.size() == 1) return clips.front();
  if (how == "none") {
    return refused("the network was trained to average no clips (average_clips 'none')", "take its clips one by one");
  }
  Prediction result;
  for (const auto& [name, member] : kMembers) {
    for (const Prediction& clip : clips) {
      if ((clip.*member).size() != (clips.front().*member).size()) {
        return refused("the predictions are of different networks", "average the clips of one recognizer");
      }
    }
    result.*member = mean(clips, member);
  }
  result.frames_with_persons = 0;
  for (const Prediction& clip : clips) {
    if (result.frames_with_persons && clip.frames_with_persons) {
      *result.frames_with_persons += *clip.frames_with_persons;
    } else {
      result.frames_with_persons.reset();
    }
  }
  // 'prob': the mean of the probabilities, which fusion keeps. 'score': the probabilities of the mean logits.
  if (how == "score") result.scores = fused(result, fusion);
  return result;
}

}  // namespace x3ddeploy::detail
