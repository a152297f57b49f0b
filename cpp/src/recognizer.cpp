#include "recognizer_impl.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "scores.hpp"

namespace x3ddeploy {

using detail::guarded;

namespace {

constexpr int kMostRequests = 1024;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) { return std::chrono::duration<double, std::milli>(Clock::now() - start).count(); }

// Raw clips as the engines take them: all of as many persons, 1, 2, 4, 8 and so on as far as they go, for each number has
// contexts of its own. Who is not there has a score of 0, or no place.
class RawTensors {
 public:
  RawTensors(const detail::Clips& clips, std::size_t first, std::size_t count, std::int64_t most_persons, bool use_score) {
    const auto clip = [&](std::size_t i) { return std::min(first + i, static_cast<std::size_t>(clips.raw) - 1); };
    const std::size_t clip_bytes = clips.frames.size() / static_cast<std::size_t>(clips.raw);
    for (std::size_t i = 0; i < count; ++i) {
      const auto start = clips.frames.begin() + static_cast<std::ptrdiff_t>(clip(i) * clip_bytes);
      frames_.insert(frames_.end(), start, start + static_cast<std::ptrdiff_t>(clip_bytes));
      if (!clips.persons.empty()) feeds.persons = std::max(feeds.persons, clips.persons[clip(i)].places);
    }
    std::int64_t persons = 1;
    while (persons < feeds.persons) persons *= 2;
    feeds.persons = std::max(feeds.persons, std::min(persons, most_persons));
    for (std::size_t i = 0; !clips.persons.empty() && i < count; ++i) {
      const detail::ClipPersons& some = clips.persons[clip(i)];
      const std::size_t person = some.scores.size() / static_cast<std::size_t>(some.places);
      const std::size_t missing = static_cast<std::size_t>(feeds.persons - some.places) * person;
      keypoints_.insert(keypoints_.end(), some.keypoints.begin(), some.keypoints.end());
      keypoints_.insert(keypoints_.end(), 2 * missing, use_score ? 0.0f : std::numeric_limits<float>::quiet_NaN());
      scores_.insert(scores_.end(), some.scores.begin(), some.scores.end());
      scores_.insert(scores_.end(), missing, 0.0f);
    }
    feeds.clips = static_cast<std::int64_t>(count);
    feeds.tensors[detail::kRawFrames] = {frames_.data(), frames_.size()};
    feeds.tensors[detail::kRawKeypoints] = {keypoints_.data(), keypoints_.size() * sizeof(float)};
    feeds.tensors[detail::kRawScores] = {scores_.data(), scores_.size() * sizeof(float)};
  }
  RawTensors(const RawTensors&) = delete;
  RawTensors& operator=(const RawTensors&) = delete;

  detail::RawFeeds feeds;

 private:
  std::vector<std::uint8_t> frames_;
  std::vector<float> keypoints_, scores_;
};

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
  if (options.requests < 0 || options.requests > kMostRequests)
    return refused("requests is " + std::to_string(options.requests), "0 leaves it to the runtime");
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

// One line at a time, whatever thread says it; a hook that throws has said nothing.
std::function<void(const std::string&)> one_at_a_time(std::function<void(const std::string&)> log) {
  if (!log) return [](const std::string&) {};
  return [log = std::move(log), lock = std::make_shared<std::mutex>()](const std::string& line) {
    const std::lock_guard<std::mutex> held(*lock);
    try {
      log(line);
    } catch (...) {
    }
  };
}

std::size_t preparing_threads(const Options& options) {
  if (options.threads > 0) return static_cast<std::size_t>(options.threads);
  return std::max(1u, std::thread::hardware_concurrency());
}

template <class T>
void stamp(Result<std::vector<T>>& predictions, const Stages& stages) {
  for (std::size_t i = 0; predictions && i < predictions->size(); ++i) predictions->at(i).stages = stages;
}

Result<PreparedClips> ready(Result<detail::Clips> clips) {
  if (!clips) return std::move(clips.error());
  return static_cast<PreparedClips&&>(*clips);
}

// A future of what a task gives by way of its callback.
template <class T, class F>
std::future<Result<T>> future_of(const F& submit) {
  const auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> future = promise->get_future();
  submit([promise](Result<T> result) { promise->set_value(std::move(result)); });
  return future;
}

// Does the work in a thread of the library; where there is none, or no memory, `done` is told here.
template <class T, class F>
void submitted(detail::Workers* workers, const std::function<void(Result<T>)>& done, F work) noexcept {
  const auto report = [done](Result<T> result) noexcept {
    try {
      if (done) done(std::move(result));
    } catch (...) {
    }
  };
  const Result<bool> taken = guarded([&]() -> Result<bool> {
    if (workers == nullptr) return detail::moved_from("recognizer");
    workers->submit([report, work = std::move(work)] { report(guarded(work)); });
    return true;
  });
  if (!taken) report(taken.error());
}

}  // namespace

