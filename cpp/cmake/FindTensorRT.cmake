# TensorRT and the CUDA runtime below X3DDEPLOY_TENSORRT_ROOT and X3DDEPLOY_CUDA_ROOT, or where the system keeps them, as
# the target x3ddeploy::tensorrt. The lean runtime serves where the full one is not.
include(FindPackageHandleStandardArgs)

find_path(TensorRT_INCLUDE_DIR NvInfer.h HINTS "${X3DDEPLOY_TENSORRT_ROOT}" PATH_SUFFIXES include)
find_library(TensorRT_LIBRARY NAMES nvinfer nvinfer_lean HINTS "${X3DDEPLOY_TENSORRT_ROOT}" PATH_SUFFIXES lib lib64)
find_path(TensorRT_CUDA_INCLUDE_DIR cuda_runtime_api.h HINTS "${X3DDEPLOY_CUDA_ROOT}" ENV CUDA_HOME /usr/local/cuda
  PATH_SUFFIXES include)
find_library(TensorRT_CUDART_LIBRARY cudart HINTS "${X3DDEPLOY_CUDA_ROOT}" ENV CUDA_HOME /usr/local/cuda
  PATH_SUFFIXES lib lib64)
find_package_handle_standard_args(TensorRT REQUIRED_VARS TensorRT_LIBRARY TensorRT_INCLUDE_DIR TensorRT_CUDART_LIBRARY
  TensorRT_CUDA_INCLUDE_DIR)
mark_as_advanced(TensorRT_LIBRARY TensorRT_INCLUDE_DIR TensorRT_CUDART_LIBRARY TensorRT_CUDA_INCLUDE_DIR)

if(TensorRT_FOUND AND NOT TARGET x3ddeploy::tensorrt)
  add_library(x3ddeploy::tensorrt INTERFACE IMPORTED)
  target_include_directories(x3ddeploy::tensorrt SYSTEM INTERFACE "${TensorRT_INCLUDE_DIR}" "${TensorRT_CUDA_INCLUDE_DIR}")
  target_link_libraries(x3ddeploy::tensorrt INTERFACE "${TensorRT_LIBRARY}" "${TensorRT_CUDART_LIBRARY}")
endif()
