#include <algorithm>
#include <cmath>
#include <exception>
#include <iterator>
#include <mutex>
#include <numeric>

#include "backend.hpp"
#include "preparation.hpp"
#include "scores.hpp"

namespace x3ddeploy {
namespace {

// The border of the library: what a runtime or the standard library throws becomes an error value.
template <class F>
auto guarded(F work) noexcept -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Error{ErrorKind::failed, "out of memory", "use fewer clips at a time", {}};
  } catch (const std::exception& error) {
    return Error{ErrorKind::failed, error.what(), "", {}};
  } catch (...) {
    return Error{ErrorKind::failed, "an unknown exception was thrown by the runtime", "", {}};
  }
}

void append_last(std::vector<float>& clips, std::size_t clip_size, std::size_t times) {
  if (times == 0) return;
  const std::vector<float> last(clips.end() - static_cast<std::ptrdiff_t>(clip_size), clips.end());
  clips.reserve(clips.size() + times * clip_size);
  for (; times > 0; --times) clips.insert(clips.end(), last.begin(), last.end());
}

Result<Options> checked(const Options& options) {
  const auto refused = [](const std::string& message, const std::string& hint) {
    return Error{ErrorKind::usage, message, hint, {}};
  };
  const auto known = {"fp32", "fp16", "bf16", "int8"};
  if (std::find(known.begin(), known.end(), options.precision) == known.end()) {
    return refused("no precision named '" + options.precision + "'", "one of: fp32, fp16, bf16, int8");
  }
  if (options.threads < 0)
    return refused("threads is " + std::to_string(options.threads), "0 leaves it to the runtime");
  if (options.min_keypoint_score && !(*options.min_keypoint_score >= 0 && *options.min_keypoint_score <= 1)) {
    return refused("min_keypoint_score is not from 0 to 1", "leave it out to count all joints");
  }
  if (options.fusion) {
    const auto [rgb, pose] = *options.fusion;
    if (!(rgb >= 0 && pose >= 0 && rgb + pose > 0 && std::isfinite(rgb + pose))) {
      return refused("fusion weights must be at least 0, and not both 0", "1 and 1 weigh the streams alike");
    }
  }
  return options;
}

}  // namespace

struct Recognizer::Impl {
  Contract contract;
  bool weighed_anew = false;
  std::optional<float> min_keypoint_score;
  std::unique_ptr<detail::Backend> backend;
  std::vector<std::string> notes;
  std::string runtime;
  std::mutex turn;

  template <class Source>
  static Result<Recognizer> open(const Source& source, const Options& options) noexcept {
    return guarded([&]() -> Result<Recognizer> {
      const Result<Options> valid = checked(options);
      if (!valid) return valid.error();
      Result<detail::Bundle> bundle = detail::Bundle::open(source);
      if (!bundle) return std::move(bundle.error());
      if (const std::size_t scores = bundle->contract().weights.size(); options.fusion && scores != 2) {
        return Error{ErrorKind::usage, "fusion weights are of two streams, and this network has " + std::to_string(scores),
                     "leave them out", {}};
      }
      Result<detail::Opened> opened = detail::open_backend(*bundle, options);
      if (!opened) return std::move(opened.error());
      auto impl = std::make_unique<Impl>();
      impl->contract = bundle->contract();
      impl->min_keypoint_score = options.min_keypoint_score;
      if (options.fusion) impl->weigh(*options.fusion);
      const auto& roundings = bundle->manifest().roundings;
      if (const auto found = roundings.find(options.precision); found != roundings.end()) {
        impl->contract.rounding = found->second;
      }
      impl->backend = std::move(opened->backend);
      impl->notes = std::move(opened->notes);
      impl->runtime = impl->backend->description();
      return Recognizer(std::move(impl));
    });
  }

  void weigh(const std::array<double, 2>& fusion) {
    contract.fusion = fusion;
    for (std::size_t i = 0; i < fusion.size(); ++i) contract.weights.at(i).second = fusion[i];
    weighed_anew = true;
  }

  // By the names of the network's inputs.
  Feeds feeds(const Tensors& tensors) const {
    Feeds result;
    for (const Input& input : contract.inputs) {
      if (input.kind == InputKind::frames) result[input.name] = tensors.imgs;
      if (input.kind == InputKind::heatmaps) result[input.name] = tensors.heatmap_imgs;
    }
    return result;
  }

  Result<std::int64_t> clips_in(const Feeds& tensors) const {
    return detail::check_feeds(backend->inputs(), tensors, backend->takes_device_memory());
  }

  Result<Outputs> run(const Feeds& tensors) {
    const std::lock_guard<std::mutex> lock(turn);
    const Result<std::int64_t> clips = clips_in(tensors);
    if (!clips) return clips.error();
    return backend->run(tensors, *clips);
  }

