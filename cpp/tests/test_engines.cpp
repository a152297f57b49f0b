#include "engines.hpp"

#include "bundle_files.hpp"
#include "check.hpp"

namespace {

using x3ddeploy::detail::Bundle;
using x3ddeploy::detail::Host;

const Host kHost = {"NVIDIA H200", "9.0", "10.13.2.6"};
const char* const kName = "engines/nvidia-h200-sm90-trt10.13.2.6/rgb_backbone.fp32.plan";

struct Built {
  std::string version = "10.13.2.6";
  std::string capability = "9.0";
  std::string flavour = "tensorrt";
  std::string hardware = "none";
  std::string graph = "rgb";
  std::string version_compatible = "false";
};

// The name of the engine that is found, or the reason why there is none.
std::string found(const Built& built, const std::string& precision = "fp32") {
  check::BundleFiles files;
  files.engines = std::string("\"") + kName + "\": {\"part\": \"rgb_backbone\", \"graph_sha256\": \"" +
                  x3ddeploy::detail::sha256(built.graph.data(), built.graph.size()) + "\", \"version\": \"" +
                  built.version + "\", \"gpu\": \"NVIDIA A100\", \"compute_capabilities\": [\"" + built.capability +
                  "\"], \"driver\": null, \"options\": {\"flavour\": \"" + built.flavour +
                  "\", \"precision\": \"fp32\", \"hardware_compatibility\": \"" + built.hardware +
                  "\", \"version_compatible\": " + built.version_compatible + "}}";
  std::map<std::string, std::string> held;
  const auto bundle = Bundle::open(files.embedded(held));
  if (!bundle) return bundle.error().text();
  const auto name = x3ddeploy::detail::find_engine(*bundle, "rgb_backbone", precision, kHost);
  return name ? *name : name.error().details.empty() ? name.error().message : name.error().details.at(0);
}

std::string because(const std::string& reason) { return std::string(kName) + ": " + reason; }

TEST(an_engine_that_fits_is_found) {
  CHECK_EQUAL(found({}), kName);
  Built built;
  built.version = "10.9.0.1";
  built.version_compatible = "true";
  CHECK_EQUAL(found(built), kName);
  built.version = "8.6.0";
  CHECK_EQUAL(found(built), kName);
  built = {};
  built.capability = "8.0";
  built.hardware = "ampere+";
  CHECK_EQUAL(found(built), kName);
}

TEST(a_foreign_engine_is_refused_with_its_reason) {
  Built built;
  built.version = "8.6.0";
  CHECK_EQUAL(found(built), because("built with TensorRT 8.6.0, and 10.13.2.6 is installed"));
  built.version_compatible = "true";
  for (const char* const version : {"7.2.1", "10.13.3.0", "11.0.0"}) {  // too old, and newer than what is installed
    built.version = version;
    CHECK_EQUAL(found(built), because("built with TensorRT " + std::string(version) + ", and 10.13.2.6 is installed"));
  }
  built = {};
  built.capability = "8.0";
  CHECK_EQUAL(found(built),
              because("built for compute capability 8.0 on NVIDIA A100, and this is NVIDIA H200 of compute "
                      "capability 9.0"));
  built = {};
  built.flavour = "tensorrt_rtx";
  built.version = "1.7.1.116";
  CHECK_EQUAL(found(built), because("built with TensorRT-RTX 1.7.1.116, and this is TensorRT 10.13.2.6"));
  built = {};
  built.graph = "an older export";
  CHECK_EQUAL(found(built), because("built from another rgb_backbone.onnx than the bundle holds now"));
  CHECK_EQUAL(found({}, "int8"), "the embedded bundle has no int8 engine of rgb_backbone");
}

}  // namespace
