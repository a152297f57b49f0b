// Bundles with engines for the played GPU.
#pragma once

#include "bundle_files.hpp"
#include "check.hpp"
#include "played.hpp"

namespace check {

inline constexpr const char* kPreprocessing = R"(, "preprocessing": {
  "preprocess_pose": {"inputs": {"keypoints": ["N", "M", 3, 2, 2], "keypoint_scores": ["N", "M", 3, 2, 1]}, "outputs": ["heatmap_imgs"]},
  "preprocess_rgb": {"inputs": {"frames": ["N", 2, 4, 4, 3]}, "outputs": ["imgs"]}})";

// Engines of 4 clips and 4 persons. With `preprocessing` the bundle has the graphs that `engines` may have a plan of.
inline BundleFiles bundle_with_engines(const std::string& capability = "9.0", bool preprocessing = false,
                                       std::vector<std::string> engines = {"rgb_backbone", "pose_backbone", "head"}) {
  BundleFiles files;
  files.contents["pose_backbone.onnx"] = "pose";
  files.contents["head.onnx"] = "head";
  if (preprocessing) {
    files.network = std::string(BundleFiles::kSchema2) + kPreprocessing;
    files.contents["preprocess_rgb.onnx"] = "normalise";
    files.contents["preprocess_pose.onnx"] = "draw";
  }
  for (const std::string& part : engines) {
    const std::string plan = "engines/played/" + part + ".fp32.plan", graph = files.contents.at(part + ".onnx");
    files.contents[plan] = "played " + part + " 4 4";
    files.engines += (files.engines.empty() ? "\"" : ", \"") + plan + "\": {\"part\": \"" + part +
                     "\", \"graph_sha256\": \"" + x3ddeploy::detail::sha256(graph.data(), graph.size()) +
                     "\", \"version\": \"10.13.2.6\", \"gpu\": \"Played\", \"compute_capabilities\": [\"" + capability +
                     "\"], \"driver\": null, \"options\": {\"flavour\": \"tensorrt\", \"precision\": \"fp32\", "
                     "\"hardware_compatibility\": \"none\", \"version_compatible\": false}}";
  }
  return files;
}

// The GPU is as new.
inline x3ddeploy::Result<x3ddeploy::Recognizer> opened(const BundleFiles& files, const x3ddeploy::Options& options = {}) {
  played::gpu() = {};
  std::map<std::string, std::string> held;
  return x3ddeploy::Recognizer::open(files.embedded(held), options);
}

}  // namespace check
