// Which sanitizers the library is built with: WIRE_ASAN and WIRE_TSAN, and their interfaces.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIRE_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WIRE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WIRE_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WIRE_TSAN 1
#endif

#if WIRE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WIRE_TSAN
#include <sanitizer/tsan_interface.h>
#endif
