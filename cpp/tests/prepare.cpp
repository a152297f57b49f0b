// x3ddeploy_prepare MANIFEST CLIP CLIPS: prints the tensors that the library prepares from a raw clip, imgs first, as raw
// float32, for a comparison with Python's.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "arrays.hpp"
#include "clip.hpp"
#include "manifest.hpp"
#include "preparation.hpp"

namespace {

template <class T>
T required(x3ddeploy::Result<T> result) {
  if (!result) {
    std::cerr << "error: " << result.error().text() << '\n';
    std::exit(static_cast<int>(result.error().kind));
  }
  return *std::move(result);
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  using namespace x3ddeploy;
  const std::string text = required(cli::read_file(words[1]));
  const detail::Manifest manifest = required(detail::parse_manifest(text, words[1]));
  const cli::Arrays arrays = required(cli::read_arrays(words[2]));
  const Video video = required(cli::video_of(arrays, manifest.network.contract));
  const PreparedClips clips = required(detail::prepare_video(video, std::atoi(words[3]), manifest.network.contract));
  std::fwrite(clips.imgs.data(), sizeof(float), clips.imgs.size(), stdout);
  std::fwrite(clips.heatmap_imgs.data(), sizeof(float), clips.heatmap_imgs.size(), stdout);
  std::fwrite(clips.keypoint.data(), sizeof(float), clips.keypoint.size(), stdout);
  return 0;
}
