#pragma once

#include <optional>
#include <string>
#include <vector>

#include <x3ddeploy/x3ddeploy.hpp>

namespace cli {

enum class Task { predict, self_test, bench, help };

struct Arguments {
  Task task = Task::predict;
  std::string bundle;
  std::string clip;         // .npz or a folder of .npy
  std::string frames_file;  // raw RGB frames, in the place of the clip's
  int height = 0;
  int width = 0;
  bool cropped = false;
  bool json = false;
  int clips = 1;
  int top = 5;
  int batch = 0;  // 0: what the bundle is fixed to, or 1
  std::string scope;  // bench: the only one; all where it is empty
  int callers = 0;  // bench: threads that call at the same time; 0 for none
  double seconds = 5;
  std::optional<double> tolerance;  // nothing for what the bundle says of its rounding
  x3ddeploy::Options options;
};

extern const char* const kUsage;

x3ddeploy::Result<Arguments> parse(const std::vector<std::string>& words);

}  // namespace cli
