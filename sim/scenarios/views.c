/* Views in a world of faults: operators define, change and remove them through whatever node, while
 * clients call tools by the names that views give them; then, in a whole world, what views show
 * changes with what operators want and with what servers have.
 *
 *   never   a call by a view's name is executed by a tool for which the view never had that name
 *   in the end  all nodes answer with the same bytes, which show what the view says in its order;
 *           each name leads to its tool from each node, and a name that it does not show to none;
 *           who follows a view's list holds the true one, told of every change; a view that was
 *           removed is at no node */
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"
#include "sim/scenarios/scenarios.h"

#define VIEWS 3u
#define HOSTS_MAX 8u
#define ENTRIES_MAX 5u
#define ALIASES 4u /* of a view; what they stand for changes */
#define SHOWN_MAX 48u
#define ALL_TOOLS 2u /* entry.tool: a pattern */
#define PATIENCE (SIM_CALL_TIMEOUT + 10 * MN_SEC)
#define SPREAD_TIME (12 * MN_SEC)
#define LATE_TIME (15 * MN_SEC) /* after which an operation that was not answered is not done */
#define TRIES_MAX 20u
#define BODY_SIZE 1024u
#define LIMITS ((struct json_limits){.depth_max = 64, .depth_kept = 4, .nodes_max = 65536})

struct entry {
    uint32_t host, tool; /* the tool of that host's own server: 0 "work", 1 "look", ALL_TOOLS */
    int32_t alias;       /* -1: none */
};

struct view {
    struct views *views;
    uint32_t index;
    struct entry entries[ENTRIES_MAX];
    uint32_t count;
    bool is_small, is_there;                 /* as it was asked for last */
    bool had[ALIASES][HOSTS_MAX][ALL_TOOLS]; /* for what a name ever was asked for */
    struct sim_event next;
};

struct views {
    struct sim *sim;
    struct view views[VIEWS];
    struct sim_event call;
    uint64_t executed_count;
};

/* ---- what is asked for ---- */

static struct sim_server *server_of(const struct views *views, uint32_t host)
{
    return &views->sim->hosts[host].servers[0];
}

static void view_name(const struct view *view, int32_t alias, char name[32])
{
    snprintf(name, 32, "v%u-%d", view->index, alias);
}

/* Other entries, of different hosts, but for a pattern and one of its tools under a name. */
static void view_draw(struct view *view)
{
    struct sim *sim = view->views->sim;
    uint32_t first = rng_below(&sim->rng_work, sim->hosts_count);
    uint32_t most = sim->hosts_count < ENTRIES_MAX - 1 ? sim->hosts_count : ENTRIES_MAX - 1;

    view->count = 0;
    view->is_small = rng_below(&sim->rng_work, 6) == 0;
    for (uint32_t i = 0; i < 1 + rng_below(&sim->rng_work, most); i++) {
        struct entry *entry = &view->entries[view->count++];
        entry->host = (first + i) % sim->hosts_count;
        entry->tool = rng_below(&sim->rng_work, ALL_TOOLS + 1);
        entry->alias =
            entry->tool == ALL_TOOLS || rng_below(&sim->rng_work, 3) == 0 ? -1 : (int32_t)i;
        if (entry->alias >= 0) view->had[entry->alias][entry->host][entry->tool] = true;
        if (view->count + 1 == ENTRIES_MAX) break;
    }
    if (view->entries[0].tool == ALL_TOOLS) {
        view->entries[view->count++] = (struct entry){view->entries[0].host, 1, 0};
        view->had[0][view->entries[0].host][1] = true;
    }
}

