// SPDX-License-Identifier: MIT
// Slots saved in files and restored, as a client sees it.
#include <filesystem>
#include <fstream>

#include "server/access.h"
#include "support/refusal.h"
#include "unit/server/server_fixture.h"

namespace sw::server {
namespace {

namespace fs = std::filesystem;

class Slots : public ::testing::Test {
 protected:
  ServerOptions options() const {
    ServerOptions options = TestServer::defaults();
    options.n_parallel = 2;
    options.slot_folder = folder().string();
    return options;
  }
  fs::path folder() const { return temp_.path(); }

  /// About 200 tokens, greedy.
  static Json body(const char* word = "fox", int experts = 0) {
    std::string prompt = "Once upon a time there was a ";
    for (int i = 0; i < 60; ++i) prompt += std::string(word) + " and a ";
    Json body = {{"prompt", prompt}, {"max_tokens", 40}, {"temperature", 0}, {"ignore_eos", true}};
    if (experts > 0) body["moe"] = {{"experts", experts}};
    return body;
  }
  static int64_t cached(const Json& answer) {
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"];
  }
  static std::string path(const std::string& action, const std::string& slot = "0") {
    return "/slots/" + slot + "?action=" + action;
  }

 private:
  sw::testing::TempDir temp_;
};

TEST_F(Slots, WhatRanIsFoundInTheNextServer) {
  std::string text;
  int64_t n_saved = 0;
  {
    TestServer server(options());
    const Json answer = server.json("/v1/completions", body());
    EXPECT_EQ(cached(answer), 0);
    text = answer["choices"][0]["text"];
    const Json saved = server.json(path("save"), {{"filename", "fox 1.bin"}});
    EXPECT_EQ(saved["id_slot"], 0);
    EXPECT_EQ(saved["filename"], "fox 1.bin");
    EXPECT_EQ(saved["n_written"], fs::file_size(folder() / "fox 1.bin"));
    EXPECT_GT(saved["timings"]["save_ms"], 0);
    n_saved = saved["n_saved"];
    EXPECT_GE(n_saved, 128);
    EXPECT_EQ(n_saved % 64, 0);
  }
  TestServer server(options());
  const Json restored = server.json(path("restore", "1"), {{"filename", "fox 1.bin"}});
  EXPECT_EQ(restored["id_slot"], 1);
  EXPECT_EQ(restored["n_restored"], n_saved);
  EXPECT_EQ(restored["n_read"], fs::file_size(folder() / "fox 1.bin"));
  EXPECT_GT(restored["timings"]["restore_ms"], 0);
  EXPECT_GE(server.json("/slots")[1]["n_text"], n_saved);
  const Json answer = server.json("/v1/completions", body());
  EXPECT_GE(cached(answer), 128);
  EXPECT_EQ(answer["choices"][0]["text"], text);
  // Restored there, so that it can be saved from there.
  EXPECT_EQ(server.json(path("save", "1"), {{"filename", "again"}})["n_saved"], n_saved);
}

TEST_F(Slots, AnotherCacheTypeIsRefused) {
  const CacheType type(Type::Q8_0, Type::Q4_0);
  std::string text;
  {
    TestServer server(options(), 0, type);
    const Json cache = server.json("/props")["cache"];
    EXPECT_EQ(cache["type_k"], "q8_0");
    EXPECT_EQ(cache["type_v"], "q4_0");
    // Layers, heads, tokens, elements; a block of 32 takes 34 and 18 bytes.
    const HParams& h = TestServer::model().hparams();
    const int64_t n_token = server.json("/props")["n_ctx"].get<int64_t>() * 2;
    EXPECT_EQ(cache["size_bytes"],
              h.n_layer * h.attention.n_head_kv * n_token * h.attention.head_dim / 32 * (34 + 18));
    text = server.json("/v1/completions", body())["choices"][0]["text"];
    server.json(path("save"), {{"filename", "a"}});
    EXPECT_GE(server.json(path("restore"), {{"filename", "a"}})["n_restored"], 128);
    const Json again = server.json("/v1/completions", body());
    EXPECT_GE(cached(again), 128);
    EXPECT_EQ(again["choices"][0]["text"], text);
  }
  TestServer server(options());
  EXPECT_EQ(server.json("/props")["cache"]["type_v"], "f16");
  const Json refused = server.json(path("restore"), {{"filename", "a"}}, 400);
  EXPECT_NE(refused["error"]["message"].get<std::string>().find(
                "types: expected [\"F16\",\"F16\"], got [\"Q8_0\",\"Q4_0\"] (-ctk and -ctv"),
            std::string::npos)
      << refused;
}

TEST_F(Slots, AnotherRoutingDoesNotFindIt) {
  TestServer server(options());
  const Json few = server.json("/v1/completions", body("fox", 2));
  server.json(path("save"), {{"filename", "few"}});
  server.json(path("erase"), Json::object());
  EXPECT_GE(server.json(path("restore"), {{"filename", "few"}})["n_restored"], 128);
  EXPECT_EQ(cached(server.json("/v1/completions", body())), 0);
  const Json again = server.json("/v1/completions", body("fox", 2));
  EXPECT_GE(cached(again), 128);
  EXPECT_EQ(again["choices"][0]["text"], few["choices"][0]["text"]);
}

TEST_F(Slots, WhatIsErasedIsComputedAnew) {
  TestServer server(options());
  const Json answer = server.json("/v1/completions", body());
  EXPECT_GE(cached(server.json("/v1/completions", body())), 128);
  const Json erased = server.json(path("erase"), Json::object());
  EXPECT_EQ(erased["id_slot"], 0);
  EXPECT_GE(erased["n_erased"], 128);
  EXPECT_EQ(server.json("/slots")[0]["n_text"], 0);
  const Json again = server.json("/v1/completions", body());
  EXPECT_EQ(cached(again), 0);
  EXPECT_EQ(again["choices"][0]["text"], answer["choices"][0]["text"]);
  // An empty slot is a text without tokens.
  server.json(path("erase"), Json::object());
  EXPECT_EQ(server.json(path("save"), {{"filename", "empty"}})["n_saved"], 0);
  EXPECT_EQ(server.json(path("restore"), {{"filename", "empty"}})["n_restored"], 0);
}

TEST_F(Slots, WhatIsWrongIsSaidAndNothingChanges) {
  TestServer server(options());
  server.json("/v1/completions", body());
  const auto expect_error = [&](const std::string& where, const Json& what, int status, const char* param) {
    const Json error = server.json(where, what, status)["error"];
    EXPECT_EQ(error["param"], param) << error;
    EXPECT_EQ(error["message"].get<std::string>().find(folder().string()), std::string::npos) << error;
  };
  for (const char* slot : {"2", "-1", "x", "0x", "99999999999999999999", "0/1"})
    expect_error(path("save", slot), {{"filename", "a"}}, 404, "id");
  for (const char* action : {"", "steal", "save%20"})
    expect_error(path(action), {{"filename", "a"}}, 400, "action");
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../a"), std::string("a/b"),
        std::string("/etc/x"), std::string("a\\b"), std::string(".hidden"), std::string("a\nb"),
        std::string("a\0b", 3), std::string(201, 'a')}) {
    for (const char* action : {"save", "restore"})
      expect_error(path(action), {{"filename", name}}, 400, "filename");
  }
  expect_error(path("save"), Json::object(), 400, "filename");
  expect_error(path("save"), {{"filename", 5}}, 400, "filename");
  expect_error(path("restore"), {{"filename", "absent"}}, 400, "filename");
  fs::create_directory(folder() / "inner");
  expect_error(path("restore"), {{"filename", "inner"}}, 400, "filename");
  expect_error(path("save"), {{"filename", "inner"}}, 400, "filename");
  EXPECT_TRUE(fs::is_empty(folder() / "inner"));
  std::ofstream(folder() / "text") << "no text of ours";
  expect_error(path("restore"), {{"filename", "text"}}, 400, "filename");
  EXPECT_EQ(server.ask("/slots/0").status, 405);
  EXPECT_GE(cached(server.json("/v1/completions", body())), 128);
}