Recognizer::Impl::Impl(Contract its_contract, const Options& options, detail::Opened opened)
    : contract(std::move(its_contract)),
      min_keypoint_score(options.min_keypoint_score),
      threads(preparing_threads(options)),
      backend(std::move(opened.backend)),
      notes(std::move(opened.notes)),
      runtime(backend->description()),
      log(options.log),
      slots(backend->requests()),
      memory(backend->requests()),
      // One more than can compute prepares meanwhile.
      workers(static_cast<std::size_t>(backend->requests()) + 1) {
  if (options.fusion) weigh(*options.fusion);
}

template <class Source>
Result<Recognizer> Recognizer::Impl::open(const Source& source, const Options& given) noexcept {
  return guarded([&]() -> Result<Recognizer> {
    const Result<Options> valid = checked(given);
    if (!valid) return valid.error();
    Options options = *valid;
    options.log = one_at_a_time(given.log);
    Result<detail::Bundle> bundle = detail::Bundle::open(source());
    if (!bundle) return std::move(bundle.error());
    if (const std::size_t scores = bundle->contract().weights.size(); options.fusion && scores != 2) {
      return Error{ErrorKind::usage, "fusion weights are of two streams, and this network has " + std::to_string(scores),
                   "leave them out", {}};
    }
    const Clock::time_point start = Clock::now();
    Result<detail::Opened> opened = detail::open_backend(*bundle, options);
    if (!opened) return std::move(opened.error());
    auto impl = std::make_shared<Impl>(bundle->contract(), options, std::move(*opened));
    const auto& roundings = bundle->manifest().roundings;
    if (const auto found = roundings.find(options.precision); found != roundings.end()) {
      impl->contract.rounding = found->second;
    }
    options.log(bundle->name() + " is loaded in " + options.precision + " by " + impl->runtime + ", " +
                std::to_string(impl->backend->requests()) + " requests, in " + std::to_string(ms_since(start)) + " ms");
    if (options.warm_up) {
      std::map<std::string, std::vector<float>> zeros;
      Feeds feeds;
      for (const auto& [name, shape] : impl->backend->inputs()) {
        detail::Shape one = shape;
        if (one.at(0) == detail::kDynamic) one[0] = 1;
        const auto size = std::accumulate(one.begin(), one.end(), std::int64_t{1}, std::multiplies<>());
        zeros[name].resize(static_cast<std::size_t>(size));
        feeds[name] = {zeros[name].data(), one};
      }
      // Each request has memory of its own that its first run takes.
      for (int request = 0; request < impl->backend->requests(); ++request) {
        const Result<Outputs> outputs = impl->backend->run(feeds, feeds.begin()->second.shape.at(0), request);
        if (!outputs) return outputs.error();
        if (!impl->preparing(1).raw) continue;
        const detail::Clips black = detail::black_clip(impl->contract);
        const RawTensors tensors(black, 0, static_cast<std::size_t>(impl->contract.batch.value_or(1)), impl->backend->most_persons(), impl->contract.use_score);
        const Result<Outputs> of_raw = impl->backend->run_raw(tensors.feeds, request);
        if (!of_raw) return of_raw.error();
      }
    }
    return Recognizer(std::move(impl));
  });
}

