// Named arrays of an .npz file as numpy.savez writes it, or of a folder of .npy files.
#pragma once

#include <map>
#include <string>

#include "npy.hpp"

namespace cli {

using Arrays = std::map<std::string, Array>;

x3ddeploy::Result<std::string> read_file(const std::string& path);
x3ddeploy::Result<Arrays> read_arrays(const std::string& path);

// The golden clip of a bundle: as for the runtime, an update that was decided and is not everywhere in place is the
// bundle (docs/bundle.md).
std::string golden_folder(const std::string& bundle);

}  // namespace cli
