// x3ddeploy_fuzz_manifest SEED_FILE RUNS: the fuzz target on mutations of a file, the same ones each time.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// What turns a value into another kind of value, or a text into none.
constexpr const char* kTokens[] = {"null",        "-1", "0", "1e999",    "99999999999999999999",
                                   "\"\\ud800\"", "[",  "]", "{",        "}",
                                   "\"",          "\\", ",", ":",        "true",
                                   "\xff",        "..", "/", "[[[[[[[[", "\"N\""};

std::string mutated(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (std::size_t left = 1 + below(4); left > 0; --left) {
    const std::size_t at = below(text.size() + 1), length = below(std::min<std::size_t>(text.size() - at, 40) + 1);
    switch (below(6)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, text.substr(below(text.size() + 1), length)); break;
      case 2: text.replace(at, length, kTokens[below(std::size(kTokens))]); break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 4:  // a member's value, or what an array begins with
        if (const std::size_t colon = text.find(':', at); colon != text.npos) {
          const std::size_t end = std::min(text.find_first_of(",]}", colon), text.size());
          text.replace(colon + 1, end - colon - 1, kTokens[below(std::size(kTokens))]);
        }
        break;
      default: text.resize(at);
    }
  }
  return text;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  std::ifstream file(words[1], std::ios::binary);
  const std::string seed((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const int runs = std::atoi(words[2]);
  std::mt19937 random(1);
  for (int run = 0; run < runs; ++run) {
    const std::string text = mutated(seed, random);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  std::cout << runs << " mutations of " << seed.size() << " bytes read\n";
  return seed.empty() || runs < 1 ? 1 : 0;
}
