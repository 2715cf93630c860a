/* What servers say to a client between its calls, and ask it, on the stream of its session: those
 * legacy clients that can be asked keep one open, wherever their session is.
 *
 *   never  a client hears what was said to another; or hears it, or is asked it, twice in a whole
 *          world
 *   in a whole world each hears all that was said to it while its stream was open, and what it
 *   answers gets there */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

#define AGAIN (300 * MN_MS)
#define MOVES_OF 20u
#define SETTLED (3 * MN_SEC) /* after a stream was opened, or something said */

/* The call of a client's own after which that was said; NULL: none, and the run has failed. */
static struct talk *aside_talk(const struct talk_client *client, struct mn_span text)
{
    struct sim *sim = client->talks->sim;
    size_t size = strlen(TALK_ASIDE);
    struct talk *talk = talk_find(sim, mn_span(text.data + size, text.size - size));

    if (talk != NULL && talk->client == client->index) return talk;
    sim_fail(sim, "client %u hears \"%.*s\", which was not said to it", client->index,
             (int)text.size, (const char *)text.data);
    return NULL;
}

static bool is_aside(struct mn_span text)
{
    size_t size = strlen(TALK_ASIDE);
    return text.size >= size && memcmp(text.data, TALK_ASIDE, size) == 0;
}

bool talk_aside_heard(struct talk_client *client, const struct json *params)
{
    struct mn_span data = json_text(json_find_str(params, "data"));
    struct talk *talk;

    if (!is_aside(data)) return false;
    talk = aside_talk(client, data);
    if (talk != NULL && talk->asides_heard++ > 0 && talk->is_strict)
        sim_fail(client->talks->sim, "client %u hears \"%.*s\" twice", client->index,
                 (int)data.size, (const char *)data.data);
    client->talks->asides++;
    return true;
}

static void answer_taken(struct sim *sim, void *context, const struct sim_response *response)
{
    const struct talk_client *client = context;

    if (client->talks->is_strict && (response->is_lost || response->code >= 400))
        sim_fail(sim, "what client %u answers aside, in a whole world, gets %u", client->index,
                 response->code);
}

bool talk_aside_asked(struct talk_client *client, struct sim_host *host, const struct json *root)
{
    struct mn_span text = json_text(json_find_str(json_find_str(root, "params"), "message"));
    char session[SIM_SESSION_SIZE];
    struct mn_writer body = {0};
    struct mn_buf *whole;
    struct talk *talk;

    if (!is_aside(text)) return false;
    talk = aside_talk(client, text);
    if (talk == NULL || host->node == NULL) return true;
    if (talk->asides_asked++ > 0 && talk->is_strict)
        sim_fail(client->talks->sim, "client %u is asked \"%.*s\" twice", client->index,
                 (int)text.size, (const char *)text.data);
    mn_writer_str(&body, "{\"jsonrpc\":\"2.0\",\"id\":");
    mn_writer_add(&body, json_find_str(root, "id")->raw);
    mn_writer_format(&body,
                     ",\"result\":{\"action\":\"accept\",\"content\":{\"answer\":"
                     "\"%.*s/client-%u\"}}}",
                     (int)text.size, (const char *)text.data, client->index);
    whole = mn_writer_done(&body);
    memcpy(session, client->session, sizeof session);
    sim_http_ask(host, &(struct sim_request){.body = mn_buf_span(whole),
                                             .session = session,
                                             .patience = TALK_PATIENCE_SMALL,
                                             .is_steadfast = true,
                                             .on_end = answer_taken,
                                             .context = client});
    mn_buf_unref(whole);
    client->talks->asides_asked++;
    return true;
}

/* ---- the stream ---- */

static void listener_act(struct sim *sim, void *context);

static void listener_again(struct talk_client *client)
{
    struct sim *sim = client->talks->sim;

    if (!client->talks->is_over)
        sim_at(sim, &client->listen, sim->time + AGAIN, listener_act, client);
}

/* A client that goes on at another node, though its own lives, and its stream there stays open. */
static bool listener_moves(struct talk_client *client)
{
    struct sim *sim = client->talks->sim;
    struct sim_host *host;

    if (client->talks->is_strict || client->streams_since == 0 || client->is_initializing)
        return false;
    for (uint32_t i = 0; i < TALK_SLOTS; i++)
        if (client->slots[i].talk != NULL || client->slots[i].is_waiting) return false;
    if (rng_below(&sim->rng_work, MOVES_OF) > 0) return false;
    host = sim_pick_ready_host(sim);
    if (host == NULL || host == client->home) return false;
    MN_PROBE("sim: a client goes to another node, and its stream stays open");
    talk_stream_leave(client);
    client->home = host;
    client->talks->moves++;
    return true;
}

/* It is where the session is. */
static void listener_act(struct sim *sim, void *context)
{
    struct talk_client *client = context;

    (void)sim;
    if (listener_moves(client))
        talk_stream_open(client);
    else if (client->streams_since != 0 && client->stream_host != client->home)
        talk_stream_close(client);
    else if (client->home != NULL && !client->home->is_frozen && client->session[0] != '\0')
        talk_stream_open(client);
    listener_again(client);
}

void talk_listeners_start(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->clients_count; i++)
        if (talks->clients[i].can_be_asked && !talks->clients[i].is_modern)
            listener_again(&talks->clients[i]);
}

void talk_listeners_stop(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->clients_count; i++)
        sim_cancel(talks->sim, &talks->clients[i].listen);
}

void talk_listeners_renew(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->clients_count; i++) {
        if (!talks->clients[i].is_astray) continue;
        MN_PROBE("sim: a stream that was opened by a wrong clock is opened anew");
        talk_stream_close(&talks->clients[i]);
    }
}

/* ---- the judge ---- */

void talk_asides_check(struct talks *talks)
{
    struct sim *sim = talks->sim;

    for (struct mn_map_entry *e = mn_map_next(&talks->by_key, NULL); e != NULL;
         e = mn_map_next(&talks->by_key, e)) {
        const struct talk *talk = MN_CONTAINER(e, struct talk, by_key);
        /* Those that post batches come after the others, and do not listen. */
        mn_time since =
            talk->client < talks->clients_count ? talks->clients[talk->client].streams_since : 0;
        if (!talk->is_strict || talk->aside_said == 0 || talk->asides_heard > 0 || since == 0 ||
            talk->aside_said < since + SETTLED || sim->time < talk->aside_said + SETTLED)
            continue;
        sim_fail(sim, "what %s %s client %u after %s, in a whole world, was not %s",
                 talk->server->name, talk->is_aside_asked ? "asked" : "said to", talk->client,
                 talk->key, talk->is_aside_asked ? "answered" : "heard");
    }
}

uint32_t talk_asides_said(const struct talks *talks)
{
    uint32_t count = 0;

    for (struct mn_map_entry *e = mn_map_next(&talks->by_key, NULL); e != NULL;
         e = mn_map_next(&talks->by_key, e))
        count += MN_CONTAINER(e, struct talk, by_key)->aside_said != 0;
    return count;
}
