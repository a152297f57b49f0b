// OpenVINO on the CPU: the network as one graph, in the precision that the graph says.
#include <openvino/openvino.hpp>

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

ov::Tensor borrowed(const View<float>& view) {
  // The tensor of an input is read only; the interface has no other way to say so.
  return {ov::element::f32, ov::Shape(view.shape.begin(), view.shape.end()), const_cast<float*>(view.data)};
}

class OpenVINOBackend final : public Backend {
 public:
  OpenVINOBackend(const Bytes& graph, int threads) {
    const auto model = core_.read_model(std::string(graph.data(), graph.size()), ov::Tensor());
    // Left to itself the plugin computes float32 graphs in bfloat16 on CPUs that have it: not what was verified.
    ov::AnyMap config = {ov::hint::inference_precision(ov::element::f32),
                         ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
    if (threads > 0) config.insert(ov::inference_num_threads(threads));
    request_ = core_.compile_model(model, "CPU", config).create_infer_request();
    for (const auto& port : model->inputs())
      inputs_.emplace_back(port.get_any_name(), shape_of(port.get_partial_shape()));
    for (const auto& port : model->outputs()) outputs_.push_back(port.get_any_name());
  }

  std::string description() const override { return "openvino " + version() + " on cpu"; }
  NamedShapes inputs() const override { return inputs_; }

  Result<Outputs> run(const Feeds& tensors, std::int64_t) override {
    for (const auto& [name, shape] : inputs_) request_.set_tensor(name, borrowed(tensors.at(name)));
    request_.infer();
    Outputs outputs;
    for (const std::string& name : outputs_) {
      const ov::Tensor tensor = request_.get_tensor(name);
      const float* data = tensor.data<float>();
      outputs[name].assign(data, data + tensor.get_size());
    }
    return outputs;
  }

 private:
  ov::Core core_;
  ov::InferRequest request_;
  NamedShapes inputs_;
  std::vector<std::string> outputs_;
};

}  // namespace

BackendResult open_openvino(const Bundle& bundle, const Options& options) {
  const Result<std::string> file = bundle.graph(kWhole, options.precision);
  if (!file) return file.error();
  const Result<Bytes> graph = bundle.read(*file);
  if (!graph) return graph.error();
  return BackendResult(std::make_unique<OpenVINOBackend>(*graph, options.threads));
}

}  // namespace x3ddeploy::detail