static void view_body(const struct view *view, char body[BODY_SIZE])
{
    size_t size = (size_t)snprintf(body, BODY_SIZE, "{\"surface\":\"%s\",\"tools\":[",
                                   view->is_small ? "small" : "full");

    for (uint32_t i = 0; i < view->count; i++) {
        const struct entry *entry = &view->entries[i];
        const char *server = server_of(view->views, entry->host)->name;
        char name[32], tool[SIM_NAME_MAX];
        const char *text = entry->tool == ALL_TOOLS ? "*" : sim_server_tool(entry->tool, tool);
        const char *comma = i == 0 ? "" : ",";
        view_name(view, entry->alias, name);
        if (entry->alias < 0)
            size +=
                (size_t)snprintf(body + size, BODY_SIZE - size, "%s\"%s/%s\"", comma, server, text);
        else
            size +=
                (size_t)snprintf(body + size, BODY_SIZE - size,
                                 "%s{\"tool\":\"%s/%s\",\"as\":\"%s\"}", comma, server, text, name);
    }
    snprintf(body + size, BODY_SIZE - size, "]}");
}

/* What the view shall show: names, and what is behind each. */
struct shown {
    char name[3 * SIM_NAME_MAX + 8];
    char tool[SIM_NAME_MAX];
    const struct sim_server *server;
};

static bool has_alias(const struct view *view, uint32_t host, uint32_t tool)
{
    for (uint32_t i = 0; i < view->count; i++)
        if (view->entries[i].alias >= 0 && view->entries[i].host == host &&
            view->entries[i].tool == tool)
            return true;
    return false;
}

static uint32_t view_show(const struct view *view, struct shown *shown)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < view->count; i++) {
        const struct entry *entry = &view->entries[i];
        struct sim_server *server = server_of(view->views, entry->host);
        bool is_all = entry->tool == ALL_TOOLS;
        for (uint32_t tool = is_all ? 0 : entry->tool;
             tool < (is_all ? sim_server_tools(server) : entry->tool + 1); tool++) {
            struct shown *one = &shown[count];
            if (is_all && has_alias(view, entry->host, tool)) continue;
            one->server = server;
            char text[SIM_NAME_MAX];
            snprintf(one->tool, sizeof one->tool, "%s", sim_server_tool(tool, text));
            if (entry->alias >= 0)
                view_name(view, entry->alias, one->name);
            else
                snprintf(one->name, sizeof one->name, "%s__%s", server->name, one->tool);
            count++;
        }
    }
    return count;
}

/* ---- calls ---- */

struct views_call {
    struct view *view;
    struct sim_call *call;
    int32_t alias; /* -1: another name */
    bool is_over, is_kept;
};

static void called(struct sim *sim, void *context, const struct sim_response *response)
{
    struct views_call *made = context;
    const struct sim_server *by = made->call->by;

    sim_call_answered(sim, made->call, response);
    made->is_over = true;
    if (by != NULL) made->view->views->executed_count++;
    if (by != NULL && made->alias >= 0) {
        uint32_t tool = strcmp(made->call->did, "work") == 0 ? 0 : 1;
        if (!made->view->had[made->alias][by->host->index][tool])
            sim_fail(sim, "%s was executed as %s of %s, which never had that name in v%u",
                     made->call->tool, made->call->did, by->name, made->view->index);
    }
    if (!made->is_kept) mn_free(made);
}

static void path_of(const struct view *view, char path[32])
{
    snprintf(path, 32, "/mcp/views/v%u", view->index);
}

static struct views_call *make_call(struct view *view, struct sim_host *host, const char *name,
                                    int32_t alias, bool is_kept)
{
    struct views_call *made = mn_alloc(sizeof *made);
    struct mn_buf *body;
    char path[32];

    path_of(view, path);
    made->view = view;
    made->alias = alias;
    made->is_kept = is_kept;
    made->call = sim_call_new(view->views->sim, host, name, true);
    body = sim_call_body(made->call, true, 0);
    sim_http_ask(host, &(struct sim_request){.path = path,
                                             .method = "tools/call",
                                             .name = name,
                                             .body = mn_buf_span(body),
                                             .patience = 3 * PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = called,
                                             .context = made});
    mn_buf_unref(body);
    return made;
}

static void call_some(struct sim *sim, void *context)
{
    struct views *views = context;
    struct view *view = &views->views[rng_below(&sim->rng_work, VIEWS)];
    struct sim_host *host = sim_pick_ready_host(sim);
    int32_t alias = (int32_t)rng_below(&sim->rng_work, ALIASES);
    char name[32];

    view_name(view, alias, name);
    if (host != NULL) make_call(view, host, name, alias, false);
    sim_at(sim, &views->call, sim->time + 20 * MN_MS + rng_below(&sim->rng_work, 150 * MN_MS),
           call_some, views);
}

