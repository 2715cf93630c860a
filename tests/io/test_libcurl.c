/* A machine on which libcurl cannot be loaded: LD_LIBRARY_PATH names a folder in which something
 * else has its name. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/fetch.h"
#include "node/io/http.h"
#include "tests/io/world.h"
#include "tests/suite.h"

static struct world world;
static struct http *http;
static struct fetch *fetch;
static char address[HTTP_ADDRESS_SIZE], library[4096];
static uint64_t next_id;

static void carry_out(void *wrapper, const struct edge_output *output)
{
    (void)wrapper;
    if (output->type >= EDGE_OUT_FETCH_START && output->type <= EDGE_OUT_FETCH_CANCEL)
        fetch_do(fetch, output);
    else
        http_do(http, output);
}

static void answer(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_HTTP_OPEN) world_http_answer(w, input->id, 200, "here");
}

static void write_library(void)
{
    FILE *file;

    ck_assert_ptr_nonnull(getenv("LD_LIBRARY_PATH"));
    snprintf(library, sizeof library, "%s/libcurl.so.4", getenv("LD_LIBRARY_PATH"));
    file = fopen(library, "w");
    ck_assert_ptr_nonnull(file);
    fputs("no library\n", file);
    fclose(file);
}

static void set_up(void)
{
    struct fetch_config config;
    struct http_config http_config;
    const char *error = NULL;

    write_library();
    world_init(&world);
    world.carry_out = carry_out;
    world.handle = answer;
    http_config_default(&http_config);
    fetch_config_default(&config);
    http = http_new(world.io, &http_config);
    fetch = fetch_new(world.io, &config);
    ck_assert_int_eq(http_listen(http, "127.0.0.1:0", address, &error), MN_OK);
    next_id = 2;
}

static void tear_down(void)
{
    fetch_close(fetch);
    http_close(http);
    world_done(&world);
    write_library();
}

/* How it ended. */
static const struct edge_input *get(const char *url)
{
    const struct edge_fetch what = {
        .method = mn_span_str("GET"), .url = mn_span_str(url), .connect_timeout = 2 * MN_SEC};

    next_id += 2;
    world_do(&world, &(struct edge_output){
                         .type = EDGE_OUT_FETCH_START, .id = next_id, .fetch_start = &what});
    return world_wait(&world, EDGE_IN_FETCH_DONE, next_id, 1);
}

static bool text_has(const struct edge_input *done, const char *part)
{
    return memmem(done->text.data, done->text.size, part, strlen(part)) != NULL;
}

START_TEST(https_says_what_is_missing_and_all_else_goes_on)
{
    const struct edge_input *done;

    for (int i = 0; i < 3; i++) {
        done = get("https://127.0.0.1:1/mcp");
        ck_assert_int_eq(done->status, MN_UNREACHABLE); /* nothing went out */
        ck_assert(text_has(done, "https needs libcurl.so.4"));
        ck_assert(text_has(done, "apt-get install libcurl4"));
        ck_assert(text_has(done, library)); /* where the loader looked, and what it says of it */
        done = get(mn_arena_format(&world.arena, "http://%s/", address));
        ck_assert_int_eq(done->status, MN_OK);
        ck_assert_str_eq(world_text(&world, EDGE_IN_FETCH_BODY, next_id, 0), "here");
    }
}
END_TEST

START_TEST(what_is_installed_meanwhile_is_found_without_a_restart)
{
    const struct edge_input *done = get("https://127.0.0.1:1/mcp");

    ck_assert(text_has(done, "libcurl.so.4"));
    ck_assert_int_eq(unlink(library), 0); /* the system's is found behind it */
    done = get("https://127.0.0.1:1/mcp");
    ck_assert_int_eq(done->status, MN_UNREACHABLE);
    ck_assert(!text_has(done, "libcurl.so.4"));
    ck_assert(!text_has(done, "apt-get")); /* now it is the server that is not there */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("libcurl");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, https_says_what_is_missing_and_all_else_goes_on);
    tcase_add_test(all, what_is_installed_meanwhile_is_found_without_a_restart);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
