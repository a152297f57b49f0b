// TensorRT: the parts in waves, those of one wave side by side, each in a CUDA stream of its own; what lies between them
// stays on the GPU. A call that comes a second time with as many clips, from the same memory, is recorded as a CUDA graph.
#include <algorithm>
#include <deque>

#include "engines.hpp"
#include "tensorrt_request.hpp"

namespace x3ddeploy::detail {
namespace {

class TensorRTBackend final : public Backend {
 public:
  // Plans in the order of the waves' parts.
  TensorRTBackend(const Network& network, const std::vector<Bytes>& plans, const Options& options, const Host& host)
      : description_("tensorrt " + host.version + " on " + host.gpu), loaded_(network, plans, options) {
    // For throughput the copies of one call overlap with another's computation.
    const int requests = options.requests > 0 ? options.requests : options.hint == Hint::throughput ? 2 : 1;
    while (requests_.size() < static_cast<std::size_t>(requests)) requests_.emplace_back(loaded_);
  }

  ~TensorRTBackend() override { last_.emplace(loaded_.options.gpu); }

  std::string description() const override { return description_; }
  NamedShapes inputs() const override { return loaded_.inputs; }
  std::int64_t most_clips() const override { return loaded_.largest; }
  bool takes_device_memory() const override { return true; }
  bool uses_cuda_graph() const override { return loaded_.options.cuda_graph && !loaded_.has_plain; }
  double gpu_ms(int request) const override { return requests_.at(static_cast<std::size_t>(request)).gpu_ms(); }
  int requests() const override { return static_cast<int>(requests_.size()); }

  Result<Outputs> run(const Feeds& tensors, std::int64_t clips, int request) override {
    const CurrentDevice device(loaded_.options.gpu);
    return requests_.at(static_cast<std::size_t>(request)).run(tensors, clips);
  }

 private:
  std::optional<CurrentDevice> last_;  // while the rest is destroyed
  std::string description_;
  LoadedEngines loaded_;
  std::deque<TensorRTRequest> requests_;  // which stay where they are
};

Error no_gpu(const std::string& why) {
  return {ErrorKind::missing_requirement,
          "there is no usable NVIDIA GPU: " + why,
          "run it on a machine with one, or use another runtime",
          {}};
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
  std::vector<Bytes> plans;
  const Network& network = bundle.manifest().network;
  std::vector<Part> parts;
  for (const auto& wave : network.waves) parts.insert(parts.end(), wave.begin(), wave.end());
  for (const Part& part : parts) {
    Result<std::string> name = find_engine(bundle, part.name, options.precision, host);
    if (!name) {
      // Left to choose, another runtime can serve; asked for TensorRT, this is the answer.
      if (options.runtime == Runtime::automatic) name.error().kind = ErrorKind::missing_requirement;
      return std::move(name.error());
    }
    Result<Bytes> plan = bundle.read(*name);
    if (!plan) return std::move(plan.error());
    plans.push_back(std::move(*plan));
  }
  return BackendResult(std::make_unique<TensorRTBackend>(network, plans, options, host));
}

}  // namespace x3ddeploy::detail
