// What the network that is part of this program says of a clip of zeros.
#include <iostream>

#include <x3ddeploy_bundles/deploy.hpp>

static std::size_t elements(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t axis : shape) count *= static_cast<std::size_t>(axis);
  return count;
}

int main() {
  auto recognizer = x3ddeploy::Recognizer::open(x3ddeploy::bundles::deploy());
  if (!recognizer) {
    std::cerr << "error: " << recognizer.error().text() << '\n';
    return static_cast<int>(recognizer.error().kind);
  }
  std::map<std::string, std::vector<float>> zeros;
  x3ddeploy::Feeds clip;
  for (const x3ddeploy::Input& input : recognizer->contract().inputs) {
    std::vector<std::int64_t> shape = input.shape;
    shape[0] = recognizer->contract().batch.value_or(1);
    std::vector<float>& values = zeros[input.name];
    values.resize(elements(shape));
    clip[input.name] = {values.data(), shape};
  }

  const auto predictions = recognizer->predict(clip);
  if (!predictions) {
    std::cerr << "error: " << predictions.error().text() << '\n';
    return static_cast<int>(predictions.error().kind);
  }
  for (const float score : predictions->front().scores) std::cout << score << '\n';
}
