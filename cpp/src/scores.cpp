#include "scores.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace x3ddeploy::detail {
namespace {

constexpr float kDrawn = 1e-4f;  // the least score that is drawn

std::vector<double> probabilities(std::vector<double> values, Activation activation) {
  if (activation == Activation::sigmoid) {
    for (double& value : values) value = 1 / (1 + std::exp(-value));
    return values;
  }
  const double largest = values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - largest);
  for (double& value : values) value /= sum;
  return values;
}

// The probabilities that the logits give, in the contract's weights: streams that are averaged by 'score' are fused as
// logits, as MMAction2's metric does, others as probabilities.
std::vector<float> weighed(const Outputs& logits, const Contract& contract) {
  const bool as_logits = contract.average_clips == "score";
  Activation activation = Activation::softmax;
  double total = 0;
  for (const auto& [name, weight] : contract.weights) total += weight;
  std::vector<double> sums(static_cast<std::size_t>(contract.classes), 0.0);
  for (const Output& output : contract.outputs) {
    for (const auto& [name, weight] : contract.weights) {
      if (name != output.name) continue;
      activation = output.activation;
      const std::vector<float>& given = logits.at(name);
      std::vector<double> values(given.begin(), given.end());
      if (!as_logits) values = probabilities(std::move(values), activation);
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += weight / total * values.at(k);
    }
  }
  if (as_logits) sums = probabilities(sums, activation);
  return {sums.begin(), sums.end()};
}

bool is_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

// Adds up `values`; false where they are not as many as before.
bool add(std::vector<double>& sums, const std::vector<float>& values) {
  if (sums.empty()) sums.resize(values.size(), 0.0);
  if (sums.size() != values.size()) return false;
  std::transform(values.begin(), values.end(), sums.begin(), sums.begin(),
                 [](float value, double sum) { return sum + static_cast<double>(value); });
  return true;
}

std::vector<float> mean(const std::vector<double>& sums, std::size_t clips) {
  std::vector<float> means;
  for (const double sum : sums) means.push_back(static_cast<float>(sum / static_cast<double>(clips)));
  return means;
}

void name_streams(Prediction& prediction) {
  const std::pair<const char*, std::vector<float> Prediction::*> members[] = {
      {"rgb_logits", &Prediction::rgb_logits},
      {"pose_logits", &Prediction::pose_logits},
      {"rgb_coarse_logits", &Prediction::rgb_coarse_logits},
      {"pose_coarse_logits", &Prediction::pose_coarse_logits}};
  for (const auto& [name, member] : members) {
    if (const auto found = prediction.logits.find(name); found != prediction.logits.end()) {
      prediction.*member = found->second;
    }
  }
}

}  // namespace

Result<std::vector<Prediction>> predictions(const Outputs& outputs, std::int64_t clips, const Contract& contract,
                                            bool anew) {
  std::vector<Prediction> all(static_cast<std::size_t>(clips));
  for (const Output& output : contract.outputs) {
    if (output.kind == OutputKind::features) continue;
    const auto width = static_cast<std::size_t>(output.shape.at(1));
    const auto values = outputs.find(output.name);
    const std::size_t found = values == outputs.end() ? 0 : values->second.size();
    if (found != width * all.size()) {
      return Error{ErrorKind::failed,
                   std::string("the graph gives ") + std::to_string(found) + " values of " + output.name +
                       ", and the manifest says " + std::to_string(width) + " a clip",
                   "export again",
                   {}};
    }
    if (!is_finite(values->second)) {
      return Error{ErrorKind::gate,
                   output.name + " holds NaN or infinity",
                   "look at the inputs; `x3ddeploy verify` looks at the graphs",
                   {}};
    }
    for (std::size_t clip = 0; clip < all.size(); ++clip) {
      const auto start = values->second.begin() + static_cast<std::ptrdiff_t>(clip * width);
      std::vector<float>& target =
          output.kind == OutputKind::scores ? all[clip].scores : all[clip].logits[output.name];
      target.assign(start, start + static_cast<std::ptrdiff_t>(width));
    }
  }
  for (Prediction& clip : all) {
    if (anew || clip.scores.empty() || contract.average_clips == "score") clip.scores = weighed(clip.logits, contract);
    name_streams(clip);
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

Result<Prediction> averaged(const std::vector<Prediction>& clips, const Contract& contract) {
  const auto refused = [](const char* message, const char* hint) { return Error{ErrorKind::usage, message, hint, {}}; };
  if (clips.empty()) return refused("there are no clips to average", "give at least one");
  if (clips.size() == 1) return clips.front();
  if (contract.average_clips == "none") {
    return refused("the network was trained to average no clips (average_clips 'none')", "take its clips one by one");
  }
  std::vector<double> scores;
  std::map<std::string, std::vector<double>> logits;
  for (const Prediction& clip : clips) {
    bool alike = add(scores, clip.scores) && clip.logits.size() == clips.front().logits.size();
    for (const auto& [name, values] : clip.logits) alike = alike && add(logits[name], values);
    if (!alike) return refused("the predictions are of different networks", "average the clips of one recognizer");
  }
  Prediction result;
  result.scores = mean(scores, clips.size());
  for (const auto& [name, sums] : logits) result.logits[name] = mean(sums, clips.size());
  name_streams(result);
  result.frames_with_persons = 0;
  result.stages = clips.front().stages;
  for (const Prediction& clip : clips) {
    if (result.frames_with_persons && clip.frames_with_persons) {
      *result.frames_with_persons += *clip.frames_with_persons;
    } else {
      result.frames_with_persons.reset();
    }
  }
  // 'prob': the mean of the probabilities, which weighing keeps. 'score': those of the mean logits.
  if (contract.average_clips == "score") result.scores = weighed(result.logits, contract);
  return result;
}

}  // namespace x3ddeploy::detail