/* ---- operators ---- */

static void admin_path(const struct view *view, char path[32])
{
    snprintf(path, 32, "/v1/views/v%u", view->index);
}

static void view_act(struct sim *sim, void *context);

static void view_answered(struct sim *sim, void *context, const struct sim_response *response)
{
    struct view *view = context;
    mn_time pause = response->is_lost || response->code != 200 ? LATE_TIME : 0;

    sim_at(sim, &view->next, sim->time + pause + MN_SEC + rng_below_u64(&sim->rng_work, 8 * MN_SEC),
           view_act, view);
}

static void view_want(struct view *view)
{
    view->is_there = rng_below(&view->views->sim->rng_work, 5) > 0;
    if (view->is_there) view_draw(view);
}

static void view_act(struct sim *sim, void *context)
{
    struct view *view = context;
    struct sim_host *host = sim_pick_ready_host(sim);
    char path[32], body[BODY_SIZE];

    if (host == NULL) {
        sim_at(sim, &view->next, sim->time + MN_SEC, view_act, view);
        return;
    }
    view_want(view);
    admin_path(view, path);
    view_body(view, body);
    sim_http_ask(host, &(struct sim_request){.verb = view->is_there ? "PUT" : "DELETE",
                                             .path = path,
                                             .is_admin = true,
                                             .body = mn_span_str(view->is_there ? body : ""),
                                             .patience = PATIENCE,
                                             .is_steadfast = true,
                                             .on_end = view_answered,
                                             .context = view});
}

/* The same, until it is done. */
static void view_set(struct view *view)
{
    struct sim *sim = view->views->sim;
    struct sim_answer answer = {0};
    char path[32], body[BODY_SIZE];

    admin_path(view, path);
    view_body(view, body);
    for (uint32_t i = 0; i < TRIES_MAX && !sim->has_failed; i++) {
        sim_operator_ask(&sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)],
                         view->is_there ? "PUT" : "DELETE", path, view->is_there ? body : "",
                         &answer);
        if (answer.code == 200 || (answer.code == 404 && !view->is_there)) return;
        sim_run_until(sim, sim->time + MN_SEC);
    }
    if (!sim->has_failed)
        sim_fail(sim, "%s cannot be done in a whole world: %u %.200s", path, answer.code,
                 answer.text);
}

/* ---- what must be ---- */

struct listed {
    uint32_t code;
    struct mn_buf *list; /* NULL: nothing came */
};

static void looked(struct sim *sim, void *context, const struct sim_response *response)
{
    struct listed *listed = context;

    (void)sim;
    listed->code = response->code;
    if (response->message.size > 0) listed->list = mn_buf_copy(response->message);
}

/* What [host] lists now: nodes answer this at once. The caller owns the ref. */
static struct listed look(const struct view *view, struct sim_host *host)
{
    struct listed listed = {0};
    char path[32];

    path_of(view, path);
    sim_http_ask(host, &(struct sim_request){.path = path,
                                             .method = "tools/list",
                                             .body = mn_span_str(SIM_LIST_MODERN),
                                             .patience = MN_SEC,
                                             .is_steadfast = true,
                                             .on_end = looked,
                                             .context = &listed});
    return listed;
}

