// Engines of bundle_files.hpp's network: a backbone's feature is the clip's mean; the logits are {feature, 0}, the scores
// {feature of RGB, feature of pose}. A plan is the text "played <part> <most clips>".
#include <NvInfer.h>

#include <algorithm>
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
  const Dims classes = {2, {-1, 2}};
  return {
      rgb_feat, pose_feat, {"rgb_logits", false, classes}, {"pose_logits", false, classes}, {"scores", false, classes}};
}

void means(const float* clips, std::int64_t clip_size, std::int64_t count, float* result) {
  for (std::int64_t clip = 0; clip < count; ++clip, clips += clip_size) {
    result[clip] = std::accumulate(clips, clips + clip_size, 0.0f) / static_cast<float>(clip_size);
  }
}

}  // namespace

IExecutionContext::IExecutionContext(std::string part, std::vector<PlayedTensor> tensors, ILogger& log)
    : part_(std::move(part)), tensors_(std::move(tensors)), log_(log) {
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
  clips_[name] = dims.d[0];
  is_prepared_ = false;
  return dims.d[0] > 0;
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
    return addresses_.count(tensor.name) == 1 && clips_.count(tensor.name) == (tensor.is_input ? 1u : 0u);
  });
  if (!complete || profile_ < 0) return false;
  if (played::is_capturing(stream) && (!is_prepared_ || played::gpu().uncapturable_part == part_)) {
    played::break_capture(stream);  // what is wrong, only the end of the capture tells
  }
  is_prepared_ = true;
  played::enqueue(stream, [part = part_, addresses = addresses_, clips = clips_.begin()->second] {
    const auto at = [&](const char* name) { return static_cast<float*>(addresses.at(name)); };
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

ICudaEngine::ICudaEngine(std::string part, std::int64_t most_clips, ILogger& log)
    : part_(std::move(part)), most_clips_(most_clips), tensors_(tensors_of(part_)), log_(log) {}

std::int32_t ICudaEngine::getNbIOTensors() const { return static_cast<std::int32_t>(tensors_.size()); }

const char* ICudaEngine::getIOTensorName(std::int32_t index) const {
  return tensors_.at(static_cast<std::size_t>(index)).name.c_str();
}

TensorIOMode ICudaEngine::getTensorIOMode(const char* name) const {
  return tensor(name).is_input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
}

DataType ICudaEngine::getTensorDataType(const char*) const { return DataType::kFLOAT; }

Dims ICudaEngine::getTensorShape(const char* name) const { return tensor(name).dims; }

Dims ICudaEngine::getProfileShape(const char* name, std::int32_t, OptProfileSelector) const {
  Dims dims = tensor(name).dims;
  dims.d[0] = most_clips_;
  return dims;
}

IExecutionContext* ICudaEngine::createExecutionContext() const { return new IExecutionContext(part_, tensors_, log_); }

const PlayedTensor& ICudaEngine::tensor(const char* name) const {
  return *std::find_if(tensors_.begin(), tensors_.end(), [&](const PlayedTensor& one) { return one.name == name; });
}

ICudaEngine* IRuntime::deserializeCudaEngine(const void* plan, std::size_t size) {
  std::istringstream text(std::string(static_cast<const char*>(plan), size));
  std::string played, part;
  std::int64_t most_clips = 0;
  if (text >> played >> part >> most_clips && played == "played") return new ICudaEngine(part, most_clips, log_);
  log_.log(ILogger::Severity::kERROR, "magic tag does not match");
  return nullptr;
}

IRuntime* createInferRuntime(ILogger& log) { return new IRuntime(log); }

}  // namespace nvinfer1
