// live BUNDLE WIDTH HEIGHT FPS < PIPE: a label a second for each person. The pipe has for each frame its R, G, B bytes, the
// number of persons (int32), and for each its track (int32) and its joints as x, y, score (float32); feed.py writes it.
#include <cstdlib>
#include <iostream>

#include <x3ddeploy/stream.hpp>

template <class T>
static bool read(std::vector<T>& values) {
  const auto bytes = static_cast<std::streamsize>(values.size() * sizeof(T));
  return static_cast<bool>(std::cin.read(reinterpret_cast<char*>(values.data()), bytes));
}

static int failed(const x3ddeploy::Error& error) {
  std::cerr << "error: " << error.text() << '\n';
  return static_cast<int>(error.kind);
}

int main(int count, char** words) {
  if (count != 5) return 2;
  const int width = std::atoi(words[2]), height = std::atoi(words[3]), fps = std::atoi(words[4]);
  auto recognizer = x3ddeploy::Recognizer::open(words[1]);
  if (!recognizer) return failed(recognizer.error());
  x3ddeploy::StreamOptions options;
  options.window = 2 * fps;
  options.stride = fps;
  options.each_person = true;
  auto stream = x3ddeploy::Stream::open(*recognizer, options);
  if (!stream) return failed(stream.error());

  const auto joints = static_cast<std::size_t>(recognizer->contract().joints);
  std::vector<std::uint8_t> pixels(std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  std::vector<std::int32_t> number(1);
  for (double frame = 0; read(pixels) && read(number) && number[0] >= 0 && number[0] < 1000; ++frame) {
    const auto persons = static_cast<std::size_t>(number[0]);
    std::vector<float> keypoints, scores, joint(3);
    x3ddeploy::Poses poses;
    for (std::size_t person = 0; person < persons; ++person) {
      if (!read(number)) return 1;
      poses.tracks.push_back(number[0]);
      for (std::size_t i = 0; i < joints && read(joint); ++i) {
        keypoints.insert(keypoints.end(), joint.begin(), joint.begin() + 2);
        scores.push_back(joint[2]);
      }
    }
    poses.keypoints = {keypoints.data(), {static_cast<std::int64_t>(persons), static_cast<std::int64_t>(joints), 2}};
    poses.scores = {scores.data(), {static_cast<std::int64_t>(persons), static_cast<std::int64_t>(joints)}};
    const auto found = stream->push({x3ddeploy::PixelFormat::rgb, height, width, {pixels.data()}}, poses, frame / fps);
    if (!found) return failed(found.error());
    for (const auto& one : *found) {
      if (one.problem) std::cerr << "person " << *one.track << ": " << one.problem->text() << '\n';
      if (one.label) std::cout << one.end << " person " << *one.track << ' ' << one.label->name << std::endl;
    }
  }
}