void Recognizer::Impl::weigh(const std::array<double, 2>& fusion) {
  contract.fusion = fusion;
  for (std::size_t i = 0; i < fusion.size(); ++i) contract.weights.at(i).second = fusion[i];
  weighed_anew = true;
}

detail::Preparing Recognizer::Impl::preparing(std::size_t its_threads) const {
  return {min_keypoint_score, its_threads, &memory, !backend->raw_inputs().empty()};
}

Feeds Recognizer::Impl::feeds(const Tensors& tensors) const {
  Feeds result;
  for (const Input& input : contract.inputs) {
    if (input.kind == InputKind::frames) result[input.name] = tensors.imgs;
    if (input.kind == InputKind::heatmaps) result[input.name] = tensors.heatmap_imgs;
    if (input.kind == InputKind::skeleton) result[input.name] = tensors.keypoint;
  }
  return result;
}

Result<Outputs> Recognizer::Impl::run(const Feeds& tensors, Stages& stages) {
  const Result<std::int64_t> clips = detail::check_feeds(backend->inputs(), tensors, backend->takes_device_memory());
  if (!clips) return clips.error();
  return computed(stages, [&](int request) { return backend->run(tensors, *clips, request); });
}

template <class F>
Result<Outputs> Recognizer::Impl::computed(Stages& stages, const F& run) {
  const Clock::time_point start = Clock::now();
  const detail::Slots::Held slot(slots);
  stages.wait_ms += ms_since(start);
  const Clock::time_point begin = Clock::now();
  Result<Outputs> outputs = run(slot.number());
  stages.compute_ms += ms_since(begin);
  stages.gpu_ms += backend->gpu_ms(slot.number());
  return outputs;
}

Result<std::vector<Prediction>> Recognizer::Impl::predict(const Feeds& tensors) {
  Stages stages;
  const Result<Outputs> outputs = run(tensors, stages);
  if (!outputs) return outputs.error();
  const std::int64_t clips = tensors.at(contract.inputs.at(0).name).shape.at(0);
  Result<std::vector<Prediction>> all = detail::predictions(*outputs, clips, contract, weighed_anew);
  for (const Input& input : contract.inputs) {
    const View<float>& view = tensors.at(input.name);
    if (all && input.kind == InputKind::heatmaps && view.memory == Memory::host) detail::count_persons(view, *all);
  }
  stamp(all, stages);
  return all;
}

Result<std::vector<Prediction>> Recognizer::Impl::predict_raw(const detail::Clips& clips, std::size_t first, std::size_t count) {
  const RawTensors tensors(clips, first, count, backend->most_persons(), contract.use_score);
  Stages stages;
  const Result<Outputs> outputs = computed(stages, [&](int request) { return backend->run_raw(tensors.feeds, request); });
  if (!outputs) return outputs.error();
  Result<std::vector<Prediction>> all = detail::predictions(*outputs, tensors.feeds.clips, contract, weighed_anew);
  for (std::size_t i = 0; all && first + i < clips.persons.size() && i < count; ++i) {
    all->at(i).frames_with_persons = clips.persons[first + i].frames_with_persons;
  }
  stamp(all, stages);
  return all;
}

