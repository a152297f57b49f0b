// TensorRT: both backbones side by side, each in a CUDA stream of its own, then the head; what lies between them stays on
// the GPU. A call that comes a second time with as many clips, from the same memory, is recorded as a CUDA graph.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "backend.hpp"
#include "cuda.hpp"
#include "engines.hpp"
#include "tensorrt_engine.hpp"

namespace x3ddeploy::detail {
namespace {

// Each number of clips has execution contexts of its own, which hold activations: few are kept. Graphs are small.
constexpr std::size_t kKeptBatches = 4;
constexpr std::size_t kKeptGraphs = 8;
// Of every address that TensorRT is given; IExecutionContext::setTensorAddress.
constexpr std::uintptr_t kAlignment = 256;
constexpr const char* kParts[] = {"rgb_backbone", "pose_backbone", "head"};
constexpr std::size_t kRgb = 0, kPose = 1, kHead = 2;

struct Buffer {
  std::size_t clip_bytes = 0;
  DeviceMemory device;
  PinnedMemory pinned;  // for inputs and outputs
};

using Addresses = std::map<std::string, void*>;

// Where `imgs` and `heatmap_imgs` are read, and whether they are copied there first.
struct Sources {
  const void* imgs;
  const void* heatmap_imgs;
  bool copied_imgs;
  bool copied_heatmap_imgs;

  bool operator==(const Sources& other) const {
    return imgs == other.imgs && heatmap_imgs == other.heatmap_imgs && copied_imgs == other.copied_imgs &&
           copied_heatmap_imgs == other.copied_heatmap_imgs;
  }
};

struct Recorded {
  Sources sources;
  GraphExec graph;  // empty after the first call, which is never recorded: a context does its last preparations in it
};

struct Batch {
  std::int64_t clips = 0;
  std::vector<std::unique_ptr<nvinfer1::IExecutionContext>> contexts;  // by kParts
  std::vector<Recorded> recorded;                                      // the last used one last
};

class TensorRTBackend final : public Backend {
 public:
  TensorRTBackend(std::vector<Bytes> plans, const Options& options, const Host& host)
      : options_(options),
        description_("tensorrt " + host.version + " on " + host.gpu),
        runtime_(make_runtime(log_)),
        streams_{make_stream(), make_stream()},
        events_{make_event(), make_event(), make_event()} {
    for (std::size_t part = 0; part < plans.size(); ++part) {
      engines_.emplace_back(*runtime_, plans[part], kParts[part], log_);
      for (const EngineTensor& tensor : engines_.back().tensors()) {
        if (tensor.is_input) largest_ = largest_ == 0 ? tensor.largest : std::min(largest_, tensor.largest);
      }
    }
    for (std::size_t part = 0; part < engines_.size(); ++part) add_tensors(part);
    for (auto& [name, buffer] : buffers_) {
      const std::size_t bytes = buffer.clip_bytes * static_cast<std::size_t>(largest_);
      buffer.device = allocate_device(bytes);
      if (!is_between(name)) buffer.pinned = allocate_pinned(bytes);
    }
  }

  ~TensorRTBackend() override {
    last_.emplace(options_.gpu);
    cudaStreamSynchronize(streams_[0].get());
  }

  std::string description() const override { return description_; }
  NamedShapes inputs() const override { return inputs_; }
  std::int64_t most_clips() const override { return largest_; }
  bool takes_device_memory() const override { return true; }

