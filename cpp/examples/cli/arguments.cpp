#include "arguments.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Runtime;

Error usage(const std::string& message) { return {ErrorKind::usage, message, "see x3ddeploy_cli --help", {}}; }

bool read_number(const std::string& text, double least, double& number) {
  char* end = nullptr;
  number = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && number >= least && number < 1e9;
}

bool read_count(const std::string& text, int least, int& count) {
  double number = 0;
  if (!read_number(text, least, number) || number != static_cast<int>(number)) return false;
  count = static_cast<int>(number);
  return true;
}

bool read_size(const std::string& text, int& width, int& height) {
  const std::size_t cross = text.find('x');
  return cross != std::string::npos && read_count(text.substr(0, cross), 1, width) &&
         read_count(text.substr(cross + 1), 1, height);
}

bool read_fusion(const std::string& text, x3ddeploy::Options& options) {
  const std::size_t colon = text.find(':');
  std::array<double, 2> weights{};
  if (colon == std::string::npos || !read_number(text.substr(0, colon), 0, weights[0]) ||
      !read_number(text.substr(colon + 1), 0, weights[1])) {
    return false;
  }
  options.fusion = weights;
  return true;
}

bool read_score(const std::string& text, x3ddeploy::Options& options) {
  double score = 0;
  if (!read_number(text, 0, score) || score > 1) return false;
  options.min_keypoint_score = static_cast<float>(score);
  return true;
}

bool read_hint(const std::string& text, x3ddeploy::Options& options) {
  options.hint = text == "throughput" ? x3ddeploy::Hint::throughput : x3ddeploy::Hint::latency;
  return text == "throughput" || text == "latency";
}

bool read_runtime(const std::string& text, Runtime& runtime) {
  for (const Runtime known : {Runtime::automatic, Runtime::tensorrt, Runtime::openvino, Runtime::onnxruntime}) {
    if (text == x3ddeploy::name_of(known)) {
      runtime = known;
      return true;
    }
  }
  return false;
}

}  // namespace

const char* const kUsage =
    R"(x3ddeploy_cli BUNDLE CLIP         the classes of a clip, best first
x3ddeploy_cli BUNDLE --self-test  runs the bundle's golden clip and compares with PyTorch's outputs
x3ddeploy_cli BUNDLE --bench      latencies on the golden clip

