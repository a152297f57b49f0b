// A whole bundle in memory, tiny and well-formed, to be spoilt by tests.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sha256.hpp"
#include "x3ddeploy/x3ddeploy.hpp"

namespace check {

// 2 classes, 2 joints, RGB 2 x 4 x 4, pose 3 x 4 x 4 at half the scale.
class BundleFiles {
 public:
  std::map<std::string, std::string> contents = {{"recognizer.onnx", "fake"}, {"rgb_backbone.onnx", "rgb"}};
  std::map<std::string, std::string> replaced;  // in the manifest's text
  std::string engines;                          // JSON members of the manifest's section
  std::string network = kSchema1;               // what the manifest says of it, and the schema's version

  static constexpr const char* kSchema1 = R"("schema_version": 1, "batch": null, "fusion": [1.0, 1.0],
      "spec": {"rgb": {"in_channels": 3}, "pose": {"in_channels": 2},
        "head": {"classes": 2, "coarse_classes": 0, "average_clips": "prob"},
        "rgb_input": {"frames": 2, "height": 4, "width": 4, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]},
        "pose_input": {"frames": 3, "height": 4, "width": 4, "sigma": 0.6, "scaling": 0.5, "use_score": true}})";
  // The same network.
  static constexpr const char* kSchema2 = R"("schema_version": 2, "family": "two_stream_x3d",
      "inputs": {
        "imgs": {"kind": "frames", "shape": ["N", 3, 2, 4, 4], "dtype": "float32", "pipeline": [
          {"type": "MMCompact", "parameters": {}}, {"type": "Resize", "parameters": {"scale": [4, 4], "keep_ratio": false}},
          {"type": "Normalize", "parameters": {"mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}}]},
        "heatmap_imgs": {"kind": "heatmaps", "shape": ["N", 2, 3, 4, 4], "dtype": "float32", "pipeline": [
          {"type": "MMCompact", "parameters": {}}, {"type": "Resize", "parameters": {"scale": [4, 4], "keep_ratio": false}},
          {"type": "GeneratePoseTarget", "parameters": {"sigma": 0.6, "scaling": 0.5, "use_score": true}}]}},
      "parts": {
        "rgb_backbone": {"inputs": ["imgs"], "outputs": ["rgb_feat"]},
        "pose_backbone": {"inputs": ["heatmap_imgs"], "outputs": ["pose_feat"]},
        "head": {"inputs": ["rgb_feat", "pose_feat"], "outputs": ["rgb_logits", "pose_logits", "scores"]},
        "recognizer": {"inputs": ["imgs", "heatmap_imgs"], "outputs": ["rgb_logits", "pose_logits", "scores"]}},
      "outputs": {
        "rgb_feat": {"kind": "features", "shape": ["N", 5, 2, 1, 1], "activation": null, "average": "none"},
        "pose_feat": {"kind": "features", "shape": ["N", 5, 3, 1, 1], "activation": null, "average": "none"},
        "rgb_logits": {"kind": "logits", "shape": ["N", 2], "activation": "softmax", "average": "prob"},
        "pose_logits": {"kind": "logits", "shape": ["N", 2], "activation": "softmax", "average": "prob"},
        "scores": {"kind": "scores", "shape": ["N", 2], "activation": null, "average": "prob"}},
      "scores": {"rgb": {"weights": {"rgb_logits": 1.0}}, "both": {"weights": {"rgb_logits": 1.0, "pose_logits": 1.0}}},
      "deployed": "both")";
  // Frames alone through a backbone, a neck and a head; no crop.
  static constexpr const char* kOneStream = R"("schema_version": 2, "family": "toy",
      "inputs": {"imgs": {"kind": "frames", "shape": ["N", 2, 3, 4, 4], "dtype": "float32", "pipeline": [
        {"type": "UniformSampleFrames", "parameters": {"clip_len": 2}},
        {"type": "Resize", "parameters": {"scale": [4, 4], "keep_ratio": false}},
        {"type": "Normalize", "parameters": {"mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}}]}},
      "parts": {
        "head": {"inputs": ["neck_feat"], "outputs": ["logits", "scores"]},
        "neck": {"inputs": ["feat"], "outputs": ["neck_feat"]},
        "backbone": {"inputs": ["imgs"], "outputs": ["feat"]},
        "recognizer": {"inputs": ["imgs"], "outputs": ["logits", "scores"]}},
      "outputs": {
        "feat": {"kind": "features", "shape": ["N", 5, 2, 1, 1], "activation": null, "average": "none"},
        "neck_feat": {"kind": "features", "shape": ["N", 5], "activation": null, "average": "none"},
        "logits": {"kind": "logits", "shape": ["N", 2], "activation": "softmax", "average": "prob"},
        "scores": {"kind": "scores", "shape": ["N", 2], "activation": null, "average": "prob"}},
      "scores": {"scores": {"weights": {"logits": 1.0}}},
      "deployed": "scores")";

  std::string manifest() const {
    std::string files;
    for (const auto& [name, content] : contents) {
      files += (files.empty() ? "" : ", ") + quoted(name) + ": {\"sha256\": \"" +
               x3ddeploy::detail::sha256(content.data(), content.size()) +
               "\", \"size_bytes\": " + std::to_string(content.size()) + "}";
    }
    std::string text = "{" + network + R"(,
      "engines": {)" + engines +
                       "}, \"files\": {" + files + "}}";
    for (const auto& [from, to] : replaced) {
      const std::size_t at = text.find(from);
      if (at != std::string::npos) text.replace(at, from.size(), to);
    }
    return text;
  }

  // Views of `held`, which must live as long.
  std::vector<x3ddeploy::EmbeddedFile> embedded(std::map<std::string, std::string>& held) const {
    held = contents;
    held["manifest.json"] = manifest();
    std::vector<x3ddeploy::EmbeddedFile> files;
    for (const auto& [name, content] : held) files.push_back({name, content.data(), content.size()});
    return files;
  }

 private:
  static std::string quoted(const std::string& text) { return "\"" + text + "\""; }
};

// Clips for its network, each stream of one value.
inline x3ddeploy::PreparedClips clips_of(float rgb, float pose, std::int64_t count = 1) {
  const std::size_t size = 96 * static_cast<std::size_t>(count);
  return {std::vector<float>(size, rgb), std::vector<float>(size, pose), {count, 3, 2, 4, 4}, {count, 2, 3, 4, 4}};
}

}  // namespace check
