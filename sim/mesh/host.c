/* A machine with one node process on it: starts, stops, kill -9, freezes, and the delivery of what
 * happens outside to node_step(), one input at a time. */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

#define SKEW_MAX (200 * MN_MS)  /* between the wall clocks of two good hosts */
#define STOP_TIME (40 * MN_SEC) /* a node that was told to stop is gone by then */

struct sim_held_input {
    struct mn_list list;
    struct mn_arena arena;
    struct edge_input input;
};

bool sim_host_is_astray(const struct sim_host *host)
{
    return host->wall_offset < 0 || host->wall_offset >= (int64_t)SKEW_MAX;
}

bool sim_host_was_astray(const struct sim_host *host, mn_time time)
{
    return sim_host_is_astray(host) ||
           (host->set_right > 0 && host->set_right + time > host->sim->time);
}

void sim_host_set_clock(struct sim_host *host, int64_t offset)
{
    bool was_astray = sim_host_is_astray(host);

    host->wall_offset = offset;
    if (was_astray && !sim_host_is_astray(host)) host->set_right = host->sim->time;
}

void sim_host_init(struct sim *sim, struct sim_host *host, uint32_t index)
{
    *host = (struct sim_host){.sim = sim, .index = index, .id_next = 1};
    snprintf(host->name, sizeof host->name, "n%u", index + 1);
    rng_bytes(&sim->rng_node, host->identity_seed, sizeof host->identity_seed);
    host->outbox.arena = &host->arena;
    host->wall_offset = (int64_t)rng_below(&sim->rng_node, SKEW_MAX);
    mn_trace_init(&host->trace, host->trace_ring,
                  sizeof host->trace_ring / sizeof *host->trace_ring);
    mn_list_init(&host->held);
    mn_list_init(&host->children);
    mn_list_init(&host->fetches);
    mn_list_init(&host->polls);
    mn_list_init(&host->exchanges);
    sim_disk_init(host);
    sim_log_init(host);
    sim_server_init(host);
}

static void host_drop_held(struct sim_host *host)
{
    struct mn_list *entry;

    while ((entry = mn_list_take(&host->held)) != NULL) {
        struct sim_held_input *held = MN_CONTAINER(entry, struct sim_held_input, list);
        mn_arena_done(&held->arena);
        mn_free(held);
    }
}

void sim_host_done(struct sim_host *host)
{
    sim_child_host_down(host);
    sim_fetch_host_down(host);
    sim_http_host_down(host);
    node_free(host->node);
    host_drop_held(host);
    sim_disk_done(host);
    sim_log_wipe(host);
    edge_outbox_reset(&host->outbox);
    mn_arena_done(&host->arena);
    sim_server_done(host);
}

uint64_t sim_host_id(struct sim_host *host)
{
    host->id_next += 2;
    return host->id_next - 2;
}

static const struct edge_header *headers_copy(struct mn_arena *arena,
                                              const struct edge_header *headers, uint32_t count)
{
    struct edge_header *copy = mn_arena_alloc(arena, (count + 1) * sizeof *copy);

    for (uint32_t i = 0; i < count; i++) {
        copy[i].name = mn_arena_copy(arena, headers[i].name);
        copy[i].value = mn_arena_copy(arena, headers[i].value);
    }
    return copy;
}

static void host_hold(struct sim_host *host, const struct edge_input *input)
{
    struct sim_held_input *held = mn_alloc(sizeof *held);
    struct mn_arena *arena = &held->arena;

    held->input = *input;
    if (input->bytes.data != NULL) held->input.bytes = mn_arena_copy(arena, input->bytes);
    held->input.key = mn_arena_copy(arena, input->key);
    held->input.text = mn_arena_copy(arena, input->text);
    held->input.headers = headers_copy(arena, input->headers, input->headers_count);
    if (input->log != NULL) held->input.log = edge_log_copy(arena, input->log);
    if (input->http != NULL) {
        struct edge_http_request *http = mn_arena_alloc(arena, sizeof *http);
        *http = *input->http;
        http->method = mn_arena_copy(arena, http->method);
        http->target = mn_arena_copy(arena, http->target);
        http->address = mn_arena_copy(arena, http->address);
        http->headers = headers_copy(arena, http->headers, http->headers_count);
        held->input.http = http;
    }
    mn_list_push_back(&host->held, &held->list);
}