/* Names in order; where they are others than [shown], that is what is wrong. */
static void check_names(const struct view *view, struct mn_span list, const struct shown *shown,
                        uint32_t count)
{
    struct sim *sim = view->views->sim;
    struct json_parser *parser = json_parser_new();
    struct mn_arena arena = {0};
    const struct json *root = NULL, *tools = NULL;
    uint32_t at = 0;

    if (json_parse_copy(parser, list, LIMITS, &arena, &root) == MN_OK)
        tools = json_find_str(json_find_str(root, "result"), "tools");
    if (!json_is(tools, JSON_ARRAY))
        sim_fail(sim, "v%u is no list: %.*s", view->index, (int)list.size, (const char *)list.data);
    for (const struct json *tool = tools == NULL ? NULL : json_first(tools); tool != NULL;
         tool = json_next(tools, tool)) {
        struct mn_span name = json_text(json_find_str(tool, "name"));
        if (at >= count || !mn_span_is(name, shown[at].name))
            sim_fail(sim, "v%u shows %.*s at place %u instead of %s", view->index, (int)name.size,
                     (const char *)name.data, at, at < count ? shown[at].name : "nothing");
        at++;
    }
    if (at < count) sim_fail(sim, "v%u does not show %s", view->index, shown[at].name);
    mn_arena_done(&arena);
    json_parser_free(parser);
}

static void check_list(const struct view *view)
{
    static const struct shown small[] = {{.name = "mesh_find"}, {.name = "mesh_call"}};
    struct sim *sim = view->views->sim;
    struct shown shown[SHOWN_MAX];
    uint32_t count = view_show(view, shown);
    struct mn_buf *first = NULL;

    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed; i++) {
        struct listed listed = look(view, &sim->hosts[i]);
        if ((listed.code == 200) != view->is_there)
            sim_fail(sim, "%s answers %u for v%u, which %s there", sim->hosts[i].name, listed.code,
                     view->index, view->is_there ? "is" : "is not");
        else if (view->is_there && listed.list == NULL)
            sim_fail(sim, "%s does not answer for v%u", sim->hosts[i].name, view->index);
        else if (view->is_there)
            check_names(view, mn_buf_span(listed.list), view->is_small ? small : shown,
                        view->is_small ? 2 : count);
        if (first == NULL) first = mn_buf_ref(listed.list);
        if (!sim->has_failed && view->is_there &&
            !mn_span_equal(mn_buf_span(first), mn_buf_span(listed.list)))
            sim_fail(sim, "%s and %s do not list v%u alike", sim->hosts[0].name, sim->hosts[i].name,
                     view->index);
        mn_buf_unref(listed.list);
    }
    mn_buf_unref(first);
}

/* Who follows the first view, at each host, by either era. */
static void check_followers(const struct view *view)
{
    struct sim *sim = view->views->sim;

    for (uint32_t i = 0; i < sim->hosts_count && !sim->has_failed && view->is_there; i++) {
        struct shown shown[SHOWN_MAX];
        uint32_t count = view_show(view, shown);
        check_names(view, sim_watch_list(sim, i), shown, count);
    }
}

/* Calls it, and waits for what comes of that: by whom it was done, or NULL. */
static const struct sim_server *try_call(struct view *view, struct sim_host *host, const char *name,
                                         char did[SIM_NAME_MAX])
{
    struct sim *sim = view->views->sim;
    struct views_call *made = make_call(view, host, name, -1, true);
    const struct sim_server *by;

    while (!sim->has_failed && !made->is_over)
        sim_run_until(sim, sim->time + 10 * MN_MS);
    if (!made->is_over) {
        made->is_kept = false; /* it is freed when the world ends */
        return NULL;
    }
    by = made->call->by;
    snprintf(did, SIM_NAME_MAX, "%s", made->call->did);
    if (by != NULL && made->call->state != SIM_CALL_ANSWERED)
        sim_fail(sim, "%s through %s: done, and answered by %s", name, host->name,
                 made->call->reason);
    mn_free(made);
    return by;
}

