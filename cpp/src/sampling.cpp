// numpy's legacy generator, whose stream is frozen and is what MMAction2 draws from: the Mersenne twister, bounded
// integers by masking and rejection (numpy/random/src/distributions/distributions.c, mtrand.pyx).
#include <algorithm>
#include <numeric>
#include <random>

#include "preprocess.hpp"

namespace x3ddeploy::detail {
namespace {

class LegacyRandom {
 public:
  explicit LegacyRandom(std::uint32_t seed) : twister_(seed) {}

  // From 0 to `largest`, both included.
  std::uint32_t up_to(std::uint32_t largest) {
    if (largest == 0) return 0;
    std::uint32_t mask = largest;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    std::uint32_t value = 0;
    do {
      value = static_cast<std::uint32_t>(twister_()) & mask;
    } while (value > largest);
    return value;
  }

  // `count` different numbers under `population`: the head of a Fisher-Yates shuffle of all of them.
  std::vector<std::int64_t> choose(std::int64_t population, std::int64_t count) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(population));
    std::iota(all.begin(), all.end(), 0);
    for (std::size_t i = all.size() - 1; i > 0; --i) std::swap(all[i], all[up_to(static_cast<std::uint32_t>(i))]);
    all.resize(static_cast<std::size_t>(count));
    return all;
  }

 private:
  std::mt19937 twister_;
};

}  // namespace

std::vector<std::int64_t> uniform_indices(std::int64_t frames, int length, int clips, std::uint32_t seed) {
  LegacyRandom random(seed);
  std::vector<std::int64_t> indices;
  indices.reserve(static_cast<std::size_t>(length) * static_cast<std::size_t>(clips));
  for (std::int64_t clip = 0; clip < clips; ++clip) {
    if (frames < length) {
      const std::int64_t start = frames < clips ? clip : clip * frames / clips;
      for (std::int64_t i = 0; i < length; ++i) indices.push_back((start + i) % frames);
    } else if (frames < 2 * static_cast<std::int64_t>(length)) {
      std::vector<std::int64_t> skipped(static_cast<std::size_t>(length) + 1, 0);
      for (const std::int64_t place : random.choose(length + 1, frames - length))
        skipped[static_cast<std::size_t>(place)] = 1;
      std::int64_t before = 0;
      for (std::int64_t i = 0; i < length; ++i) indices.push_back(i + (before += skipped[static_cast<std::size_t>(i)]));
    } else {
      for (std::int64_t i = 0; i < length; ++i) {
        const std::int64_t from = i * frames / length, to = (i + 1) * frames / length;
        indices.push_back(from + random.up_to(static_cast<std::uint32_t>(to - from - 1)));
      }
    }
  }
  return indices;
}

}  // namespace x3ddeploy::detail
