#include "tests/io/http_side.h"

#include <check.h>

struct world world;
struct http *http;
char address[HTTP_ADDRESS_SIZE];

static void carry_out(void *wrapper, const struct edge_output *output)
{
    http_do(wrapper, output);
}

void http_side_start(const struct http_config *config)
{
    const char *error = NULL;
    world_init(&world);
    http = http_new(world.io, config);
    world.wrapper = http;
    world.carry_out = carry_out;
    ck_assert_int_eq(http_listen(http, "127.0.0.1:0", address, &error), MN_OK);
}

void http_side_set_up(void)
{
    struct http_config config;
    http_config_default(&config);
    http_side_start(&config);
}

void http_side_tear_down(void)
{
    http_close(http);
    world_done(&world);
}

void http_side_echo(struct world *w, const struct edge_input *input)
{
    if (input->type != EDGE_IN_HTTP_BODY || !input->is_last) return;
    const char *body = world_text(w, EDGE_IN_HTTP_BODY, input->id, 0);
    world_http_answer(w, input->id, 200, body);
}

void http_side_pause_at_open(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_HTTP_OPEN) world_do_flag(w, EDGE_OUT_HTTP_PAUSE, input->id, true);
}

const struct edge_input *http_side_last(enum edge_input_type type)
{
    return world_find(&world, type, 0, world_count(&world, type, 0));
}
