#include "tensorrt_request.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <stdexcept>

namespace x3ddeploy::detail {
namespace {

// Each number of clips, and of persons, has execution contexts of its own, which hold activations: few are kept. Graphs are
// small.
constexpr std::size_t kKeptBatches = 4;
constexpr std::size_t kKeptGraphs = 8;
// Of every address that TensorRT is given; IExecutionContext::setTensorAddress.
constexpr std::uintptr_t kAlignment = 256;

std::size_t size_of(const EngineTensor& tensor, std::int64_t clips, std::int64_t persons) {
  std::size_t bytes = bytes_of(tensor.type) * static_cast<std::size_t>(clips);
  for (std::size_t axis = 1; axis < tensor.shape.size(); ++axis) {
    bytes *= static_cast<std::size_t>(tensor.shape[axis] == kDynamic ? persons : tensor.shape[axis]);
  }
  return bytes;
}

// The inputs of some engines, in waves, that none before them gives.
NamedShapes inputs_of(const Way& way) {
  NamedShapes inputs;
  std::set<std::string> known;
  for (const auto& wave : way.waves) {
    for (const TensorRTEngine* engine : wave) {
      for (const EngineTensor& tensor : engine->tensors()) {
        if (known.insert(tensor.name).second && tensor.is_input) inputs.emplace_back(tensor.name, tensor.shape);
      }
    }
  }
  return inputs;
}

}  // namespace

std::size_t Way::takers(const std::string& tensor) const {
  std::size_t count = 0;
  for (const auto& wave : waves) {
    for (const TensorRTEngine* engine : wave) {
      count += static_cast<std::size_t>(std::count_if(engine->tensors().begin(), engine->tensors().end(), [&](const EngineTensor& one) {
        return one.is_input && one.name == tensor;
      }));
    }
  }
  return count;
}

LoadedEngines::LoadedEngines(const Contract& contract, const std::vector<std::vector<Plan>>& plans, const std::vector<Plan>& before,
                             const Options& its_options)
    : options(its_options), runtime(make_runtime(log)) {
  for (const std::vector<Plan>& wave : plans) ready.waves.push_back(load(wave));
  ready.inputs = inputs_of(ready);
  if (!before.empty()) {
    raw.waves.push_back(load(before));
    raw.waves.insert(raw.waves.end(), ready.waves.begin(), ready.waves.end());
    raw.inputs = inputs_of(raw);
  }
  most_persons = std::max<std::int64_t>(most_persons, 1);
  for (const auto& [name, shape] : ready.inputs) check_type(name);
  for (const auto& [name, shape] : raw.inputs) check_type(name);
  for (const Output& output : contract.outputs) {
    check_type(output.name);
    outputs.emplace_back(output.name, tensors.at(output.name).shape);
  }
}

std::vector<const TensorRTEngine*> LoadedEngines::load(const std::vector<Plan>& plans) {
  std::vector<const TensorRTEngine*> wave;
  for (const Plan& plan : plans) {
    wave.push_back(&engines.emplace_back(*runtime, plan.bytes, plan.name, log));
    for (const EngineTensor& tensor : wave.back()->tensors()) {
      const auto [known, is_new] = tensors.try_emplace(tensor.name, tensor);
      if (size_of(known->second, 1, 1) != size_of(tensor, 1, 1)) {
        throw std::runtime_error("the engines disagree about " + tensor.name + ": build all parts again");
      }
      if (!tensor.is_input) continue;
      most_clips = most_clips == 0 ? tensor.largest.at(0) : std::min(most_clips, tensor.largest.at(0));
      for (std::size_t axis = 1; axis < tensor.shape.size(); ++axis) {
        if (tensor.shape[axis] == kDynamic) most_persons = most_persons == 0 ? tensor.largest[axis] : std::min(most_persons, tensor.largest[axis]);
      }
    }
  }
  return wave;
}

void LoadedEngines::check_type(const std::string& tensor) const {
  const auto found = tensors.find(tensor);
  if (found == tensors.end()) throw std::runtime_error("no engine gives " + tensor + ": build all parts again");
  const bool bytes = tensor == kRawFrames;
  if (found->second.type != (bytes ? nvinfer1::DataType::kUINT8 : nvinfer1::DataType::kFLOAT)) {
    throw std::runtime_error(tensor + " is not " + (bytes ? "uint8" : "float32") + " in the engine: build it again");
  }
}

std::unique_ptr<nvinfer1::IExecutionContext> LoadedEngines::context(const TensorRTEngine& engine, std::int64_t clips, std::int64_t persons,
                                                                    cudaStream_t stream) {
  const std::lock_guard<std::mutex> one(making_);
  return engine.context(clips, persons, stream);
}

std::size_t LoadedEngines::bytes_of(const std::string& tensor, std::int64_t clips, std::int64_t persons) const {
  return size_of(tensors.at(tensor), clips, persons);
}

TensorRTRequest::TensorRTRequest(LoadedEngines& loaded)
    : loaded_(loaded), callers_event_(make_event()), start_(make_event(cudaEventDefault)), end_(make_event(cudaEventDefault)) {
  // The raw way is the other one with a wave in front.
  for (const auto& wave : (loaded_.raw.waves.empty() ? loaded_.ready : loaded_.raw).waves) {
    while (streams_.size() < wave.size()) streams_.push_back(make_stream());
    // Where the other streams part from the first, and where they join it again.
    for (std::size_t i = 2; i < 2 * wave.size(); ++i) events_.push_back(make_event());
  }
  const auto largest = [&](const std::string& name) { return loaded_.bytes_of(name, loaded_.most_clips, loaded_.most_persons); };
  for (const auto& [name, tensor] : loaded_.tensors) buffers_[name].device = allocate_device(largest(name));
  for (const auto& [name, shape] : loaded_.outputs) buffers_.at(name).pinned = allocate_pinned(largest(name));
}

std::optional<Error> TensorRTRequest::too_many(std::int64_t clips, std::int64_t persons) const {
  const bool clips_fit = clips <= loaded_.most_clips;
  if (clips_fit && persons <= loaded_.most_persons) return std::nullopt;
  return Error{ErrorKind::usage,
               clips_fit ? std::to_string(persons) + " persons at once, and the engines that draw them take at most " + std::to_string(loaded_.most_persons)
                         : std::to_string(clips) + " clips at once, and the engines take at most " + std::to_string(loaded_.most_clips),
               "build them with larger --max-shapes",
               {}};
}

Result<Outputs> TensorRTRequest::run(const Feeds& tensors, std::int64_t clips) {
  if (const auto error = too_many(clips, 1)) return *error;
  Sources sources;
  bool all_copied = true;
  for (const auto& [name, shape] : loaded_.ready.inputs) {
    const View<float>& view = tensors.at(name);
    if (view.memory == Memory::host) {
      sources[name] = {pinned(name, view.data, loaded_.bytes_of(name, clips, 1)), true};
      continue;
    }
    if (reinterpret_cast<std::uintptr_t>(view.data) % kAlignment != 0) {
      return Error{ErrorKind::failed,
                   "'" + name + "' lies at an address that is no multiple of 256 bytes",
                   "memory of cudaMalloc is aligned; a view into the middle of a tensor may not be",
                   {}};
    }
    sources[name] = {view.data, false};
    all_copied = false;
  }
  if (!all_copied) order(static_cast<cudaStream_t>(loaded_.options.cuda_stream), main(), callers_event_);
  return run(loaded_.ready, sources, clips, 1);
}

Result<Outputs> TensorRTRequest::run_raw(const RawFeeds& feeds) {
  if (const auto error = too_many(feeds.clips, feeds.persons)) return *error;
  Sources sources;
  for (const auto& [name, shape] : loaded_.raw.inputs) {
    const RawTensor& given = feeds.tensors.at(name);
    const std::size_t bytes = loaded_.bytes_of(name, feeds.clips, feeds.persons);
    if (given.bytes != bytes) {
      return Error{ErrorKind::failed,
                   "the engine takes " + std::to_string(bytes) + " bytes of " + name + ", and the network's inputs are made of " + std::to_string(given.bytes),
                   "export and build again",
                   {}};
    }
    sources[name] = {pinned(name, given.data, bytes), true};
  }
  return run(loaded_.raw, sources, feeds.clips, feeds.persons);
}

// Page-locked memory with what the caller has; it is allocated in the first run, which is never recorded.
const void* TensorRTRequest::pinned(const std::string& name, const void* data, std::size_t bytes) {
  PinnedMemory& memory = buffers_.at(name).pinned;
  if (!memory) memory = allocate_pinned(loaded_.bytes_of(name, loaded_.most_clips, loaded_.most_persons));
  std::memcpy(memory.get(), data, bytes);
  return memory.get();
}

Result<Outputs> TensorRTRequest::run(const Way& way, const Sources& sources, std::int64_t clips, std::int64_t persons) {
  try {
    X3DDEPLOY_CUDA(cudaEventRecord(start_.get(), main()));
    launch(batch_of(way, clips, persons), sources);
    X3DDEPLOY_CUDA(cudaEventRecord(end_.get(), main()));
  } catch (...) {  // what was launched still reads the caller's memory
    for (const Stream& stream : streams_) cudaStreamSynchronize(stream.get());
    throw;
  }
  X3DDEPLOY_CUDA(cudaStreamSynchronize(main()));
  X3DDEPLOY_CUDA(cudaEventElapsedTime(&gpu_ms_, start_.get(), end_.get()));
  Outputs results;
  for (const auto& [name, shape] : loaded_.outputs) {
    const auto* values = static_cast<const float*>(buffers_.at(name).pinned.get());
    results[name].assign(values, values + loaded_.bytes_of(name, clips, 1) / sizeof(float));
  }
  return results;
}

TensorRTRequest::Batch& TensorRTRequest::batch_of(const Way& way, std::int64_t clips, std::int64_t persons) {
  const auto found = std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) {
    return batch.way == &way && batch.clips == clips && batch.persons == persons;
  });
  if (found != batches_.end()) {
    std::rotate(found, found + 1, batches_.end());
    return batches_.back();
  }
  if (batches_.size() == kKeptBatches) batches_.erase(batches_.begin());
  Batch batch;
  batch.way = &way;
  batch.clips = clips;
  batch.persons = persons;
  for (const auto& wave : way.waves) {
    for (std::size_t i = 0; i < wave.size(); ++i) {
      batch.contexts.push_back(loaded_.context(*wave[i], clips, persons, streams_[i].get()));
    }
  }
  return batches_.emplace_back(std::move(batch));
}

