// SPDX-License-Identifier: Apache-2.0
#include "agent/process/run_as.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"

using namespace agent;

namespace {

struct Accounts {
  std::filesystem::path folder;
  std::string passwd;
  std::string group;

  Accounts() {
    std::string name = std::filesystem::temp_directory_path() / "agent-test-XXXXXX";
    folder = ::mkdtemp(name.data());
    passwd = folder / "passwd";
    group = folder / "group";
    std::ofstream(passwd)
        << "root:x:0:0:root:/root:/bin/sh\n# no entry\nbroken\nshop:x:1234:2345::/:\n"
           "100:x:200:300::/:\n";
    std::ofstream(group) << "root:x:0:\nshop:x:2345:\ncart:x:2346:root,shop\nmail:x:2347:shopper\n";
  }
  ~Accounts() { std::filesystem::remove_all(folder); }
  Accounts(const Accounts&) = delete;
  Accounts& operator=(const Accounts&) = delete;

  [[nodiscard]] Result<RunAs> Find(const std::string& user, const std::string& with_group) const {
    return FindRunAs(user, with_group, passwd, group);
  }
};

}  // namespace

TEST_CASE("a user brings his groups") {
  const Accounts accounts;
  for (const std::string user : {"shop", "1234"}) {
    const auto run_as = accounts.Find(user, "");
    REQUIRE(run_as);
    CHECK(run_as->uid == 1234);
    CHECK(run_as->gid == 2345);
    CHECK(run_as->groups == std::vector<gid_t>{2346, 2345});
  }
}

TEST_CASE("a name of digits is a name first") { CHECK(Accounts().Find("100", "")->uid == 200); }

TEST_CASE("a group goes before the user's own, alone it leaves the user") {
  const Accounts accounts;
  CHECK(accounts.Find("shop", "mail")->gid == 2347);
  CHECK(accounts.Find("shop", "cart")->groups == std::vector<gid_t>{2346});
  const auto alone = accounts.Find("", "9");
  REQUIRE(alone);
  CHECK_FALSE(alone->uid);
  CHECK(alone->gid == 9);
  CHECK(alone->groups == std::vector<gid_t>{9});
}

TEST_CASE("numbers need no entry, a user's group then must be said") {
  const Accounts accounts;
  CHECK(accounts.Find("77", "88")->uid == 77);
  CHECK_FALSE(accounts.Find("77", ""));
  CHECK(FindRunAs("77", "88", "/nonexistent", "/nonexistent")->gid == 88);
}

TEST_CASE("unknown names and impossible numbers are refused") {
  const Accounts accounts;
  for (const std::string name : {"nosuch", "-1", "4294967295", "99999999999", "broken"}) {
    CHECK(accounts.Find(name, "1").error().Message().find(name) != std::string::npos);
    CHECK(accounts.Find("shop", name).error().Message().find(name) != std::string::npos);
  }
}
