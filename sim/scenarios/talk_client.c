/* Clients that call tools which ask, report, or are tasks: when they call, where, and in which
 * sessions; their calls are talk_call.c's. A modern one sends each request to whatever node it
 * meets, so what it was asked at one node it answers at another; a legacy one has a session, two
 * calls in it at a time, with the ids 1 and "1", and takes it along to another node when its own
 * has died. */
#include <stdio.h>

#include "proto/base/memory.h"
#include "sim/scenarios/talk_slot.h"

#define CLIENTS_PER_HOST 4u

static void client_act(struct sim *sim, void *context);

void talk_client_again(struct talk_client *client)
{
    struct sim *sim = client->talks->sim;

    if (client->talks->is_load_over) return;
    sim_at(sim, &client->next, sim->time + 20 * MN_MS + rng_below_u64(&sim->rng_work, MN_SEC),
           client_act, client);
}

/* Where a client's next request goes; NULL: nowhere now. */
static struct sim_host *client_host(struct talk_client *client)
{
    struct sim *sim = client->talks->sim;
    bool is_there = client->home != NULL && client->home->node != NULL;

    if (client->is_modern) return sim_pick_ready_host(sim);
    if (is_there) return client->home->is_stopping || client->home->is_frozen ? NULL : client->home;
    client->home = sim_pick_ready_host(sim);
    if (client->home != NULL && client->session[0] != '\0') client->talks->moves++;
    return client->home;
}

/* The next round, or the next word about a task. */
void talk_slot_go_on(struct sim *sim, void *context)
{
    struct slot *slot = context;
    struct sim_host *host = client_host(slot->client);

    if (slot->talk == NULL || slot->is_waiting) return;
    if (!slot->client->is_modern && slot->client->session[0] == '\0') {
        talk_slot_end(slot, TALK_GONE, mn_span_str("its session is gone"));
    } else if (host == NULL) {
        talk_slot_later(slot, MN_SEC);
    } else {
        if (slot->act == ACT_TASK_GET && rng_below(&sim->rng_work, 8) == 0 &&
            !slot->is_task_cancelled)
            slot->act = ACT_TASK_CANCEL;
        else if (slot->act == ACT_TASK_GET && !slot->client->is_modern &&
                 rng_below(&sim->rng_work, 4) == 0 && !slot->is_task_cancelled)
            slot->act = ACT_TASK_RESULT;
        else if (slot->act == ACT_TASK_GET && !slot->client->is_modern &&
                 rng_below(&sim->rng_work, 4) == 0)
            slot->act = ACT_TASK_LIST;
        talk_slot_ask(slot, host);
    }
}

struct sim_server *talk_pick_server(struct sim *sim)
{
    for (int tries = 0; tries < 30; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        struct sim_server *server = &host->servers[rng_below(&sim->rng_work, host->servers_count)];
        if (server->is_talker && host->node != NULL) return server;
    }
    return NULL;
}

struct talk *talk_begin(struct talks *talks, struct sim_server *server, uint32_t client)
{
    struct talk *talk = mn_alloc(sizeof *talk);

    snprintf(talk->key, sizeof talk->key, "talk-%llu", (unsigned long long)++talks->count);
    talk->server = server;
    talk->client = client;
    talk->is_strict = talks->is_strict;
    talk->is_calm = talks->is_calm;
    talk->server_boots = server->host->boots;
    talk->state = TALK_OPEN;
    talk->started = talks->sim->time;
    mn_map_insert(&talks->by_key, &talk->by_key, mn_span_str(talk->key));
    return talk;
}

static void slot_begin(struct slot *slot, struct sim_server *server, struct sim_host *host)
{
    struct sim *sim = slot_sim(slot);
    struct talk *talk = talk_begin(slot->client->talks, server, slot->client->index);

    talk->script = (enum talk_script)rng_below(&sim->rng_work, TALK_SCRIPTS);
    talk->can_be_asked = slot->client->can_be_asked;
    talk->is_modern = slot->client->is_modern;
    talk->questions = 1 + rng_below(&sim->rng_work, TALK_QUESTIONS_MAX);
    talk->is_one_by_one = rng_below(&sim->rng_work, 2) == 0;
    slot->talk = talk;
    slot->act = ACT_CALL;
    slot->host = NULL;
    slot->tries = 0;
    talk_slot_plan_cancel(slot);
    talk_slot_ask(slot, host);
}