static void host_print_trace(struct sim_host *host)
{
    const struct mn_trace_event *event;

    while ((event = mn_trace_take(&host->trace)) != NULL) {
        char id[MN_ID_TEXT_SIZE];
        sim_hash(host->sim, event->event, mn_span_str(event->text));
        host->sim->reported[event->event]++;
        if (event->event == MN_EV_KEY_CONFLICT && !host->sim->has_lost_disk)
            sim_fail(host->sim, "%s was told two things with one number by %.8s", host->name,
                     mn_id_format(&event->id, id));
        if (host->sim->options.is_verbose)
            printf("%9.3f %-3s %-24s %.8s a=%llu b=%llu %s\n", (double)host->sim->time / 1e6,
                   host->name, mn_event_name(event->event), mn_id_format(&event->id, id),
                   (unsigned long long)event->a, (unsigned long long)event->b, event->text);
    }
}

/* What the process leaves behind, however it ended. */
static void host_down(struct sim_host *host)
{
    struct sim *sim = host->sim;

    sim_cancel(sim, &host->tick);
    sim_cancel(sim, &host->exit);
    sim_cancel(sim, &host->stop_limit);
    sim_cancel(sim, &host->death);
    node_free(host->node);
    host->node = NULL;
    host->is_frozen = host->is_stopping = false;
    host_drop_held(host);
    sim_net_host_down(host);
    sim_child_host_down(host);
    sim_fetch_host_down(host);
    sim_http_host_down(host);
}

static void host_boot(struct sim *sim, void *context)
{
    (void)sim;
    sim_host_start(context);
}

/* STOPPED: the process ends by itself, its writes are all on disk. */
static void host_exit(struct sim *sim, void *context)
{
    struct sim_host *host = context;

    sim_disk_close(host);
    sim_log_close(host);
    host_down(host);
    sim_host_start_at(host, sim->time + (sim->is_quiet ? 0 : host->down_for));
}

static void host_die(struct sim *sim, void *context)
{
    struct sim_host *host = context;

    if (host->node == NULL) return;
    MN_PROBE("sim: a node was killed while it wrote");
    sim_host_crash(host);
    sim_host_start_at(host, sim->time + 10 * MN_MS + rng_below_u64(&sim->rng_fault, 2 * MN_SEC));
}

static void host_stop_late(struct sim *sim, void *context)
{
    struct sim_host *host = context;

    if (sim_host_was_frozen(host, STOP_TIME))
        sim_at(sim, &host->stop_limit, sim->time + STOP_TIME, host_stop_late, host);
    else
        sim_fail(sim, "%s was told to stop, and did not within %llu s", host->name,
                 (unsigned long long)(STOP_TIME / MN_SEC));
}

static void host_do(struct sim_host *host, const struct edge_output *output)
{
    struct sim *sim = host->sim;

    sim_hash(sim, (uint64_t)host->index << 8 | output->type,
             output->buf != NULL ? mn_buf_span(output->buf) : output->bytes);
    switch (output->type) {
    case EDGE_OUT_NET_DIAL:
    case EDGE_OUT_NET_SEND:
    case EDGE_OUT_NET_PAUSE:
    case EDGE_OUT_NET_CLOSE: sim_net_do(host, output); break;
    case EDGE_OUT_HTTP_HEAD:
    case EDGE_OUT_HTTP_BODY:
    case EDGE_OUT_HTTP_PAUSE:
    case EDGE_OUT_HTTP_ABORT: sim_http_do(host, output); break;
    case EDGE_OUT_FETCH_START:
    case EDGE_OUT_FETCH_PAUSE:
    case EDGE_OUT_FETCH_CANCEL: sim_fetch_do(host, output); break;
    case EDGE_OUT_CHILD_START:
    case EDGE_OUT_CHILD_WRITE:
    case EDGE_OUT_CHILD_PAUSE:
    case EDGE_OUT_CHILD_STOP: sim_child_do(host, output); break;
    case EDGE_OUT_WRITE: sim_disk_do(host, output); break;
    case EDGE_OUT_LOG: sim_log_do(host, output); break;
    case EDGE_OUT_SECRET:
        if (mn_span_is(output->text, "join-token") && output->bytes.size > 0)
            snprintf(sim->token, sizeof sim->token, "%.*s", (int)output->bytes.size,
                     (const char *)output->bytes.data);
        break;
    case EDGE_OUT_STOPPED: sim_at(sim, &host->exit, sim->time, host_exit, host); break;
    case EDGE_OUT_FATAL:
        if (output->code == 77 && host->may_be_refused) {
            host->is_refused = true;
            sim_at(sim, &host->exit, sim->time, host_exit, host);
            break;
        }
        sim_fail(sim, "%s stopped itself with code %u: %.*s", host->name, output->code,
                 (int)output->text.size, (const char *)output->text.data);
        break;
    }
}

