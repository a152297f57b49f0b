/* x3ddeploy for C, and for whatever calls C: recognizers, streams of cameras and pools of them. How to: docs/embed.md.
 *
 * Every function that can fail gives NULL or a code that is not 0, an exit code of the `x3ddeploy` command (2: misuse, 4: the
 * machine lacks something), and x3d_error() then says why. Structures begin with their size, so that later versions may
 * add to them: set it to sizeof, and the rest to 0 for what is usual. Texts are UTF-8, end with a zero, and live as long as
 * what gave them. Any number of threads may call one recognizer or pool, and calls of one stream take turns; NULL is closed
 * without a word. What was closed is gone: whoever uses it still, or closes it while another thread calls it, reads freed
 * memory. A pool is neither finished nor closed by the function that it tells what is found. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <x3ddeploy/export.h>
#include <x3ddeploy/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct x3d_recognizer x3d_recognizer;
typedef struct x3d_stream x3d_stream;
typedef struct x3d_pool x3d_pool;

enum x3d_format { X3D_RGB, X3D_BGR, X3D_RGBA, X3D_BGRA, X3D_GRAY, X3D_NV12, X3D_I420 };

typedef struct x3d_options {
  size_t size;
  const char* runtime;   /* "tensorrt", "openvino", "onnxruntime"; NULL for the first that can */
  const char* precision; /* NULL for "fp32" */
  const char* device;    /* of OpenVINO; NULL for the CPU */
  const char* cache_dir; /* NULL for none */
  int throughput;        /* 1: the most calls a second; 0: the shortest call */
  int requests;          /* calls at the same time; 0 for the runtime's choice */
  int threads;           /* 0 for the runtime's choice */
  int warm_up;           /* 1: computes a clip of zeros first */
  float min_keypoint_score; /* 0 counts all joints */
  void (*log)(void* user, const char* line);
  void* user;
} x3d_options;

typedef struct x3d_frame {
  size_t size;
  int format; /* of enum x3d_format */
  int height;
  int width;
  const uint8_t* planes[3]; /* those that are NULL lie behind the one before */
  size_t row_bytes[3];      /* 0 where nothing lies between two rows */
} x3d_frame;

typedef struct x3d_video {
  size_t size;
  const x3d_frame* frames; /* NULL for a network of keypoints alone */
  size_t frame_count;
  int height; /* of the picture, where there are no frames */
  int width;
  int64_t persons;
  int64_t pose_frames;
  int64_t joints;
  const float* keypoints; /* (persons, pose_frames, joints, 2); NULL for a network of frames alone */
  const float* scores;    /* (persons, pose_frames, joints) */
  int coordinates;        /* of a keypoint: 3 of skeletons in space, 0 for x and y */
  int keypoints_height;   /* of the pictures that keypoints are pixels of; 0 where it is that of the frames */
  int keypoints_width;
} x3d_video;

typedef struct x3d_poses {
  size_t size;
  int64_t persons;
  int64_t joints;
  const float* keypoints; /* (persons, joints, 2) */
  const float* scores;    /* (persons, joints); NULL: all 1 */
  const int64_t* tracks;  /* (persons,); NULL: their places */
  int coordinates;        /* of a keypoint: 3 of skeletons in space, 0 for x and y */
} x3d_poses;

typedef struct x3d_stream_options {
  size_t size;
  int window;
  int stride;
  int clips;       /* 0 for 1 */
  int each_person; /* 1: a prediction for each track */
  double frames_per_second;
  double largest_gap; /* 0 for 1 second, negative for none */
  double smoothing;
  double hysteresis;
} x3d_stream_options;

typedef struct x3d_pool_options {
  size_t size;
  int batch;         /* windows that are computed together at most; 0 for 8 */
  double wait_ms;    /* for how long a window may wait for others; 0 for 20, negative for not at all */
  double give_up_ms; /* after which a window that still waits is given up; 0 for never */
} x3d_pool_options;

/* Of one window; valid during the call that it is given to. */
typedef struct x3d_found {
  size_t size;
  int has_track;
  int64_t track;
  double start;
  double end;
  int label;         /* class, -1 where nobody was seen or there is a problem */
  const char* name;  /* of the class; NULL without a label */
  float score;
  int changed;
  const float* scores; /* smoothed, one a class */
  size_t classes;
  const char* problem; /* why there is no prediction; NULL where there is one */
} x3d_found;

typedef void (*x3d_found_fn)(void* user, int64_t camera, const x3d_found* found);

/* "0.1.0": of the library, where the macros are of the header. */
X3DDEPLOY_API const char* x3d_version(void);
/* What the last call of this thread that failed said. */
X3DDEPLOY_API const char* x3d_error(void);

X3DDEPLOY_API x3d_recognizer* x3d_open(const char* bundle, const x3d_options* options);
X3DDEPLOY_API void x3d_close(x3d_recognizer* recognizer); /* streams and pools keep what they need */
X3DDEPLOY_API const char* x3d_runtime(const x3d_recognizer* recognizer);
X3DDEPLOY_API const char* x3d_note(const x3d_recognizer* recognizer, size_t index); /* NULL behind the last */
X3DDEPLOY_API size_t x3d_classes(const x3d_recognizer* recognizer);
X3DDEPLOY_API const char* x3d_label(const x3d_recognizer* recognizer, size_t index); /* NULL where it has no name */

/* Writes one score a class, `capacity` being at least x3d_classes; the frames with persons where asked for, -1 if not known. */
X3DDEPLOY_API int x3d_predict(x3d_recognizer* recognizer, const x3d_video* video, int clips, float* scores, size_t capacity,
                              int* frames_with_persons);

X3DDEPLOY_API x3d_stream* x3d_stream_open(const x3d_recognizer* recognizer, const x3d_stream_options* options);
/* Calls `found` for each window that this frame makes ready, with camera 0. */
X3DDEPLOY_API int x3d_stream_push(x3d_stream* stream, const x3d_frame* frame, const x3d_poses* poses, double time,
                                  x3d_found_fn found, void* user);
X3DDEPLOY_API void x3d_stream_restart(x3d_stream* stream); /* forgets frames, tracks and times */
X3DDEPLOY_API void x3d_stream_close(x3d_stream* stream);

/* Calls `found` in a thread of the library. */
X3DDEPLOY_API x3d_pool* x3d_pool_open(const x3d_recognizer* recognizer, const x3d_stream_options* cameras,
                                      const x3d_pool_options* options, x3d_found_fn found, void* user);
X3DDEPLOY_API int x3d_pool_push(x3d_pool* pool, int64_t camera, const x3d_frame* frame, const x3d_poses* poses, double time);
X3DDEPLOY_API void x3d_pool_remove(x3d_pool* pool, int64_t camera); /* forgets a camera */
X3DDEPLOY_API void x3d_pool_finish(x3d_pool* pool); /* waits until nothing waits */
X3DDEPLOY_API void x3d_pool_close(x3d_pool* pool);

#ifdef __cplusplus
}
#endif
