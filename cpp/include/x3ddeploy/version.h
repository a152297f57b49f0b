// CMake reads the version from here, and so may an application: #if X3DDEPLOY_VERSION_MINOR >= 2
#pragma once

#define X3DDEPLOY_VERSION_MAJOR 0
#define X3DDEPLOY_VERSION_MINOR 1
#define X3DDEPLOY_VERSION_PATCH 0
