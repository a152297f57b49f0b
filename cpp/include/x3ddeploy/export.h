// What a shared library shows; everything else in it is hidden. X3DDEPLOY_SHARED is defined by its CMake target.
#pragma once

#if defined(__GNUC__) && !defined(_WIN32)
#define X3DDEPLOY_HIDDEN __attribute__((visibility("hidden")))
#else
#define X3DDEPLOY_HIDDEN
#endif

#if !defined(_WIN32)
#if defined(__GNUC__)
#define X3DDEPLOY_API __attribute__((visibility("default")))
#else
#define X3DDEPLOY_API
#endif
#elif !defined(X3DDEPLOY_SHARED)
#define X3DDEPLOY_API
#elif defined(X3DDEPLOY_BUILDING)
#define X3DDEPLOY_API __declspec(dllexport)
#else
#define X3DDEPLOY_API __declspec(dllimport)
#endif
