// Engines of bundle_files.hpp's network: a backbone's feature is the clip's mean; the logits are {feature, 0}, the scores
// {feature of RGB, feature of pose}. Preprocessing is written out as the graphs have it, pixel by pixel. A plan is the text
// "played <part> <most clips> <most persons>".
#include <NvInfer.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <utility>

#include "played.hpp"

namespace nvinfer1 {
namespace {

constexpr std::int64_t kImgs = 3 * 2 * 4 * 4, kHeatmaps = 2 * 3 * 4 * 4;

std::vector<PlayedTensor> tensors_of(const std::string& part) {
  const PlayedTensor rgb_feat = {"rgb_feat", true, {2, {-1, 1}}}, pose_feat = {"pose_feat", true, {2, {-1, 1}}};
  const auto output = [](PlayedTensor tensor) {
    tensor.is_input = false;
    return tensor;
  };
  if (part == "rgb_backbone") return {{"imgs", true, {5, {-1, 3, 2, 4, 4}}}, output(rgb_feat)};
  if (part == "pose_backbone") return {{"heatmap_imgs", true, {5, {-1, 2, 3, 4, 4}}}, output(pose_feat)};
  if (part == "preprocess_rgb") return {{"frames", true, {5, {-1, 2, 4, 4, 3}}, DataType::kUINT8}, {"imgs", false, {5, {-1, 3, 2, 4, 4}}}};
  if (part == "preprocess_pose") {
    return {{"keypoints", true, {5, {-1, -1, 3, 2, 2}}}, {"keypoint_scores", true, {5, {-1, -1, 3, 2, 1}}}, {"heatmap_imgs", false, {5, {-1, 2, 3, 4, 4}}}};
  }
  const Dims classes = {2, {-1, 2}};
  return {
      rgb_feat, pose_feat, {"rgb_logits", false, classes}, {"pose_logits", false, classes}, {"scores", false, classes}};
}

void means(const float* clips, std::int64_t clip_size, std::int64_t count, float* result) {
  for (std::int64_t clip = 0; clip < count; ++clip, clips += clip_size) {
    result[clip] = std::accumulate(clips, clips + clip_size, 0.0f) / static_cast<float>(clip_size);
  }
}

void normalise(const std::uint8_t* frames, std::int64_t clips, float* imgs) {
  constexpr float kMean[] = {1, 2, 3}, kStd[] = {2, 4, 8};
  for (std::int64_t i = 0; i < clips * kImgs; ++i) {
    const std::int64_t clip = i / kImgs, channel = i / 32 % 3, frame = i / 16 % 2, pixel = i % 16;
    imgs[i] = (static_cast<float>(frames[clip * kImgs + (frame * 16 + pixel) * 3 + channel]) - kMean[channel]) / kStd[channel];
  }
}

void draw(const float* keypoints, const float* scores, std::int64_t clips, std::int64_t persons, float* heatmaps) {
  constexpr float kScaling = 0.5f, kSigma = 0.6f, kReach = 3 * kSigma;
  for (std::int64_t i = 0; i < clips * kHeatmaps; ++i) {
    const std::int64_t clip = i / kHeatmaps, joint = i / 48 % 2, frame = i / 16 % 3;
    const float y = static_cast<float>(i / 4 % 4), x = static_cast<float>(i % 4);
    heatmaps[i] = 0;
    for (std::int64_t person = 0; person < persons; ++person) {
      const std::int64_t at = ((clip * persons + person) * 3 + frame) * 2 + joint;
      const float over = keypoints[2 * at] * kScaling, down = keypoints[2 * at + 1] * kScaling;
      if (!(scores[at] >= 1e-4f) || !std::isfinite(over) || !std::isfinite(down)) continue;
      const bool inside = x >= std::trunc(over - kReach) && x <= std::trunc(over + kReach) && y >= std::trunc(down - kReach) && y <= std::trunc(down + kReach);
      const float squares = (x - over) * (x - over) + (y - down) * (y - down);
      if (inside) heatmaps[i] = std::max(heatmaps[i], std::exp(-squares / (2 * kSigma * kSigma)) * scores[at]);
    }
  }
}

}  // namespace

IExecutionContext::IExecutionContext(std::string part, std::vector<PlayedTensor> tensors, std::array<std::int64_t, 2> largest, ILogger& log)
    : part_(std::move(part)), tensors_(std::move(tensors)), largest_(largest), log_(log) {
  const auto turn = played::turn();
  ++played::gpu().live_contexts;
  setOptimizationProfileAsync(0, nullptr);
}

IExecutionContext::~IExecutionContext() {
  const auto turn = played::turn();
  --played::gpu().live_contexts;
  if (profile_ == 0) --played::gpu().contexts_with_profile[part_];
}

std::int32_t IExecutionContext::getOptimizationProfile() const { return profile_; }

bool IExecutionContext::setOptimizationProfileAsync(std::int32_t profile, cudaStream_t) {
  const auto turn = played::turn();
  int& holders = played::gpu().contexts_with_profile[part_];
  if (holders > 0 && !played::gpu().shares_profiles) return false;
  ++holders;
  profile_ = profile;
  return true;
}

bool IExecutionContext::setInputShape(const char* name, const Dims& dims) {
  if (profile_ < 0) return false;
  const auto tensor = std::find_if(tensors_.begin(), tensors_.end(), [&](const PlayedTensor& one) { return one.name == name; });
  for (int axis = 0; axis < dims.nbDims; ++axis) {
    const bool free = tensor->dims.d[axis] == -1;
    if (free ? dims.d[axis] < 1 || dims.d[axis] > largest_[axis == 0 ? 0 : 1] : dims.d[axis] != tensor->dims.d[axis]) return false;
  }
  shapes_[name] = dims;
  is_prepared_ = false;
  return true;
}

bool IExecutionContext::setTensorAddress(const char* name, void* address) {
  addresses_[name] = address;
  return played::is_on_device(address);
}

bool IExecutionContext::enqueueV3(cudaStream_t stream) {
  const auto turn = played::turn();
  if (played::gpu().failing_part == part_) {
    log_.log(ILogger::Severity::kERROR, "played failure");
    return false;
  }
  const bool complete = std::all_of(tensors_.begin(), tensors_.end(), [this](const PlayedTensor& tensor) {
    return addresses_.count(tensor.name) == 1 && shapes_.count(tensor.name) == (tensor.is_input ? 1u : 0u);
  });
  if (!complete || profile_ < 0) return false;
  if (played::is_capturing(stream) && (!is_prepared_ || played::gpu().uncapturable_part == part_)) {
    played::break_capture(stream);  // what is wrong, only the end of the capture tells
  }
  is_prepared_ = true;
  const Dims& first = shapes_.begin()->second;
  for (const auto& [name, shape] : shapes_) {
    if (shape.d[0] != first.d[0] || (part_ == "preprocess_pose" && shape.d[1] != first.d[1])) return false;
  }
  played::enqueue(stream, [part = part_, addresses = addresses_, clips = first.d[0], persons = first.d[1]] {
    const auto at = [&](const char* name) { return static_cast<float*>(addresses.at(name)); };
    if (part == "preprocess_rgb") return normalise(static_cast<const std::uint8_t*>(addresses.at("frames")), clips, at("imgs"));
    if (part == "preprocess_pose") return draw(at("keypoints"), at("keypoint_scores"), clips, persons, at("heatmap_imgs"));
    if (part == "rgb_backbone") return means(at("imgs"), kImgs, clips, at("rgb_feat"));
    if (part == "pose_backbone") return means(at("heatmap_imgs"), kHeatmaps, clips, at("pose_feat"));
    for (std::int64_t clip = 0; clip < clips; ++clip) {
      // What is taken is used up: a feature that is not computed anew for the next run is seen.
      const float rgb = std::exchange(at("rgb_feat")[clip], -1.0f), pose = std::exchange(at("pose_feat")[clip], -1.0f);
      at("rgb_logits")[2 * clip] = at("scores")[2 * clip] = rgb;
      at("pose_logits")[2 * clip] = at("scores")[2 * clip + 1] = pose;
      at("rgb_logits")[2 * clip + 1] = at("pose_logits")[2 * clip + 1] = 0;
    }
  });
  return true;
}

ICudaEngine::ICudaEngine(std::string part, std::array<std::int64_t, 2> largest, ILogger& log)
    : part_(std::move(part)), largest_(largest), tensors_(tensors_of(part_)), log_(log) {}

std::int32_t ICudaEngine::getNbIOTensors() const { return static_cast<std::int32_t>(tensors_.size()); }

const char* ICudaEngine::getIOTensorName(std::int32_t index) const {
  return tensors_.at(static_cast<std::size_t>(index)).name.c_str();
}

TensorIOMode ICudaEngine::getTensorIOMode(const char* name) const {
  return tensor(name).is_input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
}

DataType ICudaEngine::getTensorDataType(const char* name) const { return tensor(name).type; }

Dims ICudaEngine::getTensorShape(const char* name) const { return tensor(name).dims; }

Dims ICudaEngine::getProfileShape(const char* name, std::int32_t, OptProfileSelector) const {
  Dims dims = tensor(name).dims;
  for (int axis = 0; axis < dims.nbDims; ++axis) {
    if (dims.d[axis] == -1) dims.d[axis] = largest_[axis == 0 ? 0 : 1];
  }
  return dims;
}

IExecutionContext* ICudaEngine::createExecutionContext() const { return new IExecutionContext(part_, tensors_, largest_, log_); }

const PlayedTensor& ICudaEngine::tensor(const char* name) const {
  return *std::find_if(tensors_.begin(), tensors_.end(), [&](const PlayedTensor& one) { return one.name == name; });
}

ICudaEngine* IRuntime::deserializeCudaEngine(const void* plan, std::size_t size) {
  std::istringstream text(std::string(static_cast<const char*>(plan), size));
  std::string played, part;
  std::array<std::int64_t, 2> largest = {0, 0};
  if (text >> played >> part >> largest[0] >> largest[1] && played == "played") return new ICudaEngine(part, largest, log_);
  log_.log(ILogger::Severity::kERROR, "magic tag does not match");
  return nullptr;
}

IRuntime* createInferRuntime(ILogger& log) { return new IRuntime(log); }

}  // namespace nvinfer1
