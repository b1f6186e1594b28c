// SPDX-License-Identifier: Apache-2.0
#include "agent/process/run_as.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "agent/base/parse_number.h"
#include "agent/process/capabilities.h"

namespace agent {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File OpenFile(const std::string& path) { return File(std::fopen(path.c_str(), "re")); }

// -1 is "leave it" to the system calls.
template <typename Id>
std::optional<Id> ParseId(const std::string& text) {
  const auto id = ParseNumber<Id>(text);
  return id && *id != static_cast<Id>(-1) ? id : std::nullopt;
}

struct User {
  std::string name;  // "" : no entry
  uid_t uid = 0;
  std::optional<gid_t> gid;
};

Result<User> FindUser(const std::string& text, const std::string& passwd_file) {
  const std::optional<uid_t> number = ParseId<uid_t>(text);
  if (const File file = OpenFile(passwd_file)) {
    while (const passwd* entry = ::fgetpwent(file.get())) {
      if (text == entry->pw_name || (number && *number == entry->pw_uid)) {
        return User{entry->pw_name, entry->pw_uid, entry->pw_gid};
      }
    }
  }
  if (number) return User{"", *number, std::nullopt};
  return Fail(Errc::kInvalid, "there is no such user",
              fmt::format("{} (in {})", text, passwd_file));
}

Result<gid_t> FindGroup(const std::string& text, const std::string& group_file) {
  if (const File file = OpenFile(group_file)) {
    while (const group* entry = ::fgetgrent(file.get())) {
      if (text == entry->gr_name) return entry->gr_gid;
    }
  }
  if (const std::optional<gid_t> number = ParseId<gid_t>(text)) return *number;
  return Fail(Errc::kInvalid, "there is no such group",
              fmt::format("{} (in {})", text, group_file));
}

std::vector<gid_t> GroupsOf(const std::string& user, const std::string& group_file) {
  std::vector<gid_t> groups;
  const File file = OpenFile(group_file);
  if (file == nullptr) return groups;
  while (const group* entry = ::fgetgrent(file.get())) {
    for (char** member = entry->gr_mem; *member != nullptr; ++member) {
      if (user == *member) groups.push_back(entry->gr_gid);
    }
  }
  return groups;
}

}  // namespace

Result<RunAs> FindRunAs(const std::string& user, const std::string& group,
                        const std::string& passwd_file, const std::string& group_file) {
  RunAs run_as;
  std::optional<gid_t> gid;
  if (!user.empty()) {
    AGENT_TRY(const User found, FindUser(user, passwd_file));
    run_as.uid = found.uid;
    gid = found.gid;
    if (!found.name.empty()) run_as.groups = GroupsOf(found.name, group_file);
  }
  if (!group.empty()) {
    AGENT_TRY(gid, FindGroup(group, group_file));
  }
  if (!gid) {
    return Fail(Errc::kInvalid, "the group must be given as well",
                fmt::format("user {} is not in {}", user, passwd_file));
  }
  run_as.gid = *gid;
  if (std::ranges::find(run_as.groups, *gid) == run_as.groups.end()) run_as.groups.push_back(*gid);
  return run_as;
}

Result<void> CheckRunAs(const RunAs& run_as) {
  const bool other_user = run_as.uid && *run_as.uid != ::geteuid();
  if ((!other_user || HasCapability(CAP_SETUID)) && HasCapability(CAP_SETGID)) return {};
  return Fail(Errc::kNotPermitted,
              "only root (CAP_SETUID and CAP_SETGID) may run the program as somebody else");
}

int Become(const RunAs& run_as) {
  if (::setgroups(run_as.groups.size(), run_as.groups.data()) != 0) return errno;
  if (::setresgid(run_as.gid, run_as.gid, run_as.gid) != 0) return errno;
  if (run_as.uid && ::setresuid(*run_as.uid, *run_as.uid, *run_as.uid) != 0) return errno;
  return 0;
}

}  // namespace agent