static void check_calls(struct view *view)
{
    struct sim *sim = view->views->sim;
    struct shown shown[SHOWN_MAX];
    uint32_t count = view->is_there && !view->is_small ? view_show(view, shown) : 0;
    char did[SIM_NAME_MAX];

    for (uint32_t i = 0; i < count && !sim->has_failed; i++) {
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        const struct sim_server *by = try_call(view, host, shown[i].name, did);
        if (sim->has_failed) return;
        if (by == NULL)
            sim_fail(sim, "v%u shows %s, and %s does not call it", view->index, shown[i].name,
                     host->name);
        else if (by != shown[i].server || strcmp(did, shown[i].tool) != 0)
            sim_fail(sim, "%s of v%u is %s of %s, and %s called %s of %s", shown[i].name,
                     view->index, shown[i].tool, shown[i].server->name, host->name, did, by->name);
    }
    for (uint32_t i = 0; i < view->count && count > 0 && !sim->has_failed; i++) {
        const struct entry *entry = &view->entries[i]; /* under its own name it is not shown */
        char name[3 * SIM_NAME_MAX + 8], tool[SIM_NAME_MAX];
        struct sim_host *host = &sim->hosts[rng_below(&sim->rng_work, sim->hosts_count)];
        if (entry->alias < 0) continue;
        snprintf(name, sizeof name, "%s__%s", server_of(view->views, entry->host)->name,
                 sim_server_tool(entry->tool, tool));
        if (try_call(view, host, name, did) != NULL)
            sim_fail(sim, "v%u does not show %s, and %s called it", view->index, name, host->name);
    }
}

static void check_all(struct views *views)
{
    for (uint32_t i = 0; i < VIEWS && !views->sim->has_failed; i++) {
        check_list(&views->views[i]);
        check_calls(&views->views[i]);
    }
    check_followers(&views->views[0]);
}

/* ---- the world ---- */

static void run_for(struct views *views, mn_time time)
{
    if (!views->sim->has_failed) sim_run_until(views->sim, views->sim->time + time);
}

static void act_faults(struct views *views)
{
    struct sim *sim = views->sim;

    for (uint32_t i = 0; i < VIEWS; i++)
        view_act(sim, &views->views[i]);
    call_some(sim, views);
    if (sim->options.has_faults) sim_plan_start(sim);
    run_for(views, sim->options.story->faults_for);
    for (uint32_t i = 0; i < VIEWS; i++)
        sim_cancel(sim, &views->views[i].next);
    sim_plan_stop(sim);
    sim_settle(sim, sim->options.story->quiet_for);
    run_for(views, PATIENCE); /* what was asked for is answered */
    for (uint32_t i = 0; i < VIEWS; i++)
        sim_cancel(sim, &views->views[i].next);
    sim_cancel(sim, &views->call);
    run_for(views, 3 * PATIENCE);
}

/* The views are what they shall be, and what they show follows. */
static void act_agree(struct views *views)
{
    struct sim *sim = views->sim;

    for (uint32_t round = 0; round < 3 && !sim->has_failed; round++) {
        for (uint32_t i = 0; i < VIEWS; i++) {
            views->views[i].is_there = i == 0 || round < 2;
            view_draw(&views->views[i]);
            if (i == 0) views->views[i].is_small = false; /* its list is followed */
            view_set(&views->views[i]);
        }
        run_for(views, SPREAD_TIME);
        check_all(views);
        if (round == 1) sim_kill_one(sim);
        if (round == 1) run_for(views, SPREAD_TIME);
        if (round == 1) check_all(views);
        for (uint32_t i = 0; i < sim->hosts_count; i++)
            sim_server_change(&sim->hosts[i]);
        run_for(views, SPREAD_TIME);
        check_all(views);
    }
}

bool sim_run_views(struct sim *sim)
{
    struct views *views = mn_alloc(sizeof *views);

    sim->scenario = views;
    views->sim = sim;
    if (sim->hosts_count < 3 || sim->hosts_count > HOSTS_MAX) {
        sim_fail(sim, "this scenario takes 3 to %u nodes", HOSTS_MAX);
        return false;
    }
    for (uint32_t i = 0; i < VIEWS; i++) {
        views->views[i].views = views;
        views->views[i].index = i;
    }
    sim_boot(sim);
    sim_watch_start(sim, "/mcp/views/v0");
    act_faults(views);
    if (!sim->has_failed && sim->has_lost_disk) sim_group_recover(sim, &sim->hosts[0]);
    act_agree(views);
    if (!sim->has_failed && views->executed_count == 0)
        sim_fail(sim, "no call by a view's name was executed: nothing was tried");
    return !sim->has_failed;
}