static void host_tick(struct sim *sim, void *context)
{
    struct sim_host *host = context;

    (void)sim;
    if (host->node == NULL || host->is_frozen) return;
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_TICK});
}

static struct mn_now host_now(const struct sim_host *host)
{
    struct mn_now now = sim_now(host->sim);

    now.wall = (mn_time)((int64_t)now.wall + host->wall_offset);
    return now;
}

static void host_step(struct sim_host *host, const struct edge_input *input)
{
    struct sim *sim = host->sim;

    sim->stats.steps++;
    sim_hash(sim, (uint64_t)host->index << 16 | input->type, input->bytes);
    host->is_stepping = true;
    node_step(host->node, host_now(host), input, &host->outbox);
    host_print_trace(host);
    for (uint32_t i = 0; i < host->outbox.count; i++)
        host_do(host, &host->outbox.items[i]);
    edge_outbox_reset(&host->outbox);
    sim_check_step(host);
    host->is_stepping = false;
    sim_at(sim, &host->tick, node_deadline(host->node), host_tick, host);
}

static void host_drain(struct sim_host *host)
{
    while (host->node != NULL && !host->is_frozen && !mn_list_is_empty(&host->held)) {
        struct sim_held_input *held =
            MN_CONTAINER(mn_list_take(&host->held), struct sim_held_input, list);
        host_step(host, &held->input);
        mn_arena_done(&held->arena);
        mn_free(held);
    }
}

void sim_host_input(struct sim_host *host, const struct edge_input *input)
{
    if (host->node == NULL) return;
    if (host->is_frozen || host->is_stepping) {
        host_hold(host, input);
        return;
    }
    host_step(host, input);
    host_drain(host); /* what its own outputs brought about */
}

/* What `meshnode --join n1:7000 --token ... mcp.json` would resolve to. */
static struct node *host_make_node(struct sim_host *host)
{
    struct sim *sim = host->sim;
    struct mn_arena arena = {0};
    struct node_config config;
    struct mn_span why = mn_span(NULL, 0);
    char address[32], seed[32];
    struct mn_span addresses[1], seeds[2];
    struct node_servers_text servers = {mn_span_str("mcp.json"), sim_server_json(host, &arena)};
    struct node *node = NULL;

    snprintf(address, sizeof address, "%s:%u", host->name, SIM_PORT);
    addresses[0] = mn_span_str(address);
    snprintf(seed, sizeof seed, "%s:%u", sim->hosts[host->seed].name, SIM_PORT);
    seeds[0] = mn_span_str(seed);
    node_config_default(&config);
    memcpy(config.core.identity_seed, host->identity_seed, sizeof config.core.identity_seed);
    rng_bytes(&sim->rng_node, config.core.seed, sizeof config.core.seed);
    config.core.name = mn_span_str(host->name);
    config.core.version = mn_span_str("sim");
    config.core.addresses = addresses;
    config.core.addresses_count = 1;
    if (sim->grant_ttl_ms != 0) config.core.grant_ttl_ms = sim->grant_ttl_ms;
    if (host->index > 0) {
        config.core.seeds = seeds;
        config.core.seeds_count = 1;
        config.core.token = mn_span_str(host->has_no_token       ? ""
                                        : host->token[0] != '\0' ? host->token
                                                                 : sim->token);
        if (host->has_no_token) seeds[config.core.seeds_count++] = mn_span_str("n2:7000");
    }
    config.core.is_identity_old = host->boots > 1;
    config.mcp.call_timeout = SIM_CALL_TIMEOUT;
    config.servers = &servers;
    config.servers_count = 1;
    config.trace = &host->trace;
    if (node_new(&config, &arena, &node, &why) != MN_OK)
        sim_fail(sim, "%s: %.*s", host->name, (int)why.size, (const char *)why.data);
    mn_arena_done(&arena);
    return node;
}

