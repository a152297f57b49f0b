// A loop over several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace x3ddeploy::detail {

// Calls `work(i)` for each i under `count`, on at most `threads` threads, this one among them. Where the system gives no
// further thread those that are there do the work. The first exception is thrown again here.
template <class F>
void parallel_for(std::size_t count, std::size_t threads, const F& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_lock;
  const auto take = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_lock);
      if (failure == nullptr) failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> others;
  others.reserve(std::min(count, threads));
  try {
    while (others.size() + 1 < std::min(count, threads)) others.emplace_back(take);
  } catch (const std::system_error&) {
  }
  take();
  for (std::thread& other : others) other.join();
  if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace x3ddeploy::detail
