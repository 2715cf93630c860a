/* Clients: one operation each at a time, tried again elsewhere with the same number until it is
 * answered or given up; then the session is given up with it. */
#include <stdio.h>

#include "sim/raft/raft_sim.h"

#define TRY_FOR (200 * MN_MS)
#define GIVE_UP (5 * MN_SEC)
#define PROBE ((uint64_t)1 << 62) /* requests of nobody: only the answer is judged */

static void client_step(struct raft_world *world, struct raft_event *event);

static void client_next(struct raft_world *world, uint32_t number, mn_time delay)
{
    world->clients[number].is_stepping = true;
    raft_world_at(world, world->time + delay, client_step, NULL)->number = number;
}

static void client_record(struct raft_world *world, struct raft_client *client)
{
    struct raft_history *history = &world->history[client->op.command.key];

    client->is_open = false;
    if (client->op.command.kind == RAFT_OP_GET && client->op.returned == MN_TIME_NEVER) return;
    history->ops[history->count++] = client->op;
}

static void client_answer(struct raft_world *world, uint32_t number, uint64_t result)
{
    struct raft_client *client = &world->clients[number];

    client->op.result = result;
    client->op.returned = world->time;
    world->stats.answered++;
    client_record(world, client);
}

/* Reserves the place in the history that every operation may need. */
static bool client_has_room(const struct raft_world *world, uint32_t key)
{
    uint32_t open = 0;

    for (uint32_t i = 0; i < RAFT_CLIENTS; i++)
        open += world->clients[i].is_open && world->clients[i].op.command.key == key;
    return world->history[key].count + open < RAFT_OPS_MAX;
}

static void client_try(struct raft_world *world, struct raft_client *client);

static void client_draw(struct raft_world *world, struct raft_client *client)
{
    struct raft_command *command = &client->op.command;
    uint32_t draw = rng_below(&client->rng, 10);
    uint32_t key = rng_below(&client->rng, RAFT_KEYS);

    if (!client_has_room(world, key)) return;
    client->known = world->chain_count;
    client->op = (struct raft_op){.called = world->time, .returned = MN_TIME_NEVER};
    command->key = key;
    command->kind = draw < 4 ? RAFT_OP_GET : draw < 8 ? RAFT_OP_PUT : RAFT_OP_CAS;
    command->client = client->session;
    command->seq = ++client->seq;
    command->value = ++world->values_next;
    command->expected = world->values_next - 1 - rng_below(&client->rng, 3);
    client->is_open = true;
    client->deadline = world->time + GIVE_UP;
    client->tried = 0;
    world->stats.ops++;
    if (world->options.is_verbose)
        printf("%10.6f client %u: %s key %u value %llu expected %llu\n", (double)world->time / 1e6,
               (uint32_t)(client - world->clients),
               command->kind == RAFT_OP_GET   ? "get"
               : command->kind == RAFT_OP_PUT ? "put"
                                              : "cas",
               key, (unsigned long long)command->value, (unsigned long long)command->expected);
}

/* An operation without an answer is given up after a while, and its session with it. */
static void client_give_up(struct raft_world *world, struct raft_client *client)
{
    if (!client->is_open || world->time < client->deadline) return;
    client_record(world, client);
    client->session = ++world->sessions_next;
    client->seq = 0;
}

void raft_client_begin(struct raft_world *world, uint32_t number, uint64_t seed)
{
    struct raft_client *client = &world->clients[number];

    client_give_up(world, client);
    client->told = (struct raft_told){world->time, seed};
    if (client->is_open || world->is_load_over) return;
    story_note(world->options.notes, world->time, RAFT_OP, number, seed);
    story_rng(&client->rng, seed);
    client_draw(world, client);
    if (!client->is_open) return;
    client_try(world, client);
    if (!client->is_stepping)
        client_next(world, number, 20 * MN_MS + rng_below(&client->rng, 200000));
}

/* One that thinks it leads, or NULL: an old one has a story to tell. */
static struct raft_host *client_find_leader(struct raft_world *world, struct rng *rng)
{
    uint32_t first = rng_below(rng, world->hosts_count);

    if (rng_below(rng, 2) == 0) return raft_world_leader(world);
    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_host *host = &world->hosts[(first + i) % world->hosts_count];
        if (host->raft != NULL && raft_view(host->raft).role == RAFT_LEADER) return host;
    }
    return NULL;
}

/* Knocks at a host: mostly the leader, as a client that was told would. */
static void client_try(struct raft_world *world, struct raft_client *client)
{
    struct raft_host *host = client_find_leader(world, &client->rng);
    struct raft_input input = {.type = RAFT_IN_READ};

    if (host == NULL || rng_below(&client->rng, 4) == 0)
        host = &world->hosts[rng_below(&client->rng, world->hosts_count)];
    client->tried = world->time;
    client->attempt = ++world->attempts;
    if (host->raft == NULL || host->paused_until > world->time) return;
    if (client->op.command.kind == RAFT_OP_GET) {
        input.read.request = client->attempt;
        raft_world_input(host, &input);
    } else {
        input.type = RAFT_IN_PROPOSE;
        input.propose.request = client->attempt;
        input.propose.data = raft_kv_encode(&client->op.command);
        raft_world_input(host, &input);
        mn_buf_unref(input.propose.data);
    }
}

