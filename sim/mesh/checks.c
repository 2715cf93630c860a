/* What must hold: after every step the node's own invariants, whenever something happens to a call
 * what was promised about it, and while nothing goes wrong the truth about members, lists and
 * tools, everywhere. */
#include <stdio.h>

#include "node/node_mesh.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

#define SWEEP_TIME (10 * MN_SEC) /* for one call of every tool from every host */
#define IDEMPOTENT_RUNS_MAX 5    /* as many attempts as a call has */

void sim_check_step(struct sim_host *host)
{
    node_check(host->node);
    if (host->sim->on_step != NULL) host->sim->on_step(host);
}

/* ---- calls ---- */

/* A failure that promises that nothing was executed. */
static bool reason_is_certain(const char *reason)
{
    static const char *const certain[] = {"not_found", "conflict", "unavailable", "busy"};

    for (size_t i = 0; i < sizeof certain / sizeof *certain; i++)
        if (strcmp(reason, certain[i]) == 0) return true;
    return false;
}

void sim_check_call(struct sim *sim, const struct sim_call *call)
{
    uint32_t runs_max = call->is_idempotent ? IDEMPOTENT_RUNS_MAX : 1;

    if (call->executions > runs_max)
        sim_fail(sim, "call %s was executed %u times", call->key, call->executions);
    if (call->state == SIM_CALL_ANSWERED && call->executions == 0)
        sim_fail(sim, "call %s was answered but not executed", call->key);
    if (call->state == SIM_CALL_FAILED && !call->is_idempotent && call->executions > 0 &&
        reason_is_certain(call->reason))
        sim_fail(sim, "call %s failed as %s, but was executed", call->key, call->reason);
    if (call->state == SIM_CALL_FAILED && call->reason[0] == '\0')
        sim_fail(sim, "call %s failed without a reason", call->key);
}

static void check_calls(struct sim *sim)
{
    if (!sim->options.has_faults && sim->stats.failed > 0)
        sim_fail(sim, "%llu calls failed, though nothing went wrong",
                 (unsigned long long)sim->stats.failed);
    for (struct mn_map_entry *e = mn_map_next(&sim->calls, NULL); e != NULL;
         e = mn_map_next(&sim->calls, e)) {
        const struct sim_call *call = MN_CONTAINER(e, struct sim_call, entry);
        if (call->state == SIM_CALL_OPEN) sim_fail(sim, "call %s was never answered", call->key);
    }
    if (sim->stats.calls > 100 && sim->stats.answered * 10 < sim->stats.calls)
        sim_fail(sim, "only %llu of %llu calls were answered",
                 (unsigned long long)sim->stats.answered, (unsigned long long)sim->stats.calls);
}

/* ---- members ---- */

/* What [at] lacks of [of]; NULL: nothing. */
static const char *lacks(const struct sim_host *at, const struct sim_host *of)
{
    const struct core *core = node_core(at->node);
    mn_id id = core_self(node_core(of->node)).node_id;
    const struct member *member = membership_find(core_membership(core), &id);
    uint32_t offers;

    if (member == NULL || member->status != MEMBER_ALIVE) return "does not know that it is alive";
    if (at != of && peers_find(core_peers(core), &id) == NULL) return "has no link to it";
    (void)catalog_offers(core_catalog(core), &id, &offers);
    return offers == of->servers_count ? NULL : "does not know what it offers";
}

/* The first host that lacks something, and what, of whom; NULL: everybody knows everybody. */
static const struct sim_host *first_that_lacks(const struct sim *sim, const char **what,
                                               const struct sim_host **whose)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        const struct sim_host *at = &sim->hosts[i];
        *whose = at;
        *what = at->node == NULL                               ? "does not run"
                : core_membership(node_core(at->node)) == NULL ? "is not a member"
                : !core_self(node_core(at->node)).is_ready     ? "is not ready"
                                                               : NULL;
        if (*what != NULL) return at;
    }
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts_count; k++) {
            *whose = &sim->hosts[k];
            *what = lacks(&sim->hosts[i], &sim->hosts[k]);
            if (*what != NULL) return &sim->hosts[i];
        }
    return NULL;
}

bool sim_is_settled(const struct sim *sim)
{
    const struct sim_host *whose;
    const char *what;

    return first_that_lacks(sim, &what, &whose) == NULL;
}

static void check_members(struct sim *sim)
{
    const struct sim_host *whose, *at;
    const char *what;

    at = first_that_lacks(sim, &what, &whose);
    if (at == whose && at != NULL)
        sim_fail(sim, "%s %s", at->name, what);
    else if (at != NULL)
        sim_fail(sim, "of %s, %s %s", whose->name, at->name, what);
}

