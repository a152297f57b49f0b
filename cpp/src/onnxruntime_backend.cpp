// ONNX Runtime on the CPU: the network as one graph.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "backend.hpp"

namespace x3ddeploy::detail {
namespace {

class OnnxRuntimeBackend final : public Backend {
 public:
  OnnxRuntimeBackend(const Bytes& graph, const Options& options)
      : requests_(requests_of(options)),
        log_(options.log),
        environment_(silent_environment()),
        session_(environment_, graph.data(), graph.size(), config(threads_of(options, requests_), log_)) {
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
      const Ort::TypeInfo type = session_.GetInputTypeInfo(i);
      const auto tensor = type.GetTensorTypeAndShapeInfo();
      inputs_.emplace_back(session_.GetInputNameAllocated(i, allocator).get(), tensor.GetShape());  // -1 is kDynamic
    }
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
      outputs_.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
    }
  }

  std::string description() const override { return "onnxruntime " + Ort::GetVersionString() + " on cpu"; }
  NamedShapes inputs() const override { return inputs_; }
  int requests() const override { return requests_; }

  Result<Outputs> run(const Feeds& tensors, std::int64_t, int) override {
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto borrowed = [&](const View<float>& view) {
      std::size_t count = 1;
      for (const std::int64_t axis : view.shape) count *= static_cast<std::size_t>(axis);
      // An input is read only; the interface has no other way to say so.
      return Ort::Value::CreateTensor<float>(memory, const_cast<float*>(view.data), count, view.shape.data(),
                                             view.shape.size());
    };
    std::vector<const char*> names, wanted;
    std::vector<Ort::Value> feeds;
    for (const auto& [name, shape] : inputs_) {
      names.push_back(name.c_str());
      feeds.push_back(borrowed(tensors.at(name)));
    }
    for (const std::string& name : outputs_) wanted.push_back(name.c_str());
    const std::vector<Ort::Value> values =
        session_.Run(Ort::RunOptions(), names.data(), feeds.data(), feeds.size(), wanted.data(), wanted.size());
    Outputs outputs;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float* data = values[i].GetTensorData<float>();
      outputs[outputs_[i]].assign(data, data + values[i].GetTensorTypeAndShapeInfo().GetElementCount());
    }
    return outputs;
  }

 private:
  using Log = std::function<void(const std::string&)>;

  // The environment, one of the whole process, would write to stderr; a session tells the recognizer's own log.
  static Ort::SessionOptions config(int threads, const Log& log) {
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(log ? ORT_LOGGING_LEVEL_WARNING : ORT_LOGGING_LEVEL_FATAL);
    Ort::ThrowOnError(Ort::GetApi().SetUserLoggingFunction(options, tell, const_cast<Log*>(&log)));
    if (threads > 0) options.SetIntraOpNumThreads(threads);
    // Threads that spin on after a run take the cores from whatever runs next in the application.
    options.AddConfigEntry("session.force_spinning_stop", "1");
    // Rounds a bias to the product of its convolution's two scales, which overflows where these are float16.
    options.AddConfigEntry("optimization.disable_specified_optimizers", "WeightBiasQuantization");
    return options;
  }

  static void ORT_API_CALL tell(void* log, OrtLoggingLevel, const char*, const char*, const char*, const char* message) noexcept {
    try {
      if (const Log& tell_it = *static_cast<const Log*>(log)) tell_it(std::string("onnxruntime: ") + message);
    } catch (...) {  // no memory for the line
    }
  }

  // Its makers' own builds would tell them of each network that is loaded.
  static Ort::Env silent_environment() {
    Ort::Env environment(ORT_LOGGING_LEVEL_FATAL, "x3ddeploy");
    environment.DisableTelemetryEvents();
    return environment;
  }

  // A session computes any number of runs at once, all with the threads that it has: for throughput one each.
  static int requests_of(const Options& options) {
    if (options.requests > 0) return options.requests;
    return options.hint == Hint::throughput ? static_cast<int>(std::max(1u, std::thread::hardware_concurrency())) : 1;
  }
  static int threads_of(const Options& options, int requests) {
    return options.threads == 0 && options.hint == Hint::throughput && requests > 1 ? 1 : options.threads;
  }

  int requests_;
  const Log log_;
  Ort::Env environment_;
  Ort::Session session_;
  NamedShapes inputs_;
  std::vector<std::string> outputs_;
};

}  // namespace

BackendResult open_onnxruntime(const Bundle& bundle, const Options& options) {
  // Of every later version the library has the interface of the headers, of an earlier one it has none.
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr) {
    return Error{ErrorKind::missing_requirement,
                 "ONNX Runtime here is " + std::string(OrtGetApiBase()->GetVersionString()) + ", older than the headers that this library was built with",
                 "install one of version 1." + std::to_string(ORT_API_VERSION) + " or later",
                 {}};
  }
  if (!options.device.empty() && options.device != "cpu") {
    return Error{ErrorKind::missing_requirement, "ONNX Runtime is used on the CPU here, and not on " + options.device,
                 "leave the device out, or take another runtime", {}};
  }
  if (options.precision == "bf16") {
    return Error{ErrorKind::missing_requirement,
                 "ONNX Runtime's CPU kernels have no bfloat16",
                 "take another runtime or precision",
                 {}};
  }
  const Result<std::string> file = bundle.graph(kWhole, options.precision);
  if (!file) return file.error();
  const Result<Bytes> graph = bundle.read(*file);
  if (!graph) return graph.error();
  return BackendResult(std::make_unique<OnnxRuntimeBackend>(*graph, options));
}

}  // namespace x3ddeploy::detail
