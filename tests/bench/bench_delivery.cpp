// SPDX-License-Identifier: Apache-2.0
// What a window costs to encode and pack, and its size in each form that receivers take.
//
// usage: bench_delivery [STACKS [FRAMES [DEPTH [REPEATS]]]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "agent/format/pprof_encoder.h"
#include "uploader/upload_format.h"
#include "uploader/upload_window.h"

namespace {

using namespace agent;

int Number(int argc, char** argv, int index, int otherwise) {
  return argc > index ? std::atoi(argv[index]) : otherwise;
}

// Stacks that share their outer frames, as a program's do.
Profile MakeWindow(FunctionTable& functions, int stacks, int frames, int depth) {
  Profile window(std::chrono::system_clock::now(), Nanoseconds(0));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  std::vector<Frame> known;
  for (int i = 0; i < frames; ++i) {
    const std::string name = fmt::format("package.module_{}.Class.method_{}", i / 20, i);
    const std::string file = fmt::format("/srv/app/package/module_{}.py", i / 20);
    known.push_back({.function = functions.Intern(name, file, 10), .line = 12});
  }
  std::minstd_rand random(1);
  for (int i = 0; i < stacks; ++i) {
    std::vector<Frame> stack;
    for (int level = 0; level < depth; ++level) {
      const int width = std::min(frames, 1 + level * level);
      stack.push_back(
          known[(static_cast<std::size_t>(level) * 37 + random() % static_cast<unsigned>(width)) %
                known.size()]);
    }
    std::ranges::reverse(stack);
    window.Add(window.InternStack(stack), window.InternThread({}), SampleKind::kCpu, window.start(),
               {.count = 1, .cpu_ns = 10'000'000 + static_cast<std::int64_t>(random() % 1000)});
  }
  return window;
}

// Of CPU time, the median: the machine may be busy with other things.
double Milliseconds(int repeats, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const std::clock_t begin = std::clock();
    work();
    times.push_back(1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int stacks = Number(argc, argv, 1, 16'000);
  const int frames = Number(argc, argv, 2, 1000);
  const int depth = Number(argc, argv, 3, 20);
  const int repeats = Number(argc, argv, 4, 9);
  FunctionTable functions;
  const Profile window = MakeWindow(functions, stacks, frames, depth);
  const auto labels =
      std::make_shared<const Labels>(Labels{{"hostname", "host-1"}, {"service_name", "shop"}});
  std::vector<WindowPart> parts;
  std::vector<UploadWindow> packed;
  const double encode = Milliseconds(repeats, [&] { parts = EncodeWindow(window); });
  const double pack = Milliseconds(repeats, [&] {
    packed.clear();
    for (const WindowPart& part : parts) packed.push_back(PackWindow(window, part, labels));
  });
  std::size_t raw = 0;
  std::size_t gzipped = 0;
  for (const WindowPart& part : parts) raw += part.pprof.size();
  for (const UploadWindow& part : packed) gzipped += part.pprof->size();
  fmt::print("window of {} stacks, {} deep, over {} functions: in {} parts\n", stacks, depth,
             frames, parts.size());
  fmt::print("  encode {:.1f} ms of CPU, gzip {:.1f} ms; pprof {} bytes, gzipped {} bytes\n",
             encode, pack, raw, gzipped);
  for (const auto& [format, note] :
       {std::pair{UploadFormat::kPush, "gzip of PushRequest with pprof, as pyroscope-rs"},
        {UploadFormat::kPprof, "form with gzipped pprof, as pyroscope-go"},
        {UploadFormat::kFolded, "collapsed stacks, not packed (/ingest takes no encoding)"},
        {UploadFormat::kOtlp, "gzip of OTLP"}}) {
    std::size_t bytes = 0;
    const double time = Milliseconds(repeats, [&] {
      bytes = 0;
      for (const UploadWindow& part : packed) bytes += MakeUploadRequest(part, format)->body.size();
    });
    fmt::print("  {:<7}{:>9} bytes, made in {:>6.1f} ms ({})\n", NameOf(format), bytes, time, note);
  }
  const double merge =
      Milliseconds(repeats, [&] { (void)MergeWindows(packed.front(), packed.front()); });
  fmt::print("  merging two such parts: {:.1f} ms\n", merge);
}
