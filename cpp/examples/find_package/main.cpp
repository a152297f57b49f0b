// uses_x3ddeploy BUNDLE: what the network says of a grey video in which nobody is.
#include <iostream>
#include <vector>

#include <x3ddeploy/x3ddeploy.hpp>

int main(int count, char** words) {
  if (count != 2) return 2;
  auto recognizer = x3ddeploy::Recognizer::open(words[1]);
  if (!recognizer) {
    std::cerr << "error: " << recognizer.error().text() << '\n';
    return static_cast<int>(recognizer.error().kind);
  }
  constexpr int kFrames = 60, kHeight = 240, kWidth = 320;
  const std::vector<std::uint8_t> grey(std::size_t{3} * kHeight * kWidth, 128);
  x3ddeploy::Video video;
  video.frames.assign(kFrames, grey.data());
  video.height = kHeight;
  video.width = kWidth;
  video.keypoints.shape = {0, kFrames, recognizer->contract().joints, 2};
  video.keypoint_scores.shape = {0, kFrames, recognizer->contract().joints};

  const auto prediction = recognizer->predict(video);
  if (!prediction) {
    std::cerr << "error: " << prediction.error().text() << '\n';
    return static_cast<int>(prediction.error().kind);
  }
  for (const x3ddeploy::Label& label : recognizer->top(*prediction, 3))
    std::cout << label.name << ' ' << label.score << '\n';
}
