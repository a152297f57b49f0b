// What the network that is part of this program says of a clip of zeros.
#include <iostream>

#include "carried.hpp"

static std::size_t elements(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t axis : shape) count *= static_cast<std::size_t>(axis);
  return count;
}

int main() {
  auto recognizer = x3ddeploy::Recognizer::open(carried_files());
  if (!recognizer) {
    std::cerr << "error: " << recognizer.error().text() << '\n';
    return static_cast<int>(recognizer.error().kind);
  }
  const x3ddeploy::Contract& contract = recognizer->contract();
  x3ddeploy::PreparedClips clip;
  clip.imgs_shape = {1, 3, contract.rgb_frames, contract.rgb_height, contract.rgb_width};
  clip.heatmap_imgs_shape = {1, contract.joints, contract.pose_frames, contract.pose_height, contract.pose_width};
  clip.imgs.resize(elements(clip.imgs_shape));
  clip.heatmap_imgs.resize(elements(clip.heatmap_imgs_shape));

  const auto predictions = recognizer->predict(clip.view());
  if (!predictions) {
    std::cerr << "error: " << predictions.error().text() << '\n';
    return static_cast<int>(predictions.error().kind);
  }
  for (const float score : predictions->front().scores) std::cout << score << '\n';
}