Result<std::vector<Prediction>> Recognizer::Impl::predict(detail::Clips clips) {
  Tensors tensors = clips.view();
  std::vector<std::pair<std::vector<float>*, View<float>*>> taken;
  for (const auto& one : {std::pair{&clips.imgs, &tensors.imgs}, {&clips.heatmap_imgs, &tensors.heatmap_imgs}, {&clips.keypoint, &tensors.keypoint}}) {
    if (clips.raw == 0 && !one.second->shape.empty()) taken.emplace_back(one);
  }
  const auto count = static_cast<std::size_t>(clips.count());
  const auto most = static_cast<std::size_t>(backend->most_clips());
  const std::size_t group = contract.batch ? static_cast<std::size_t>(*contract.batch) : std::min(count, most);
  const std::size_t missing = contract.batch ? (group - count % group) % group : 0;
  std::vector<std::size_t> sizes;
  for (const auto& [values, view] : taken) {
    sizes.push_back(values->size() / count);
    append_last(*values, sizes.back(), missing);
  }
  Result<std::vector<Prediction>> all = std::vector<Prediction>();
  Stages stages;  // of all groups
  for (std::size_t start = 0; start < count; start += group) {
    const std::size_t size = std::min(group, count + missing - start);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      taken[i].second->data = taken[i].first->data() + start * sizes[i];
      taken[i].second->shape[0] = static_cast<std::int64_t>(size);
    }
    Result<std::vector<Prediction>> some = clips.raw > 0 ? predict_raw(clips, start, size) : predict(feeds(tensors));
    if (!some) return some;
    stages.wait_ms += some->front().stages.wait_ms;
    stages.compute_ms += some->front().stages.compute_ms;
    stages.gpu_ms += some->front().stages.gpu_ms;
    std::move(some->begin(), some->end(), std::back_inserter(*all));
  }
  all->resize(count);
  stamp(all, stages);
  if (clips.nobody) {
    for (Prediction& prediction : *all) prediction.frames_with_persons = 0;
  }
  memory.give(std::move(clips));
  return all;
}

Result<Prediction> Recognizer::Impl::predict(const Video& video, int clips) {
  const Clock::time_point start = Clock::now();
  Result<detail::Clips> prepared = detail::prepare_video(video, clips, contract, preparing(threads));
  if (!prepared) return std::move(prepared.error());
  const double prepare_ms = ms_since(start);
  const Result<std::vector<Prediction>> each = predict(*std::move(prepared));
  if (!each) return each.error();
  Result<Prediction> prediction = detail::averaged(*each, contract);
  if (prediction) prediction->stages.prepare_ms = prepare_ms;
  return prediction;
}

std::vector<Label> Recognizer::Impl::top(const std::vector<float>& scores, int count) const {
  if (std::any_of(scores.begin(), scores.end(), [](float score) { return std::isnan(score); })) return {};
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(std::max(count, 0))));
  const std::vector<std::string>& names = contract.labels;
  std::vector<Label> labels;
  for (const std::size_t index : order) {
    labels.push_back(
        {static_cast<int>(index), scores[index], index < names.size() ? names[index] : std::to_string(index)});
  }
  return labels;
}

Recognizer::Recognizer(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Recognizer::Recognizer(Recognizer&&) noexcept = default;
Recognizer& Recognizer::operator=(Recognizer&& other) noexcept {
  Recognizer taken(std::move(other));
  impl_.swap(taken.impl_);
  return *this;
}
// Streams and pools may keep the network; what was submitted points to what the caller may free now.
Recognizer::~Recognizer() {
  if (impl_ != nullptr) impl_->workers.finish();
}

Result<Recognizer> Recognizer::open(const std::string& bundle, const Options& options) {
  return Impl::open([&] { return std::filesystem::u8path(bundle); }, options);
}

Result<Recognizer> Recognizer::open(const std::vector<EmbeddedFile>& files, const Options& options) {
  return Impl::open([&]() -> const std::vector<EmbeddedFile>& { return files; }, options);
}

const Contract& Recognizer::contract() const noexcept {
  static const Contract kNone;
  return impl_ == nullptr ? kNone : impl_->contract;
}

const std::string& Recognizer::runtime() const noexcept {
  static const std::string kNone;
  return impl_ == nullptr ? kNone : impl_->runtime;
}

bool Recognizer::prepares_on_device() const noexcept { return impl_ != nullptr && !impl_->backend->raw_inputs().empty(); }

bool Recognizer::uses_cuda_graph() const noexcept { return impl_ != nullptr && impl_->backend->uses_cuda_graph(); }

const std::vector<std::string>& Recognizer::notes() const noexcept {
  static const std::vector<std::string> kNone;
  return impl_ == nullptr ? kNone : impl_->notes;
}

int Recognizer::requests() const noexcept { return impl_ == nullptr ? 0 : impl_->backend->requests(); }

Result<Prediction> Recognizer::predict(const Video& video, int clips) {
  return guarded([&]() -> Result<Prediction> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return impl_->predict(video, clips);
  });
}

