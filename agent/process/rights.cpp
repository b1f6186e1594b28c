// SPDX-License-Identifier: Apache-2.0
#include "agent/process/rights.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>

#include "agent/base/parse_number.h"
#include "agent/base/unique_fd.h"
#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"

namespace agent {
namespace {

constexpr std::uint64_t kSysPtrace = std::uint64_t{1} << CAP_SYS_PTRACE;
constexpr int kMostAncestors = 1000;
constexpr std::size_t kMostNames = 5;

const RightsLine::Cure kAddCapability = {
    .dockerfile = "",
    .docker_run = "--cap-add SYS_PTRACE",
    .compose = "cap_add: [SYS_PTRACE]",
    .pod = "securityContext: {capabilities: {add: [SYS_PTRACE]}}",
    .elsewhere = "run the agent as root"};

std::string_view FieldOf(std::string_view status, std::string_view name) {
  const std::string key = fmt::format("\n{}:\t", name);
  const std::size_t at = status.find(key);
  if (at == std::string_view::npos) return {};
  status.remove_prefix(at + key.size());
  return status.substr(0, status.find('\n'));
}

std::uint64_t ParseHex(std::string_view text) {
  return ParseNumber<std::uint64_t>(text, 16).value_or(0);
}

// The first `count` numbers of a field, each once: "0" for "0 0 0 0".
std::string IdsOf(std::string_view field, std::size_t count) {
  std::vector<std::string_view> ids;
  for (std::size_t i = 0; i < count && !field.empty(); ++i) {
    const std::size_t end = std::min(field.find('\t'), field.size());
    ids.push_back(field.substr(0, end));
    field.remove_prefix(std::min(end + 1, field.size()));
  }
  const bool same =
      std::ranges::all_of(ids, [&](std::string_view id) { return id == ids.front(); });
  return same && !ids.empty() ? std::string(ids.front()) : fmt::format("{}", fmt::join(ids, "/"));
}

// The caller counts with its real ids, the process with its real, effective and saved ones.
RightsFacts::Side SideOf(std::string_view status, std::size_t ids) {
  return {.uids = IdsOf(FieldOf(status, "Uid"), ids),
          .gids = IdsOf(FieldOf(status, "Gid"), ids),
          .permitted = ParseHex(FieldOf(status, "CapPrm")),
          .effective = ParseHex(FieldOf(status, "CapEff"))};
}

std::string UserNamespaceOf(const std::string& folder) {
  std::array<char, 64> name{};
  const ssize_t size = ::readlink((folder + "/ns/user").c_str(), name.data(), name.size());
  return size > 0 ? std::string(name.data(), static_cast<std::size_t>(size)) : "";
}

// Without that, the files of a process are root's, not its user's (proc(5), "/proc/pid").
bool IsDumpable(const std::string& folder) {
  struct stat process{};
  struct stat file{};
  if (::stat(folder.c_str(), &process) != 0) return true;
  if (::stat((folder + "/mem").c_str(), &file) != 0) return true;
  return process.st_uid == file.st_uid;
}

bool IsDescendant(Pid process) {
  const Pid own{::getpid()};
  for (int i = 0; i < kMostAncestors && process != Pid{}; ++i) {
    if (process == own) return true;
    const Result<TaskStat> stat =
        ReadTaskStat(fmt::format("/proc/{}", static_cast<pid_t>(process)));
    if (!stat) return false;
    process = stat->parent;
  }
  return false;
}

// One byte at an address that nobody has: where we may look the address is what is wrong.
int TryReadv(pid_t pid) {
  char byte = 0;
  const iovec local{&byte, 1};
  const iovec remote{reinterpret_cast<void*>(1), 1};  // NOLINT(performance-no-int-to-ptr)
  if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT) return 0;
  return errno;
}

// What is not traced by us is "not there" to this request, unless a filter answers before.
int TryPtraceCall() {
  return ::ptrace(PTRACE_DETACH, ::getpid(), nullptr, nullptr) == 0 || errno == ESRCH ? 0 : errno;
}

// Does not stop the process. Only the end of the thread that seized lets it go again.
int TrySeize(Pid target) {
  int error = 0;
  std::thread([&] {
    if (::ptrace(PTRACE_SEIZE, static_cast<pid_t>(target), nullptr, nullptr) != 0) error = errno;
  }).join();
  return error;
}

int TryOpen(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.valid() ? 0 : errno;
}

std::string Names(std::uint64_t capabilities) {
  constexpr std::array<std::string_view, 41> kNames = {"CHOWN",
                                                       "DAC_OVERRIDE",
                                                       "DAC_READ_SEARCH",
                                                       "FOWNER",
                                                       "FSETID",
                                                       "KILL",
                                                       "SETGID",
                                                       "SETUID",
                                                       "SETPCAP",
                                                       "LINUX_IMMUTABLE",
                                                       "NET_BIND_SERVICE",
                                                       "NET_BROADCAST",
                                                       "NET_ADMIN",
                                                       "NET_RAW",
                                                       "IPC_LOCK",
                                                       "IPC_OWNER",
                                                       "SYS_MODULE",
                                                       "SYS_RAWIO",
                                                       "SYS_CHROOT",
                                                       "SYS_PTRACE",
                                                       "SYS_PACCT",
                                                       "SYS_ADMIN",
                                                       "SYS_BOOT",
                                                       "SYS_NICE",
                                                       "SYS_RESOURCE",
                                                       "SYS_TIME",
                                                       "SYS_TTY_CONFIG",
                                                       "MKNOD",
                                                       "LEASE",
                                                       "AUDIT_WRITE",
                                                       "AUDIT_CONTROL",
                                                       "SETFCAP",
                                                       "MAC_OVERRIDE",
                                                       "MAC_ADMIN",
                                                       "SYSLOG",
                                                       "WAKE_ALARM",
                                                       "BLOCK_SUSPEND",
                                                       "AUDIT_READ",
                                                       "PERFMON",
                                                       "BPF",
                                                       "CHECKPOINT_RESTORE"};
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if ((capabilities >> i & 1) != 0) names.push_back(kNames.at(i));
  }
  if (names.size() > kMostNames) {
    const std::size_t others = names.size() - kMostNames;
    names.resize(kMostNames);
    return fmt::format("{} and {} more", fmt::join(names, ", "), others);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

bool MayLookIntoAll(const RightsFacts& facts) { return (facts.own.effective & kSysPtrace) != 0; }

RightsLine JudgeTracer(const RightsFacts& facts) {
  if (facts.tracer == Pid{}) return {"other tracers", true, "none", {}};
  return {"other tracers",
          false,
          fmt::format("process {} traces it already", static_cast<pid_t>(facts.tracer)),
          {.dockerfile = "",
           .docker_run = "",
           .compose = "",
           .pod = "",
           .elsewhere = "end that debugger or strace"}};
}

RightsLine JudgeFilter(const RightsFacts& facts) {
  if (facts.ptrace_refused == 0) return {"seccomp", true, "ptrace may be called", {}};
  return {"seccomp", false,
          fmt::format("a filter refuses ptrace ({})", std::strerror(facts.ptrace_refused)),
          kAddCapability};
}

RightsLine JudgeMemory(const RightsFacts& facts) {
  if (facts.readv_errno == 0) return {"reading memory", true, "process_vm_readv", {}};
  if (facts.mem_errno == 0) {
    return {"reading memory",
            true,
            fmt::format("/proc/PID/mem, for {} process_vm_readv ({})",
                        facts.readv_refused != 0 ? "a filter refuses" : "the kernel refuses",
                        std::strerror(facts.readv_errno)),
            {}};
  }
  return {"reading memory", false,
          fmt::format("process_vm_readv: {}; /proc/PID/mem: {}", std::strerror(facts.readv_errno),
                      std::strerror(facts.mem_errno)),
          kAddCapability};
}

RightsLine JudgeIds(const RightsFacts& facts) {
  const std::string found = fmt::format("ours {}:{}, the program's {}:{}", facts.own.uids,
                                        facts.own.gids, facts.target.uids, facts.target.gids);
  const bool same = facts.own.uids == facts.target.uids && facts.own.gids == facts.target.gids;
  if (same || MayLookIntoAll(facts)) return {"user and group", true, found, {}};
  const std::string& uid = facts.target.uids;
  const std::string& gid = facts.target.gids;
  return {"user and group",
          false,
          found,
          {.dockerfile = fmt::format("USER {}:{}", uid, gid),
           .docker_run = fmt::format("--user {}:{} (or --cap-add SYS_PTRACE)", uid, gid),
           .compose = fmt::format("user: \"{}:{}\"", uid, gid),
           .pod = fmt::format("securityContext: {{runAsUser: {}, runAsGroup: {}}}", uid, gid),
           .elsewhere = "run the agent as that user, or as root"}};
}

RightsLine JudgeCapabilities(const RightsFacts& facts) {
  const std::uint64_t more = facts.target.permitted & ~facts.own.permitted;
  if (MayLookIntoAll(facts)) return {"capabilities", true, "SYS_PTRACE", {}};
  if (more == 0) return {"capabilities", true, "the program has none that we have not", {}};
  return {"capabilities", false, fmt::format("the program has {}, which we have not", Names(more)),
          kAddCapability};
}

RightsLine JudgeNamespace(const RightsFacts& facts) {
  if (facts.same_user_namespace) return {"user namespace", true, "the same", {}};
  if (MayLookIntoAll(facts))
    return {"user namespace", facts.seize_errno == 0, "another one", kAddCapability};
  return {"user namespace", false, "another one", kAddCapability};
}

RightsLine JudgeDumpable(const RightsFacts& facts) {
  if (facts.dumpable) return {"the program's own wish", true, "it may be looked into", {}};
  return {"the program's own wish", MayLookIntoAll(facts),
          "it is not dumpable: set-uid, an unreadable file, or PR_SET_DUMPABLE 0", kAddCapability};
}

RightsLine JudgeYama(const RightsFacts& facts) {
  if (!facts.yama) return {"Yama", true, "not in this kernel", {}};
  const int scope = *facts.yama;
  const bool ok = scope == 0 || (scope == 1 && (facts.is_descendant || MayLookIntoAll(facts))) ||
                  (scope == 2 && MayLookIntoAll(facts));
  RightsLine::Cure cure = kAddCapability;
  if (scope >= 3) cure = {};
  cure.elsewhere =
      scope >= 3   ? "boot again with kernel.yama.ptrace_scope at 2 or less; it cannot be lowered"
      : scope == 1 ? "start the program by `agent exec`, or run the agent as root"
                   : "run the agent as root, or: sysctl kernel.yama.ptrace_scope=1";
  return {"Yama", ok, fmt::format("kernel.yama.ptrace_scope is {}", scope),
          ok ? RightsLine::Cure{} : cure};
}

std::string InOneLine(const RightsLine& line) {
  std::string text = fmt::format("{}: {}", line.subject, line.found);
  const RightsLine::Cure& cure = line.cure;
  if (!cure.docker_run.empty()) {
    text +=
        fmt::format("; in a container: docker run {}, or in a pod {}", cure.docker_run, cure.pod);
  }
  if (!cure.elsewhere.empty())
    text += fmt::format("; {}{}", cure.docker_run.empty() ? "" : "elsewhere ", cure.elsewhere);
  return text;
}

}  // namespace

Result<RightsFacts> GatherRights(Pid target, const std::string& yama_file) {
  const std::string folder = fmt::format("/proc/{}", static_cast<pid_t>(target));
  const Result<std::string> own = ReadProcFile("/proc/self/status");
  if (!own) return Fail(Errc::kUnreadable, "there is no /proc to find the program by");
  AGENT_TRY(const std::string status, ReadProcFile(folder + "/status"));
  RightsFacts facts;
  facts.own = SideOf(*own, 1);
  facts.target = SideOf(status, 3);
  const std::string theirs = UserNamespaceOf(folder);
  facts.same_user_namespace = theirs.empty() || theirs == UserNamespaceOf("/proc/self");
  facts.dumpable = IsDumpable(folder);
  if (const Result<std::string> scope = ReadProcFile(yama_file); scope && !scope->empty()) {
    facts.yama = ParseNumber<int>(std::string_view(*scope).substr(0, scope->find('\n')));
  }
  facts.is_descendant = IsDescendant(target);
  facts.tracer = Pid{ParseNumber<pid_t>(FieldOf(status, "TracerPid")).value_or(0)};
  facts.ptrace_refused = TryPtraceCall();
  facts.readv_refused = TryReadv(::getpid());
  facts.seize_errno = TrySeize(target);
  facts.readv_errno = TryReadv(static_cast<pid_t>(target));
  facts.mem_errno = TryOpen(folder + "/mem");
  return facts;
}

RightsReport JudgeRights(const RightsFacts& facts) {
  RightsReport report;
  report.works = facts.seize_errno == 0 && (facts.readv_errno == 0 || facts.mem_errno == 0);
  report.lines = {JudgeTracer(facts),       JudgeFilter(facts),    JudgeIds(facts),
                  JudgeCapabilities(facts), JudgeNamespace(facts), JudgeDumpable(facts),
                  JudgeYama(facts)};
  const bool known =
      std::ranges::any_of(report.lines, [](const RightsLine& line) { return !line.ok; });
  RightsLine memory = JudgeMemory(facts);
  // What blocks it has been named.
  if (known) memory.cure = {};
  report.lines.push_back(std::move(memory));
  if (facts.seize_errno != 0 && !known) {
    report.lines.push_back(
        {"tracing", false,
         fmt::format("{}: a rule of the system that cannot be seen from here (AppArmor, SELinux)",
                     std::strerror(facts.seize_errno)),
         kAddCapability});
  }
  return report;
}

std::string WhyNotPermitted(Pid target) {
  const Result<RightsFacts> facts = GatherRights(target);
  if (!facts) return facts.error().Message();
  for (const RightsLine& line : JudgeRights(*facts).lines) {
    if (!line.ok) return InOneLine(line);
  }
  return "the kernel refused, and would not now";
}

}  // namespace agent
