# SPDX-License-Identifier: Apache-2.0
# Debian's cross compiler, with arm64's libraries unpacked in AGENT_ARM64 (./dev fetches them). Programs are linked
# statically: qemu-user runs them as they are.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)

set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES AGENT_ARM64)
set(CMAKE_FIND_ROOT_PATH ${AGENT_ARM64} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CXX_FLAGS_INIT
  "-isystem ${AGENT_ARM64}/usr/include/aarch64-linux-gnu -isystem ${AGENT_ARM64}/usr/include")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -L${AGENT_ARM64}/usr/lib/aarch64-linux-gnu")
