// What Valgrind is told of stacks, and asked. Nothing where its header is missing.
#pragma once

#if WIRE_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_DISABLE_ERROR_REPORTING static_cast<void>(0)
#define VALGRIND_ENABLE_ERROR_REPORTING static_cast<void>(0)
#define VALGRIND_MAKE_MEM_UNDEFINED(lowest, size) static_cast<void>(0)
#define VALGRIND_STACK_REGISTER(lowest, top) static_cast<void>(0)
#endif