static void client_step(struct raft_world *world, struct raft_event *event)
{
    uint32_t number = (uint32_t)event->number;
    struct raft_client *client = &world->clients[number];

    client->is_stepping = false;
    client_give_up(world, client);
    if (client->is_open && world->time >= client->tried + TRY_FOR) client_try(world, client);
    /* What begins stands in the story; now, if it had to wait for this very answer. */
    if (!client->is_open && world->options.is_told && client->told.at != world->time) return;
    if (!client->is_open)
        raft_client_begin(world, number,
                          world->options.is_told ? client->told.seed : rng_u64(&world->rng_work));
    if (!client->is_stepping)
        client_next(world, number, 20 * MN_MS + rng_below(&client->rng, 200000));
}

static int client_of(struct raft_world *world, uint64_t attempt)
{
    for (uint32_t i = 0; i < RAFT_CLIENTS; i++)
        if (world->clients[i].is_open && world->clients[i].attempt == attempt) return (int)i;
    return -1;
}

/* An answer tells of everything that was committed anywhere when it was asked for. */
static void check_read(struct raft_host *host, uint64_t known)
{
    if (host->kv.index < known)
        raft_world_fail(host->world,
                        "stale read: n%u answers as of %llu, %llu was committed before",
                        host->index, (unsigned long long)host->kv.index, (unsigned long long)known);
}

/* Sessions: nobody sees a state older than one it has seen, or than its own writes. */
static void check_session(struct raft_host *host, struct raft_client *client)
{
    if (host->kv.index < client->witness)
        raft_world_fail(host->world, "session: n%u answers as of %llu after one of %llu",
                        host->index, (unsigned long long)host->kv.index,
                        (unsigned long long)client->witness);
    client->witness = host->kv.index;
}

static void probe_leaders(struct raft_world *world, struct raft_event *event)
{
    struct raft_input input = {.type = RAFT_IN_READ};
    struct raft_host *host = event->host;

    (void)world;
    if (host->raft == NULL || raft_view(host->raft).role != RAFT_LEADER) return;
    input.read.request = PROBE + event->number;
    raft_world_input(host, &input);
}

void raft_client_probe(struct raft_host *host)
{
    struct raft_world *world = host->world;

    for (uint32_t i = 0; i < world->hosts_count; i++) {
        struct raft_host *other = &world->hosts[i];
        if (other == host || other->raft == NULL) continue;
        if (raft_view(other->raft).role != RAFT_LEADER) continue;
        for (uint32_t k = 0; k < 4; k++)
            raft_world_at(world, world->time + k * other->config.election_timeout / 8,
                          probe_leaders, other)
                ->number = world->chain_count;
    }
}

void raft_client_on_output(struct raft_host *host, const struct raft_output *out)
{
    struct raft_world *world = host->world;
    struct raft_waiting *waiting;
    int client;

    if (out->type == RAFT_OUT_READ) {
        client = client_of(world, out->read.request);
        if (out->read.request >= PROBE && out->read.status == MN_OK)
            check_read(host, out->read.request - PROBE);
        if (client < 0 || out->read.status != MN_OK) return;
        world->stats.reads++;
        check_read(host, world->clients[client].known);
        check_session(host, &world->clients[client]);
        client_answer(world, (uint32_t)client,
                      host->kv.values[world->clients[client].op.command.key]);
    } else if (out->type == RAFT_OUT_ACCEPTED) {
        client = client_of(world, out->accepted.request);
        if (client < 0) return;
        waiting = mn_alloc(sizeof *waiting);
        waiting->index = out->accepted.index;
        waiting->term = out->accepted.term;
        waiting->client = (uint32_t)client;
        waiting->attempt = out->accepted.request;
        mn_list_push_back(&host->waiting, &waiting->list);
    }
}

void raft_client_applied(struct raft_host *host, const struct raft_entry *entry, uint64_t result)
{
    MN_LIST_FOR_EACH_SAFE (item, &host->waiting) {
        struct raft_waiting *waiting = MN_CONTAINER(item, struct raft_waiting, list);
        struct raft_client *client = &host->world->clients[waiting->client];
        if (waiting->index > entry->index) continue;
        if (waiting->index == entry->index && waiting->term == entry->term && client->is_open &&
            client->attempt == waiting->attempt) {
            check_session(host, client);
            client_answer(host->world, waiting->client, result);
        }
        mn_list_remove(item);
        mn_free(waiting);
    }
}

void raft_client_lost(struct raft_host *host)
{
    struct mn_list *item;

    while ((item = mn_list_take(&host->waiting)) != NULL)
        mn_free(MN_CONTAINER(item, struct raft_waiting, list));
}

void raft_client_start(struct raft_world *world)
{
    for (uint32_t i = 0; i < RAFT_CLIENTS; i++) {
        world->clients[i].session = ++world->sessions_next;
        story_rng(&world->clients[i].rng, rng_u64(&world->rng_work));
        if (!world->options.is_told) client_next(world, i, rng_below(&world->rng_work, 100000));
    }
}
