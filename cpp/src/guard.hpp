// The border of the library: what a runtime or the standard library throws becomes an error value.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

// Short enough to need no memory, which is what there is none of.
inline Error out_of_memory() noexcept { return {ErrorKind::failed, "out of memory", "", {}}; }

inline Error moved_from(const std::string& what) {
  return {ErrorKind::usage, "the " + what + " was moved from", "use the one that it was moved to", {}};
}

template <class F>
auto guarded(const F& work) noexcept -> decltype(work()) {
  try {
    try {
      return work();
    } catch (const std::bad_alloc&) {
      return Error{ErrorKind::failed, "out of memory", "use fewer clips at a time", {}};
    } catch (const std::length_error&) {
      return Error{ErrorKind::failed, "out of memory", "use fewer clips at a time", {}};
    } catch (const std::exception& error) {
      return Error{ErrorKind::failed, error.what(), "", {}};
    } catch (...) {
      return Error{ErrorKind::failed, "an unknown exception was thrown by the runtime", "", {}};
    }
  } catch (...) {
    return out_of_memory();
  }
}

}  // namespace x3ddeploy::detail