/* ---- lists ---- */

/* The names of the tools of a list, for people: "a b c ". */
static const char *list_names(struct mn_span body, char *text, size_t size)
{
    static const char mark[] = "{\"name\":\"";
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i + sizeof mark < body.size; i++) {
        const uint8_t *name = body.data + i + sizeof mark - 1, *end;
        if (memcmp(body.data + i, mark, sizeof mark - 1) != 0) continue;
        end = memchr(name, '"', body.size - i - (sizeof mark - 1));
        if (end == NULL || used + (size_t)(end - name) + 2 > size) break;
        used += (size_t)snprintf(text + used, size - used, "%.*s ", (int)(end - name),
                                 (const char *)name);
    }
    return text;
}

static bool has_text(struct mn_span body, const char *word)
{
    return body.size > 0 && memmem(body.data, body.size, word, strlen(word)) != NULL;
}

static uint32_t count_tools(struct mn_span body)
{
    static const char mark[] = "\"inputSchema\"";
    uint32_t count = 0;

    for (size_t i = 0; i + sizeof mark <= body.size; i++)
        count += memcmp(body.data + i, mark, sizeof mark - 1) == 0;
    return count;
}

static void check_has_tools(struct sim *sim, struct sim_server *server, struct mn_span body,
                            const char *whose)
{
    char name[SIM_NAME_MAX], word[80], names[400];

    for (uint32_t i = 0; i < sim_server_tools(server); i++) {
        snprintf(word, sizeof word, "{\"name\":\"%s__%s\"", server->name, sim_server_tool(i, name));
        if (!has_text(body, word))
            sim_fail(sim, "%s lacks %s__%s: %s", whose, server->name, sim_server_tool(i, name),
                     list_names(body, names, sizeof names));
    }
}

/* Every tool of every server and of the mesh itself once, and nothing else. */
static void check_list(struct sim *sim, struct mn_span body, const char *whose)
{
    uint32_t want = 0;
    char names[400];

    while (node_mesh_tools[want].name != NULL)
        want++;
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts[i].servers_count; k++) {
            struct sim_server *server = &sim->hosts[i].servers[k];
            if (sim_server_itself(server) != server) continue;
            check_has_tools(sim, server, body, whose);
            want += sim_server_tools(server);
        }
    if (count_tools(body) != want)
        sim_fail(sim, "%s has %u tools instead of %u: %s", whose, count_tools(body), want,
                 list_names(body, names, sizeof names));
}

struct lists {
    struct mn_buf *first; /* as the first host answers */
    uint32_t count;
};

static void listed(struct sim *sim, void *context, const struct sim_response *response)
{
    struct lists *lists = context;

    check_list(sim, response->message, "a list");
    if (lists->count++ == 0) lists->first = mn_buf_copy(response->message);
    if (!mn_span_equal(mn_buf_span(lists->first), response->message))
        sim_fail(sim, "two nodes answer tools/list with other bytes");
}

/* How one server defines its first tool for some. */
static const char *check_variant(struct sim_server *server, struct mn_span body, uint32_t declared,
                                 char text[512])
{
    char first[SIM_NAME_MAX], picture[SIM_NAME_MAX], word[160];

    if (sim_server_tools(server) == 0 || server->edition > 0) return NULL;
    snprintf(word, sizeof word, "{\"name\":\"%s__%s\",\"description\":\"does the work 0%s\"",
             server->name, sim_server_tool(0, first),
             sim_server_variant(server, declared, picture));
    if (has_text(body, word)) return NULL;
    snprintf(text, 512, "it does not say %s", word);
    return text;
}

/* What only some see of one server. */
static const char *check_secrets(struct sim_server *server, struct mn_span body, uint32_t declared,
                                 char text[512])
{
    char name[SIM_NAME_MAX], word[80];

    for (uint32_t i = 0; i < sim_server_secrets(server, declared); i++) {
        snprintf(word, sizeof word, "{\"name\":\"%s__%s\"", server->name,
                 sim_server_secret(server, declared, i, name));
        if (has_text(body, word)) continue;
        snprintf(text, 512, "it lacks %s of %s", name, server->name);
        return text;
    }
    return check_variant(server, body, declared, text);
}