  Result<Outputs> run(const Tensors& tensors, std::int64_t clips) override {
    if (clips > largest_) {
      return Error{ErrorKind::usage,
                   std::to_string(clips) + " clips at once, and the engines take at most " + std::to_string(largest_),
                   "build them with larger --max-shapes",
                   {}};
    }
    const CurrentDevice device(options_.gpu);
    const auto imgs = source_of("imgs", tensors.imgs, clips),
               heatmaps = source_of("heatmap_imgs", tensors.heatmap_imgs, clips);
    if (!imgs || !heatmaps) return (imgs ? heatmaps : imgs).error();
    const Sources sources = {*imgs, *heatmaps, tensors.imgs.memory == Memory::host,
                             tensors.heatmap_imgs.memory == Memory::host};
    if (!sources.copied_imgs || !sources.copied_heatmap_imgs) {
      order(static_cast<cudaStream_t>(options_.cuda_stream), main(), events_[2]);
    }
    try {
      launch(batch_of(clips), sources);
    } catch (...) {  // what was launched still reads the caller's memory
      for (const Stream& stream : streams_) cudaStreamSynchronize(stream.get());
      throw;
    }
    X3DDEPLOY_CUDA(cudaStreamSynchronize(main()));
    Outputs outputs;
    for (const auto& [name, shape] : outputs_) {
      const Buffer& buffer = buffers_.at(name);
      const auto* values = static_cast<const float*>(buffer.pinned.get());
      outputs[name].assign(values, values + buffer.clip_bytes * static_cast<std::size_t>(clips) / sizeof(float));
    }
    return outputs;
  }

 private:
  cudaStream_t main() const { return streams_[0].get(); }
  cudaStream_t beside() const { return streams_[1].get(); }

  // Made by a backbone and taken by the head.
  static bool is_between(const std::string& name) { return name == "rgb_feat" || name == "pose_feat"; }

  void add_tensors(std::size_t part) {
    for (const EngineTensor& tensor : engines_[part].tensors()) {
      std::size_t bytes = tensor.element_bytes;
      for (std::size_t axis = 1; axis < tensor.shape.size(); ++axis)
        bytes *= static_cast<std::size_t>(tensor.shape[axis]);
      Buffer& buffer = buffers_[tensor.name];
      if (buffer.clip_bytes != 0 && buffer.clip_bytes != bytes) {
        throw std::runtime_error("the engines disagree about " + tensor.name + ": build all parts again");
      }
      buffer.clip_bytes = bytes;
      if (is_between(tensor.name)) continue;
      if (!tensor.is_float32) throw std::runtime_error(tensor.name + " is not float32 in the engine: build it again");
      (tensor.is_input ? inputs_ : outputs_).emplace_back(tensor.name, tensor.shape);
    }
  }

  // Where an input is read: where the caller has it on the GPU, or the pinned memory that it is now in.
  Result<const void*> source_of(const std::string& name, const View<float>& view, std::int64_t clips) {
    if (view.memory == Memory::host) {
      const Buffer& buffer = buffers_.at(name);
      std::memcpy(buffer.pinned.get(), view.data, buffer.clip_bytes * static_cast<std::size_t>(clips));
      return static_cast<const void*>(buffer.pinned.get());
    }
    if (reinterpret_cast<std::uintptr_t>(view.data) % kAlignment != 0) {
      return Error{ErrorKind::failed,
                   "'" + name + "' lies at an address that is no multiple of 256 bytes",
                   "memory of cudaMalloc is aligned; a view into the middle of a tensor may not be",
                   {}};
    }
    return static_cast<const void*>(view.data);
  }

  Batch& batch_of(std::int64_t clips) {
    const auto found =
        std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) { return batch.clips == clips; });
    if (found != batches_.end()) {
      std::rotate(found, found + 1, batches_.end());
      return batches_.back();
    }
    if (batches_.size() == kKeptBatches) batches_.erase(batches_.begin());
    Batch batch;
    batch.clips = clips;
    for (const TensorRTEngine& engine : engines_) batch.contexts.push_back(engine.context(clips));
    return batches_.emplace_back(std::move(batch));
  }

  void launch(Batch& batch, const Sources& sources) {
    std::vector<Recorded>& recorded = batch.recorded;
    const auto found =
        std::find_if(recorded.begin(), recorded.end(), [&](const Recorded& one) { return one.sources == sources; });
    if (!options_.cuda_graph || found == recorded.end()) {
      enqueue(batch, sources);
      if (recorded.size() == kKeptGraphs) recorded.erase(recorded.begin());
      if (options_.cuda_graph) recorded.push_back({sources, nullptr});
      return;
    }
    std::rotate(found, found + 1, recorded.end());
    GraphExec& graph = recorded.back().graph;
    if (!graph) graph = record(batch, sources);
    X3DDEPLOY_CUDA(cudaGraphLaunch(graph.get(), main()));
  }

