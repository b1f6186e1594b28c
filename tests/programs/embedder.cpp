// SPDX-License-Identifier: Apache-2.0
// A program that embeds CPython from whatever file holds it, on a thread of its own: neither the
// program nor the library need be called python.
//
// usage: embedder LIBRARY SOURCE
#include <dlfcn.h>

#include <cstdio>
#include <thread>

namespace {

template <typename Function>
Function* Find(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

int Run(const char* path, const char* source) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "embedder: %s\n", ::dlerror());
    return 1;
  }
  Find<void(int)>(library, "Py_InitializeEx")(0);
  return Find<int(const char*, void*)>(library, "PyRun_SimpleStringFlags")(source, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  int status = 0;
  std::thread([&] { status = Run(argv[1], argv[2]); }).join();
  return status == 0 ? 0 : 1;
}
