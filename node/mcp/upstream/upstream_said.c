#include "node/mcp/upstream/upstream_said.h"

#include "node/mcp/upstream/upstream.h"
#include "node/mcp/wire/result.h"
#include "proto/base/check.h"
#include "proto/pb.h"

static void write_member(struct mn_writer *writer, struct mn_span key, struct mn_span value)
{
    mn_writer_str(writer, mn_writer_size(writer) == 0 ? "{" : ",");
    mn_writer_add(writer, key);
    mn_writer_str(writer, ":");
    json_write_line(writer, value);
}

/* Of initialize and discover: without who the server is, which is said by the offer. */
static void write_meta(struct mn_writer *writer, struct mn_span key, const struct json *meta)
{
    struct mn_writer rest = {0};

    if (!json_is(meta, JSON_OBJECT)) return;
    for (const struct json *one = json_first(meta); one != NULL; one = json_next(meta, one))
        if (!mn_span_is(one->text, "io.modelcontextprotocol/serverInfo"))
            write_member(&rest, one->raw, json_value(one)->raw);
    if (mn_writer_size(&rest) > 0) {
        mn_writer_str(&rest, "}");
        write_member(writer, key, mn_buf_span(rest.buf));
    }
    mn_writer_drop(&rest);
}

static struct mn_buf *said_text(uint32_t kind, const struct json *result)
{
    struct mn_writer writer = {0};

    if (!json_is(result, JSON_OBJECT)) return NULL;
    for (const struct json *key = json_first(result); key != NULL; key = json_next(result, key)) {
        if (result_is_known(key->text)) continue;
        if (kind == UPSTREAM_SAID_ABOUT && mn_span_is(key->text, "_meta"))
            write_meta(&writer, key->raw, json_value(key));
        else
            write_member(&writer, key->raw, json_value(key)->raw);
    }
    if (mn_writer_size(&writer) == 0 || mn_writer_size(&writer) >= UPSTREAM_SAID_MAX) {
        mn_writer_drop(&writer);
        return NULL;
    }
    mn_writer_str(&writer, "}");
    return mn_writer_done(&writer);
}

void upstream_said_again(struct upstream_said *said)
{
    for (int i = 0; i < UPSTREAM_SAID_KINDS; i++)
        said->of[i].was_heard = said->of[i].is_unsteady = false;
}

void upstream_said_done(struct upstream_said *said)
{
    for (int i = 0; i < UPSTREAM_SAID_KINDS; i++)
        mn_buf_unref(said->of[i].text);
    *said = (struct upstream_said){0};
}

static bool has_replicas(const struct upstream *server)
{
    return server->is_http || server->config->is_replica;
}

void upstream_said_note(struct upstream *from, uint32_t kind, const struct json *result)
{
    struct upstream *server = from->is_probe ? from->lease.origin : from;
    struct mn_buf *text = said_text(kind, result), *before;
    bool is_same;

    MN_ASSERT(server != NULL && kind < UPSTREAM_SAID_KINDS);
    before = server->said.of[kind].text;
    is_same = mn_span_equal(mn_buf_span(before), mn_buf_span(text));
    if (!is_same) server->said.of[kind].is_agreed = false;
    if (server->said.of[kind].was_heard) {
        server->said.of[kind].is_agreed = is_same;
        server->said.of[kind].is_unsteady = server->said.of[kind].is_unsteady || !is_same;
    }
    server->said.of[kind].was_heard = true;
    if (from->is_probe || from->list.is_survey) { /* as another client, which hears its own */
        mn_buf_unref(text);
        return;
    }
    mn_buf_unref(before);
    server->said.of[kind].text = text;
}

bool upstream_said_is_open(const struct upstream *server, uint32_t kind)
{
    return has_replicas(server) && server->said.of[kind].text != NULL &&
           !server->said.of[kind].is_agreed && !server->said.of[kind].is_unsteady;
}

static struct mn_span said_of(const struct upstream *server, uint32_t kind)
{
    bool counts = !has_replicas(server) ||
                  (server->said.of[kind].is_agreed && !server->said.of[kind].is_unsteady);

    return counts ? mn_buf_span(server->said.of[kind].text) : mn_span(NULL, 0);
}

struct mn_buf *upstream_said_add(const struct upstream *server, struct mn_buf *plain)
{
    struct mn_arena arena = {0};
    Meshnode__Gateway__Offer *offer;
    ProtobufCBinaryData lists[UPSTREAM_LISTS];
    struct mn_buf *full = NULL;
    size_t size = 0;

    for (uint32_t i = 0; i < UPSTREAM_SAID_KINDS; i++)
        size += said_of(server, i).size;
    if (size == 0 || plain->size + size + 64 > UPSTREAM_OFFER_MAX) return plain;
    offer = pb_unpack(&meshnode__gateway__offer__descriptor, &arena, mn_buf_span(plain));
    MN_ASSERT(offer != NULL); /* it is ours */
    offer->about = pb_bytes(said_of(server, UPSTREAM_SAID_ABOUT));
    for (uint32_t i = 0; i < UPSTREAM_LISTS; i++)
        lists[i] = pb_bytes(said_of(server, i));
    offer->about_lists = lists;
    offer->n_about_lists = UPSTREAM_LISTS;
    full = pb_pack(&offer->base);
    mn_arena_done(&arena);
    mn_buf_unref(plain);
    return full;
}
