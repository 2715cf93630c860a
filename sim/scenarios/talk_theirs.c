/* Tasks that clients make of what servers ask them to elicit (2025-11-25): they work for a while,
 * and are asked about until then. Nothing is drawn for that. Ids count from 1 at each client.
 *
 *   never  a client is asked about a task that it has not */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

struct theirs {
    struct mn_list list; /* in client->theirs */
    char id[16];
    struct mn_buf *result;
    mn_time over;
};

static struct theirs *theirs_find(struct talk_client *client, struct mn_span id)
{
    MN_LIST_FOR_EACH (entry, &client->theirs) {
        struct theirs *theirs = MN_CONTAINER(entry, struct theirs, list);
        if (mn_span_is(id, theirs->id)) return theirs;
    }
    return NULL;
}

static void theirs_write(struct mn_writer *writer, const struct theirs *theirs, mn_time now)
{
    mn_writer_format(writer,
                     "{\"taskId\":\"%s\",\"status\":\"%s\",\"createdAt\":\"2030-01-01T00:00:00Z\","
                     "\"lastUpdatedAt\":\"2030-01-01T00:00:00Z\",\"ttl\":60000}",
                     theirs->id, now < theirs->over ? "working" : "completed");
}

void talk_theirs_begin(struct talk_client *client, struct mn_writer *result)
{
    mn_time now = client->talks->sim->time;
    struct theirs *theirs = mn_alloc(sizeof *theirs);

    snprintf(theirs->id, sizeof theirs->id, "t%u", ++client->theirs_last);
    theirs->result = mn_writer_done(result);
    theirs->over = now + now % (4 * MN_SEC);
    mn_list_push_back(&client->theirs, &theirs->list);
    *result = (struct mn_writer){0};
    mn_writer_str(result, "{\"task\":");
    theirs_write(result, theirs, now);
    mn_writer_str(result, "}");
}

bool talk_theirs_asked(struct talk_client *client, struct sim_host *host, const struct json *root)
{
    struct mn_span method = json_text(json_find_str(root, "method"));
    struct mn_span id = json_text(json_find_str(json_find_str(root, "params"), "taskId"));
    bool is_get = mn_span_is(method, "tasks/get");
    struct theirs *theirs = theirs_find(client, id);
    struct mn_writer answer = {0};

    if (!is_get && !mn_span_is(method, "tasks/result")) return false;
    if (theirs == NULL) {
        sim_fail(client->talks->sim, "client %u is asked about a task that it has not: %.*s",
                 client->index, (int)id.size, id.size == 0 ? "" : (const char *)id.data);
        return true;
    }
    client->talks->theirs_asked++;
    if (is_get)
        theirs_write(&answer, theirs, client->talks->sim->time);
    else
        mn_writer_add(&answer, mn_buf_span(theirs->result));
    talk_reply(client, host, root, &answer);
    return true;
}

void talk_theirs_done(struct talk_client *client)
{
    while (!mn_list_is_empty(&client->theirs)) {
        struct theirs *theirs = MN_CONTAINER(client->theirs.next, struct theirs, list);
        mn_list_remove(&theirs->list);
        mn_buf_unref(theirs->result);
        mn_free(theirs);
    }
}
