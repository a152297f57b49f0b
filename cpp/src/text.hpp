// Text that comes from files, made fit for a terminal: x3ddeploy/text.py.
#pragma once

#include <string>

namespace x3ddeploy::detail {

// All that steers a terminal or hides from its reader written as an escape: "a\x1b[31m". Letters of every script stay.
std::string escaped(const std::string& text);
bool is_utf8(const std::string& text);
// Whether there is nothing but spaces, of whatever width.
bool is_blank(const std::string& text);

}  // namespace x3ddeploy::detail
