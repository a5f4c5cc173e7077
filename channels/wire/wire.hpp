// Everything a program usually needs.
#pragma once

#include <wire/address.hpp>
#include <wire/cancel.hpp>
#include <wire/deadline.hpp>
#include <wire/diagnostics.hpp>
#include <wire/event.hpp>
#include <wire/join_wait.hpp>
#include <wire/listener.hpp>
#include <wire/remote.hpp>
#include <wire/result.hpp>
#include <wire/run.hpp>
#include <wire/runtime.hpp>
#include <wire/scope.hpp>
#include <wire/semaphore.hpp>
#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include <wire/stream.hpp>
#include <wire/this_wire.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>
