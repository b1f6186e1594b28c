// SPDX-License-Identifier: Apache-2.0
#include "agent/process/rights.h"

#include <linux/capability.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"

using namespace agent;

namespace {

constexpr std::uint64_t kSysPtrace = std::uint64_t{1} << CAP_SYS_PTRACE;

RightsFacts Equals() {
  RightsFacts facts;
  facts.own = {.uids = "1000", .gids = "1000"};
  facts.target = facts.own;
  return facts;
}

// The subjects that block, in their order.
std::string Blocking(const RightsFacts& facts) {
  std::string names;
  for (const RightsLine& line : JudgeRights(facts).lines) {
    if (!line.ok) names += (names.empty() ? "" : ", ") + line.subject;
  }
  return names;
}

std::string FileWith(const std::string& text) {
  std::string name = std::filesystem::temp_directory_path() / "agent-test-XXXXXX";
  ::close(::mkstemp(name.data()));
  std::ofstream(name) << text;
  return name;
}

}  // namespace

TEST_CASE("equals may look into each other") {
  CHECK(Blocking(Equals()).empty());
  CHECK(JudgeRights(Equals()).works);
}

TEST_CASE(
    "another user, more capabilities, another namespace or no wish block, but not SYS_PTRACE") {
  RightsFacts facts = Equals();
  facts.target.uids = "0";
  CHECK(Blocking(facts) == "user and group");
  facts = Equals();
  facts.target.gids = "7/8/7";
  CHECK(Blocking(facts) == "user and group");
  facts = Equals();
  facts.target.permitted = 2;
  facts.own.permitted = 4;
  CHECK(Blocking(facts) == "capabilities");
  facts = Equals();
  facts.dumpable = false;
  CHECK(Blocking(facts) == "the program's own wish");
  facts.same_user_namespace = false;
  CHECK(Blocking(facts) == "user namespace, the program's own wish");
  facts.target.uids = "0";
  facts.own.effective = kSysPtrace;
  CHECK(Blocking(facts).empty());
}

TEST_CASE("Yama, by each of its scopes") {
  const auto with = [](const std::string& scope, bool descendant, bool capable) {
    const std::string file = FileWith(scope);
    RightsFacts facts = GatherRights(Pid{::getpid()}, file).value();
    std::filesystem::remove(file);
    RightsFacts judged = Equals();
    judged.yama = facts.yama;
    judged.is_descendant = descendant;
    if (capable) judged.own.effective = kSysPtrace;
    return Blocking(judged);
  };
  CHECK(with("0\n", false, false).empty());
  CHECK(with("1\n", true, false).empty());
  CHECK(with("1\n", false, false) == "Yama");
  CHECK(with("1\n", false, true).empty());
  CHECK(with("2\n", true, false) == "Yama");
  CHECK(with("2\n", true, true).empty());
  CHECK(with("3\n", true, true) == "Yama");
  RightsFacts facts = Equals();
  facts.yama = 1;
  for (const RightsLine& line : JudgeRights(facts).lines) {
    if (line.subject != "Yama") continue;
    CHECK(line.cure.elsewhere.find("agent exec") != std::string::npos);
    CHECK(line.cure.docker_run == "--cap-add SYS_PTRACE");
  }
}

TEST_CASE("a filter's refusal is told from the kernel's, and memory has a second way") {
  RightsFacts facts = Equals();
  facts.ptrace_refused = facts.seize_errno = EPERM;
  CHECK(Blocking(facts) == "seccomp");
  CHECK_FALSE(JudgeRights(facts).works);
  facts = Equals();
  facts.readv_refused = facts.readv_errno = EPERM;
  CHECK(Blocking(facts).empty());
  CHECK(JudgeRights(facts).works);
  facts.mem_errno = EACCES;
  CHECK(Blocking(facts) == "reading memory");
  CHECK_FALSE(JudgeRights(facts).works);
}

TEST_CASE("what blocks without a reason that can be seen is said all the same") {
  RightsFacts facts = Equals();
  facts.seize_errno = EACCES;
  CHECK(Blocking(facts) == "tracing");
}

TEST_CASE("another tracer blocks") {
  RightsFacts facts = Equals();
  facts.tracer = Pid{17};
  facts.seize_errno = EPERM;
  CHECK(Blocking(facts) == "other tracers");
}
