# ONNX Runtime below X3DDEPLOY_ONNXRUNTIME_ROOT, or where the system keeps it, as the target x3ddeploy::onnxruntime.
include(FindPackageHandleStandardArgs)

find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h HINTS "${X3DDEPLOY_ONNXRUNTIME_ROOT}"
  PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
find_library(ONNXRuntime_LIBRARY onnxruntime HINTS "${X3DDEPLOY_ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
find_package_handle_standard_args(ONNXRuntime REQUIRED_VARS ONNXRuntime_LIBRARY ONNXRuntime_INCLUDE_DIR)
mark_as_advanced(ONNXRuntime_LIBRARY ONNXRuntime_INCLUDE_DIR)

if(ONNXRuntime_FOUND AND NOT TARGET x3ddeploy::onnxruntime)
  add_library(x3ddeploy::onnxruntime INTERFACE IMPORTED)
  target_include_directories(x3ddeploy::onnxruntime SYSTEM INTERFACE "${ONNXRuntime_INCLUDE_DIR}")
  target_link_libraries(x3ddeploy::onnxruntime INTERFACE "${ONNXRuntime_LIBRARY}")
endif()
