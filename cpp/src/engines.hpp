// Which of a bundle's TensorRT engines fit this machine; the rules and the words of x3ddeploy/tensorrt/place.py.
#pragma once

#include "bundle.hpp"

namespace x3ddeploy::detail {

// What an engine has to fit.
struct Host {
  std::string gpu;                 // name
  std::string compute_capability;  // "9.0"
  std::string version;             // of TensorRT: "10.13.2.6"
};

// Name of the plan of a part that may be loaded on this host; its sha256 is checked when it is read.
Result<std::string> find_engine(const Bundle& bundle, const std::string& part, const std::string& precision,
                                const Host& host);

}  // namespace x3ddeploy::detail