/* ---- sessions ---- */

static void client_initialized(struct sim *sim, void *context, const struct sim_response *response)
{
    struct talk_client *client = context;

    (void)sim;
    client->is_initializing = false;
    snprintf(client->session, sizeof client->session, "%s", response->session);
    if (client->session[0] != '\0') client->sessions++;
    talk_client_again(client);
}

static void client_initialize(struct talk_client *client, struct sim_host *host)
{
    struct mn_writer body = {0};
    struct mn_buf *text;

    mn_writer_format(
        &body,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{"
        "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{%s%s},\"clientInfo\":{"
        "\"name\":\"sim\",\"version\":\"1\"}}}",
        client->can_be_asked ? "\"elicitation\":{},\"sampling\":{},\"roots\":{\"listChanged\":true}"
                             : "",
        client->has_tasks ? ",\"tasks\":{\"requests\":{\"elicitation\":{\"create\":{}}}}" : "");
    text = mn_writer_done(&body);
    client->is_initializing = true;
    talk_stream_close(client); /* of the session before */
    sim_http_ask(host, &(struct sim_request){.body = mn_buf_span(text),
                                             .patience = TALK_PATIENCE_SMALL,
                                             .is_steadfast = true,
                                             .on_end = client_initialized,
                                             .context = client});
    mn_buf_unref(text);
}

static struct slot *client_idle_slot(struct talk_client *client)
{
    for (uint32_t i = 0; i < TALK_SLOTS; i++)
        if (client->slots[i].talk == NULL && !client->slots[i].is_waiting) return &client->slots[i];
    return NULL;
}

static void client_act(struct sim *sim, void *context)
{
    struct talk_client *client = context;
    struct slot *slot = client_idle_slot(client);
    struct sim_server *server = talk_pick_server(sim);
    struct sim_host *host;

    if (client->is_initializing || client->talks->is_load_over) return;
    if (slot == NULL || server == NULL || (host = client_host(client)) == NULL) {
        talk_client_again(client);
    } else if (!client->is_modern && client->session[0] == '\0') {
        client_initialize(client, host);
    } else {
        slot_begin(slot, server, host);
        talk_client_again(client);
    }
}

void talk_clients_start(struct talks *talks)
{
    uint32_t count = CLIENTS_PER_HOST * talks->sim->hosts_count;

    talks->clients = mn_alloc(count * sizeof *talks->clients);
    talks->clients_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct talk_client *client = &talks->clients[i];
        *client = (struct talk_client){.talks = talks,
                                       .index = i,
                                       .is_modern = i % 2 == 0,
                                       .can_be_asked = i % 4 < 2 || i % 8 == 7,
                                       .has_tasks = i % 8 == 1 || i % 8 == 7};
        mn_list_init(&client->theirs);
        for (uint32_t k = 0; k < TALK_SLOTS; k++) {
            client->slots[k].client = client;
            client->slots[k].index = k;
        }
        talk_client_again(client);
    }
}

void talk_clients_stop(struct talks *talks)
{
    talks->is_load_over = true;
    for (uint32_t i = 0; i < talks->clients_count; i++)
        sim_cancel(talks->sim, &talks->clients[i].next);
}

void talk_clients_leave(struct talks *talks, bool are_rude)
{
    for (uint32_t i = 0; i < talks->clients_count; i++) {
        talk_stream_close(&talks->clients[i]);
        if (!are_rude) talk_delete_session(talks->clients[i].home, talks->clients[i].session);
    }
}

bool talk_clients_are_idle(const struct talks *talks)
{
    for (uint32_t i = 0; i < talks->clients_count; i++)
        for (uint32_t k = 0; k < TALK_SLOTS; k++)
            if (talks->clients[i].slots[k].talk != NULL) return false;
    return true;
}

void talk_clients_done(struct talks *talks)
{
    for (uint32_t i = 0; i < talks->clients_count; i++) {
        for (uint32_t k = 0; k < TALK_SLOTS; k++) {
            mn_buf_unref(talks->clients[i].slots[k].state);
            mn_buf_unref(talks->clients[i].slots[k].responses);
        }
        talk_theirs_done(&talks->clients[i]);
    }
    mn_free(talks->clients);
}
