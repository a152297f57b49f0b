// The fuzz target of the C interface with bytes that are the same each time; `make cpp-fuzz` gives it many more.
#include <cstdint>
#include <random>
#include <vector>

#include "check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

TEST(no_use_of_streams_pools_and_calls_breaks_the_c_interface) {
  std::mt19937 random(1);
  for (int run = 0; run < 200; ++run) {
    std::vector<std::uint8_t> bytes(random() % 1000);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    CHECK_EQUAL(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
  }
}
