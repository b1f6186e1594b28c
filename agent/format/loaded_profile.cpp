// SPDX-License-Identifier: Apache-2.0
#include "agent/format/loaded_profile.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <span>
#include <unordered_map>

#include "agent/format/gzip.h"

namespace agent {
namespace {

constexpr std::size_t kMostBytes = 256u << 20;

// The first character that is no space.
char FirstCharacter(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  return at == std::string_view::npos ? '\0' : text[at];
}

// pprof begins with the tag of a message or of a number, which text does not.
bool LooksLikeText(std::string_view bytes) {
  const std::string_view begin = bytes.substr(0, 4096);
  return begin.find('\0') == std::string_view::npos && begin.find(' ') != std::string_view::npos &&
         static_cast<unsigned char>(bytes.front()) >= ' ';
}

Result<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return FailErrno("cannot read", path);
  std::string bytes;
  std::string piece(1u << 20, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    bytes.append(piece, 0, static_cast<std::size_t>(file.gcount()));
    if (bytes.size() > kMostBytes) return Fail(Errc::kLimit, "larger than 256 MiB", path);
  }
  if (file.bad()) return FailErrno("cannot read", path);
  return bytes;
}

}  // namespace

void AddProfile(LoadedProfile& sum, const LoadedProfile& more) {
  std::unordered_map<const Module*, const Module*> modules;
  for (const Module& module : more.modules) {
    const auto known = std::ranges::find_if(sum.modules, [&](const Module& other) {
      return other.path == module.path && other.build_id == module.build_id;
    });
    modules.emplace(&module,
                    known != sum.modules.end() ? &*known : &sum.modules.emplace_back(module));
  }
  // As Merge does, with the frames translated; what has times of its own comes behind the rest.
  const WallTime begin = sum.profile.start() + sum.profile.duration();
  std::vector<Frame> frames;
  for (const Profile::Entry& entry : more.profile.Entries()) {
    const std::span<const Frame> theirs = more.profile.StackFrames(entry.key.stack);
    frames.assign(theirs.begin(), theirs.end());
    for (Frame& frame : frames) {
      const Function& function = *frame.function;
      frame.function = sum.functions.Intern(function.name, function.file, function.start_line);
      if (frame.module != nullptr) frame.module = modules.at(frame.module);
    }
    const WallTime at = begin + more.profile.slice_length() * std::int64_t{entry.key.slice};
    sum.profile.Add(sum.profile.InternStack(frames),
                    sum.profile.InternThread(more.profile.Thread(entry.key.thread)), entry.key.kind,
                    at, entry.value);
  }
  sum.profile.losses() += more.profile.losses();
  sum.profile.set_duration(sum.profile.duration() + more.profile.duration());
}

Result<void> AddWithinLimit(SampleValue& sum, const SampleValue& more) {
  sum += more;
  if (std::max({sum.count, sum.cpu_ns, sum.wall_ns}) <= INT64_MAX / 4) return {};
  return Fail(Errc::kLimit, "its values are too large to be added up");
}

Result<std::unique_ptr<LoadedProfile>> ParseProfile(std::string_view bytes) {
  if (bytes.starts_with("\x1f\x8b")) {
    AGENT_TRY(const std::string unpacked, Gunzip(bytes, kMostBytes));
    if (unpacked.starts_with("\x1f\x8b")) return Fail(Errc::kMalformed, "gzipped twice");
    return ParseProfile(unpacked);
  }
  if (bytes.empty()) return Fail(Errc::kMalformed, "the file is empty");
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  // PHP's "{main}" begins a collapsed stack.
  if (FirstCharacter(bytes) == '{' && !bytes.starts_with("{main}")) return DecodeSpeedscope(bytes);
  return LooksLikeText(bytes) ? DecodeFolded(bytes) : DecodePprof(bytes);
}

Result<std::unique_ptr<LoadedProfile>> LoadProfile(const std::string& path) {
  AGENT_TRY(const std::string bytes, ReadWhole(path));
  Result<std::unique_ptr<LoadedProfile>> profile = ParseProfile(bytes);
  if (!profile) {
    const Error& error = profile.error();
    return Fail(error.code, "cannot read the profile", path + ": " + error.Message());
  }
  return profile;
}

}  // namespace agent