Result<std::vector<Prediction>> Recognizer::predict(const std::vector<Video>& cropped) {
  return guarded([&]() -> Result<std::vector<Prediction>> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    const Clock::time_point start = Clock::now();
    Result<detail::Clips> prepared = detail::prepare_cropped(cropped, impl_->contract, impl_->preparing(impl_->threads));
    if (!prepared) return std::move(prepared.error());
    const double prepare_ms = ms_since(start);
    Result<std::vector<Prediction>> all = impl_->predict(*std::move(prepared));
    for (std::size_t i = 0; all && i < all->size(); ++i) all->at(i).stages.prepare_ms = prepare_ms;
    return all;
  });
}

Result<std::vector<Prediction>> Recognizer::predict(const Tensors& tensors) {
  return guarded([&]() -> Result<std::vector<Prediction>> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return impl_->predict(impl_->feeds(tensors));
  });
}

Result<std::vector<Prediction>> Recognizer::predict(const Feeds& tensors) {
  return guarded([&]() -> Result<std::vector<Prediction>> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return impl_->predict(tensors);
  });
}

Result<Outputs> Recognizer::run(const Feeds& tensors) {
  return guarded([&]() -> Result<Outputs> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    Stages stages;
    return impl_->run(tensors, stages);
  });
}

void Recognizer::submit(const Video& video, int clips, std::function<void(Result<Prediction>)> done) {
  submitted<Prediction>(impl_ == nullptr ? nullptr : &impl_->workers, done,
                        [impl = impl_.get(), video, clips] { return impl->predict(video, clips); });
}

void Recognizer::submit(const Feeds& tensors, std::function<void(Result<std::vector<Prediction>>)> done) {
  submitted<std::vector<Prediction>>(impl_ == nullptr ? nullptr : &impl_->workers, done,
                                     [impl = impl_.get(), tensors] { return impl->predict(tensors); });
}

std::future<Result<Prediction>> Recognizer::submit(const Video& video, int clips) {
  return future_of<Prediction>([&](auto done) { submit(video, clips, std::move(done)); });
}

std::future<Result<std::vector<Prediction>>> Recognizer::submit(const Feeds& tensors) {
  return future_of<std::vector<Prediction>>([&](auto done) { submit(tensors, std::move(done)); });
}

Result<PreparedClips> Recognizer::prepare(const Video& video, int clips) const {
  return guarded([&]() -> Result<PreparedClips> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return ready(detail::prepare_video(video, clips, impl_->contract, {impl_->min_keypoint_score, impl_->threads}));
  });
}

Result<PreparedClips> Recognizer::prepare(const std::vector<Video>& cropped) const {
  return guarded([&]() -> Result<PreparedClips> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return ready(detail::prepare_cropped(cropped, impl_->contract, {impl_->min_keypoint_score, impl_->threads}));
  });
}

Result<Prediction> Recognizer::average(const std::vector<Prediction>& clips) const {
  return guarded([&]() -> Result<Prediction> {
    if (impl_ == nullptr) return detail::moved_from("recognizer");
    return detail::averaged(clips, impl_->contract);
  });
}

std::vector<Label> Recognizer::top(const Prediction& prediction, int count) const {
  const Result<std::vector<Label>> labels = guarded([&]() -> Result<std::vector<Label>> {
    if (impl_ == nullptr || prediction.frames_with_persons == 0) return std::vector<Label>();
    return impl_->top(prediction.scores, count);
  });
  return labels ? *labels : std::vector<Label>();
}

}  // namespace x3ddeploy
