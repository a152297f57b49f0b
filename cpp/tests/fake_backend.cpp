// A runtime for the tests, in ONNX Runtime's place: backend.cpp is compiled for them anew, with this one. What it does is
// said by the "graph" that it loads.
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "backend.hpp"

namespace x3ddeploy::detail {
namespace {

constexpr std::pair<const char*, const char*> kLogits[] = {{"imgs", "rgb_logits"}, {"heatmap_imgs", "pose_logits"}};

class FakeBackend final : public Backend {
 public:
  FakeBackend(std::string behaviour, NamedShapes inputs)
      : behaviour_(std::move(behaviour)), inputs_(std::move(inputs)) {}

  std::string description() const override { return "fake 1.0 on cpu"; }
  NamedShapes inputs() const override { return inputs_; }
  int requests() const override { return behaviour_ == "two at once" ? 2 : 1; }
  std::int64_t most_clips() const override { return behaviour_ == "takes two" ? 2 : Backend::most_clips(); }

  // Class 0 has the clip's mean, class 1 nothing; of slow ones the pose's class 1 says how many ran at the same time at most.
  Result<Outputs> run(const Feeds& tensors, std::int64_t clips, int request) override {
    if (clips > most_clips()) throw std::runtime_error("too many clips for the fake");
    if (request < 0 || request >= requests()) throw std::runtime_error("no such request");
    if (behaviour_ == "fake slowly" || behaviour_ == "two at once") {
      const int now = ++running_;
      for (int most = most_at_once_; most < now && !most_at_once_.compare_exchange_weak(most, now);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      --running_;
    }
    if (behaviour_ == "throws") throw std::runtime_error("the fake has thrown");
    Outputs outputs;
    for (std::int64_t clip = 0; clip < clips; ++clip) {
      float first = std::numeric_limits<float>::quiet_NaN();
      for (const auto& [name, logits] : kLogits) {
        const auto input = tensors.find(name);
        if (input == tensors.end()) continue;
        const float value = mean(input->second, clip);
        const std::string output = inputs_.size() == 1 ? "logits" : logits;
        outputs[output].insert(outputs[output].end(),
                               {value, output == "pose_logits" ? static_cast<float>(most_at_once_) : 0.0f});
        if (name == inputs_.front().first) first = value;
      }
      const float score = behaviour_ == "nan" ? std::numeric_limits<float>::quiet_NaN() : first;
      outputs["scores"].insert(outputs["scores"].end(), {score, 1 - score});
    }
    if (behaviour_ == "forgets") outputs.erase("pose_logits");
    return outputs;
  }

 private:
  static float mean(const View<float>& view, std::int64_t clip) {
    const std::int64_t size =
        std::accumulate(view.shape.begin() + 1, view.shape.end(), std::int64_t{1}, std::multiplies<>());
    const float* start = view.data + clip * size;
    return std::accumulate(start, start + size, 0.0f) / static_cast<float>(size);
  }

  std::string behaviour_;
  std::atomic<int> running_{0}, most_at_once_{0};
  NamedShapes inputs_;
};

}  // namespace

BackendResult open_onnxruntime(const Bundle& bundle, const Options& options) {
  const Result<std::string> file = bundle.graph("recognizer", options.precision);
  if (!file) return file.error();
  const Result<Bytes> graph = bundle.read(*file);
  if (!graph) return graph.error();
  const std::string behaviour(graph->begin(), graph->end());
  if (behaviour == "lacks its machine") return Error{ErrorKind::missing_requirement, "the fake cannot run here", "", {}};
  if (behaviour == "refuses") throw std::runtime_error("the fake cannot read its graph");
  NamedShapes inputs;
  for (const Input& input : bundle.contract().inputs) inputs.emplace_back(input.name, input.shape);
  return BackendResult(std::make_unique<FakeBackend>(behaviour, std::move(inputs)));
}

}  // namespace x3ddeploy::detail
