// A loaded network: what a recognizer, its streams and its pools share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend.hpp"
#include "guard.hpp"
#include "preparation.hpp"
#include "workers.hpp"

namespace x3ddeploy {

struct Recognizer::Impl {
  Impl(Contract its_contract, const Options& options, detail::Opened opened);

  template <class Source>
  static Result<Recognizer> open(const Source& source, const Options& options) noexcept;

  void weigh(const std::array<double, 2>& fusion);
  // Of what `predict` takes, on so many threads.
  detail::Preparing preparing(std::size_t its_threads) const;
  // By the names of the network's inputs.
  Feeds feeds(const Tensors& tensors) const;
  Result<Outputs> run(const Feeds& tensors, Stages& stages);
  // Clips `first` to `first + count` - 1 of raw ones; where there are fewer, the last one again.
  Result<std::vector<Prediction>> predict_raw(const detail::Clips& clips, std::size_t first, std::size_t count);
  Result<std::vector<Prediction>> predict(const Feeds& tensors);
  // As many clips at a time as the runtime takes; to a fixed number the last group is filled up with its last clip.
  Result<std::vector<Prediction>> predict(detail::Clips clips);
  Result<Prediction> predict(const Video& video, int clips);
  // Waits for a request, and has `run(request)` computed by it.
  template <class F>
  Result<Outputs> computed(Stages& stages, const F& run);
  std::vector<Label> top(const std::vector<float>& scores, int count) const;

  Contract contract;
  bool weighed_anew = false;
  std::optional<float> min_keypoint_score;
  std::size_t threads = 1;  // of preparing
  std::unique_ptr<detail::Backend> backend;
  std::vector<std::string> notes;
  std::string runtime;
  std::function<void(const std::string&)> log;
  detail::Slots slots;
  mutable detail::ClipMemory memory;
  detail::Workers workers;  // ends first
};

}  // namespace x3ddeploy
