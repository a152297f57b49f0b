// OpenVINO: the network as one graph, in the precision that the graph says, compiled once for any number of requests.
#include <openvino/openvino.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

#include "backend.hpp"

namespace x3ddeploy::detail {
namespace {

Shape shape_of(const ov::PartialShape& partial) {
  Shape shape;
  for (const ov::Dimension& axis : partial) shape.push_back(axis.is_static() ? axis.get_length() : kDynamic);
  return shape;
}

// "2026.4.1-...": the part before the build's number.
std::string version() {
  const std::string text = ov::get_openvino_version().buildNumber;
  return text.substr(0, text.find('-'));
}

std::string in_case(std::string text, int (*letter)(int)) {
  for (char& c : text) c = static_cast<char>(letter(static_cast<unsigned char>(c)));
  return text;
}

// Where nothing can be written the plugin says nothing, and compiles again each time.
bool can_write(const std::filesystem::path& folder) {
  const std::filesystem::path probe = folder / ".x3ddeploy";
  const bool opened = std::ofstream(probe).is_open();
  std::error_code error;
  std::filesystem::remove(probe, error);
  return opened;
}

ov::Tensor borrowed(const View<float>& view) {
  // The tensor of an input is read only; the interface has no other way to say so.
  return {ov::element::f32, ov::Shape(view.shape.begin(), view.shape.end()), const_cast<float*>(view.data)};
}

class OpenVINOBackend final : public Backend {
 public:
  OpenVINOBackend(ov::Core& core, const Bytes& graph, const std::string& device, const Options& options) : device_(device) {
    const auto model = core.read_model(std::string(graph.data(), graph.size()), ov::Tensor());
    const bool latency = options.hint == Hint::latency;
    // Left to itself the plugin computes float32 graphs in bfloat16 on CPUs that have it: not what was verified.
    ov::AnyMap config = {ov::hint::inference_precision(ov::element::f32),
                         ov::hint::performance_mode(latency ? ov::hint::PerformanceMode::LATENCY
                                                            : ov::hint::PerformanceMode::THROUGHPUT)};
    if (options.threads > 0 && device == "CPU") config.insert(ov::inference_num_threads(options.threads));
    if (options.requests > 0) config.insert(ov::hint::num_requests(static_cast<std::uint32_t>(options.requests)));
    if (!options.cache_dir.empty()) config.insert(ov::cache_dir(options.cache_dir));
    ov::CompiledModel compiled = core.compile_model(model, device, config);
    const std::uint32_t wanted = options.requests > 0 ? static_cast<std::uint32_t>(options.requests)
                                                      : compiled.get_property(ov::optimal_number_of_infer_requests);
    for (std::uint32_t i = 0; i < std::max(wanted, 1u); ++i) requests_.push_back(compiled.create_infer_request());
    for (const auto& port : model->inputs())
      inputs_.emplace_back(port.get_any_name(), shape_of(port.get_partial_shape()));
    for (const auto& port : model->outputs()) outputs_.push_back(port.get_any_name());
    if (options.log && !options.cache_dir.empty()) {
      const bool found = compiled.get_property(ov::loaded_from_cache);
      const char* const what = found ? "comes from " : can_write(std::filesystem::u8path(options.cache_dir)) ? "was put into " : "could not be put into ";
      options.log(std::string("openvino: the compiled network ") + what + options.cache_dir);
    }
  }

  std::string description() const override { return "openvino " + version() + " on " + in_case(device_, std::tolower); }
  NamedShapes inputs() const override { return inputs_; }
  int requests() const override { return static_cast<int>(requests_.size()); }

  Result<Outputs> run(const Feeds& tensors, std::int64_t, int number) override {
    ov::InferRequest& request = requests_.at(static_cast<std::size_t>(number));
    for (const auto& [name, shape] : inputs_) request.set_tensor(name, borrowed(tensors.at(name)));
    request.infer();
    Outputs outputs;
    for (const std::string& name : outputs_) {
      const ov::Tensor tensor = request.get_tensor(name);
      const float* data = tensor.data<float>();
      outputs[name].assign(data, data + tensor.get_size());
    }
    return outputs;
  }

 private:
  std::string device_;
  std::vector<ov::InferRequest> requests_;
  NamedShapes inputs_;
  std::vector<std::string> outputs_;
};

}  // namespace

BackendResult open_openvino(const Bundle& bundle, const Options& options) {
  const std::string device = options.device.empty() ? "CPU" : in_case(options.device, std::toupper);
  // One for the process, which is never closed: of two cores that go in the order in which they came, the plugin for CPUs
  // leaves a stack for signal handlers behind that is not there any more, and the host's next such signal ends it.
  static ov::Core& core = *new ov::Core;
  const std::vector<std::string> devices = core.get_available_devices();
  // "GPU.0" is a GPU.
  const auto is_it = [&](const std::string& found) { return found == device || found.rfind(device + ".", 0) == 0; };
  if (std::none_of(devices.begin(), devices.end(), is_it)) {
    return Error{ErrorKind::missing_requirement, "OpenVINO has no device " + device + " here",
                 "install its driver, or take one of the devices that there are", devices};
  }
  const std::vector<std::string> computes = core.get_property(device, ov::device::capabilities);
  if (options.log && options.precision == "bf16" &&
      std::find(computes.begin(), computes.end(), ov::device::capability::BF16) == computes.end()) {
    options.log("openvino: the " + device + " computes no bfloat16: float32, rounded to bfloat16 between layers");
  }
  if (!options.cache_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::u8path(options.cache_dir), error);
    if (error) {
      return Error{ErrorKind::failed, "cannot make the folder " + options.cache_dir + ": " + error.message(),
                   "name another cache_dir, or none: then networks are compiled each time", {}};
    }
  }
  const Result<std::string> file = bundle.graph(kWhole, options.precision);
  if (!file) return file.error();
  const Result<Bytes> graph = bundle.read(*file);
  if (!graph) return graph.error();
  return BackendResult(std::make_unique<OpenVINOBackend>(core, *graph, device, options));
}

}  // namespace x3ddeploy::detail
