// The instructions of this processor, beside isa() of kernels.h.
#pragma once

#include "kernels.h"

namespace mae {

// The best that the processor and the operating system have, whatever MAE_KERNELS_ISA says.
Isa best_isa();
// From now on isa() is the lesser of `wanted` and best_isa(). For tests; not while a kernel runs.
void use_isa(Isa wanted);

}  // namespace mae
