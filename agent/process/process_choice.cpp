// SPDX-License-Identifier: Apache-2.0
#include "agent/process/process_choice.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "agent/base/path.h"
#include "agent/process/proc_file.h"

namespace agent {
namespace {

constexpr std::size_t kShortestId = 12;  // as docker and podman show it
constexpr std::size_t kMostCommand = 64u << 10;
constexpr std::size_t kMostEnvironment = 1u << 20;

constexpr std::size_t kMostMatched = 4096;

constexpr std::array<std::string_view, 9> kRuntimes = {
    "dockerd", "containerd", "containerd-shim", "conmon",    "crio",
    "runc",    "crun",       "kubelet",         "catatonit",
};

bool IsRuntime(std::string_view command) {
  const std::string_view name = BaseName(command.substr(0, command.find('\0')));
  return std::ranges::any_of(kRuntimes, [&](std::string_view runtime) {
    return name == runtime || name.starts_with(std::string(runtime) + "-");
  });
}

}  // namespace

Result<ProcessChoice> ProcessChoice::ByName(const std::string& regex) {
  ProcessChoice choice(Kind::kName, regex);
  if (regex.empty()) return Fail(Errc::kInvalid, "must not be empty");
  for (std::size_t i = 0; i + 1 < regex.size(); ++i) {
    if (regex[i] == '\\' && regex[i + 1] >= '1' && regex[i + 1] <= '9') {
      return Fail(Errc::kInvalid, "must not refer back (\\1): that takes time without end");
    }
    if (regex[i] == '\\') ++i;
  }
  auto compiled = std::make_unique<regex_t>();
  if (const int error = ::regcomp(compiled.get(), regex.c_str(), REG_EXTENDED | REG_NOSUB)) {
    std::array<char, 128> why{};
    ::regerror(error, compiled.get(), why.data(), why.size());
    return Fail(Errc::kInvalid, "not a regular expression", why.data());
  }
  choice.regex_ = std::shared_ptr<const regex_t>(compiled.release(), [](const regex_t* made) {
    auto* own = const_cast<regex_t*>(made);  // regfree's signature
    ::regfree(own);
    delete own;
  });
  return choice;
}

Result<ProcessChoice> ProcessChoice::InContainer(std::string container) {
  if (container.empty()) return Fail(Errc::kInvalid, "must not be empty");
  return ProcessChoice(Kind::kContainer, std::move(container));
}

ProcessChoice ProcessChoice::All() { return {Kind::kAll, ""}; }

std::string ProcessChoice::Shown() const {
  switch (kind_) {
    case Kind::kName:
      return "--name " + wanted_;
    case Kind::kContainer:
      return "--container " + wanted_;
    case Kind::kAll:
      return "--all";
  }
  std::unreachable();
}

bool ProcessChoice::Wants(Pid process) const {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(process));
  // Kernel threads have none, nor have processes that have ended.
  const Result<std::string> command = ReadProcFile(folder + "/cmdline", kMostCommand);
  if (!command || command->empty()) return false;
  switch (kind_) {
    case Kind::kName:
      return HasName(folder, *command) && !IsAgent(process);
    case Kind::kContainer:
      return IsInContainer(folder) && !IsAgent(process);
    case Kind::kAll:
      return process != Pid{1} && !IsRuntime(*command) && !IsAgent(process);
  }
  std::unreachable();
}

bool ProcessChoice::IsAgent(Pid process) {
  const std::string exe = fmt::format("/proc/{}/exe", static_cast<pid_t>(process));
  struct stat own{};
  struct stat other{};
  if (::stat("/proc/self/exe", &own) != 0 || ::stat(exe.c_str(), &other) != 0) return false;
  return own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

bool ProcessChoice::HasName(const std::string& folder, const std::string& command) const {
  std::string words = command.substr(0, kMostMatched);
  if (words.ends_with('\0')) words.pop_back();
  std::ranges::replace(words, '\0', ' ');
  if (Matches(words)) return true;
  const Result<std::string> comm = ReadProcFile(folder + "/comm");
  return comm && Matches(comm->substr(0, comm->find('\n')));
}

bool ProcessChoice::Matches(const std::string& text) const {
  return ::regexec(regex_.get(), text.c_str(), 0, nullptr, 0) == 0;
}

bool ProcessChoice::IsInContainer(const std::string& folder) const {
  const bool may_be_id = wanted_.size() >= kShortestId &&
                         wanted_.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (may_be_id) {
    const Result<std::string> cgroup = ReadProcFile(folder + "/cgroup");
    if (cgroup && cgroup->contains(wanted_)) return true;
  }
  Result<std::string> environment = ReadProcFile(folder + "/environ", kMostEnvironment);
  if (!environment) return false;
  environment->insert(environment->begin(), '\0');
  environment->push_back('\0');
  for (const std::string_view name : {"HOSTNAME", "POD_NAME", "CONTAINER_NAME"}) {
    std::string entry(1, '\0');
    entry += fmt::format("{}={}", name, wanted_);
    entry.push_back('\0');
    if (environment->contains(entry)) return true;
  }
  return false;
}

}  // namespace agent
