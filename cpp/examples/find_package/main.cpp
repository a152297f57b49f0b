// uses_x3ddeploy BUNDLE: what the network says of a grey video in which one person stands still.
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
  const int joints = static_cast<int>(recognizer->contract().joints);
  std::vector<float> keypoints;
  for (int joint = 0; joint < kFrames * joints; ++joint) {
    keypoints.push_back(150.0F + static_cast<float>(joint % joints));      // x
    keypoints.push_back(60.0F + 6.0F * static_cast<float>(joint % joints));  // y
  }
  const std::vector<float> scores(static_cast<std::size_t>(kFrames * joints), 0.9F);
  video.keypoints = {keypoints.data(), {1, kFrames, joints, 2}};
  video.keypoint_scores = {scores.data(), {1, kFrames, joints}};

  const auto prediction = recognizer->predict(video);
  if (!prediction) {
    std::cerr << "error: " << prediction.error().text() << '\n';
    return static_cast<int>(prediction.error().kind);
  }
  for (const x3ddeploy::Label& label : recognizer->top(*prediction, 3))
    std::cout << label.name << ' ' << label.score << '\n';
}
