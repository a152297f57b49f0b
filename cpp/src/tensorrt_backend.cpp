// TensorRT: the parts in waves, those of one wave side by side, each in a CUDA stream of its own; what lies between them
// stays on the GPU. Where the bundle has engines of its preprocessing graphs, videos go up as the bytes that they are, and
// those engines are the first wave. A call that comes a second time with as many clips, from the same memory, is recorded
// as a CUDA graph.
#include <deque>
#include <set>

#include "engines.hpp"
#include "preparation.hpp"
#include "tensorrt_request.hpp"

namespace x3ddeploy::detail {
namespace {

// Where videos are prepared: by the engines of all preprocessing graphs, or on the host where there are none.
struct Preparation {
  std::vector<Plan> plans;
  std::string note;
};

class TensorRTBackend final : public Backend {
 public:
  TensorRTBackend(const Contract& contract, const std::vector<std::vector<Plan>>& plans, const Preparation& preparation, const Options& options,
                  const Host& host)
      : description_("tensorrt " + host.version + " on " + host.gpu), note_(preparation.note), loaded_(contract, plans, preparation.plans, options) {
    for (const auto& [name, shape] : loaded_.raw.inputs) raw_inputs_.push_back(name);
    // For throughput the copies of one call overlap with another's computation.
    const int requests = options.requests > 0 ? options.requests : options.hint == Hint::throughput ? 2 : 1;
    while (requests_.size() < static_cast<std::size_t>(requests)) requests_.emplace_back(loaded_);
  }

  ~TensorRTBackend() override { last_.emplace(loaded_.options.gpu); }

  std::string description() const override { return description_; }
  NamedShapes inputs() const override { return loaded_.ready.inputs; }
  std::int64_t most_clips() const override { return loaded_.most_clips; }
  bool takes_device_memory() const override { return true; }
  std::vector<std::string> raw_inputs() const override { return raw_inputs_; }
  std::int64_t most_persons() const override { return loaded_.most_persons; }
  std::string note() const override { return note_; }
  bool uses_cuda_graph() const override { return loaded_.options.cuda_graph && !loaded_.has_plain; }
  double gpu_ms(int request) const override { return requests_.at(static_cast<std::size_t>(request)).gpu_ms(); }
  int requests() const override { return static_cast<int>(requests_.size()); }

  Result<Outputs> run(const Feeds& tensors, std::int64_t clips, int request) override {
    const CurrentDevice device(loaded_.options.gpu);
    return requests_.at(static_cast<std::size_t>(request)).run(tensors, clips);
  }

  Result<Outputs> run_raw(const RawFeeds& feeds, int request) override {
    const CurrentDevice device(loaded_.options.gpu);
    return requests_.at(static_cast<std::size_t>(request)).run_raw(feeds);
  }

 private:
  std::optional<CurrentDevice> last_;  // while the rest is destroyed
  std::string description_;
  std::string note_;
  std::vector<std::string> raw_inputs_;
  LoadedEngines loaded_;
  std::deque<TensorRTRequest> requests_;  // which stay where they are
};

Error no_gpu(const std::string& why) {
  return {ErrorKind::missing_requirement,
          "there is no usable NVIDIA GPU: " + why,
          "run it on a machine with one, or use another runtime",
          {}};
}

// Why no graphs make all of the network's inputs; empty where they do.
std::string lacking(const Manifest& manifest) {
  if (!steps_of(manifest.network.contract).twin.empty()) return "heatmaps are seen in a mirror, too";
  std::set<std::string> made;
  for (const Preprocessing& graph : manifest.preprocessing) {
    made.insert(graph.outputs.begin(), graph.outputs.end());
    for (const std::string& input : graph.inputs) {
      if (input != kRawFrames && input != kRawKeypoints && input != kRawScores) return graph.name + " takes '" + input + "'";
    }
  }
  for (const Input& input : manifest.network.contract.inputs) {
    if (made.count(input.name) == 0) return "the bundle has no preprocessing graph of " + input.name + " (x3ddeploy export --preprocess)";
  }
  return "";
}

// An engine that was altered is an error; one that is not there, or was built elsewhere, leaves the work to the host.
Result<Preparation> preparation_of(const Bundle& bundle, const Host& host) {
  Preparation preparation;
  std::string why = lacking(bundle.manifest());
  for (const Preprocessing& graph : bundle.manifest().preprocessing) {
    if (!why.empty()) break;
    const Result<std::string> name = find_engine(bundle, graph.name, "fp32", host);
    if (!name) {
      why = name.error().message + " (" + name.error().hint + ")";
      break;
    }
    Result<Bytes> plan = bundle.read(*name);
    if (plan) {
      preparation.plans.push_back({graph.name, std::move(*plan)});
    } else if (const std::string missing = *name + ": missing"; plan.error().details == std::vector<std::string>{missing}) {
      why = missing;  // an application that carries its files may leave it out
    } else {
      return std::move(plan.error());
    }
  }
  if (!why.empty()) preparation.plans.clear();
  preparation.note = why.empty() ? "videos are prepared on the GPU: frames go up as bytes" : "videos are prepared on the CPU: " + why;
  return preparation;
}

}  // namespace

BackendResult open_tensorrt(const Bundle& bundle, const Options& options) {
  // The driver is asked first: without one, TensorRT's runtime may crash.
  int devices = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&devices); code != cudaSuccess)
    return no_gpu(cudaGetErrorString(code));
  if (options.gpu < 0 || options.gpu >= devices) {
    return no_gpu("device " + std::to_string(options.gpu) + " was asked for, of " + std::to_string(devices));
  }
  const CurrentDevice device(options.gpu);
  cudaDeviceProp properties;
  X3DDEPLOY_CUDA(cudaGetDeviceProperties(&properties, options.gpu));
  const Host host = {properties.name, std::to_string(properties.major) + "." + std::to_string(properties.minor),
                     tensorrt_version()};
  std::vector<std::vector<Plan>> plans;
  for (const std::vector<Part>& wave : bundle.manifest().network.waves) {
    plans.emplace_back();
    for (const Part& part : wave) {
      Result<std::string> name = find_engine(bundle, part.name, options.precision, host);
      if (!name) {
        // Left to choose, another runtime can serve; asked for TensorRT, this is the answer.
        if (options.runtime == Runtime::automatic) name.error().kind = ErrorKind::missing_requirement;
        return std::move(name.error());
      }
      Result<Bytes> plan = bundle.read(*name);
      if (!plan) return std::move(plan.error());
      plans.back().push_back({part.name, std::move(*plan)});
    }
  }
  const Result<Preparation> preparation = preparation_of(bundle, host);
  if (!preparation) return preparation.error();
  return BackendResult(std::make_unique<TensorRTBackend>(bundle.contract(), plans, *preparation, options, host));
}

}  // namespace x3ddeploy::detail