  Result<std::vector<Prediction>> predict(const Feeds& tensors) {
    const Result<Outputs> outputs = run(tensors);
    if (!outputs) return outputs.error();
    const std::int64_t clips = tensors.at(contract.inputs.at(0).name).shape.at(0);
    Result<std::vector<Prediction>> all = detail::predictions(*outputs, clips, contract, weighed_anew);
    for (const Input& input : contract.inputs) {
      const View<float>& view = tensors.at(input.name);
      if (all && input.kind == InputKind::heatmaps && view.memory == Memory::host) detail::count_persons(view, *all);
    }
    return all;
  }

  // As many clips at a time as the runtime takes; to a fixed number the last group is filled up with its last clip.
  Result<std::vector<Prediction>> predict(PreparedClips clips) {
    const bool frames = contract.rgb_frames > 0, heatmaps = contract.pose_frames > 0;
    const auto count = static_cast<std::size_t>((frames ? clips.imgs_shape : clips.heatmap_imgs_shape).at(0));
    const std::size_t imgs_size = clips.imgs.size() / count, heatmaps_size = clips.heatmap_imgs.size() / count;
    const auto most = static_cast<std::size_t>(backend->most_clips());
    const std::size_t group = contract.batch ? static_cast<std::size_t>(*contract.batch) : std::min(count, most);
    const std::size_t missing = contract.batch ? (group - count % group) % group : 0;
    if (frames) append_last(clips.imgs, imgs_size, missing);
    if (heatmaps) append_last(clips.heatmap_imgs, heatmaps_size, missing);
    std::vector<Prediction> all;
    for (std::size_t start = 0; start < count; start += group) {
      const auto size = static_cast<std::int64_t>(std::min(group, count + missing - start));
      Tensors tensors = clips.view();
      if (frames) {
        tensors.imgs.data += start * imgs_size;
        tensors.imgs.shape[0] = size;
      }
      if (heatmaps) {
        tensors.heatmap_imgs.data += start * heatmaps_size;
        tensors.heatmap_imgs.shape[0] = size;
      }
      Result<std::vector<Prediction>> some = predict(feeds(tensors));
      if (!some) return some;
      std::move(some->begin(), some->end(), std::back_inserter(all));
    }
    all.resize(count);
    return all;
  }
};

Recognizer::Recognizer(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Recognizer::Recognizer(Recognizer&&) noexcept = default;
Recognizer& Recognizer::operator=(Recognizer&&) noexcept = default;
Recognizer::~Recognizer() = default;

Result<Recognizer> Recognizer::open(const std::string& bundle, const Options& options) {
  return Impl::open(std::filesystem::u8path(bundle), options);
}

Result<Recognizer> Recognizer::open(const std::vector<EmbeddedFile>& files, const Options& options) {
  return Impl::open(files, options);
}

const Contract& Recognizer::contract() const noexcept { return impl_->contract; }
const std::string& Recognizer::runtime() const noexcept { return impl_->runtime; }
const std::vector<std::string>& Recognizer::notes() const noexcept { return impl_->notes; }

Result<Prediction> Recognizer::predict(const Video& video, int clips) {
  Result<PreparedClips> prepared = prepare(video, clips);
  if (!prepared) return std::move(prepared.error());
  const auto each = guarded([&] { return impl_->predict(*std::move(prepared)); });
  if (!each) return each.error();
  return average(*each);
}

Result<std::vector<Prediction>> Recognizer::predict(const std::vector<Video>& cropped) {
  Result<PreparedClips> prepared = prepare(cropped);
  if (!prepared) return std::move(prepared.error());
  return guarded([&] { return impl_->predict(*std::move(prepared)); });
}

Result<std::vector<Prediction>> Recognizer::predict(const Tensors& tensors) {
  return guarded([&] { return impl_->predict(impl_->feeds(tensors)); });
}

Result<std::vector<Prediction>> Recognizer::predict(const Feeds& tensors) {
  return guarded([&] { return impl_->predict(tensors); });
}

Result<Outputs> Recognizer::run(const Feeds& tensors) {
  return guarded([&] { return impl_->run(tensors); });
}

Result<PreparedClips> Recognizer::prepare(const Video& video, int clips) const {
  return guarded([&] { return detail::prepare_video(video, clips, impl_->contract, impl_->min_keypoint_score); });
}

Result<PreparedClips> Recognizer::prepare(const std::vector<Video>& cropped) const {
  return guarded([&] { return detail::prepare_cropped(cropped, impl_->contract); });
}

Result<Prediction> Recognizer::average(const std::vector<Prediction>& clips) const {
  return guarded([&] { return detail::averaged(clips, impl_->contract); });
}

std::vector<Label> Recognizer::top(const Prediction& prediction, int count) const {
  if (prediction.frames_with_persons == 0) return {};
  const std::vector<float>& scores = prediction.scores;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(std::max(count, 0))));
  const std::vector<std::string>& names = impl_->contract.labels;
  std::vector<Label> labels;
  for (const std::size_t index : order) {
    labels.push_back(
        {static_cast<int>(index), scores[index], index < names.size() ? names[index] : std::to_string(index)});
  }
  return labels;
}

}  // namespace x3ddeploy