const char *sim_check_shown(struct sim *sim, struct mn_span body, uint32_t declared, char text[512])
{
    const char *why = NULL;
    uint32_t want = 0;
    char names[400];

    while (node_mesh_tools[want].name != NULL)
        want++;
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts[i].servers_count && why == NULL; k++) {
            struct sim_server *server = &sim->hosts[i].servers[k];
            if (sim_server_itself(server) != server) continue;
            why = check_secrets(server, body, declared, text);
            want += sim_server_tools(server) + sim_server_secrets(server, declared);
        }
    if (why != NULL || count_tools(body) == want) return why;
    snprintf(text, 512, "it has %u tools instead of %u: %s", count_tools(body), want,
             list_names(body, names, sizeof names));
    return text;
}

void sim_check_watched(struct sim *sim)
{
    char whose[64];

    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++) {
        snprintf(whose, sizeof whose, "the list that a client of %s holds", sim->hosts[i].name);
        check_list(sim, sim_watch_list(sim, i), whose);
    }
}

static void check_lists(struct sim *sim)
{
    struct lists lists = {0};

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        sim_http_ask(&sim->hosts[i], &(struct sim_request){.method = "tools/list",
                                                           .body = mn_span_str(SIM_LIST_MODERN),
                                                           .patience = MN_SEC,
                                                           .is_steadfast = true,
                                                           .on_end = listed,
                                                           .context = &lists});
    sim_run_until(sim, sim->time + MN_SEC);
    mn_buf_unref(lists.first);
    sim_check_watched(sim);
}

/* ---- every tool from everywhere ---- */

static void swept(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_call *call = context;

    sim_call_answered(sim, call, response);
    if (call->state != SIM_CALL_ANSWERED)
        sim_fail(sim, "call %s of %s at %s, a while after the last fault, failed: %s", call->key,
                 call->tool, sim->hosts[call->entry_host].name, call->reason);
}

static void sweep_server(struct sim *sim, struct sim_host *from, struct sim_server *server)
{
    if (sim_server_itself(server) != server) return;
    for (uint32_t i = 0; i < sim_server_tools(server); i++) {
        char name[SIM_NAME_MAX], tool[64];
        struct sim_call *call;
        struct mn_buf *body;

        snprintf(tool, sizeof tool, "%s__%s", server->name, sim_server_tool(i, name));
        call = sim_call_new(sim, from, tool, i == 1);
        body = sim_call_body(call, true, 0);
        sim_http_ask(from, &(struct sim_request){.method = "tools/call",
                                                 .name = tool,
                                                 .body = mn_buf_span(body),
                                                 .patience = SWEEP_TIME,
                                                 .is_steadfast = true,
                                                 .on_end = swept,
                                                 .context = call});
        mn_buf_unref(body);
    }
}

static void check_sweep(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++)
        for (uint32_t k = 0; k < sim->hosts_count; k++)
            for (uint32_t s = 0; s < sim->hosts[k].servers_count; s++)
                sweep_server(sim, &sim->hosts[i], &sim->hosts[k].servers[s]);
    sim_run_until(sim, sim->time + SWEEP_TIME + MN_SEC);
}

/* ---- nothing is left behind ---- */

static void check_idle(struct sim *sim, const struct sim_host *host)
{
    struct calls_stats calls = calls_stats(core_calls(node_core(host->node)));
    struct peers_counts peers = peers_counts(core_peers(node_core(host->node)));
    struct mcp_stats mcp;

    mcp_stats(node_mcp(host->node), &mcp);
    if (calls.open + calls.served + mcp.calls_count > 0)
        sim_fail(sim, "%s still has %u calls open, %u served, %u at its clients", host->name,
                 calls.open, calls.served, mcp.calls_count);
    if (peers.members != sim->hosts_count - 1 || peers.guests + peers.half_open + peers.dials > 0)
        sim_fail(sim, "%s has %u member links, %u guests, %u half-open connections, %u dials",
                 host->name, peers.members, peers.guests, peers.half_open, peers.dials);
    if (mcp.exchanges_count != 1) /* that of the watcher */
        sim_fail(sim, "%s has %u exchanges open", host->name, mcp.exchanges_count);
    if (mn_list_is_empty(&host->children) || host->children.next != host->children.prev)
        sim_fail(sim, "%s does not have exactly one child process", host->name);
}

void sim_check_settled(struct sim *sim)
{
    check_members(sim);
    if (!sim->has_failed) check_lists(sim);
}

void sim_check_end(struct sim *sim)
{
    sim_check_settled(sim);
    if (!sim->has_failed) check_sweep(sim);
    if (!sim->has_failed) check_calls(sim);
    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++)
        check_idle(sim, &sim->hosts[i]);
}