void sim_host_start(struct sim_host *host)
{
    if (host->node != NULL) return;
    sim_cancel(host->sim, &host->boot);
    host->boots++;
    host->started = host->sim->time;
    host->is_frozen = false;
    host->node = host_make_node(host);
    sim_log_recover(host);
    sim_disk_recover(host);
}

void sim_host_start_at(struct sim_host *host, mn_time at)
{
    sim_at(host->sim, &host->boot, at, host_boot, host);
}

void sim_host_crash(struct sim_host *host)
{
    if (host->node == NULL) return;
    host->sim->stats.crashes++;
    sim_disk_crash(host);
    sim_log_crash(host);
    host_down(host);
}

void sim_host_crash_writing(struct sim_host *host)
{
    host->dies_writing = true;
}

void sim_host_writes(struct sim_host *host)
{
    struct sim *sim = host->sim;

    if (!host->dies_writing) return;
    host->dies_writing = false;
    sim_at(sim, &host->death, sim->time + rng_below(&sim->rng_fault, 3 * MN_MS), host_die, host);
}

void sim_host_stop(struct sim_host *host, mn_time down_for)
{
    struct sim *sim = host->sim;

    if (host->node == NULL || host->is_stopping) return;
    sim->stats.stops++;
    host->is_stopping = true;
    host->down_for = down_for;
    sim_at(sim, &host->stop_limit, sim->time + STOP_TIME, host_stop_late, host);
    sim_host_input(host, &(struct edge_input){.type = EDGE_IN_STOP});
}

void sim_host_freeze(struct sim_host *host)
{
    if (host->node == NULL || host->is_frozen) return;
    host->sim->stats.freezes++;
    host->is_frozen = true;
}

void sim_host_thaw(struct sim_host *host)
{
    if (!host->is_frozen) return;
    host->is_frozen = false;
    host->thawed = host->sim->time;
    host_drain(host); /* the inbox before the timers, as a real process finds it */
    sim_net_thawed(host);
    if (host->node != NULL)
        sim_at(host->sim, &host->tick, node_deadline(host->node), host_tick, host);
}

bool sim_host_was_frozen(const struct sim_host *host, mn_time time)
{
    return host->is_frozen || (host->thawed > 0 && host->thawed + time > host->sim->time);
}

struct sim_host *sim_pick_ready_host(struct sim *sim)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (host->node != NULL && !host->is_frozen && !host->is_stopping &&
            core_self(node_core(host->node)).is_ready)
            return host;
    }
    return NULL;
}

/* ---- in a whole world ---- */

void sim_settle(struct sim *sim, mn_time limit)
{
    mn_time end = sim->time + limit;

    while (!sim->has_failed && !sim_is_settled(sim) && sim->time < end)
        sim_run_until(sim, sim->time + 100 * MN_MS);
    if (!sim->has_failed && !sim_is_settled(sim)) sim_check_settled(sim); /* says what is missing */
}

void sim_kill_one(struct sim *sim)
{
    struct sim_host *host = &sim->hosts[rng_below(&sim->rng_fault, sim->hosts_count)];

    if (sim->has_failed) return;
    sim_host_crash(host);
    sim_host_start_at(host, sim->time + rng_below_u64(&sim->rng_fault, 3 * MN_SEC));
    sim_run_until(sim, sim->time + 3 * MN_SEC);
    sim_settle(sim, MN_MINUTE);
}
