// SPDX-License-Identifier: Apache-2.0
// Go's threads run on two stacks: a goroutine's, and one of their own for the runtime and for C.
#pragma once

#include "agent/process/memory.h"
#include "agent/process/thread_snapshot.h"

namespace agent::unwind {

/// For a thread of a Go program that stands still: copies the stack of the goroutine that it works
/// for, when it is on another one, and says where the goroutine stands. A few small reads. Leaves
/// the snapshot alone where memory does not look as Go's runtime makes it.
void CopyGoroutine(ProcessMemory& memory, ThreadSnapshot& snapshot);

}  // namespace agent::unwind
