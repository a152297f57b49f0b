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

  std::string manifest() const {
    std::string files;
    for (const auto& [name, content] : contents) {
      files += (files.empty() ? "" : ", ") + quoted(name) + ": {\"sha256\": \"" +
               x3ddeploy::detail::sha256(content.data(), content.size()) +
               "\", \"size_bytes\": " + std::to_string(content.size()) + "}";
    }
    std::string text = R"({"schema_version": 1, "batch": null, "fusion": [1.0, 1.0],
      "spec": {"rgb": {"in_channels": 3}, "pose": {"in_channels": 2},
        "head": {"classes": 2, "coarse_classes": 0, "average_clips": "prob"},
        "rgb_input": {"frames": 2, "height": 4, "width": 4, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]},
        "pose_input": {"frames": 3, "height": 4, "width": 4, "sigma": 0.6, "scaling": 0.5, "use_score": true}},
      "tensors": {"recognizer": {"inputs": {"imgs": ["N", 3, 2, 4, 4], "heatmap_imgs": ["N", 2, 3, 4, 4]},
        "outputs": {"scores": ["N", 2]}}},
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

}  // namespace check
