// What a manifest says of the network, in schema 2 or in the words of schema 1: inputs, parts, outputs and scores.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "decoder.hpp"
#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

inline constexpr std::int64_t kDynamic = -1;
// The part that is all others in one graph; a network that is not cut has no other.
inline constexpr const char* kWhole = "recognizer";
// Far over any network of this kind, and small enough for products of a few sizes to stay inside 64 bits; that of
// x3ddeploy/contract.py.
inline constexpr std::int64_t kLargestSize = 1 << 14;

using Shape = std::vector<std::int64_t>;  // kDynamic for an axis of any size

// One graph of the bundle.
struct Part {
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

struct Network {
  Contract contract;  // its labels are in a file of their own
  std::vector<Part> parts;
  // The parts that together do the work of the whole, by when they can run: those of one wave need nothing of each other.
  std::vector<std::vector<Part>> waves;
};

// Problems are reported to the place's decoder.
Network network_of_schema_1(const Place& manifest);
Network network_of_schema_2(const Place& manifest);

}  // namespace x3ddeploy::detail
