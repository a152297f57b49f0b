#include <mutex>

#include "recognizer_impl.hpp"
#include "scores.hpp"
#include "stream_impl.hpp"

namespace x3ddeploy {

using detail::guarded;

namespace detail {

std::vector<StreamPrediction> computed(const Computing& computing, std::vector<ReadyWindow>& windows,
                                       const std::vector<Labeller*>& labellers) {
  const Contract& contract = computing.contract;
  const auto clips = static_cast<std::size_t>(computing.clips * contract.views);
  Result<std::vector<Prediction>> all = std::vector<Prediction>();
  Clips prepared = joined(windows);
  if (prepared.count() > 0) {
    all = guarded([&] { return computing.predict(std::move(prepared)); });
  }
  std::vector<StreamPrediction> found;
  std::size_t at = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    Result<Prediction> one = Error();
    if (windows[i].problem) {
      one = *windows[i].problem;
    } else if (!all) {
      one = all.error();
    } else {
      const auto start = all->begin() + static_cast<std::ptrdiff_t>(at);
      one = averaged({start, start + static_cast<std::ptrdiff_t>(clips)}, contract);
      at += clips;
    }
    found.push_back(labellers[i]->label(windows[i], std::move(one), contract));
  }
  return found;
}

}  // namespace detail

struct Stream::Impl {
  std::shared_ptr<Recognizer::Impl> recognizer;
  detail::Windows windows;
  detail::Labeller labeller;
  detail::Computing computing;
  std::mutex turn;

  Impl(std::shared_ptr<Recognizer::Impl> its, const StreamOptions& options)
      : recognizer(std::move(its)),
        windows(recognizer->contract, options, recognizer->preparing(recognizer->threads), recognizer->log),
        labeller(options),
        computing{recognizer->contract, options.clips,
                  [impl = recognizer.get()](detail::Clips clips) { return impl->predict(std::move(clips)); }} {}
};

Stream::Stream(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

Result<Stream> Stream::open(const Recognizer& recognizer, const StreamOptions& given) {
  return guarded([&]() -> Result<Stream> {
    if (recognizer.impl_ == nullptr) return detail::moved_from("recognizer");
    const Result<StreamOptions> options = detail::checked(given, recognizer.contract());
    if (!options) return options.error();
    return Stream(std::make_unique<Impl>(recognizer.impl_, *options));
  });
}

Result<std::vector<StreamPrediction>> Stream::push(const Frame& frame, const Poses& poses, double time) {
  return guarded([&]() -> Result<std::vector<StreamPrediction>> {
    if (impl_ == nullptr) return detail::moved_from("stream");
    const std::lock_guard<std::mutex> lock(impl_->turn);
    Result<std::vector<detail::ReadyWindow>> windows = impl_->windows.push(frame, poses, time);
    if (!windows) return windows.error();
    return detail::computed(impl_->computing, *windows,
                            std::vector<detail::Labeller*>(windows->size(), &impl_->labeller));
  });
}

void Stream::restart() noexcept {
  if (impl_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(impl_->turn);
  impl_->windows.restart();
}

}  // namespace x3ddeploy
