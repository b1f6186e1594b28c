// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/spy_set.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "agent/base/path.h"
#include "agent/cli/debuginfod.h"
#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"
#include "spies/dotnet/dotnet_spy.h"
#include "spies/dotnet/perf_map_requests.h"
#include "spies/native/native_spy.h"
#include "spies/python/python_spy.h"
#include "spies/unwind/code_files.h"

namespace agent {
namespace {

// Where a JIT compiler says what it compiled.
void DescribeCompiledCode(TargetProcess& process, ModuleSource& source) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(process.pid()));
  struct stat info{};
  if (::stat(folder.c_str(), &info) == 0) source.owner = info.st_uid;
  if (const auto status = ReadProcFile(folder + "/status")) {
    if (const auto place = ParseTaskPlace(*status)) source.inner_pid = place->inner_tid;
  }
  if (const auto mappings = process.ReadMappings()) {
    for (const Mapping& mapping : *mappings) {
      const std::string_view name = BaseName(mapping.path);
      if (name.starts_with("jit-") && name.ends_with(".dump")) {
        source.jitdump_paths.push_back(mapping.path);
      }
    }
  }
}

// Gives the symbolizer what it needs to name a module's code.
class SymbolSources final : public unwind::ModuleListener {
 public:
  explicit SymbolSources(Symbolizer& symbolizer) : symbolizer_(symbolizer) {}
  void OnModule(const Module& module, std::shared_ptr<const ElfSource> elf,
                TargetProcess& process) override {
    ModuleSource source;
    source.elf = std::move(elf);
    source.pid = process.pid();
    if (Result<UniqueFd> root = process.OpenRoot()) source.root = *std::move(root);
    if (source.elf == nullptr) DescribeCompiledCode(process, source);
    symbolizer_.AddModule(&module, std::move(source));
  }

 private:
  Symbolizer& symbolizer_;
};

std::unique_ptr<DebugFetcher> FetcherFor(const Settings& settings) {
  if (!settings.debuginfod) return nullptr;
  return StartDebuginfod([](const char* name) { return std::getenv(name); });
}

}  // namespace

struct SpySet::Parts {
  Parts(const Settings& settings, const Wishes& wishes)
      : fetcher(FetcherFor(settings)),
        symbolizer(settings.demangle, fetcher.get()),
        python(functions, {.gil_only = settings.gil,
                           .asyncio = settings.asyncio,
                           .marks_gil = wishes.marks_gil,
                           .native_files = settings.native ? &files : nullptr}),
        dotnet(files, functions, settings.dotnet_raw_names, &perf_maps) {}

  FunctionTable functions;
  std::unique_ptr<DebugFetcher> fetcher;
  Symbolizer symbolizer;
  SymbolSources sources{symbolizer};
  unwind::CodeFiles files{sources};
  python::PythonSpyFactory python;
  dotnet::PerfMapRequests perf_maps;
  dotnet::DotnetSpyFactory dotnet;
  native::NativeSpyFactory native{files, functions};
};

SpySet::SpySet(const Settings& settings, const Wishes& wishes)
    : parts_(std::make_unique<Parts>(settings, wishes)) {}
SpySet::~SpySet() = default;
FunctionTable& SpySet::functions() { return parts_->functions; }
Symbolizer& SpySet::symbolizer() { return parts_->symbolizer; }
bool SpySet::IsGil(RemoteAddress futex) const { return parts_->python.IsGil(futex); }
std::vector<SpyFactory*> SpySet::factories() {
  return {&parts_->python, &parts_->dotnet, &parts_->native};
}

}  // namespace agent
