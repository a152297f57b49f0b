// What a bundle says of a clip: the library's example, and the tool to try a bundle with on the machine it is for.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "clip.hpp"
#include "tasks.hpp"

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::Prediction;
using x3ddeploy::Result;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) result += c;
  }
  return result + '"';
}

Result<Prediction> predicted(x3ddeploy::Recognizer& recognizer, const Arguments& arguments, const Arrays& arrays) {
  if (!is_ready(arrays, recognizer.contract()) && !arguments.cropped) {
    const Result<x3ddeploy::Video> video = video_of(arrays, recognizer.contract());
    if (!video) return video.error();
    return recognizer.predict(*video, arguments.clips);
  }
  Result<std::vector<Prediction>> each = std::vector<Prediction>();
  if (is_ready(arrays, recognizer.contract())) {
    each = recognizer.predict(feeds_of(arrays, recognizer.contract()));
  } else {
    const Result<x3ddeploy::Video> video = video_of(arrays, recognizer.contract());
    if (!video) return video.error();
    each = recognizer.predict(std::vector<x3ddeploy::Video>{*video});
  }
  if (!each) return each.error();
  return recognizer.average(*each);
}

int run(const std::vector<std::string>& words) {
  const Result<Arguments> arguments = parse(words);
  const auto failed = [](const Error& error) {
    std::cerr << "error: " << error.text() << '\n';
    return static_cast<int>(error.kind);
  };
  if (!arguments) return failed(arguments.error());
  if (arguments->task == Task::help) {
    std::cout << kUsage;
    return 0;
  }
  Result<x3ddeploy::Recognizer> recognizer = x3ddeploy::Recognizer::open(arguments->bundle, arguments->options);
  if (!recognizer) return failed(recognizer.error());
  for (const std::string& note : recognizer->notes()) std::cerr << Error{{}, "note: " + note, "", {}}.text() << '\n';
  const auto task = arguments->task == Task::self_test ? self_test : arguments->task == Task::bench ? bench : predict;
  const Result<int> code = task(*recognizer, *arguments);
  return code ? *code : failed(code.error());
}

}  // namespace

Result<int> predict(x3ddeploy::Recognizer& recognizer, const Arguments& arguments) {
  const Result<Arrays> arrays = read_clip(arguments);
  if (!arrays) return arrays.error();
  const Result<Prediction> prediction = predicted(recognizer, arguments, *arrays);
  if (!prediction) return prediction.error();
  const std::vector<x3ddeploy::Label> labels = recognizer.top(*prediction, arguments.top);
  if (!arguments.json) {
    if (labels.empty()) std::printf("no person\n");
    for (const x3ddeploy::Label& label : labels)
      std::printf("%6.4f  %s\n", static_cast<double>(label.score), label.name.c_str());
    return 0;
  }
  std::printf("{\"runtime\": %s, ", quoted(recognizer.runtime()).c_str());
  if (prediction->frames_with_persons) std::printf("\"frames_with_persons\": %d, ", *prediction->frames_with_persons);
  std::printf("\"stages\": {\"prepare_ms\": %.3f, \"wait_ms\": %.3f, \"compute_ms\": %.3f}, ", prediction->stages.prepare_ms,
              prediction->stages.wait_ms, prediction->stages.compute_ms);
  std::printf("\"top\": [");
  for (std::size_t i = 0; i < labels.size(); ++i) {
    std::printf("%s{\"index\": %d, \"score\": %.9g, \"name\": %s}", i == 0 ? "" : ", ", labels[i].index,
                static_cast<double>(labels[i].score), quoted(labels[i].name).c_str());
  }
  std::printf("], \"scores\": [");
  for (std::size_t k = 0; k < prediction->scores.size(); ++k) {
    std::printf("%s%.9g", k == 0 ? "" : ", ", static_cast<double>(prediction->scores[k]));
  }
  std::printf("]}\n");
  return 0;
}

}  // namespace cli

int main(int count, char** words) {
#ifndef _WIN32
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // ONNX Runtime's own builds would tell their makers of this process
#endif
  try {
    return cli::run({words + 1, words + count});
  } catch (const std::exception& error) {
    std::cerr << x3ddeploy::Error{{}, std::string("error: ") + error.what(), "", {}}.text() << '\n';
    return 1;
  }
}