void TensorRTRequest::launch(Batch& batch, const Sources& sources) {
  std::vector<Recorded>& recorded = batch.recorded;
  const auto found =
      std::find_if(recorded.begin(), recorded.end(), [&](const Recorded& one) { return one.sources == sources; });
  if (!loaded_.options.cuda_graph || found == recorded.end()) {
    enqueue(batch, sources);
    if (recorded.size() == kKeptGraphs) recorded.erase(recorded.begin());
    if (loaded_.options.cuda_graph) recorded.push_back({sources, nullptr, false});
    return;
  }
  std::rotate(found, found + 1, recorded.end());
  Recorded& last = recorded.back();
  if (!last.graph && !last.is_plain) {
    try {
      last.graph = record(batch, sources);
    } catch (const std::exception& error) {
      enqueue(batch, sources);  // where more than the capture is wrong, this says so
      last.is_plain = loaded_.has_plain = true;
      if (loaded_.options.log) {
        loaded_.options.log("runs of " + std::to_string(batch.clips) + " clips are not recorded as a CUDA graph: " + error.what());
      }
      return;
    }
  }
  if (last.is_plain) return enqueue(batch, sources);
  X3DDEPLOY_CUDA(cudaGraphLaunch(last.graph.get(), main()));
}

GraphExec TensorRTRequest::record(Batch& batch, const Sources& sources) {
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

void TensorRTRequest::enqueue(Batch& batch, const Sources& sources) {
  const Way& way = *batch.way;
  Addresses addresses;
  for (const auto& [name, buffer] : buffers_) addresses[name] = buffer.device.get();
  std::set<std::string> waiting;  // inputs that are not there yet
  for (const auto& [name, source] : sources) {
    if (source.copied) {
      waiting.insert(name);
    } else {  // an input is read only; TensorRT's interface cannot say so
      addresses[name] = const_cast<void*>(source.place);
    }
  }
  const auto feed = [&](const std::string& name, cudaStream_t stream) {
    if (waiting.erase(name) == 0) return;
    const std::size_t bytes = loaded_.bytes_of(name, batch.clips, batch.persons);
    X3DDEPLOY_CUDA(cudaMemcpyAsync(addresses.at(name), sources.at(name).place, bytes, cudaMemcpyHostToDevice, stream));
  };
  // What one engine alone takes, and at once, comes in that engine's stream; the rest before the streams part.
  for (const auto& [name, source] : sources) {
    if (way.takers(name) != 1) feed(name, main());
  }
  std::size_t context = 0, event = 0;
  for (const auto& wave : way.waves) {
    for (std::size_t i = 1; i < wave.size(); ++i) order(main(), streams_[i].get(), events_[event++]);
    for (std::size_t i = 0; i < wave.size(); ++i) {
      for (const EngineTensor& tensor : wave[i]->tensors()) feed(tensor.name, streams_[i].get());
      enqueue_engine(*wave[i], *batch.contexts[context++], streams_[i].get(), addresses);
    }
    for (std::size_t i = 1; i < wave.size(); ++i) order(streams_[i].get(), main(), events_[event++]);
  }
  for (const auto& [name, shape] : loaded_.outputs) {
    const Buffer& buffer = buffers_.at(name);
    const std::size_t bytes = loaded_.bytes_of(name, batch.clips, 1);
    X3DDEPLOY_CUDA(cudaMemcpyAsync(buffer.pinned.get(), buffer.device.get(), bytes, cudaMemcpyDeviceToHost, main()));
  }
}

void TensorRTRequest::enqueue_engine(const TensorRTEngine& engine, nvinfer1::IExecutionContext& context, cudaStream_t stream,
                                     const Addresses& addresses) {
  for (const EngineTensor& tensor : engine.tensors()) {
    if (!context.setTensorAddress(tensor.name.c_str(), addresses.at(tensor.name))) {
      throw std::runtime_error(engine.name() + " does not take the address of " + tensor.name);
    }
  }
  if (!context.enqueueV3(stream)) throw std::runtime_error(engine.name() + " fails: " + loaded_.log.last_error());
}

}  // namespace x3ddeploy::detail
