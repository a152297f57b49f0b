// What a manifest can say: bounds on every number, name and choice, also on those that the library does not rely on.
#pragma once

#include "manifest.hpp"

namespace x3ddeploy::detail {

// Relative to an output's range: an output of zeros is 1 away, and what is ten times as far is no rounding.
double share(const Place& place);

// Numbers that nothing here can have, wherever they stand; before arithmetic is done with any.
void check_numbers(const Place& manifest);

// The rest, as far as it is there; `read` is what was read of the manifest.
void check_limits(const Place& manifest, const Manifest& read);

}  // namespace x3ddeploy::detail