CLIP is an .npz file (numpy.savez) or a folder of .npy files with what the network takes of
  imgs, heatmap_imgs                  ready tensors, by the names of its inputs, or
  frames, keypoints, keypoint_scores  (T,H,W,3) uint8 R, G, B; (persons,T',joints,2) in their pixels; (persons,T',joints):
                                      sampled, cropped to the persons and resized

  --frames FILE --size WxH  raw R, G, B frames (ffmpeg -pix_fmt rgb24 -f rawvideo) in the place of CLIP's `frames`
  --cropped                 frames and keypoints are sampled, cropped and resized already
  --clips N                 clips to draw from a video, averaged                [default: 1]
  --min-keypoint-score X    leave out joints under this score, and such that are not finite
  --top K                   classes to print                                    [default: 5]
  --runtime NAME            automatic, tensorrt, openvino or onnxruntime        [default: automatic]
  --precision P             fp32, fp16, bf16 or int8                            [default: fp32]
  --fusion RGB:POSE         weights of two streams                              [default: the bundle's]
  --threads N               CPU threads
  --device NAME             of OpenVINO: cpu, gpu or npu                        [default: cpu]
  --hint NAME               latency, or throughput                              [default: latency]
  --requests N              calls that are computed at the same time            [default: the runtime's]
  --cache-dir FOLDER        of OpenVINO: keeps compiled networks
  --gpu N                   CUDA device                                         [default: 0]
  --tolerance X             self-test: largest difference of an output, as a share of its largest value
                            [default: 8 times the rounding that the bundle states; below fp32 twice]
  --batch N                 bench: clips at a time                              [default: the bundle's, or 1]
  --scope NAME              bench: compute, pipeline or video alone             [default: all that there are]
  --size WxH                bench: also the scope video, --clips of 64 frames of noise of this size
  --callers N               bench: also calls a second of N threads, in turns and at once, one with --hint throughput
  --seconds S               bench: for how long each scope is measured          [default: 5]
  --json                    one JSON document on stdout

Exit codes: 0 fine, 1 failed, 2 usage, 3 the self-test differs, 4 the machine lacks what is needed.
)";

x3ddeploy::Result<Arguments> parse(const std::vector<std::string>& words) {
  Arguments arguments;
  const std::map<std::string, std::function<void()>> flags = {
      {"--self-test", [&] { arguments.task = Task::self_test; }}, {"--bench", [&] { arguments.task = Task::bench; }},
      {"--help", [&] { arguments.task = Task::help; }},           {"-h", [&] { arguments.task = Task::help; }},
      {"--cropped", [&] { arguments.cropped = true; }},           {"--json", [&] { arguments.json = true; }},
  };
  using Read = std::function<bool(const std::string&)>;
  const auto text_into = [](std::string& target) -> Read {
    return [&target](const std::string& text) {
      target = text;
      return true;
    };
  };
  const auto count_into = [](int& target, int least) -> Read {
    return [&target, least](const std::string& text) { return read_count(text, least, target); };
  };
  const std::map<std::string, Read> values = {
      {"--frames", text_into(arguments.frames_file)},
      {"--scope", text_into(arguments.scope)},
      {"--precision", text_into(arguments.options.precision)},
      {"--size", [&](const std::string& text) { return read_size(text, arguments.width, arguments.height); }},
      {"--fusion", [&](const std::string& text) { return read_fusion(text, arguments.options); }},
      {"--min-keypoint-score", [&](const std::string& text) { return read_score(text, arguments.options); }},
      {"--runtime", [&](const std::string& text) { return read_runtime(text, arguments.options.runtime); }},
      {"--seconds", [&](const std::string& text) { return read_number(text, 0, arguments.seconds); }},
      {"--tolerance", [&](const std::string& text) { return read_number(text, 0, arguments.tolerance.emplace()); }},
      {"--hint", [&](const std::string& text) { return read_hint(text, arguments.options); }},
      {"--device", text_into(arguments.options.device)},
      {"--cache-dir", text_into(arguments.options.cache_dir)},
      {"--requests", count_into(arguments.options.requests, 1)},
      {"--callers", count_into(arguments.callers, 1)},
      {"--clips", count_into(arguments.clips, 1)},
      {"--top", count_into(arguments.top, 1)},
      {"--batch", count_into(arguments.batch, 1)},
      {"--threads", count_into(arguments.options.threads, 1)},
      {"--gpu", count_into(arguments.options.gpu, 0)},
  };
  std::vector<std::string> positional;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (const auto flag = flags.find(word); flag != flags.end()) {
      flag->second();
    } else if (const auto value = values.find(word); value != values.end()) {
      if (++i == words.size()) return usage(word + " needs a value");
      if (!value->second(words[i])) return usage(word + " does not take '" + words[i] + "'");
    } else if (!word.empty() && word[0] == '-') {
      return usage("no option named " + word);
    } else {
      positional.push_back(word);
    }
  }
  if (arguments.task == Task::help) return arguments;
  const std::size_t wanted = arguments.task == Task::predict ? 2 : 1;
  if (positional.size() != wanted) return usage(wanted == 2 ? "BUNDLE and CLIP are needed" : "BUNDLE alone is needed");
  if (arguments.task != Task::bench && arguments.frames_file.empty() != (arguments.width == 0)) return usage("--frames and --size go together");
  arguments.bundle = positional[0];
  if (wanted == 2) arguments.clip = positional[1];
  return arguments;
}

}  // namespace cli
