// x3ddeploy_fit BUNDLE PART PRECISION GPU CAPABILITY VERSION: which engine would be loaded on such a machine, or why none.
#include <iostream>

#include "engines.hpp"

int main(int count, char** words) {
  using namespace x3ddeploy::detail;
  if (count != 7) return 2;
  const auto bundle = Bundle::open(std::filesystem::path(words[1]));
  if (!bundle) {
    std::cerr << bundle.error().text() << '\n';
    return 1;
  }
  const auto name = find_engine(*bundle, words[2], words[3], {words[4], words[5], words[6]});
  std::cout << (name ? *name : name.error().text()) << '\n';
  return 0;
}
