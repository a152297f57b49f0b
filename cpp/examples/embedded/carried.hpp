#pragma once

#include <vector>

#include <x3ddeploy/x3ddeploy.hpp>

// The files of the bundle that this program was built around.
std::vector<x3ddeploy::EmbeddedFile> carried_files();
