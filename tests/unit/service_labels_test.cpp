// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/service_labels.h"

#include <unistd.h>

#include "tests/support/catch.h"
#include "uploader/window_parts.h"

using namespace agent;

namespace {

std::string Environment(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + '\0';
  return text;
}

std::string ServiceOf(const Labels& labels) {
  for (const auto& [key, value] : labels) {
    if (key == "service_name") return value;
  }
  return "";
}

}  // namespace

TEST_CASE(
    "Service labels: the environment's name, else the container's, the pod's, the program's") {
  const std::string in_pod = "KUBERNETES_SERVICE_HOST=10.0.0.1";
  const auto service = [&](const std::vector<std::string>& words) {
    return ServiceOf(ServiceLabelsOf(Environment(words), "", "/srv/shop server"));
  };
  CHECK(service({}) == "shop_server");
  CHECK(service({"HOSTNAME=box"}) == "shop_server");
  CHECK(service({"HOSTNAME=cart-1", in_pod}) == "cart-1");
  CHECK(service({"POD_NAME=cart-2", "CONTAINER_NAME=app"}) == "app");
  CHECK(service({"CONTAINER_NAME=app", "OTEL_SERVICE_NAME=otel"}) == "otel");
  CHECK(service({"OTEL_SERVICE_NAME=otel", "PYROSCOPE_APPLICATION_NAME=email.service{a=b}"}) ==
        "email.service");
  CHECK(ServiceOf(ServiceLabelsOf("", "", "")) == "unknown");
}

TEST_CASE("Service labels: place") {
  const std::string id(64, 'a');
  CHECK(
      ServiceLabelsOf(Environment({"POD_NAME=p", "POD_NAMESPACE=n"}), "0::/kubepods/" + id, "/x") ==
      Labels{
          {"container", "aaaaaaaaaaaa"}, {"namespace", "n"}, {"pod", "p"}, {"service_name", "p"}});
}

TEST_CASE("Service labels: one pointer for equal labels; the user's tags go before") {
  ServiceLabels services({{"service_name", "mine"}, {"team", "a"}});
  const auto labels = services.Of(Pid{::getpid()});
  CHECK(labels == services.Of(Pid{::getpid()}));
  CHECK(ServiceOf(*labels) == "mine");
}

TEST_CASE("Service labels: none of a process that has ended") {
  ServiceLabels services({});
  CHECK(services.Of(Pid{0x7fffffff}) == nullptr);
}

TEST_CASE("The label of a process goes in the place of the user's") {
  CHECK(*WithPid({{"a", "b"}, {"pid", "mine"}, {"service_name", "s"}}, Pid{4711}) ==
        Labels{{"a", "b"}, {"pid", "4711"}, {"service_name", "s"}});
}

TEST_CASE("A window is split by the labels of its processes; nothing is lost") {
  FunctionTable functions;
  Profile window(WallTime(std::chrono::seconds(1'700'000'000)), std::chrono::milliseconds(100));
  window.set_duration(std::chrono::seconds(10));
  window.losses().torn = 3;
  const auto a = std::make_shared<const Labels>(Labels{{"service_name", "a"}});
  const auto equal = std::make_shared<const Labels>(*a);  // one series on the server
  const Frame frame{.function = functions.Intern("f", "", 0)};
  for (const auto& [pid, labels] : std::vector<std::pair<int, std::shared_ptr<const Labels>>>{
           {1, a}, {2, equal}, {3, nullptr}}) {
    window.Add(window.InternStack({&frame, 1}),
               window.InternThread({.pid = Pid{pid},
                                    .tid = Tid{pid},
                                    .process_name = "p",
                                    .thread_name = "t",
                                    .labels = labels}),
               SampleKind::kCpu, window.start(), {.count = 1, .cpu_ns = 10});
  }
  const auto groups = SplitByLabels(window);
  REQUIRE(groups.size() == 2);
  for (const LabelledWindow& group : groups) {
    CHECK(group.window.Total().cpu_ns == (group.labels ? 20 : 10));
    CHECK(group.window.Total().count == (group.labels ? 2 : 1));
    CHECK(group.window.duration() == window.duration());
  }
  CHECK(groups[0].window.losses().torn + groups[1].window.losses().torn == 3);
  CHECK(SplitByLabels(Profile(window.start(), Nanoseconds(0))).size() == 1);
}