TEST_F(Slots, WhoMayAndWhere) {
  ServerOptions without = options();
  without.slot_folder.clear();
  {
    TestServer server(without);
    const Json error = server.json(path("save"), {{"filename", "a"}}, 501)["error"];
    EXPECT_NE(error["message"].get<std::string>().find("--slot-save-path"), std::string::npos);
    server.json(path("erase"), Json::object());
  }
  ServerOptions keyed = options();
  keyed.api_keys = {{.hash = hash_key("secret")}};
  {
    TestServer server(keyed);
    EXPECT_EQ(server.ask(path("save"), {{"filename", "a"}}).status, 401);
    EXPECT_EQ(server.ask(path("save"), {{"filename", "a"}}, "Authorization: Bearer secret\r\n").status, 200);
  }
  ServerOptions off = options();
  off.slots = false;
  TestServer server(off);
  EXPECT_EQ(server.ask(path("save"), {{"filename", "a"}}).status, 404);
}

TEST_F(Slots, ABusySlotIsLeftAlone) {
  TestServer server(options());
  Json long_text = body();
  long_text["max_tokens"] = 700;
  long_text["stream"] = true;
  for (const char* action : {"save", "restore", "erase"}) {
    {
      HttpClient client(server.port());
      client.send(sw::testing::http_request("/v1/completions", dump(long_text)));
      client.await_bytes();
      const Json error = server.json(path(action), {{"filename", "a"}}, 409)["error"];
      EXPECT_EQ(error["code"], "slot_busy");
    }
    while (server.json("/slots")[0]["is_processing"] == true) std::this_thread::yield();
  }
  EXPECT_TRUE(fs::is_empty(folder()));
  server.json(path("save"), {{"filename", "a"}});
}

TEST_F(Slots, WhatIsUnderWayIsFinishedAtTheEnd) {
  TestServer server(options());
  server.json("/v1/completions", body());
  HttpClient client(server.port());
  client.send(sw::testing::http_request(path("save"), R"({"filename": "a"})"));
  while (fs::is_empty(folder())) std::this_thread::yield();
  server.stop();
  const HttpAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.complete);
}

TEST(SlotFolder, MustBeAFolder) {
  const sw::testing::TempDir temp;
  const std::string file = (temp.path() / "file").string();
  std::ofstream(file) << "x";
  sw::testing::expect_refused([&] { open_slot_folder(file); },
                              "this is a file, not a folder: --slot-save-path " + file);
  sw::testing::expect_refused([&] { open_slot_folder(file + "2"); },
                              "there is no such folder: --slot-save-path ");
  EXPECT_EQ(open_slot_folder(temp.path()), 0);
}

}  // namespace
}  // namespace sw::server
