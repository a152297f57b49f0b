#pragma once

#include "arguments.hpp"

namespace cli {

// Each prints its result on stdout and gives the exit code.
x3ddeploy::Result<int> predict(x3ddeploy::Recognizer& recognizer, const Arguments& arguments);
x3ddeploy::Result<int> self_test(x3ddeploy::Recognizer& recognizer, const Arguments& arguments);
x3ddeploy::Result<int> bench(x3ddeploy::Recognizer& recognizer, const Arguments& arguments);

}  // namespace cli
