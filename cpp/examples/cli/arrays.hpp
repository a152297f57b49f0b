// Named arrays of an .npz file as numpy.savez writes it, or of a folder of .npy files.
#pragma once

#include <map>
#include <string>

#include "npy.hpp"

namespace cli {

using Arrays = std::map<std::string, Array>;

x3ddeploy::Result<std::string> read_file(const std::string& path);
x3ddeploy::Result<Arrays> read_arrays(const std::string& path);

}  // namespace cli