  GraphExec record(Batch& batch, const Sources& sources) {
    X3DDEPLOY_CUDA(cudaStreamBeginCapture(main(), cudaStreamCaptureModeThreadLocal));
    cudaGraph_t captured = nullptr;
    try {
      enqueue(batch, sources);
    } catch (...) {
      cudaStreamEndCapture(main(), &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    X3DDEPLOY_CUDA(cudaStreamEndCapture(main(), &captured));
    const Graph graph(captured);
    cudaGraphExec_t executable = nullptr;
    X3DDEPLOY_CUDA(cudaGraphInstantiateWithFlags(&executable, graph.get(), 0));
    return GraphExec(executable);
  }

  void enqueue(Batch& batch, const Sources& sources) {
    Addresses addresses;
    for (const auto& [name, buffer] : buffers_) addresses[name] = buffer.device.get();
    order(main(), beside(), events_[0]);
    feed("imgs", sources.imgs, sources.copied_imgs, batch.clips, main(), addresses);
    feed("heatmap_imgs", sources.heatmap_imgs, sources.copied_heatmap_imgs, batch.clips, beside(), addresses);
    enqueue_part(batch, kRgb, main(), addresses);
    enqueue_part(batch, kPose, beside(), addresses);
    order(beside(), main(), events_[1]);
    enqueue_part(batch, kHead, main(), addresses);
    for (const auto& [name, shape] : outputs_) {
      const Buffer& buffer = buffers_.at(name);
      X3DDEPLOY_CUDA(cudaMemcpyAsync(buffer.pinned.get(), buffer.device.get(),
                                     buffer.clip_bytes * static_cast<std::size_t>(batch.clips), cudaMemcpyDeviceToHost,
                                     main()));
    }
  }

  void feed(const std::string& name, const void* source, bool copied, std::int64_t clips, cudaStream_t stream,
            Addresses& addresses) {
    if (!copied) {
      addresses[name] = const_cast<void*>(source);  // an input is read only; TensorRT's interface cannot say so
      return;
    }
    const std::size_t bytes = buffers_.at(name).clip_bytes * static_cast<std::size_t>(clips);
    X3DDEPLOY_CUDA(cudaMemcpyAsync(addresses.at(name), source, bytes, cudaMemcpyHostToDevice, stream));
  }

  void enqueue_part(Batch& batch, std::size_t part, cudaStream_t stream, const Addresses& addresses) {
    nvinfer1::IExecutionContext& context = *batch.contexts[part];
    for (const EngineTensor& tensor : engines_[part].tensors()) {
      if (!context.setTensorAddress(tensor.name.c_str(), addresses.at(tensor.name))) {
        throw std::runtime_error(std::string(kParts[part]) + " does not take the address of " + tensor.name);
      }
    }
    if (!context.enqueueV3(stream))
      throw std::runtime_error(std::string(kParts[part]) + " fails: " + log_.last_error());
  }

  // In the order of construction; what is destroyed first stands last.
  std::optional<CurrentDevice> last_;  // while the rest is destroyed
  Options options_;
  std::string description_;
  TensorRTLog log_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  Stream streams_[2];
  Event events_[3];
  std::vector<TensorRTEngine> engines_;
  std::int64_t largest_ = 0;  // clips
  std::map<std::string, Buffer> buffers_;
  NamedShapes inputs_;
  NamedShapes outputs_;
  std::vector<Batch> batches_;
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
  for (const char* part : kParts) {
    Result<std::string> name = find_engine(bundle, part, options.precision, host);
    if (!name) {
      // Left to choose, another runtime can serve; asked for TensorRT, this is the answer.
      if (options.runtime == Runtime::automatic) name.error().kind = ErrorKind::missing_requirement;
      return std::move(name.error());
    }
    Result<Bytes> plan = bundle.read(*name);
    if (!plan) return std::move(plan.error());
    plans.push_back(std::move(*plan));
  }
  return BackendResult(std::make_unique<TensorRTBackend>(std::move(plans), options, host));
}

}  // namespace x3ddeploy::detail
