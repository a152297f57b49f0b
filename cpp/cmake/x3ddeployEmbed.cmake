# x3ddeploy_embed(TARGET BUNDLE [NAME name] [FILES file...]): puts a bundle inside a target.
#
# BUNDLE is its folder, NAME what the code calls it by (the folder's name if left out), FILES what of it is carried besides
# manifest.json: labels.txt where the bundle has it and recognizer.onnx if left out; plans for TensorRT, int8/recognizer.onnx, ...
# The target then has
#
#   #include <x3ddeploy_bundles/deploy.hpp>
#   auto recognizer = x3ddeploy::Recognizer::open(x3ddeploy::bundles::deploy());
#
# A program may carry several: nothing that is added has a name that another bundle's could have. A changed file is taken in
# again by the next build.
include_guard(GLOBAL)
set(X3DDEPLOY_EMBED_FOLDER "${CMAKE_CURRENT_LIST_DIR}")

function(x3ddeploy_embed target bundle)
  cmake_parse_arguments(PARSE_ARGV 2 ARG "" "NAME" "FILES")
  get_filename_component(bundle "${bundle}" ABSOLUTE)
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "x3ddeploy_embed does not take ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT EXISTS "${bundle}/manifest.json")
    message(FATAL_ERROR "x3ddeploy_embed: ${bundle} holds no manifest.json: make a bundle with x3ddeploy export CKPT -o DIR")
  endif()
  if(NOT ARG_NAME)
    get_filename_component(ARG_NAME "${bundle}" NAME)
  endif()
  string(MAKE_C_IDENTIFIER "${ARG_NAME}" name)
  if(NOT ARG_FILES)
    set(ARG_FILES recognizer.onnx)
  endif()
  if(EXISTS "${bundle}/labels.txt")
    list(APPEND ARG_FILES labels.txt)
  endif()
  list(REMOVE_DUPLICATES ARG_FILES)
  string(SHA256 unique "${target} ${name} ${bundle}")
  string(SUBSTRING "${unique}" 0 16 unique)
  set(index 0)
  set(blobs "")
  set(symbols "")
  set(rows "")
  set(sources "")
  set(resources "")
  foreach(file manifest.json ${ARG_FILES})
    if(NOT EXISTS "${bundle}/${file}")
      message(FATAL_ERROR "x3ddeploy_embed: ${bundle} has no ${file}")
    endif()
    set(symbol "x3ddeploy_${unique}_${index}")
    string(APPEND blobs "X3DDEPLOY_CARRY(${symbol}, \"${bundle}/${file}\")\n")
    string(APPEND symbols "extern const char ${symbol}[], ${symbol}_end[];\n")
    string(APPEND rows "      {\"${file}\", ${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})},\n")
    string(APPEND resource_rows "      carried(\"${file}\", \"${symbol}\"),\n")
    string(APPEND resources "${symbol} RCDATA \"${bundle}/${file}\"\n")
    list(APPEND sources "${bundle}/${file}")
    math(EXPR index "${index} + 1")
  endforeach()
  # One folder a bundle of a target: another target's bundle of the same name is another one.
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/x3ddeploy_bundles_${target}")
  set(source "${folder}/${name}.cpp")
  configure_file("${X3DDEPLOY_EMBED_FOLDER}/bundle.hpp.in" "${folder}/x3ddeploy_bundles/${name}.hpp" @ONLY)
  if(WIN32)
    configure_file("${X3DDEPLOY_EMBED_FOLDER}/bundle_windows.cpp.in" "${source}" @ONLY)
    file(CONFIGURE OUTPUT "${folder}/${name}.rc" CONTENT "@resources@" @ONLY)
    enable_language(RC)
    target_sources(${target} PRIVATE "${folder}/${name}.rc")
    set_source_files_properties("${folder}/${name}.rc" PROPERTIES OBJECT_DEPENDS "${sources}")
  else()
    configure_file("${X3DDEPLOY_EMBED_FOLDER}/bundle.cpp.in" "${source}" @ONLY)
    set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${sources}" COMPILE_OPTIONS "-fno-lto"
      SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  target_sources(${target} PRIVATE "${source}")
  target_include_directories(${target} PRIVATE "${folder}")
  target_link_libraries(${target} PRIVATE x3ddeploy::x3ddeploy)
endfunction()
