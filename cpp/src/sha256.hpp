// SHA-256 (FIPS 180-4) of bytes in memory.
#pragma once

#include <cstddef>
#include <string>

namespace x3ddeploy::detail {

// 64 lower-case hexadecimal digits.
std::string sha256(const void* data, std::size_t size);

}  // namespace x3ddeploy::detail
